"""What each tensor and each layer's weights cost when they alone have 8 bits.

Two figures, because each finds what the other overlooks:

- The output error is what the outputs are off by if one tensor is rounded in the float model, or
  if one layer has the quantized model's weights. It is what counts, but for one tensor alone: where
  ten tensors are bad, to mend any one of them seems to change little.
- The share of noisy channels says of each tensor by itself how many of its channels have less than
  20 dB left. It sees all ten, but not whether anything depends on those channels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.models.object_tree import numbers
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.layer_noise import (
    ChannelNoise,
    LayerNoise,
    measure,
    rounding_noise,
)
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.ranges.scale_groups import same_scale_groups
from tfx_tflite.components.quantization.ranges.tensor_range import TensorRange
from tfx_tflite.components.quantization.rounding import Rounding, with_rounded
from tfx_tflite.components.quantization.structure import layer_keys, tensor_keys

# The examples that it is measured on.
ROWS = 64
# Below this many decibels a channel has lost more than four of its eight bits.
LEAST_DECIBELS = 20.0
# Outputs that hardly vary are compared with a millionth of their power instead.
_LEAST_VARIANCE, _TINY = 1e-6, float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class RoundedTensor:
    """An activation, and what rounding does to it.

    Attributes:
        tensor: In the float model.
        key: See `structure.py`.
        range: What it is rounded for.
        rounding: How.
        noise: Between both models; None if it could not be compared.
    """

    tensor: Tensor
    key: str
    range: TensorRange
    rounding: Rounding
    noise: LayerNoise | None

    @property
    def channels(self) -> ChannelNoise | None:
        """Its noise by channel."""
        return None if self.noise is None else self.noise.channels

    @property
    def noisy_channels(self) -> float:
        """The share of its channels that rounding it leaves less than 20 dB of."""
        found = self.channels
        return 0.0 if found is None else found.below(LEAST_DECIBELS, found.rounding)


@dataclass(frozen=True, eq=False)
class Edge:
    """Activations that have one scale, and what it costs that they have 8 bits.

    Attributes:
        tensors: In the order in which they are computed.
        output_error: The mean square of what the outputs are off by if they alone are rounded, as a
            multiple of the outputs' variance.
    """

    tensors: tuple[RoundedTensor, ...]
    output_error: float

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the tensors."""
        return tuple(each.key for each in self.tensors)

    @property
    def worst(self) -> RoundedTensor:
        """The tensor with the most noisy channels."""
        return max(self.tensors, key=lambda each: each.noisy_channels)

    @property
    def noisy_channels(self) -> float:
        """The share of its channels that are noisy, of the tensor that has most of them."""
        return self.worst.noisy_channels


@dataclass(frozen=True, eq=False)
class RoundedWeights:
    """A layer's weights, and what it costs that they have 8 bits.

    Attributes:
        operator: In the float model.
        key: See `structure.py`.
        kind: Where the operator keeps its weights.
        weights: float64, of the weights' own shape.
        rounded: The same as the quantized model has them.
        scales: How many scales it has for them.
        noise: The mean square of what each channel of the output is off by, if errors of weights
            are independent of what they are multiplied with; None if channels are not known.
        output: The layer's output.
        output_error: As in `Edge`.
    """

    operator: Operator
    key: str
    kind: spec.WeightedOperator
    weights: Array
    rounded: Array
    scales: int
    noise: Array | None
    output: RoundedTensor | None
    output_error: float

    @property
    def noisy_channels(self) -> float:
        """The share of the output's channels that are left with less than 20 dB."""
        channels = None if self.output is None else self.output.channels
        if channels is None or self.noise is None or len(self.noise) != len(channels.mean):
            return 0.0
        return channels.below(LEAST_DECIBELS, self.noise)


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """What 8 bits cost, place by place.

    Attributes:
        graph: The float model.
        ranges: Of its activations.
        edges: In the order in which they are computed.
        weights: The same.
    """

    graph: Graph
    ranges: TensorRanges
    edges: tuple[Edge, ...]
    weights: tuple[RoundedWeights, ...]


Cost = TypeVar("Cost", Edge, RoundedWeights, Edge | RoundedWeights)


def by_output_error(found: Sequence[Cost]) -> tuple[Cost, ...]:
    """Returns edges or weights ordered by their output error, the worst first."""
    return tuple(sorted(found, key=lambda each: each.output_error, reverse=True))


