"""What a push ships beside the model: golden samples, the schema, and how the model is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.artifact_layout import GOLDEN_DIRECTORY, SCHEMA_FILE
from tfx_tflite.components.destinations.manifest import Golden, Signature, Tensor
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.models.runtime import open_interpreter
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
        golden = Golden.model_validate(recorded.write(directory / GOLDEN_DIRECTORY))
    if schema is not None:
        text = text_format.MessageToString(schema_pb2.Schema.FromString(schema))
        (directory / SCHEMA_FILE).write_text(text, encoding="utf-8")
    return ShippedFiles(
        signature=_signature(model.content, first.shapes),
        golden=golden,
        digests={
            file.relative_to(directory).as_posix(): file_digest(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file()
        },
    )


def _signature(content: bytes, shapes: Mapping[str, tuple[int, ...]]) -> Signature:
    interpreter = open_interpreter(content)
    [name] = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(name)
    return Signature(
        name=name,
        inputs=_tensors(runner.get_input_details(), shapes),
        outputs=_tensors(runner.get_output_details(), {}),
    )


def _tensors(
    details: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Tensor, ...]:
    """Returns tensors by name, with the shapes that an example has."""
    return tuple(
        Tensor(
            name=name,
            dtype=np.dtype(detail["dtype"]).name,
            shape=tuple(int(size) for size in detail["shape_signature"]),
            example_shape=shapes.get(name),
            scale=float(scale) if scale else None,
            zero_point=int(zero_point) if scale else None,
        )
        for name, detail in sorted(details.items())
        for scale, zero_point in [detail["quantization"]]
    )
