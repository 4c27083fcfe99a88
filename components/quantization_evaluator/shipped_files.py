"""What a push ships beside the model: golden samples, the schema, and how the model is called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.example_splits import SplitFiles
from tfx_tflite.components.float_model import input_reader, read_tensor_signature
from tfx_tflite.components.golden_samples import DIRECTORY as GOLDEN
from tfx_tflite.components.golden_samples import GoldenSamples
from tfx_tflite.components.quantization_evaluator.prediction import ModelPair
from tfx_tflite.components.tflite_model import InputQuantizer

# Below the blessing.
DIRECTORY = "shipped"
_SCHEMA_FILE = "schema.pbtxt"


def write_shipped_files(
    directory: Path, pair: ModelPair, source: SplitFiles, samples: int
) -> dict[str, Any]:
    """Writes the files and returns what a report says of them.

    Args:
        directory: Where to.
        pair: The quantized model, and the float one whose features become its inputs.
        source: The split whose first examples are the golden samples.
        samples: How many; 0 for none.

    Returns:
        `signature`: names, types, shapes and quantization of the inputs and outputs; `golden`: the
        description of the golden samples, or None; `shipped`: a digest for each file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tf.io.gfile.GFile(pair.tflite, "rb") as file:
        content = file.read()
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    golden = None
    if samples:
        recorded = GoldenSamples.record(interpreter, _inputs(interpreter, pair, source, samples))
        golden = {
            **recorded.write(directory / GOLDEN),
            "runtime": f"tensorflow {tf.__version__}",
        }
    if source.schema is not None:
        schema = schema_pb2.Schema.FromString(source.schema)
        (directory / _SCHEMA_FILE).write_text(text_format.MessageToString(schema), encoding="utf-8")
    return {
        "signature": _signature(interpreter),
        "golden": golden,
        "shipped": {
            file.relative_to(directory).as_posix(): file_digest(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    }


def _inputs(
    interpreter: tf.lite.Interpreter, pair: ModelPair, source: SplitFiles, samples: int
) -> dict[str, np.ndarray]:
    signature = read_tensor_signature(pair.saved_model, pair.signature)
    reader = input_reader(pair.saved_model, signature, pair.preprocessing_signature)
    # TFXIO reads several files in turns; the first that has any gives the same ones every time.
    batch = next(batch for file in source.files for batch in source.batches(samples, files=[file]))
    return InputQuantizer(interpreter.get_signature_runner().get_input_details())(reader(batch))


def _signature(interpreter: tf.lite.Interpreter) -> dict[str, Any]:
    [name] = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(name)
    return {
        "name": name,
        "inputs": _tensors(runner.get_input_details()),
        "outputs": _tensors(runner.get_output_details()),
    }


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
