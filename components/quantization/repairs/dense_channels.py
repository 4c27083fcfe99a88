"""A scale for each output of dense layers, in a quantized model whose quantizer gave them one.

Up to TensorFlow 2.18 the quantizer gives the weights of a dense layer one scale and has no option
for another; from 2.19 on it gives each output its own. The kernels take both. Here the weights and
the biases of a quantized model are stored anew, from those of the float model:

- scale of an output: max|weights| / 127, weights symmetric, as the quantization specification says
  (https://ai.google.dev/edge/litert/models/quantization_spec);
- bias: round(b / (scale of the input * scale of the weights)).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.quantization.conversion.operator_versions import with_right_versions
from tfx_tflite.components.quantization.repairs.channels import store_operand, stored_floats
from tfx_tflite.components.quantization.structure import layer_keys

_KIND = "FULLY_CONNECTED"
_LARGEST_WEIGHT = 127
# Of the 32 bits of the kernels' sums a bias takes at most a half; the products need the rest.
_LARGEST_BIAS = 2**30
# scale of the input * scale of the weights / scale of the output: XNNPACK takes no model in which
# it is 256 or more, and has no multiplier for less than 2^-32.
_SMALLEST_FACTOR, _LARGEST_FACTOR = 2.0**-31, 255.0
# How many steps of its scale a number of the quantized model may be away from the float model's.
_STEPS = 1.01


def with_dense_channels(
    quantized: bytes, float32: bytes, layers: Collection[str] | None = None
) -> bytes:
    """Returns a quantized model whose dense layers have a scale for each output.

    A layer that is not found in the float model, by its weights and its bias, stays as it is.

    Args:
        quantized: The quantized flatbuffer, int8 or int16x8.
        float32: The float flatbuffer that it was quantized from.
        layers: The keys in the float model of the layers that are to have them; None for all.

    Returns:
        The very bytes if there is nothing to change.
    """
    graph = read_graph(quantized)
    found = list(_layers(graph))
    sources = _sources(read_graph(float32)) if found else []
    draft = graph.draft()
    changed = False
    for place, layer in enumerate(found):
        source = _source_of(layer, place, sources)
        if source is None or (layers is not None and source.key not in layers):
            continue
        stored = layer.requantized(source)
        if stored is not None:
            stored.put(draft, layer.operator)
            changed = True
    if not changed:
        return quantized
    draft.drop_unused_tensors()
    draft.drop_unused_buffers()
    return with_right_versions(draft.content())


@dataclass(frozen=True)
class _Source:
    """A dense layer of the float model.

    Attributes:
        key: Its key.
        weights: float32 of shape (outputs, inputs).
        bias: float32 of shape (outputs,), None if there is none.
    """

    key: str
    weights: Array
    bias: Array | None


@dataclass(frozen=True)
class _Stored:
    """What a dense layer is to have stored.

    Attributes:
        weights: int8 of shape (outputs, inputs).
        scales: Of the weights, float32 of shape (outputs,).
        bias: int32 or int64 of shape (outputs,), None if there is none.
        bias_scales: float32 of shape (outputs,).
    """

    weights: Array
    scales: Array
    bias: Array | None
    bias_scales: Array

    def put(self, draft: Draft, operator: Operator) -> None:
        """Has an operator read constants of its own, which other operators may have shared."""
        store_operand(draft, operator, 1, self.weights, object_tree.scales_tree(self.scales, 0))
        if self.bias is not None:
            scales = object_tree.scales_tree(self.bias_scales, 0)
            store_operand(draft, operator, 2, self.bias, scales)


@dataclass(frozen=True)
class _Layer:
    """A dense layer of a quantized model whose weights have one scale.

    Attributes:
        operator: The operator.
        input_scale: Of its activations.
        output_scale: Of its results.
        weights: Stored, int8 of shape (outputs, inputs).
        weights_scale: Their scale.
        bias: Its tensor, None if there is none.
    """

    operator: Operator
    input_scale: float
    output_scale: float
    weights: Array
    weights_scale: float
    bias: Tensor | None

    def is_of(self, source: _Source) -> bool:
        """Returns whether it was quantized from a layer of the float model."""
        weights, bias = source.weights, source.bias
        if weights.shape != self.weights.shape:
            return False
        steps = np.abs(weights / self.weights_scale - self.weights)
        if steps.max(initial=0) > _STEPS:
            return False
        if self.bias is None or bias is None:
            # A bias of zeros may be there or be left out.
            return self.bias is None and (bias is None or not bias.any())
        stored = self.bias.integers
        if stored is None or len(stored) != len(bias):
            return False
        exact = bias.astype(np.float64) / (self.input_scale * self.weights_scale)
        # One that is too large for its type has that type's largest number.
        limits = np.iinfo(stored.dtype)
        exact = np.clip(exact, float(limits.min), float(limits.max))
        return bool((np.abs(exact - stored) <= _STEPS + 1e-5 * np.abs(exact)).all())

    def requantized(self, source: _Source) -> _Stored | None:
        """Returns what is to be stored, None if the scales would be out of what kernels take."""
        stored = None if self.bias is None else self.bias.integers
        weights = source.weights.astype(np.float64)
        bias = np.zeros(len(weights)) if source.bias is None else source.bias.astype(np.float64)
        scales = np.abs(weights).max(axis=1, initial=0) / _LARGEST_WEIGHT
        scales = np.maximum(scales, np.abs(bias) / (self.input_scale * _LARGEST_BIAS))
        scales = np.maximum(scales, _SMALLEST_FACTOR * self.output_scale / self.input_scale)
        # What multiplies nothing but zeros has no scale of its own.
        scales = np.where(scales > 0, scales, self.weights_scale).astype(np.float32)
        if scales.max() * self.input_scale > _LARGEST_FACTOR * self.output_scale:
            return None
        bias_scales = np.float32(self.input_scale) * scales
        if not bias_scales.all():
            return None
        return _Stored(
            _rounded(weights / scales[:, None], _LARGEST_WEIGHT).astype(np.int8),
            scales,
            None if stored is None else _rounded(bias / bias_scales, 2**62).astype(stored.dtype),
            bias_scales,
        )


def _rounded(values: Array, largest: int) -> Array:
    """Returns values rounded half away from zero, as the converter does, none above a largest."""
    rounded: Array = np.clip(np.trunc(values + np.copysign(0.5, values)), -largest, largest)
    return rounded


def _layers(graph: Graph) -> Iterator[_Layer]:
    """Yields the dense layers with int8 weights of one scale, in the order in which they run."""
    for operator in graph.main.operators:
        weights = operator.operand(1) if operator.name == _KIND else None
        if weights is None or weights.type != "INT8" or weights.integers is None:
            continue
        scale, zero_point = weights.quantization
        input_scale, _ = operator.inputs[0].quantization
        output_scale, _ = operator.outputs[0].quantization
        # One output has one scale either way.
        if weights.shape[0] > 1 and scale and zero_point == 0 and input_scale and output_scale:
            stored = weights.integers.reshape(weights.shape)
            yield _Layer(operator, input_scale, output_scale, stored, scale, operator.operand(2))


def _sources(graph: Graph) -> list[_Source]:
    """Returns the dense layers of a float model whose weights are stored."""
    found = []
    for operator, key in layer_keys(graph).items():
        weights = stored_floats(operator.operand(1)) if operator.name == _KIND else None
        bias = stored_floats(operator.operand(2))
        if weights is not None and (bias is not None or operator.operand(2) is None):
            found.append(_Source(key, weights, None if bias is None else bias.reshape(-1)))
    return found


def _source_of(layer: _Layer, place: int, sources: Sequence[_Source]) -> _Source | None:
    """Returns what a layer was quantized from: what has its place, or else the only one that fits.

    The quantizer may have dropped layers, or made some of another kind.
    """
    if place < len(sources) and layer.is_of(sources[place]):
        return sources[place]
    fitting = [each for each in sources if layer.is_of(each)]
    return fitting[0] if len(fitting) == 1 else None
