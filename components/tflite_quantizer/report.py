"""What was done to a model, as JSON beside it."""

import hashlib
import platform
from typing import Any

import tensorflow as tf

from tfx_tflite.components.schemes import Quantization
from tfx_tflite.components.tflite_quantizer.conversion import ConvertedModels
from tfx_tflite.components.tflite_quantizer.flatbuffer import (
    FlatbufferGraph,
    Operator,
    quantization_of,
    short_name,
    tensor_type,
)

FILE_NAME = "quantization.json"


def summarize(
    models: ConvertedModels,
    quantization: Quantization,
    signature: str,
    float_model_digest: str,
    sample: dict[str, Any] | None,
) -> dict[str, Any]:
    """Returns settings, digests, sizes, types and operators of a conversion, ready for JSON.

    Args:
        models: What the converter gave.
        quantization: What it was asked for.
        signature: The signature that was converted.
        float_model_digest: The digest of the SavedModel's files.
        sample: Digest and size of the calibration sample, where one was used.
    """
    graph = FlatbufferGraph(models.quantized)
    return {
        "scheme": quantization.scheme.value,
        "io_type": quantization.resolved_io_type,
        "batch_size": quantization.batch_size or "dynamic",
        "signature": signature,
        "calibration_sample": sample,
        "size_bytes": {"float": len(models.float32), "quantized": len(models.quantized)},
        "digests": {
            "float_model": float_model_digest,
            "quantized_model": f"sha256:{hashlib.sha256(models.quantized).hexdigest()}",
            "calibration_sample": sample["digest"] if sample else None,
        },
        "inputs": [tensor_type(tensor) for tensor in graph.inputs],
        "outputs": [tensor_type(tensor) for tensor in graph.outputs],
        "operators": graph.operator_counts(),
        "layers": [_layer(graph, operator) for operator in graph.operators],
        "versions": {"tensorflow": tf.__version__, "python": platform.python_version()},
    }


def _layer(graph: FlatbufferGraph, operator: Operator) -> dict[str, Any]:
    """Returns what is to be known of an operator: what it writes, and its weights."""
    output = operator.outputs[0]
    weights = [tensor for tensor in operator.inputs if graph.is_constant(tensor)]
    scale, zero_point = quantization_of(output)
    # The flatbuffer leaves out what is empty: a scalar has no shape.
    shape = output.shape if output.shapeSignature is None else output.shapeSignature
    shape = [] if shape is None else shape
    return {
        "index": operator.index,
        "operator": operator.name,
        "name": short_name(output),
        "output_shape": [int(size) for size in shape],
        "output_type": tensor_type(output),
        "weights_type": tensor_type(weights[0]) if weights else None,
        "weights_bytes": sum(graph.stored_bytes(tensor) for tensor in weights),
        "scale": scale,
        "zero_point": zero_point,
    }
