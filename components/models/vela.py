"""Models compiled for an Ethos-U by Vela, Arm's compiler (package `ethos-u-vela`).

Vela gives a .tflite file in which all operators that the accelerator can run are folded into custom
operators `ethos-u`; the others stay as they are, and the processor runs them. Beside it, a summary
as CSV estimates time and memory, and a warning is printed for each operator that stays.

Vela is native code that is given somebody's model, so it runs in a process of its own and is never
imported here.
"""

import csv
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import quarantine, soundness, vela_refusals
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.quarantine import Ended
from tfx_tflite.components.models.target_facts import Acceleration, Source
from tfx_tflite.components.models.vela_result import (
    ACCELERATED,
    changed_edge,
    free_input,
    is_compiled,
    read_compiled,
    remaining,
)
from tfx_tflite.components.models.vela_summary import Summary

PACKAGE = "ethos-u-vela"
# What installs it.
REMEDY = f"pip install {PACKAGE}"
_COMMAND = (sys.executable, "-m", "ethosu.vela")
_MODEL = "model"
_LONGEST_LINE = 300


@dataclass(frozen=True)
class Compiled:
    """A model compiled for an accelerator.

    Attributes:
        acceleration: What the compiler says of it.
        content: The flatbuffer that the accelerator's processor is given.
    """

    acceleration: Acceleration
    content: bytes


def accelerate(
    content: bytes,
    accelerator: str,
    time_limit: float = 600.0,
    command: Sequence[str] = _COMMAND,
) -> Compiled:
    """Compiles a model for an accelerator, in a process of its own.

    The same model gives the same bytes.

    Args:
        content: The flatbuffer.
        accelerator: The configuration as Vela calls it; see `target.Accelerator`.
        time_limit: Seconds after which Vela is stopped.
        command: What Vela is started with.

    Raises:
        ModelError: Vela is not installed, the bytes are no model, or Vela fails, takes too long or
            gives something else than a compiled model.
    """
    compiler = _Compiler(_installed(), accelerator, time_limit, command)
    if is_compiled(content):
        raise ModelError(
            "the model is compiled for an Ethos-U already; give the model that Vela made it from, "
            "in a push model.tflite"
        )
    if (problem := next(soundness.problems(content), None)) is not None:
        raise ModelError(
            f"the bytes are not a valid TensorFlow Lite model: {problem}; convert the model again"
        )
    return compiler.compiled(Graph(content))


def _installed() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise ModelError(f"an accelerator needs Arm's compiler Vela: {REMEDY}") from error


@dataclass(frozen=True)
class _Compiler:
    """Vela as it is called here.

    Attributes:
        version: Of the package.
        accelerator: The configuration.
        time_limit: Seconds.
        command: What it is started with.
    """

    version: str
    accelerator: str
    time_limit: float
    command: Sequence[str]

    def compiled(self, graph: Graph) -> Compiled:
        """Returns what a model is compiled to.

        Args:
            graph: The model.

        Raises:
            ModelError: It could not be compiled.
        """
        with tempfile.TemporaryDirectory(prefix="tfx-tflite-vela-") as folder:
            directory = Path(folder)
            (directory / f"{_MODEL}.tflite").write_bytes(graph.content)
            ended = self._run(directory)
            content = self._content(directory, ended)
            summary = self._summary(directory)
        result = self._checked(graph, content)
        acceleration = self._acceleration(graph, result, summary, ended)
        return Compiled(acceleration, content)

    def _run(self, directory: Path) -> Ended:
        command = [*self.command, "--accelerator-config", self.accelerator]
        ended = quarantine.run(
            [*command, "--output-dir", ".", f"{_MODEL}.tflite"], directory, self.time_limit
        )
        said = f": {ended.last_line[:_LONGEST_LINE]}" if ended.last_line else ""
        if not ended.in_time:
            raise self._failure(f"took more than {self.time_limit:.0f} s and was stopped")
        if ended.killed_by:
            raise self._failure(f"was ended by {ended.killed_by}{said}")
        if ended.code != 0:
            raise self._failure(f"failed{said}")
        return ended

    def _failure(self, problem: str) -> ModelError:
        return ModelError(
            f"Vela {self.version} for {self.accelerator} {problem}\n"
            f"Change the model, try another version of {PACKAGE}, or leave the accelerator out"
        )

    def _content(self, directory: Path, ended: Ended) -> bytes:
        try:
            return (directory / f"{_MODEL}_vela.tflite").read_bytes()
        except OSError as error:
            said = f"; it said: {ended.last_line[:_LONGEST_LINE]}" if ended.last_line else ""
            raise self._failure(f"left no compiled model{said}") from error

    def _summary(self, directory: Path) -> Summary:
        try:
            [file] = directory.glob(f"{_MODEL}_summary_*.csv")
        except ValueError as error:
            raise self._failure("left no summary of the compiled model") from error
        try:
            with file.open(encoding="utf-8", newline="") as lines:
                [row] = csv.DictReader(lines)
            return Summary.of(row)
        # Not one row, a column that is missing, something that is no number, no text.
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise self._failure(f"left a summary that cannot be read: {error}") from error

    def _checked(self, graph: Graph, content: bytes) -> Graph:
        try:
            result = read_compiled(content)
        except ValueError as error:
            raise self._failure(f"left a compiled model that is damaged: {error}") from error
        if (changed := changed_edge(graph, result)) is not None:
            raise self._failure(f"left a compiled model with other inputs and outputs: {changed}")
        return result

    def _acceleration(
        self, graph: Graph, result: Graph, summary: Summary, ended: Ended
    ) -> Acceleration:
        warnings = vela_refusals.warnings_in(ended.output + ended.errors)
        refused = vela_refusals.refusals(graph, remaining(graph, result), warnings)
        is_used = any(operator.name == ACCELERATED for operator in result.operators)
        return Acceleration(
            accelerator=self.accelerator,
            operators=len(graph.operators),
            accelerated=len(graph.operators) - len(refused),
            refused=refused,
            milliseconds=1000 * summary.cycles / summary.clock_hz if is_used else None,
            cycles=summary.cycles if is_used else None,
            sram_bytes=summary.sram_bytes,
            flash_bytes=summary.flash_bytes,
            dram_bytes=summary.dram_bytes,
            clock_hz=summary.clock_hz,
            size_bytes=len(result.content),
            source=Source(
                tool=PACKAGE,
                version=self.version,
                kind="estimate",
                caveat="; ".join(_caveats(graph, summary, bool(refused), is_used)),
            ),
        )


def _caveats(graph: Graph, summary: Summary, is_partly: bool, is_used: bool) -> Iterator[str]:
    """Yields what the figures do not say."""
    yield (
        f"for Vela's default system configuration and memory mode ({summary.system}, "
        f"{summary.memory_mode})"
    )
    if not is_used:
        yield "the accelerator runs no operator, so there is no estimate of the time"
    elif is_partly:
        yield "operators left on the processor do not count in the milliseconds"
    if name := free_input(graph):
        yield f"input {name!r} has a free axis, for which Vela takes 1 (quantization.batch_size: 1)"
