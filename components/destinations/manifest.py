"""What lies beside every pushed model: what it is, how it was judged, and every file's digest.

`python -m tfx_tflite.components.destinations.manifest` prints the JSON Schema in
docs/manifest.schema.json.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, model_serializer, model_validator

from tfx_tflite.components.artifact_layout import MODEL_FILE
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.verdict import MetricValues, RuleResult
from tfx_tflite.components.versions import Runtime

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


class FileEntry(Part):
    """A file of the version."""

    digest: Digest
    size_bytes: int = Field(ge=0)


class ModelEntry(FileEntry):
    """The model's file."""

    file: FileName = MODEL_FILE


class Normalization(Part):
    """What the caller does with an input: (value - mean) * factor, before it is quantized."""

    # Of both, in C order; what they are broadcast to is an example without the batch dimension.
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    factor: tuple[float, ...]


class Tensor(Part):
    """An input or an output: real value = scale * (integer - zero_point) if it has a scale."""

    name: str
    dtype: Text
    # -1 if a dimension is not fixed.
    shape: tuple[int, ...]
    # Of an input: the shape that an example of the eval split has, the batch dimension first.
    example_shape: tuple[int, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None
    # Of an input: what the model leaves to its caller; None if it takes real values as they are.
    normalization: Normalization | None = None


class Signature(Part):
    """How the model is called."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class GoldenTensor(Part):
    """One tensor of the golden samples: little-endian values in C order, nothing else."""

    name: str
    file: FileName
    dtype: Text
    # The samples first.
    shape: tuple[int, ...]
    # Only in versions of before: the outputs are equal to the last bit with the kernels that
    # recorded them, and other kernels differ without a bound.
    tolerance: float | None = None


class Golden(Part):
    """Inputs, and what the model gave for them when it was evaluated."""

    samples: int = Field(ge=1)
    # How many were run at once.
    batch_size: int = Field(ge=1)
    # What recorded them; a name and version alone in versions of before.
    runtime: Runtime | Text
    inputs: tuple[GoldenTensor, ...]
    outputs: tuple[GoldenTensor, ...]
    # The digests of the examples that the samples are, in their order; if there are more samples,
    # they are these again. None in versions of before.
    examples: tuple[Text, ...] | None = None


class KernelsDeviate(Part):
    """How far the default kernels are from those that recorded the golden samples."""

    examples: int
    # On how many the largest value of an output is at another place.
    answers: int | None = None
    # In the outputs' own values: steps of an integer output.
    largest: float


class KernelComparison(KernelsDeviate):
    """How far the kernels that judge the model are from the reference kernels."""

    reference: Runtime


class SmokeTest(Part):
    """What the model was tried with before it was pushed."""

    runtime: Runtime
    machine: Text
    recorded_with: Runtime | None = None
    kernels_deviate: KernelsDeviate | None = None


class JudgedOutput(Part):
    """What an output of the model was judged by."""

    output: str | None = None
    label: str | None = None
    label_is_input: bool = False
    # How many names of classes there are; 0 if labels are numbers.
    vocabulary: int = 0
    example_weight: str | None = None
    # How much all examples count together; None if all count 1.
    weight: float | None = None
    # The feature that says which examples belong together, and how many such groups there are. The
    # keys are left out if examples are in no groups.
    group_by: str | None = None
    groups: int | None = None

    @model_serializer(mode="wrap")
    def _without_groups(
        self, own_keys: Callable[["JudgedOutput"], dict[str, object]]
    ) -> dict[str, object]:
        keys = own_keys(self)
        if self.group_by is None:
            del keys["group_by"], keys["groups"]
        return keys


class JudgedTarget(Part):
    """A target that the model was judged on, if the config named any."""

    target: Text
    # What gave the answers.
    runtime: Runtime
    # Why the target does not run the model; None if it does.
    problem: str | None = None
    # The working memory that it needs there.
    arena_bytes: int | None = None
    # The share of its operators that the accelerator runs.
    accelerated: float | None = None
    # Of one inference, and what says so: `estimate` of the accelerator's compiler, or `measured` on
    # the machine of the evaluation.
    latency_ms: float | None = None
    latency_kind: Text | None = None
    # In how many decisions its answer is another one than that of the default kernels of the
    # machine of the evaluation, of how many.
    differing: int | None = None
    decisions: int | None = None
    # Recorded there.
    golden: Golden | None = None


class Evaluated(Part):
    """What of the examples and the model was judged."""

    split: str | None = None
    signature: str | None = None
    output: str | None = None
    outputs: tuple[JudgedOutput, ...] = ()


class CalibrationSample(Part):
    """The examples that ranges were measured on."""

    digest: str
    size: int
    # More than there are, if the split has no more.
    requested: int


class MetadataIds(Part):
    """Where in ML Metadata the push and what was pushed are."""

    execution: int | None = None
    model_artifact: int
    blessing_artifact: int


class Version(Part):
    """Which version it is, and its files."""

    format: Literal[2] = FORMAT
    version: int = Field(ge=1)
    pushed_at: Text
    model: ModelEntry
    # Every file but the manifest and its signature.
    files: dict[FileName, FileEntry]


class Description(Part):
    """What is known of a model before it is pushed."""

    # The model's, which is the pipeline's.
    name: Text | None = None
    scheme: Text | None
    io_type: Text | None = None
    # How it was made: the same keys as in `recipe.json`, which `quantization.recipe` takes.
    recipe: dict[str, JsonValue] | None = None
    verdict: Text
    examples: int | None = None
    rules: tuple[RuleResult, ...] = ()
    metrics: tuple[MetricValues, ...] = ()
    # What the quantized model's figures were measured with.
    runtime: Runtime | None = None
    targets: tuple[JudgedTarget, ...] = ()
    # The least release of TensorFlow Lite's runtime that has every operator of the model, in the
    # version that the model wants; None if it is not known.
    min_runtime_version: Text | None = None
    signature: Signature | None = None
    golden: Golden | None = None
    # Of the float model, the calibration sample, the eval split, …
    digests: dict[str, str | None] = {}
    evaluated: Evaluated | None = None
    calibration_sample: CalibrationSample | None = None
    versions: dict[str, str] = {}
    metadata: MetadataIds | None = None


class Manifest(Document, Description, Version):
    """What one version is."""

    kind = f"a manifest of format {FORMAT}"
    error = DestinationError

    smoke_test: SmokeTest | None = None
    # That a person had to approve the version before it may become the current one (`push.approval`
    # of the config). Who did, when and why is in the destination's history, as a version never
    # changes.
    approval: Literal["required"] | None = None

    @model_validator(mode="after")
    def _model_is_listed(self) -> "Manifest":
        entry = self.files.get(self.model.file)
        if entry is None or entry.digest != self.model.digest:
            raise ValueError(f"files does not have {self.model.file} with the model's digest")
        return self


if __name__ == "__main__":
    print(Manifest.json_schema(), end="")
