"""What a model is made for: the runtime, the kernels and the accelerator that will run it.

Nothing here needs TensorFlow or a runtime: a target is a part of a config.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.settings import Settings
from tfx_tflite.components.versions import Kernels

# As Arm's Vela names its configurations.
Accelerator = Literal[
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
]


class Target(Settings):
    """What will run the model.

    Attributes:
        runtime: `litert`, TensorFlow Lite's runtime of phones and servers, or `tflite-micro`, that
            of microcontrollers.
        kernels: Of LiteRT: those that it takes by itself, or the reference kernels, which are the
            same on every processor.
        accelerator: The configuration of an Ethos-U that the model is compiled for; None if the
            processor computes alone.
    """

    runtime: Literal["litert", "tflite-micro"] = "litert"
    kernels: Literal["default", "reference"] = "default"
    accelerator: Accelerator | None = None

    @model_validator(mode="after")
    def _kernels_are_of_the_runtime(self) -> Self:
        if self.runtime == "tflite-micro" and self.kernels != "default":
            raise ValueError(
                "kernels: reference is of runtime: litert; TensorFlow Lite Micro has kernels of "
                "its own, leave it out"
            )
        return self

    @property
    def name(self) -> str:
        """What reports call it: `tflite-micro, ethos-u55-128` for example."""
        kernels = [] if self.kernels == "default" else [f"{self.kernels} kernels"]
        accelerator = [] if self.accelerator is None else [self.accelerator]
        return ", ".join([self.runtime, *kernels, *accelerator])

    @property
    def judging_kernels(self) -> Kernels | None:
        """The kernels whose answers are judged; None for those that LiteRT takes by itself."""
        if self.runtime == "tflite-micro":
            return Kernels.MICRO
        return Kernels.REFERENCE if self.kernels == "reference" else None

    @property
    def is_this_machine(self) -> bool:
        """Whether it may be a machine like the one that evaluates, whose latency says something."""
        return self.runtime == "litert" and self.accelerator is None

    @property
    def needs_fixed_shapes(self) -> bool:
        """Whether every axis of the model must have a size, that of the batch too."""
        return self.runtime == "tflite-micro" or self.accelerator is not None


Targets = Annotated[tuple[Target, ...], Field(min_length=1)]
DEFAULT_TARGETS: tuple[Target, ...] = (Target(),)
