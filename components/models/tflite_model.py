"""A TensorFlow Lite model's predictions, with inputs and outputs in the float model's terms."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from tfx_tflite.components.errors import DataError, ModelError, listed, telling_line
from tfx_tflite.components.examples.tensors import (
    Array,
    Tensors,
    format_shape,
    predict_in_chunks,
)
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.input_normalization import (
    Normalizations,
    normalizations_of,
    normalized,
)
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.models.tensor_info import TensorInfo
from tfx_tflite.components.versions import Kernels


class TFLiteModel:
    """Runs a TFLite model with one signature on batches.

    The model runs as it is, byte for byte. Tensors are allocated anew only if the shapes of the
    inputs change.

    Args:
        content: The flatbuffer.
        kernels: Which kernels run it, on inputs of any shape; None takes the runtime's default.

    Attributes:
        content: The flatbuffer.
        signature: The name of its signature.
        inputs: What it takes, by name in the signature.
        outputs: What it gives, by name in the signature.

    Raises:
        ModelError: The runtime does not take the model.
    """

    def __init__(self, content: bytes, kernels: Kernels | None = None):
        self.content = content
        self._asked = kernels
        try:
            self._model = open_model(content, kernels)
        except ValueError as error:
            raise ModelError(
                f"the TensorFlow Lite runtime does not take the model: {telling_line(str(error))}"
            ) from error
        self.signature = self._model.signature
        self.inputs, self.outputs = self._model.inputs, self._model.outputs
        self._quantizer = InputQuantizer(
            self.inputs, quantizing(kernels), normalizations_of(content)
        )
        self._batch_size = self._model.at_once

    @property
    def kernels(self) -> Kernels:
        """Which kernels ran the model last; the default interpreter chooses by the shapes."""
        return self._model.kernels

    @property
    def normalizations(self) -> Normalizations:
        """What the model leaves to its caller, by input; `quantize` and `predict` do it."""
        return self._quantizer.normalizations

    def quantize(self, inputs: Tensors) -> dict[str, Array]:
        """Returns inputs in the types that the model takes; see `InputQuantizer`."""
        return self._quantizer(inputs)

    def predict(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the outputs by name, dequantized to float32 if they are quantized.

        A model with a fixed batch size is run on chunks of it, the last one filled up.

        Args:
            inputs: The float model's inputs by name, the batch dimension first.

        Raises:
            DataError: An input that is to be quantized holds NaN.
            ModelError: The model takes other inputs, or the runtime refuses their shapes or fails.
        """
        if not self.inputs.keys() <= inputs.keys():
            raise ModelError(
                f"the TensorFlow Lite model takes {listed(sorted(self.inputs))}, but the float "
                f"model {listed(sorted(inputs))}; it was made from another model or signature"
            )
        return self.run(self._quantizer(inputs))

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the outputs as `predict` does.

        Args:
            inputs: In the types that the model takes, by name, the batch dimension first.
        """
        return predict_in_chunks(self._predict_chunk, inputs, self._batch_size)

    def one(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the first example, repeated if the model has a larger batch size built in."""
        size = self._batch_size or 1
        return {name: np.repeat(values[:1], size, axis=0) for name, values in inputs.items()}

    def _predict_chunk(self, inputs: Tensors) -> dict[str, Array]:
        shapes = {name: inputs[name].shape for name in self.inputs}
        try:
            self._model.allocate(shapes)
        except RuntimeError as error:
            shown = ", ".join(f"{name} {format_shape(shape)}" for name, shape in shapes.items())
            raise ModelError(
                f"the TensorFlow Lite model does not take inputs of shape {shown}: "
                f"{telling_line(str(error))}"
            ) from error
        if self._asked is Kernels.XNNPACK and self.kernels is not self._asked:
            raise ModelError(
                "the TensorFlow Lite runtime takes XNNPACK's kernels for some shapes of the inputs "
                "and not for others, so no figure would be of one family of kernels; build the "
                "batch size in (quantization.batch_size: 1)"
            )
        try:
            outputs = self._model.run(inputs)
        except RuntimeError as error:
            raise ModelError(
                f"the TensorFlow Lite model cannot be run: {telling_line(str(error))}"
            ) from error
        return {name: self.outputs[name].reals(values) for name, values in outputs.items()}


