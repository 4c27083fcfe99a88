"""What lies beside every pushed model: what it is, how it was judged, and every file's digest.

`python -m tfx_tflite.components.destinations.manifest` prints the JSON Schema in
docs/manifest.schema.json.
"""

import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.versions import Runtime

MODEL_FILE = "model.tflite"
FORMAT: Literal[2] = 2

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _inside(name: str) -> str:
    """Refuses the name of a file that would not be below the version's directory."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or _CONTROL.search(name):
        raise ValueError(f"{name!r} is not the name of a file below the version")
    if str(path) != name or "\\" in name:
        raise ValueError(f"{name!r} is not a plain relative name")
    return name


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("holds control characters")
    if not text.isascii():
        # What came from a terminal in another encoding cannot be written.
        text.encode("utf-8")
    return text


FileName = Annotated[str, AfterValidator(_inside)]
Text = Annotated[str, AfterValidator(_printable)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Part(BaseModel):
    # A later version of this package may add keys.
    model_config = ConfigDict(extra="ignore", frozen=True)


class FileEntry(_Part):
    """A file of the version."""

    digest: Digest
    size_bytes: int = Field(ge=0)


class ModelEntry(FileEntry):
    """The model's file."""

    file: FileName = MODEL_FILE


class Tensor(_Part):
    """An input or an output: real value = scale * (integer - zero_point) where it has a scale."""

    name: str
    dtype: Text
    # -1 where a dimension is not fixed.
    shape: tuple[int, ...]
    # Of an input: the shape that an example of the eval split has, the batch dimension first.
    example_shape: tuple[int, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None


class Signature(_Part):
    """How the model is called."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class GoldenTensor(_Part):
    """One tensor of the golden samples: little-endian values in C order, nothing else."""

    name: str
    file: FileName
    dtype: Text
    # The samples first.
    shape: tuple[int, ...]
    # Only in versions of before: the outputs are equal to the last bit with the kernels that
    # recorded them, and other kernels differ without a bound.
    tolerance: float | None = None


class Golden(_Part):
    """Inputs, and what the model gave for them when it was evaluated."""

    samples: int = Field(ge=1)
    # How many were run at once.
    batch_size: int = Field(ge=1)
    # What recorded them; a name and version alone in versions of before.
    runtime: Runtime | Text
    inputs: tuple[GoldenTensor, ...]
    outputs: tuple[GoldenTensor, ...]


class KernelsDeviate(_Part):
    """How far the default kernels are from those that recorded the golden samples."""

    examples: int
    # On how many the largest value of an output is at another place.
    answers: int | None = None
    # In the outputs' own values: steps of an integer output.
    largest: float


class SmokeTest(_Part):
    """What the model was tried with before it was pushed."""

    runtime: Runtime
    machine: Text
    recorded_with: Runtime | None = None
    kernels_deviate: KernelsDeviate | None = None


class MetadataIds(_Part):
    """Where in ML Metadata the push and what was pushed are."""

    execution: int | None = None
    model_artifact: int
    blessing_artifact: int


class Manifest(_Part):
    """What one version is."""

    format: Literal[2] = FORMAT
    version: int = Field(ge=1)
    pushed_at: Text
    model: ModelEntry
    # Every file but the manifest and its signature.
    files: dict[FileName, FileEntry]
    scheme: Text | None
    io_type: Text | None = None
    verdict: Text
    examples: int | None = None
    rules: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, Any], ...] = ()
    # What the quantized model's figures were measured with.
    runtime: Runtime | None = None
    signature: Signature | None = None
    golden: Golden | None = None
    smoke_test: SmokeTest | None = None
    # Of the float model, the calibration sample, the eval split, …
    digests: dict[str, str | None] = {}
    evaluated: dict[str, Any] | None = None
    calibration_sample: dict[str, Any] | None = None
    versions: dict[str, str] = {}
    metadata: MetadataIds | None = None

    @model_validator(mode="after")
    def _model_is_listed(self) -> "Manifest":
        entry = self.files.get(self.model.file)
        if entry is None or entry.digest != self.model.digest:
            raise ValueError(f"files does not have {self.model.file} with the model's digest")
        return self

    @classmethod
    def parse(cls, content: bytes, where: str) -> "Manifest":
        """Returns the manifest in a file.

        Args:
            content: The file.
            where: Its name, for messages.

        Raises:
            DestinationError: It is not a manifest of this format.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise DestinationError(
                f"{where} is not a manifest of format {FORMAT}: "
                f"{f'{key}: ' if key else ''}{first['msg']}"
            ) from error

    def to_bytes(self) -> bytes:
        """Returns the file."""
        return (self.model_dump_json(indent=1) + "\n").encode("utf-8")


def json_schema() -> str:
    """Returns the JSON Schema (draft 2020-12) of manifests."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**schema, **Manifest.model_json_schema()}, indent=1) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
