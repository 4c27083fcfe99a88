"""A TensorFlow Lite model's predictions, with inputs and outputs in the float model's terms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_tflite.components.errors import DataError


class TFLiteModel:
    """Runs a TFLite model with one signature on batches.

    Tensors are allocated once for each batch size, and delegates (XNNPACK) are on.

    Args:
        content: The flatbuffer.
        num_threads: Threads of the interpreter; more than one a worker is slower on few cores.
    """

    def __init__(self, content: bytes, num_threads: int = 1):
        # The interpreter refers to the bytes without a copy.
        self._content = content
        self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=num_threads)
        runner = self._interpreter.get_signature_runner()
        self._inputs: dict[str, dict[str, Any]] = runner.get_input_details()
        self._outputs: dict[str, dict[str, Any]] = runner.get_output_details()
        self._batch_size: int | None = None
        self._fixed_batch_size = self._read_fixed_batch_size()

    @property
    def input_details(self) -> Mapping[str, Mapping[str, Any]]:
        """The interpreter's description of the inputs, by signature name."""
        return self._inputs

    @property
    def output_details(self) -> Mapping[str, Mapping[str, Any]]:
        """The interpreter's description of the outputs, by signature name."""
        return self._outputs

    def _read_fixed_batch_size(self) -> int | None:
        sizes = {int(detail["shape_signature"][0]) for detail in self._inputs.values()}
        size = max(sizes)
        return size if size > 0 else None

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name, dequantized to float32 where they are quantized.

        A model with a fixed batch size is run on chunks of it, the last one filled up.

        Args:
            inputs: The float model's inputs by name, the batch dimension first.

        Raises:
            DataError: An input that is to be quantized holds NaN.
        """
        rows = len(next(iter(inputs.values())))
        step = self._fixed_batch_size or rows
        chunks = [
            self._predict_chunk(
                {name: values[at : at + step] for name, values in inputs.items()}, step
            )
            for at in range(0, rows, step)
        ]
        return {
            name: np.concatenate([chunk[name] for chunk in chunks])[:rows] for name in self._outputs
        }

    def _predict_chunk(self, inputs: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
        self._allocate(size, inputs)
        for name, detail in self._inputs.items():
            values = quantize(inputs[name], detail, name)
            if len(values) < size:
                values = np.concatenate(
                    [values, np.repeat(values[-1:], size - len(values), axis=0)]
                )
            self._interpreter.set_tensor(detail["index"], values)
        self._interpreter.invoke()
        return {
            name: dequantize(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._outputs.items()
        }

    def _allocate(self, size: int, inputs: Mapping[str, np.ndarray]) -> None:
        if self._batch_size == size:
            return
        if self._fixed_batch_size is None:
            for name, detail in self._inputs.items():
                self._interpreter.resize_tensor_input(
                    detail["index"], [size, *inputs[name].shape[1:]]
                )
        self._interpreter.allocate_tensors()
        self._batch_size = size


def quantize(values: np.ndarray, detail: Mapping[str, Any], name: str) -> np.ndarray:
    """Returns values in a tensor's type: rounded half to even and saturated where it is quantized.

    The formula is that of the TensorFlow Lite quantization specification, real = (q - z) * s,
    solved for q.

    Args:
        values: Real values.
        detail: The interpreter's description of the tensor.
        name: The input's name, for messages.

    Raises:
        DataError: A value is NaN, which no integer stands for.
    """
    scale, zero_point = detail["quantization"]
    if not scale or values.dtype.kind != "f":
        return values.astype(detail["dtype"], copy=False)
    if np.isnan(values).any():
        raise DataError(f"input {name!r} holds NaN, which a quantized model cannot take")
    limits = np.iinfo(detail["dtype"])
    inverse = np.float32(1) / np.float32(scale)
    levels = np.rint(values.astype(np.float32) * inverse) + zero_point
    return np.clip(levels, limits.min, limits.max).astype(detail["dtype"])


def dequantize(values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Returns real float32 values of a quantized tensor; other tensors as they are.

    Args:
        values: What the interpreter gave.
        detail: The interpreter's description of the tensor.
    """
    scale, zero_point = detail["quantization"]
    if not scale or values.dtype.kind == "f":
        return values
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