class InputQuantizer:
    """Quantizes a model's inputs by the runtime's own kernel.

    The kernel's rounding depends on the platform (on x86: the float32 reciprocal of the scale, half
    to even in blocks of eight values), so no formula of ours stands in for it: a flatbuffer of
    QUANTIZE operators alone is run, the very operator with which a model with float inputs begins.

    Args:
        inputs: What the model takes, by name.
        kernels: Those that run the model.
        normalizations: What the model leaves to its caller, which is done first.

    Attributes:
        normalizations: These.
    """

    def __init__(
        self,
        inputs: Mapping[str, TensorInfo],
        kernels: Kernels | None = None,
        normalizations: Normalizations = MappingProxyType({}),
    ):
        self._inputs = inputs
        self.normalizations = normalizations
        self._quantized = {name: info for name, info in inputs.items() if info.is_quantized}
        if self._quantized:
            self._model = open_model(_quantize_model(self._quantized), kernels)

    def __call__(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the inputs in the types that the model takes.

        Args:
            inputs: Real values by name, the batch dimension first; those that are integers already
                pass as they are.

        Raises:
            DataError: A value to be quantized is NaN, which no integer stands for.
            ModelError: No kernel quantizes to an input's type.
        """
        inputs = normalized(inputs, self.normalizations)
        reals = {name: inputs[name].astype(np.float32, copy=False) for name in self._quantized}
        for name, values in reals.items():
            if np.isnan(values).any():
                raise DataError(f"input {name!r} holds NaN, which a quantized model cannot take")
        others = {
            name: inputs[name].astype(info.dtype, copy=False)
            for name, info in self._inputs.items()
            if name not in reals
        }
        return {**others, **(self._run(reals) if reals else {})}

    def _run(self, reals: Tensors) -> dict[str, Array]:
        try:
            return self._model.run(reals)
        except RuntimeError as error:
            kinds = ", ".join(f"{name!r} {info.dtype}" for name, info in self._quantized.items())
            raise ModelError(
                f"the TensorFlow Lite runtime does not quantize inputs as the model takes them "
                f"({kinds}): {telling_line(str(error))}"
            ) from error


def _quantize_model(inputs: Mapping[str, TensorInfo]) -> bytes:
    """Returns a flatbuffer with a QUANTIZE operator for each input of a model."""
    tree = object_tree.model_tree()
    graph, count = tree.subgraphs[0], len(inputs)
    for name, info in inputs.items():
        real = object_tree.tensor_tree(name, "FLOAT32", info.shape)
        real.shapeSignature = [-1, *info.shape[1:]]
        graph.tensors.append(real)
    for name, info in inputs.items():
        integer = object_tree.tensor_tree(f"{name}/quantized", info.dtype.name.upper(), info.shape)
        integer.shapeSignature = [-1, *info.shape[1:]]
        integer.quantization = object_tree.scale_tree(info.scale, info.zero_point)
        graph.tensors.append(integer)
    tree.operatorCodes = [object_tree.code_tree("QUANTIZE")]
    graph.operators = [object_tree.operator_tree(0, [i], [count + i]) for i in range(count)]
    graph.inputs, graph.outputs = list(range(count)), list(range(count, 2 * count))
    tree.signatureDefs = [object_tree.signature_tree(inputs, inputs)]
    return object_tree.pack(tree)


def quantizing(kernels: Kernels | None) -> Kernels | None:
    """Returns the kernels that quantize inputs for a model that some kernels run.

    TensorFlow Lite Micro takes no batches, and its QUANTIZE is that of the reference kernels.
    """
    return Kernels.REFERENCE if kernels is Kernels.MICRO else kernels


def default_kernels(content: bytes, inputs: Tensors) -> Kernels:
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
