"""What a push ships beside the model.

Those are golden samples, the schema, the recipe, C source, and how the model is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.artifact_layout import GOLDEN_DIRECTORY, RECIPE_FILE, SCHEMA_FILE
from tfx_tflite.components.destinations.manifest import Golden, Normalization, Signature, Tensor
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.judgement.candidate import FIRST, Candidate
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.models import c_array
from tfx_tflite.components.models.facts import compiled, smallest_arena
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.models.input_normalization import InputNormalization, Normalizations
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.tensor_info import TensorInfo
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Kernels


@dataclass(frozen=True)
class ShippedFiles:
    """What a push takes along.

    Attributes:
        signature: How the model is called.
        goldens: The golden samples of each target; empty if there are none.
        digests: Of each file, by its name below the directory.
    """

    signature: Signature
    goldens: tuple[Golden, ...]
    digests: Mapping[str, str]

    @property
    def golden(self) -> Golden | None:
        """Those of the first target."""
        return next(iter(self.goldens), None)


def write_shipped_files(
    directory: Path,
    model: TFLiteModel,
    first: FirstExamples,
    settings: EvaluatorSettings,
    schema: bytes | None,
    candidates: Sequence[Candidate] = (FIRST,),
    recipe: str | None = None,
) -> ShippedFiles:
    """Writes the files and returns what a report says of them.

    Args:
        directory: Where to.
        model: The quantized model.
        first: The examples whose first ones are the golden samples.
        settings: How many golden samples there are, which extras, and what the model is called.
        schema: The schema of the examples, serialized.
        candidates: The model on each target, whose kernels record golden samples.
        recipe: How the model was made, as a document; None if its scheme says that.

    Raises:
        EvaluationError: The model gives NaN or infinity for a golden sample.
        ModelError: It cannot be compiled for an accelerator.
    """
    directory.mkdir(parents=True, exist_ok=True)
    goldens: tuple[Golden, ...] = ()
    recorded: list[GoldenSamples] = []
    if settings.golden_samples:
        inputs = model.quantize(first.take(settings.golden_samples))
        examples = first.digests[: settings.golden_samples]
        recorded = [
            GoldenSamples.record(model.content, inputs, candidate.kernels)
            for candidate in candidates
        ]
        goldens = tuple(
            golden.write(directory, _golden_directory(candidate), examples)
            for golden, candidate in zip(recorded, candidates, strict=True)
        )
    if "c_array" in settings.extras:
        _write_sources(directory, model.content, recorded, settings.model_name)
    if "vela" in settings.extras:
        _write_compiled(directory, model.content, settings.devices)
    if schema is not None:
        text = text_format.MessageToString(schema_pb2.Schema.FromString(schema))
        (directory / SCHEMA_FILE).write_text(text, encoding="utf-8")
    if recipe is not None:
        (directory / RECIPE_FILE).write_text(recipe, encoding="utf-8")
    return ShippedFiles(
        signature=Signature(
            name=model.signature,
            inputs=_tensors(model.inputs, first.shapes, model.normalizations),
            outputs=_tensors(model.outputs, {}, {}),
        ),
        goldens=goldens,
        digests={
            file.relative_to(directory).as_posix(): file_digest(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    )


def _golden_directory(candidate: Candidate) -> str:
    """Returns where the golden samples of a target are among the files."""
    place = candidate.place
    return f"{GOLDEN_DIRECTORY}_{place + 1}" if place else GOLDEN_DIRECTORY


def _write_sources(
    directory: Path, content: bytes, recorded: Sequence[GoldenSamples], name: str
) -> None:
    """Writes a model as C source, and a program if TensorFlow Lite Micro gave golden samples."""
    sources = c_array.model_sources(content, name)
    of_micro = [each for each in recorded if each.runtime.kernels is Kernels.MICRO and each.outputs]
    if of_micro:
        size = smallest_arena(content).size_bytes
        sources |= c_array.golden_sources(content, of_micro[0], size, name)
    for file, text in sources.items():
        (directory / file).write_text(text, encoding="utf-8")


def _write_compiled(directory: Path, content: bytes, devices: Sequence[Target]) -> None:
    """Writes a model as compiled for each accelerator."""
    accelerators = {device.accelerator for device in devices} - {None}
    for accelerator in sorted(map(str, accelerators)):
        file = directory / f"model_{accelerator}.tflite"
        file.write_bytes(compiled(content, accelerator).content)


def _tensors(
    tensors: Mapping[str, TensorInfo],
    shapes: Mapping[str, tuple[int, ...]],
    normalizations: Normalizations,
) -> tuple[Tensor, ...]:
    """Returns tensors by name, with the shapes that an example has and what is done before."""
    return tuple(
        Tensor(
            name=name,
            dtype=info.dtype.name,
            shape=info.signature_shape,
            example_shape=shapes.get(name),
            scale=info.scale if info.is_quantized else None,
            zero_point=info.zero_point if info.is_quantized else None,
            normalization=_described(normalizations[name]) if name in normalizations else None,
        )
        for name, info in sorted(tensors.items())
    )


def _described(found: InputNormalization) -> Normalization:
    """Returns the constants as the manifest has them."""
    return Normalization(
        shape=found.mean.shape,
        mean=tuple(found.mean.ravel().tolist()),
        factor=tuple(found.factor.ravel().tolist()),
    )
