"""A TensorFlow Lite model's predictions, with inputs and outputs in the float model's terms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.errors import DataError, ModelError, telling_line
from tfx_tflite.components.examples.tensors import format_shape, predict_in_chunks
from tfx_tflite.components.models.runtime import kernels_in_use, open_interpreter
from tfx_tflite.components.versions import Kernels

_schema = flatbuffer_utils.schema_fb


class TFLiteModel:
    """Runs a TFLite model with one signature on batches.

    The model runs as it is, byte for byte. Tensors are allocated anew only if the shapes of the
    inputs change.

    Args:
        content: The flatbuffer.
        kernels: Which kernels run it, on inputs of any shape; None takes the runtime's default.

    Raises:
        ModelError: The runtime does not take the model.
    """

    def __init__(self, content: bytes, kernels: Kernels | None = None):
        # The interpreter refers to the bytes without a copy.
        self._content = content
        self._kernels = kernels
        try:
            self._interpreter = open_interpreter(content, kernels)
        except ValueError as error:
            raise ModelError(
                f"the TensorFlow Lite runtime does not take the model: {telling_line(str(error))}"
            ) from error
        runner = self._interpreter.get_signature_runner()
        self._inputs: dict[str, dict[str, Any]] = runner.get_input_details()
        self._outputs: dict[str, dict[str, Any]] = runner.get_output_details()
        self._quantizer = InputQuantizer(self._inputs, kernels)
        self._shapes: list[tuple[int, ...]] = []
        self._fixed_batch_size = self._read_fixed_batch_size()

    @property
    def content(self) -> bytes:
        """The flatbuffer."""
        return self._content

    @property
    def input_details(self) -> Mapping[str, Mapping[str, Any]]:
        """The interpreter's description of the inputs, by signature name."""
        return self._inputs

    @property
    def output_details(self) -> Mapping[str, Mapping[str, Any]]:
        """The interpreter's description of the outputs, by signature name."""
        return self._outputs

    @property
    def kernels(self) -> Kernels:
        """Which kernels ran the model last; the default interpreter chooses by the shapes."""
        return self._kernels if self._kernels else kernels_in_use(self._interpreter)

    def quantize(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns inputs in the types that the model takes; see `InputQuantizer`."""
        return self._quantizer(inputs)

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
        return self.run(self._quantizer(inputs))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs as `predict` does.

        Args:
            inputs: In the types that the model takes, by name, the batch dimension first.
        """
        return predict_in_chunks(self._predict_chunk, inputs, self._fixed_batch_size)

    def one(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the first example, repeated if the model has a larger batch size built in."""
        size = self._fixed_batch_size or 1
        return {name: np.repeat(values[:1], size, axis=0) for name, values in inputs.items()}

    def _predict_chunk(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._allocate({name: values.shape for name, values in inputs.items()})
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], inputs[name])
        self._interpreter.invoke()
        return {
            name: dequantize(self._interpreter.get_tensor(detail["index"]), detail)
            for name, detail in self._outputs.items()
        }

    def _allocate(self, by_name: Mapping[str, tuple[int, ...]]) -> None:
        shapes = [by_name[name] for name in self._inputs]
        if shapes == self._shapes:
            return
        for shape, detail in zip(shapes, self._inputs.values(), strict=True):
            if -1 in detail["shape_signature"]:
                self._interpreter.resize_tensor_input(detail["index"], shape)
        try:
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            shown = ", ".join(
                f"{name} {format_shape(shape)}"
                for name, shape in zip(self._inputs, shapes, strict=True)
            )
            raise ModelError(
                f"the TensorFlow Lite model does not take inputs of shape {shown}: "
                f"{telling_line(str(error))}"
            ) from error
        self._check_kernels()
        self._shapes = shapes

    def _check_kernels(self) -> None:
        if self._kernels is Kernels.XNNPACK and kernels_in_use(self._interpreter) != self._kernels:
            raise ModelError(
                "the TensorFlow Lite runtime takes XNNPACK's kernels for some shapes of the inputs "
                "and not for others, so no figure would be of one family of kernels; build the "
                "batch size in (quantization.batch_size: 1)"
            )


class InputQuantizer:
    """Quantizes a model's inputs by the runtime's own kernel.

    The kernel's rounding depends on the platform (on x86: the float32 reciprocal of the scale, half
    to even in blocks of eight values), so no formula of ours stands in for it: a flatbuffer of
    QUANTIZE operators alone is run, the very operator with which a model with float inputs begins.

    Args:
        details: The interpreter's description of the model's inputs, by name.
        kernels: Those that run the model.
    """

    def __init__(self, details: Mapping[str, Mapping[str, Any]], kernels: Kernels | None = None):
        self._details = details
        self._names = [name for name, detail in details.items() if detail["quantization"][0]]
        self._shapes: list[tuple[int, ...]] = []
        if self._names:
            content = _quantize_model([details[name] for name in self._names])
            self._interpreter = open_interpreter(content, kernels)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the inputs in the types that the model takes.

        Args:
            inputs: Real values by name, the batch dimension first; those that are integers already
                pass as they are.

        Raises:
            DataError: A value to be quantized is NaN, which no integer stands for.
        """
        reals = [inputs[name].astype(np.float32, copy=False) for name in self._names]
        for name, values in zip(self._names, reals, strict=True):
            if np.isnan(values).any():
                raise DataError(f"input {name!r} holds NaN, which a quantized model cannot take")
        others = {
            name: inputs[name].astype(detail["dtype"], copy=False)
            for name, detail in self._details.items()
            if name not in self._names
        }
        return {**others, **dict(zip(self._names, self._run(reals), strict=True))}

    def _run(self, reals: list[np.ndarray]) -> list[np.ndarray]:
        if not reals:
            return []
        shapes = [values.shape for values in reals]
        # The flatbuffer's inputs are its first tensors, its outputs the ones after them.
        if shapes != self._shapes:
            for index, shape in enumerate(shapes):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for index, values in enumerate(reals):
            self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(len(reals) + index) for index in range(len(reals))]


