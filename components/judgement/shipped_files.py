"""What a push ships beside the model: golden samples, the schema, and how the model is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.artifact_layout import GOLDEN_DIRECTORY, SCHEMA_FILE
from tfx_tflite.components.destinations.manifest import Golden, Signature, Tensor
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.models.tensor_info import TensorInfo
from tfx_tflite.components.models.tflite_model import TFLiteModel


@dataclass(frozen=True)
class ShippedFiles:
    """What a push takes along.

    Attributes:
        signature: How the model is called.
        golden: The golden samples; None if there are none.
        digests: Of each file, by its name below the directory.
    """

    signature: Signature
    golden: Golden | None
    digests: Mapping[str, str]


def write_shipped_files(
    directory: Path, model: TFLiteModel, first: FirstExamples, samples: int, schema: bytes | None
) -> ShippedFiles:
    """Writes the files and returns what a report says of them.

    Args:
        directory: Where to.
        model: The quantized model.
        first: The examples whose first ones are the golden samples.
        samples: How many; 0 for none.
        schema: The schema of the examples, serialized.

    Raises:
        EvaluationError: The model gives NaN or infinity for a golden sample.
    """
    directory.mkdir(parents=True, exist_ok=True)
    golden = None
    if samples:
        recorded = GoldenSamples.record(model.content, model.quantize(first.take(samples)))
        golden = recorded.write(directory / GOLDEN_DIRECTORY)
    if schema is not None:
        text = text_format.MessageToString(schema_pb2.Schema.FromString(schema))
        (directory / SCHEMA_FILE).write_text(text, encoding="utf-8")
    return ShippedFiles(
        signature=Signature(
            name=model.signature,
            inputs=_tensors(model.inputs, first.shapes),
            outputs=_tensors(model.outputs, {}),
        ),
        golden=golden,
        digests={
            file.relative_to(directory).as_posix(): file_digest(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    )


def _tensors(
    tensors: Mapping[str, TensorInfo], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Tensor, ...]:
    """Returns tensors by name, with the shapes that an example has."""
    return tuple(
        Tensor(
            name=name,
            dtype=info.dtype.name,
            shape=info.signature_shape,
            example_shape=shapes.get(name),
            scale=info.scale if info.is_quantized else None,
            zero_point=info.zero_point if info.is_quantized else None,
        )
        for name, info in sorted(tensors.items())
    )
