"""What a push ships beside the model: golden samples, the schema, and how the model is called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.models.golden_samples import DIRECTORY as GOLDEN
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.models.runtime import open_interpreter
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
        golden = GoldenSamples.record(model.content, inputs).write(directory / GOLDEN)
    if schema is not None:
        text = text_format.MessageToString(schema_pb2.Schema.FromString(schema))
        (directory / _SCHEMA_FILE).write_text(text, encoding="utf-8")
    return {
        "signature": _signature(model.content, first),
        "golden": golden,
        "shipped": {
            file.relative_to(directory).as_posix(): file_digest(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    }


def _signature(content: bytes, first: FirstExamples) -> dict[str, Any]:
    interpreter = open_interpreter(content)
    [name] = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(name)
    inputs = _tensors(runner.get_input_details())
    for entry in inputs:
        entry["example_shape"] = [*first.shapes[entry["name"]]]
    return {"name": name, "inputs": inputs, "outputs": _tensors(runner.get_output_details())}


def _tensors(details: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name, detail in sorted(details.items()):
        scale, zero_point = detail["quantization"]
        found.append(
            {
                "name": name,
                "dtype": np.dtype(detail["dtype"]).name,
                "shape": [int(size) for size in detail["shape_signature"]],
                "scale": float(scale) if scale else None,
                "zero_point": int(zero_point) if scale else None,
            }
        )
    return found
