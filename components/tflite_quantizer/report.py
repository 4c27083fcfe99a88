"""What was done to a model, as JSON beside it."""

import hashlib
import platform
from typing import Any

import tensorflow as tf

from tfx_tflite.components.schemes import Quantization
from tfx_tflite.components.tflite_quantizer.audit import FlatbufferGraph, tensor_type
from tfx_tflite.components.tflite_quantizer.conversion import ConvertedModels

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
        "versions": {"tensorflow": tf.__version__, "python": platform.python_version()},
    }
