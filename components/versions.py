"""What software gives a result: versions of packages, runtimes and their kernels."""

from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tfx_tflite.components.digests import bytes_digest, file_digest
from tfx_tflite.components.documents import Part

LITERT, TENSORFLOW, MICRO = "ai-edge-litert", "tensorflow", "tflite-micro"


class Kernels(str, Enum):
    """The families of kernels that runtimes have.

    The first three are TensorFlow Lite's, `micro` those of TensorFlow Lite Micro.
    """

    XNNPACK = "xnnpack"
    BUILTIN = "builtin"
    REFERENCE = "reference"
    MICRO = "micro"

    @property
    def are_reproducible(self) -> bool:
        """Whether they give the same bits on every processor."""
        return self in (Kernels.REFERENCE, Kernels.MICRO)


class Runtime(Part):
    """What gave a figure.

    Attributes:
        package: The distribution that the runtime is from.
        version: Its version.
        kernels: Which of its kernels ran; `xnnpack` with builtin ones for what XNNPACK lacks.
    """

    package: str
    version: str
    kernels: Kernels

    def __str__(self) -> str:
        return f"{self.package} {self.version} ({self.kernels.value} kernels)"

    @classmethod
    def of(cls, kernels: Kernels) -> "Runtime":
        """Returns the runtime that has some kernels."""
        package = package_of(kernels)
        return cls(package=package, version=version(package), kernels=kernels)


# What gives results, targets' runtimes and compilers among it.
_DECIDING = (
    "tfx-tflite",
    "tensorflow",
    "tensorflow-model-analysis",
    LITERT,
    MICRO,
    "ethos-u-vela",
)
# Kernels that only one distribution has.
_ONLY_IN = {Kernels.REFERENCE: TENSORFLOW, Kernels.MICRO: MICRO}


def package_of(kernels: Kernels) -> str:
    """Returns the distribution whose kernels of a family are taken."""
    return _ONLY_IN.get(kernels) or default_package()


def is_installed(kernels: Kernels) -> bool:
    """Returns whether there is a runtime here that has some kernels."""
    return kernels is not Kernels.MICRO or find_spec("tflite_micro") is not None


@cache
def default_package() -> str:
    """Returns the distribution whose kernels predict: LiteRT if it is installed."""
    return LITERT if find_spec("ai_edge_litert") else TENSORFLOW


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def code_version() -> str:
    """Returns the versions of this package and of what decides its results.

    They are part of what ML Metadata's cache is keyed by: without them an upgraded converter, audit
    or gate would be answered with an old result. So would an edited one: a checkout has one version
    for long, so the digest of its files is there, too.
    """
    versions = ", ".join(f"{name} {_version(name)}" for name in _DECIDING)
    return f"{versions}, components {code_digest(Path(__file__).parent)}"


@cache
def code_digest(package: Path) -> str:
    """Returns the digest of a package's files, which a process reads once.

    Args:
        package: The package's directory.
    """
    files = (file for file in package.rglob("*") if file.is_file())
    contents = (
        f"{file.relative_to(package).as_posix()}\0{file_digest(file)}\n"
        for file in sorted(files)
        if file.suffix != ".pyc"
    )
    return bytes_digest("".join(contents).encode())
