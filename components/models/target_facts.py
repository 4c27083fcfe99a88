"""What is known of a model on a target, with what each figure came from.

The parts of reports and of `tfx-tflite inspect` that are about memory, operators and accelerators.
"""

import platform
from importlib.metadata import version
from typing import Literal

from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import listed
from tfx_tflite.components.versions import Runtime


class Source(Part):
    """What gave a figure.

    Attributes:
        tool: The distribution or the program: `tflite-micro`, `ethos-u-vela`.
        version: Its version.
        kind: `exact` for what holds on every machine, `measured` for what was seen on this one, and
            `estimate` for what a model of the hardware says.
        machine: On which processor it was found; None if that makes no difference.
        caveat: What the figure does not say; empty if nothing.
    """

    tool: str
    version: str
    kind: Literal["exact", "measured", "estimate"]
    machine: str | None = None
    caveat: str = ""

    @classmethod
    def here(cls, package: str, kind: Literal["exact", "measured"], caveat: str) -> "Source":
        """Returns what gave a figure on this machine.

        Args:
            package: The distribution, which is installed.
            kind: As of the attribute.
            caveat: As of the attribute.
        """
        return cls(
            tool=package,
            version=version(package),
            kind=kind,
            machine=platform.machine(),
            caveat=caveat,
        )


class MemoryStep(Part):
    """The memory that tensors need while one operator runs.

    Attributes:
        operator: The operator's place in the main graph, from 0.
        name: Its kind, `CONV_2D` for example.
        layer: What it writes.
        live_bytes: Bytes of all tensors that are needed then, the constants in the file apart.
    """

    operator: int
    name: str
    layer: str
    live_bytes: int


class Arena(Part):
    """The working memory of a model, beside its file.

    Attributes:
        size_bytes: The smallest with which the model can be run.
        tail_bytes: The part of it that is taken for good: the runtime's own records, in TensorFlow
            Lite Micro at the end; None if that is not known.
        head_bytes: The part that tensors and scratch share, at the beginning.
        source: What found it.
        steps: What the tensors need while each operator runs.
    """

    size_bytes: int
    head_bytes: int | None = None
    tail_bytes: int | None = None
    source: Source
    steps: tuple[MemoryStep, ...] = ()


class OperatorFinding(Part):
    """An operator that a target does not run, or does not run on its accelerator.

    Attributes:
        operator: Its place in the main graph, from 0; None for a whole kind of operators.
        name: Its kind, `CONV_2D` for example.
        layer: What it writes.
        reason: Why, in the words of the tool that found it.
        advice: What to change in the model; empty if that is not known.
    """

    operator: int | None = None
    name: str
    layer: str = ""
    reason: str
    advice: str = ""

    @property
    def text(self) -> str:
        """What is said of it in one line."""
        layer = f" (layer {self.layer})" if self.layer else ""
        kind = f"{self.name}{layer}: " if self.name else ""
        return f"{kind}{self.reason}" + (f"; {self.advice}" if self.advice else "")


class Acceleration(Part):
    """What a compiler for an accelerator says of a model.

    Attributes:
        accelerator: The configuration.
        operators: How many operators the model has.
        accelerated: How many of them are not left to the processor: the accelerator runs them, or
            the compiler needs them no more.
        refused: Those that do not, each with the reason.
        milliseconds: Of one inference, the operators on the accelerator alone; None if there are
            none.
        cycles: The accelerator's cycles of one inference; None if it runs nothing.
        sram_bytes: Of the fast memory that is used.
        flash_bytes: Of flash, which holds weights, biases and tables; not the accelerator's
            commands, which are in the compiled file as well.
        dram_bytes: Of slow memory, which holds tensors and weights if the configuration says so.
        clock_hz: The accelerator's clock that milliseconds are for.
        size_bytes: Of the compiled file.
        source: What said so.
    """

    accelerator: str
    operators: int
    accelerated: int
    refused: tuple[OperatorFinding, ...] = ()
    milliseconds: float | None = None
    cycles: int | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    dram_bytes: int | None = None
    clock_hz: float | None = None
    size_bytes: int | None = None
    source: Source

    @property
    def whole_milliseconds(self) -> float | None:
        """The time of an inference; None if the processor runs a part, which nobody times."""
        return self.milliseconds if self.accelerated == self.operators else None

    @property
    def share(self) -> float:
        """The share of the operators that run on the accelerator."""
        return self.accelerated / self.operators if self.operators else 1.0


class TargetFacts(Part):
    """What is known of a model on a target before it predicts anything.

    Attributes:
        target: The target's name.
        runtime: What runs the model.
        unsupported: The kinds of operators that the runtime lacks, those that it refuses as they
            are, and, without a name, what else keeps it from taking the model; empty if it does.
        arena: The working memory; None if the model cannot be run, or if it cannot be measured.
        acceleration: What the accelerator does; None without one.
    """

    target: str
    runtime: Runtime
    unsupported: tuple[OperatorFinding, ...] = ()
    arena: Arena | None = None
    acceleration: Acceleration | None = None

    @property
    def problem(self) -> str:
        """Why the target does not run the model; empty if it does."""
        if not self.unsupported:
            return ""
        reasons = listed(dict.fromkeys(finding.text for finding in self.unsupported))
        return f"{self.target} does not run the model: {reasons}"