def _quantize_model(details: list[Mapping[str, Any]]) -> bytes:
    """Returns a flatbuffer with a QUANTIZE operator for each tensor that is described."""
    code = _schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _schema.BuiltinOperator.QUANTIZE
    graph = _schema.SubGraphT()
    count = len(details)
    graph.tensors = [_tensor(detail, quantized=False) for detail in details]
    graph.tensors += [_tensor(detail, quantized=True) for detail in details]
    graph.inputs, graph.outputs = list(range(count)), list(range(count, 2 * count))
    graph.operators = [_operator(index, count + index) for index in range(count)]
    model = _schema.ModelT()
    model.version = 3
    model.operatorCodes, model.subgraphs, model.buffers = [code], [graph], [_schema.BufferT()]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _operator(source: int, target: int) -> Any:
    operator = _schema.OperatorT()
    operator.inputs, operator.outputs = [source], [target]
    return operator


def _tensor(detail: Mapping[str, Any], quantized: bool) -> Any:
    tensor = _schema.TensorT()
    tensor.name = f"{detail['name']}{'/quantized' if quantized else ''}"
    tensor.shape = [int(size) for size in detail["shape"]]
    tensor.shapeSignature = [-1, *tensor.shape[1:]]
    tensor.type = _schema.TensorType.FLOAT32
    if quantized:
        scale, zero_point = detail["quantization"]
        tensor.type = getattr(_schema.TensorType, np.dtype(detail["dtype"]).name.upper())
        tensor.quantization = _schema.QuantizationParametersT()
        tensor.quantization.scale = [float(scale)]
        tensor.quantization.zeroPoint = [int(zero_point)]
    return tensor


def default_kernels(content: bytes, inputs: Mapping[str, np.ndarray]) -> Kernels:
    """Returns which kernels the default interpreter runs a model with, whatever the batch size.

    Args:
        content: The flatbuffer.
        inputs: Examples by input name, the batch dimension first.
    """
    for rows in {1, len(next(iter(inputs.values())))}:
        model = TFLiteModel(content)
        model.predict({name: values[:rows] for name, values in inputs.items()})
        if model.kernels is not Kernels.XNNPACK:
            return Kernels.BUILTIN
    return Kernels.XNNPACK


def dequantize(values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Returns real float32 values of a quantized tensor; other tensors as they are.

    real = (q - z) * s of the TensorFlow Lite quantization specification. An integer of at most 17
    bits times a float32 rounds once, so that this is the runtime's result to the last bit.

    Args:
        values: What the interpreter gave.
        detail: The interpreter's description of the tensor.
    """
    scale, zero_point = detail["quantization"]
    if not scale or values.dtype.kind == "f":
        return values
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
