"""What a push ships beside the model: golden samples, the schema, and how the model is called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.models.golden_samples import DIRECTORY as GOLDEN
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.models.runtime import TensorInfo
from tfx_tflite.components.models.tflite_model import TFLiteModel

# Below the blessing.
DIRECTORY = "shipped"
_SCHEMA_FILE = "schema.pbtxt"


def write_shipped_files(
    directory: Path, model: TFLiteModel, first: FirstExamples, samples: int, schema: bytes | None
) -> dict[str, Any]:
    """Writes the files and returns what a report says of them.

    Args:
        directory: Where to.
        model: The quantized model.
        first: The examples whose first ones are the golden samples.
        samples: How many; 0 for none.
        schema: The schema of the examples, serialized.

    Returns:
        `signature`: names, types, shapes and quantization of the inputs and outputs; `golden`: the
        description of the golden samples, or None; `shipped`: a digest for each file.

    Raises:
        EvaluationError: The model gives NaN or infinity for a golden sample.
    """
    directory.mkdir(parents=True, exist_ok=True)
    golden = None
    if samples:
        inputs = model.quantize(first.take(samples))
        recorded = GoldenSamples.record(model.content, inputs).write(directory / GOLDEN)
        golden = recorded.model_dump(mode="json", exclude_none=True)
    if schema is not None:
        text = text_format.MessageToString(schema_pb2.Schema.FromString(schema))
        (directory / _SCHEMA_FILE).write_text(text, encoding="utf-8")
    return {
        "signature": _signature(model, first),
        "golden": golden,
        "shipped": {
            file.relative_to(directory).as_posix(): file_digest(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    }


def _signature(model: TFLiteModel, first: FirstExamples) -> dict[str, Any]:
    inputs = _tensors(model.inputs)
    for entry in inputs:
        entry["example_shape"] = [*first.shapes[entry["name"]]]
    return {"name": model.signature, "inputs": inputs, "outputs": _tensors(model.outputs)}


def _tensors(tensors: Mapping[str, TensorInfo]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "dtype": info.dtype.name,
            "shape": [*info.signature_shape],
            "scale": info.scale if info.is_quantized else None,
            "zero_point": info.zero_point if info.is_quantized else None,
        }
        for name, info in sorted(tensors.items())
    ]