def by_noisy_channels(found: Sequence[Cost]) -> tuple[Cost, ...]:
    """Returns the same ordered by the share of channels that are noisy, then by output error."""

    def badness(cost: Cost) -> tuple[float, float]:
        return cost.noisy_channels, cost.output_error

    return tuple(sorted(found, key=badness, reverse=True))


def by_relief(found: Sensitivity) -> tuple[Edge, ...]:
    """Returns the edges in the order in which to leave them in float, by output error.

    With an edge what writes and reads it is float, and so are the weights of these layers. So an
    edge relieves the outputs of its own error and of theirs, as far as the edges before it do not.
    """
    touching = {
        id(edge): [each for each in found.weights if _is_beside(each.operator, edge)]
        for edge in found.edges
    }
    left, order, relieved = list(found.edges), [], set[int]()

    def relief(edge: Edge) -> float:
        beside = (each for each in touching[id(edge)] if id(each) not in relieved)
        return edge.output_error + sum(each.output_error for each in beside)

    while left:
        order.append(max(left, key=relief))
        left.remove(order[-1])
        relieved.update(map(id, touching[id(order[-1])]))
    return tuple(order)


def _is_beside(operator: Operator, edge: Edge) -> bool:
    return any(each.tensor in operator.tensors for each in edge.tensors)


def ranked_edges(found: Sensitivity) -> tuple[Edge, ...]:
    """Returns the edges in the order in which to leave them in float, the worst first.

    The orders by relief and by noisy channels are one, in which each has every other place.
    """
    both = zip(by_relief(found), by_noisy_channels(found.edges), strict=True)
    return tuple({id(each): each for pair in both for each in pair}.values())


def observe(
    float32: bytes,
    quantized: bytes,
    ranges: TensorRanges,
    samples: Sequence[Tensors],
    policy: RangePolicy,
) -> Sensitivity:
    """Returns what 8 bits cost, tensor by tensor and layer by layer.

    The float model runs once for each of them, on at most 64 examples.

    Args:
        float32: The float flatbuffer.
        quantized: The int8 flatbuffer that was made of it.
        ranges: Of the float model's activations.
        samples: Examples by input name, each of shape (examples, *example_shape).
        policy: How a range follows from the extremes of the examples.

    Raises:
        ModelError: The runtime does not run the float model.
    """
    graph, few = read_graph(float32), _few(samples)
    probe = _Probe(float32, few)
    tensors = _rounded_tensors(graph, quantized, ranges, few, policy)
    edges = [
        Edge(found, probe.error(with_rounded(float32, _roundings(found))))
        for group in same_scale_groups(graph)
        if (found := tuple(tensors[index] for index in group if index in tensors))
    ]
    weights = _rounded_weights(graph, read_graph(quantized), tensors, probe)
    return Sensitivity(graph, ranges, tuple(edges), tuple(weights))


def _few(samples: Sequence[Tensors]) -> list[Tensors]:
    """Returns some of the examples, from all over the groups."""
    total = sum(len(next(iter(group.values()))) for group in samples)
    wanted = set(np.unique(np.linspace(0, total - 1, min(total, ROWS)).astype(int)).tolist())
    found: list[Tensors] = []
    start = 0
    for group in samples:
        count = len(next(iter(group.values())))
        rows = [row for row in range(count) if start + row in wanted]
        if rows:
            found.append({name: values[rows] for name, values in group.items()})
        start += count
    return found


def _roundings(tensors: Sequence[RoundedTensor]) -> dict[int, Rounding]:
    return {each.tensor.index: each.rounding for each in tensors}


def _rounded_tensors(
    graph: Graph,
    quantized: bytes,
    ranges: TensorRanges,
    samples: Sequence[Tensors],
    policy: RangePolicy,
) -> dict[int, RoundedTensor]:
    """Returns the activations by their numbers."""
    keys, found = tensor_keys(graph), {}
    noise = measure(graph.content, quantized, samples)
    for each in ranges.resolve(policy):
        tensor = graph.main.tensors[each.tensor.index]
        writer = graph.writers.get(tensor)
        limits = tensor.range or (each.minimum, each.maximum)
        rounding = Rounding.of_output(writer, *limits)
        seen = noise.get(tensor.name)
        if each.tensor.is_input:
            seen = rounding_noise(samples, {each.tensor.name: rounding})[each.tensor.name]
        found[tensor.index] = RoundedTensor(tensor, keys[tensor], each, rounding, seen)
    return found


class _Probe:
    """Runs variants of the float model and says how far their outputs are from its own."""

    def __init__(self, float32: bytes, samples: Sequence[Tensors]):
        self._samples = samples
        self._expected = self._outputs(float32)
        self._variance = {
            name: max(float(values.var()), _LEAST_VARIANCE * float(np.square(values).mean()), _TINY)
            for name, values in self._expected.items()
        }

    def _outputs(self, content: bytes) -> dict[str, Array]:
        model = TFLiteModel(content)
        runs = [model.predict(group) for group in self._samples]
        return {
            name: np.concatenate([run[name].astype(np.float64).ravel() for run in runs])
            for name in runs[0]
        }

    def error(self, content: bytes) -> float:
        """Returns the mean square difference of the outputs, as a multiple of their variance."""
        return sum(
            float(np.square(values - self._expected[name]).mean()) / self._variance[name]
            for name, values in self._outputs(content).items()
        )


def _rounded_weights(
    graph: Graph, quantized: Graph, tensors: Mapping[int, RoundedTensor], probe: _Probe
) -> Iterator[RoundedWeights]:
    twins = {key: operator for operator, key in layer_keys(quantized).items()}
    for operator, key in layer_keys(graph).items():
        kind = spec.weighted(operator.name)
        twin = twins.get(key)
        if twin is None or not kind.symmetric:
            continue
        for position in kind.weights:
            tensor, stored = operator.operand(position), twin.operand(position)
            rounded = None if stored is None else _reals(stored)
            if tensor is None or stored is None or rounded is None or not tensor.is_constant:
                continue
            weights = tensor.floats.reshape(tensor.shape).astype(np.float64)
            inputs = operator.operand(kind.activation)
            taken = tensors.get(inputs.index) if inputs is not None else None
            content = _with_weights(graph, operator, position, rounded)
            yield RoundedWeights(
                operator=operator,
                key=key,
                kind=kind,
                weights=weights,
                rounded=rounded,
                scales=len(stored.scales),
                noise=_noise(operator.name, kind, weights - rounded, taken),
                output=tensors.get(operator.outputs[0].index),
                output_error=probe.error(content),
            )


def _reals(stored: Tensor) -> Array | None:
    """Returns what integers of weights stand for; None if they are none."""
    if stored.integers is None or stored.type != "INT8" or not stored.is_quantized:
        return None
    shape = [1] * len(stored.shape)
    if len(stored.scales) > 1:
        shape[stored.channel_axis] = len(stored.scales)
    values = stored.integers.reshape(stored.shape).astype(np.float64)
    found: Array = (values - stored.zero_points.reshape(shape)) * stored.scales.reshape(shape)
    return found


def _with_weights(graph: Graph, operator: Operator, position: int, weights: Array) -> bytes:
    """Returns the float model with other weights in one layer."""
    draft = graph.draft()
    [place] = [at for at, each in enumerate(graph.main.operators) if each is operator]
    tree = draft.main.operators[place]
    inputs = numbers(tree.inputs)
    inputs[position] = draft.add_constant(draft.main, weights.astype(np.float32))
    tree.inputs = inputs
    return draft.content()


def _noise(
    name: str, kind: spec.WeightedOperator, errors: Array, inputs: RoundedTensor | None
) -> Array | None:
    """Returns the mean square of what errors of weights add to each channel of the output.

    The variance of a sum of independent terms: each error's square times the power of what it is
    multiplied with.
    """
    channels = None if inputs is None else inputs.channels
    if channels is None or kind.channels is None:
        return None
    power = channels.power
    if name == "DEPTHWISE_CONV_2D":
        powers = np.repeat(power, errors.shape[-1] // len(power))
    elif errors.shape[-1] % len(power) == 0 and name in ("CONV_2D", "FULLY_CONNECTED"):
        # A dense layer may read a tensor of several axes, whose last one varies fastest.
        powers = np.tile(power, errors.shape[-1] // len(power))
    else:
        powers = np.full(errors.shape[-1], power.mean())
    others = tuple(axis for axis in range(errors.ndim) if axis != kind.channels % errors.ndim)
    found: Array = (np.square(errors) * powers).sum(axis=others)
    return found
