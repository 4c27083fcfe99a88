"""Biases of a quantized model corrected for what its layers are off on the average.

Rounding the weights and the activations of a layer moves the mean of each of its output channels,
and what follows takes the moved mean for a signal. The bias takes the mean error away, at no cost
on the device. Operators are corrected in the order in which they run, each on what the operators
before it give now that they are corrected: "empirical bias correction" of Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction (2019), section 4.2, appendix D.

The error is that before the activation, where a layer is linear: the mean of what it gives is what
it gives for the mean of its inputs. So each layer is run only on the mean of what it reads, once in
the float model and once with the weights as the quantized model has them. The quantized model
itself is run once, in parts: up to each operator that is corrected, for all examples.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.models.graph_part import GraphPart
from tfx_tflite.components.models.input_normalization import normalizations_of, normalized
from tfx_tflite.components.models.object_tree import numbers
from tfx_tflite.components.models.runtime import open_observable
from tfx_tflite.components.models.tensor_info import TensorInfo
from tfx_tflite.components.models.tflite_model import InputQuantizer
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.versions import Kernels

# A mean error is known well enough from so many examples, evenly spread over those there are.
_MOST_EXAMPLES = 128
# Fewer of those whose activations are so large that as many would not fit into memory.
_MOST_BYTES = 1 << 28
# By so much of its range an example's value may be beyond the range of a tensor.
_FAR = 0.5
_CORRECTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


def corrected(quantized: bytes, float32: bytes, samples: Sequence[Tensors]) -> bytes:
    """Returns a quantized model whose layers give the float model's means.

    Examples with values far out of the ranges are left out, as those who calibrated did not mean
    them. A layer is left alone if the float model has no layer of its output's name and of its
    weights' shape, or if its weights are not constants of float32 or int8. Layers that stayed float
    are corrected too, for what those before them do; one of these that has no bias is left alone.

    Args:
        quantized: The flatbuffer, of int8 or 16x8; its activations have one scale each.
        float32: The float flatbuffer that it was made from.
        samples: Groups of calibration examples of one shape, by input name, each of shape
            (examples, *example_shape).

    Returns:
        The very bytes if no bias changes.

    Raises:
        ConversionError: The runtime does not run one of the models on the examples.
    """
    before, after = read_graph(float32), read_graph(quantized)
    layers = _layers(before, after)
    if not layers:
        return quantized
    try:
        expected = _FloatMeans(before, layers)
        examples = list(expected.observe(samples))
        if not examples:
            return quantized
        return _Correction(before, after, layers, expected.means).run(examples) or quantized
    except (RuntimeError, ValueError) as error:
        raise ConversionError(
            f"biases cannot be corrected on the calibration examples: {telling_line(str(error))}"
        ) from error


@dataclass(frozen=True)
class _Layer:
    """A layer in both models.

    Attributes:
        position: Its place among the operators of the quantized main graph.
        before: Its place among those of the float main graph.
        float32: It in the float model.
        quantized: It in the quantized model.
    """

    position: int
    before: int
    float32: Operator
    quantized: Operator

    @property
    def bias(self) -> int:
        """The position of the bias among its operands, which is the last."""
        position = spec.weighted(self.quantized.name).bias
        assert position is not None
        return position

    def activation(self, operator: Operator) -> Tensor:
        """Returns what it reads in one of the models."""
        tensor = operator.operand(spec.weighted(operator.name).activation)
        assert tensor is not None
        return tensor


def _layers(before: Graph, after: Graph) -> list[_Layer]:
    """Returns the layers that can be corrected, in the order in which they run."""
    theirs = _by_output(before)
    found = []
    for name, (position, operator) in _by_output(after).items():
        place, other = theirs.get(name, (0, operator))
        weights, originals = operator.operand(1), other.operand(1)
        if (
            other is not operator
            and other.name == operator.name
            and weights is not None
            and originals is not None
            and weights.shape == originals.shape
            and originals.type == "FLOAT32"
            and originals.data is not None
            and _has_weights(operator)
        ):
            found.append(_Layer(position, place, other, operator))
    return found


def _by_output(graph: Graph) -> dict[str, tuple[int, Operator]]:
    """Returns the operators with weights by the names of their outputs that no other has."""
    found = [
        (place, operator)
        for place, operator in enumerate(graph.main.operators)
        if operator.name in _CORRECTED
    ]
    often = Counter(operator.outputs[0].name for _, operator in found)
    return {
        operator.outputs[0].name: (place, operator)
        for place, operator in found
        if often[operator.outputs[0].name] == 1
    }


def _has_weights(operator: Operator) -> bool:
    """Returns whether an operator of a quantized model can be corrected."""
    weights, kind = operator.operand(1), spec.weighted(operator.name)
    activation, bias = operator.operand(kind.activation), operator.operand(kind.bias or 0)
    if weights is None or weights.data is None or activation is None:
        return False
    if activation.type == "FLOAT32":
        return bias is not None and bias.type == "FLOAT32" and weights.type == "FLOAT32"
    is_stored = bias is None or bias.integers is not None
    return weights.type == "INT8" and len(activation.scales) == 1 and is_stored


@dataclass
class _Mean:
    """The mean of a tensor over examples, for each of the shapes that it has.

    Attributes:
        sums: By shape, float64.
        counts: How many examples there were, by shape.
    """

    sums: dict[tuple[int, ...], Array] = field(default_factory=dict)
    counts: Counter[tuple[int, ...]] = field(default_factory=Counter)

    def add(self, values: Array) -> None:
        """Takes one example's values."""
        if values.shape not in self.sums:
            self.sums[values.shape] = np.zeros(values.shape)
        self.sums[values.shape] += values
        self.counts[values.shape] += 1

    def of(self, shape: tuple[int, ...]) -> Array:
        """Returns the mean of the examples of one shape, float32."""
        mean: Array = (self.sums[shape] / self.counts[shape]).astype(np.float32)
        return mean


class _FloatMeans:
    """What the layers of the float model read, on the average.

    Attributes:
        means: By the layers' places in the quantized model.
    """

    def __init__(self, graph: Graph, layers: Sequence[_Layer]):
        self._read = {each.position: each.activation(each.float32) for each in layers}
        inputs = set(graph.main.inputs)
        self._limits = {
            each.position: each.activation(each.quantized).representable for each in layers
        }
        self._names = {
            tensor: name
            for signature in graph.signatures
            for name, tensor in signature.inputs.items()
        }
        exposed = [tensor for tensor in self._read.values() if tensor not in inputs]
        self._model = open_observable(graph.with_outputs(exposed))
        self._normalizations = normalizations_of(graph.content)
        self.means: dict[int, _Mean] = {each.position: _Mean() for each in layers}

    def observe(self, samples: Sequence[Tensors]) -> Iterator[Tensors]:
        """Runs the model on examples, and yields those that were taken."""
        infos, largest = self._model.inputs, 1
        for number, example in enumerate(_spread(samples)):
            if number * largest > _MOST_BYTES:
                break
            taken = normalized(example, self._normalizations)
            given = {name: _fitted(taken[name], info) for name, info in infos.items()}
            self._model.run(given)
            if (size := self._add(given)) is not None:
                largest = max(largest, size)
                yield example

    def _add(self, given: Tensors) -> int | None:
        """Adds what the layers read, and returns the bytes of the largest.

        That is about what is kept of an example later: a few activations of at most 16 bits. None
        for an example that is left out.
        """
        # Views, given up before the interpreter runs again.
        seen = {
            position: given[self._names[tensor]]
            if tensor in self._names
            else self._model.activation(tensor.index)
            for position, tensor in self._read.items()
        }
        if any(_is_far(values, self._limits[position]) for position, values in seen.items()):
            return None
        for position, values in seen.items():
            self.means[position].add(values)
        return max(values.nbytes for values in seen.values())


def _is_far(values: Array, limits: tuple[float, float] | None) -> bool:
    """Returns whether values are so far out of a quantized tensor's range that nobody meant them.

    What they are cut off by is no error of the weights, and one such example would have more of a
    say in the mean than all others.
    """
    if limits is None or not values.size:
        return False
    lowest, highest = limits
    far = _FAR * (highest - lowest)
    return bool(values.max() > highest + far or values.min() < lowest - far)


def _spread(samples: Sequence[Tensors]) -> Iterator[Tensors]:
    """Yields single examples, far from each other first."""
    rows = [(group, row) for group in samples for row in range(len(next(iter(group.values()))))]
    # Steps of the golden ratio: the first so many of them are spread evenly, however many.
    steps = np.arange(len(rows)) * ((np.sqrt(5) - 1) / 2) % 1
    for place in np.argsort(np.argsort(steps))[:_MOST_EXAMPLES]:
        group, row = rows[int(place)]
        yield {name: values[row : row + 1] for name, values in group.items()}


def _fitted(values: Array, info: TensorInfo) -> Array:
    """Returns an example as the model takes it, repeated if a batch size is built in."""
    return info.filled(values.astype(info.dtype, copy=False))


class _Correction:
    """The quantized model, advanced from layer to layer on all examples at once."""

    def __init__(
        self, before: Graph, after: Graph, layers: Sequence[_Layer], means: Mapping[int, _Mean]
    ):
        self._before, self._after = before, after
        self._layers, self._means = layers, means
        self._draft = after.draft()
        # What operators from a place on read.
        self._wanted: list[frozenset[int]] = [frozenset()]
        for operator in reversed(self._draft.main.operators):
            self._wanted.append(self._wanted[-1] | set(numbers(operator.inputs)))
        self._wanted.reverse()

    def run(self, examples: Sequence[Tensors]) -> bytes | None:
        """Returns the corrected model; None if nothing changes."""
        states = self._quantized(examples)
        reached, has_changed = 0, False
        for layer in self._layers:
            states = self._advance(states, reached, layer.position)
            reached = layer.position
            has_changed |= self._correct(layer, states)
        return self._draft.content() if has_changed else None

    def _quantized(self, examples: Sequence[Tensors]) -> list[dict[int, Array]]:
        """Returns what the graph is given for each example, by the tensor's number."""
        infos = open_observable(self._after.content, Kernels.BUILTIN).inputs
        normalizations = normalizations_of(self._after.content)
        quantize = InputQuantizer(infos, Kernels.BUILTIN, normalizations)
        found = []
        for example in examples:
            given = quantize({name: info.filled(example[name]) for name, info in infos.items()})
            found.append({infos[name].index: values for name, values in given.items()})
        return found

    def _advance(
        self, states: list[dict[int, Array]], start: int, end: int
    ) -> list[dict[int, Array]]:
        """Runs the operators from one place to another on each example.

        Args:
            states: For each example the tensors by number that are known and still read.
            start: The place of the first operator that is run.
            end: The place of the first that is not.
        """
        operators = self._draft.main.operators[start:end]
        read = {number for operator in operators for number in numbers(operator.inputs)}
        written = {number for operator in operators for number in numbers(operator.outputs)}
        outputs = sorted(written & self._wanted[end])
        if not outputs:
            return states
        inputs = sorted(read & states[0].keys())
        part = GraphPart(self._draft, operators, inputs, outputs)
        kept = self._wanted[end]
        return [
            {number: each for number, each in {**state, **part(state)}.items() if number in kept}
            for state in states
        ]

    def _correct(self, layer: _Layer, states: Sequence[dict[int, Array]]) -> bool:
        """Corrects the bias of a layer, and returns whether that changes it."""
        activation = layer.activation(layer.quantized)
        found, expected = _Mean(), self._means[layer.position]
        first: dict[tuple[int, ...], dict[int, Array]] = {}
        for state in states:
            values = state[activation.index]
            found.add(_dequantized(values, activation))
            first.setdefault(values.shape, state)
        if found.counts != expected.counts:
            return False
        mean, expected_mean = (
            _mean_output(self._before, layer, operator, each, first)
            for operator, each in ((layer.quantized, found), (layer.float32, expected))
        )
        return self._subtract(mean - expected_mean, layer)

    def _subtract(self, error: Array, layer: _Layer) -> bool:
        """Subtracts a mean error from a bias, and returns whether that changes it.

        Args:
            error: Of each channel, float64 of shape (channels,).
            layer: The layer.
        """
        bias, weights = (layer.quantized.operand(place) for place in (layer.bias, 1))
        assert weights is not None
        activation = layer.activation(layer.quantized)
        scales = activation.scales * weights.scales
        if bias is not None and bias.type == "FLOAT32":
            before = bias.floats
            values = (before - error).astype(np.float32)
        else:
            stored = None if bias is None else bias.integers
            kind = np.int64 if activation.type == "INT16" else np.int32
            before = np.zeros(error.shape, kind) if stored is None else stored
            steps = np.rint(np.clip(error / scales, -_MOST_STEPS, _MOST_STEPS)).astype(np.int64)
            wanted = before.astype(np.int64) - steps
            fits = np.abs(wanted) <= np.maximum(_LARGEST_BIAS[before.dtype.name], np.abs(before))
            values = np.where(fits, wanted, before).astype(before.dtype)
        if np.array_equal(values, before):
            return False
        self._store(layer, values, scales)
        return True

    def _store(self, layer: _Layer, values: Array, scales: Array) -> None:
        """Gives a layer a bias of its own.

        Args:
            layer: The layer.
            values: The bias, of shape (channels,).
            scales: Of its integers, one or one a channel; none of floats.
        """
        bias, graph = layer.quantized.operand(layer.bias), self._draft.main
        if bias is not None and len(self._after.readers(bias)) == 1:
            self._draft.store(graph.tensors[bias.index], values)
            return
        number = self._draft.add_constant(graph, values, f"{layer.quantized.outputs[0].name}/bias/")
        if values.dtype.kind == "i":
            tree = object_tree.scales_tree(scales.astype(np.float32), 0)
            graph.tensors[number].quantization = tree
        operator = graph.operators[layer.position]
        operator.inputs = [*numbers(operator.inputs)[: layer.bias], number]


# More than any accumulator holds, and less than what float64 has integers for.
_MOST_STEPS = 2.0**52
# Half of what kernels add up in, or scale; the products need the rest. A bias that would be larger
# stays what it is.
_LARGEST_BIAS = {"int32": 2**30, "int64": 2**46}


def _mean_output(
    graph: Graph,
    layer: _Layer,
    operator: Operator,
    mean: _Mean,
    first: Mapping[tuple[int, ...], Mapping[int, Array]],
) -> Array:
    """Returns what a layer gives on the average without its activation, by channel.

    Args:
        graph: The float model.
        layer: The layer.
        operator: It in the model whose weights and bias it is to have.
        mean: What it reads.
        first: An example's tensors of the quantized model for each of the shapes of what it reads.

    Returns:
        float64 of shape (channels,).
    """
    draft, reads = graph.draft(), layer.activation(layer.float32)
    tree = draft.main.operators[layer.before]
    weights, bias = _reals(operator.operand(1)), _bias(operator, layer)
    channels = weights.shape[spec.weighted(operator.name).channels or 0]
    inputs = numbers(tree.inputs)[: layer.bias]
    inputs[1] = draft.add_constant(draft.main, weights.astype(np.float32))
    whole_bias = np.broadcast_to(bias, channels).astype(np.float32)
    tree.inputs = [*inputs, draft.add_constant(draft.main, whole_bias)]
    object_tree.change_options(tree, fusedActivationFunction=0)
    # A shape that the model computes, of a transposed convolution.
    others = {
        theirs.index: ours.index
        for theirs, ours in zip(layer.float32.inputs, layer.quantized.inputs, strict=False)
        if not theirs.is_constant and theirs is not reads
    }
    [output] = numbers(tree.outputs)
    part = GraphPart(draft, [tree], [reads.index, *others], [output])
    total, positions = np.zeros(()), 0
    for shape, examples in mean.counts.items():
        rest = {number: first[shape][ours] for number, ours in others.items()}
        found = part({reads.index: mean.of(shape), **rest})[output].astype(np.float64)
        rows = found.reshape(-1, found.shape[-1])
        total, positions = total + examples * rows.sum(axis=0), positions + examples * len(rows)
    return total / max(positions, 1)


def _bias(operator: Operator, layer: _Layer) -> Array:
    """Returns the bias as the kernel takes it, float64 of shape (channels,); 0 for none.

    Kernels take integers as accumulators, whatever scale is written to them.
    """
    tensor, weights = operator.operand(layer.bias), operator.operand(1)
    if tensor is None or weights is None:
        return np.zeros(())
    if tensor.integers is None:
        return tensor.floats.astype(np.float64)
    reals: Array = tensor.integers * layer.activation(operator).scales * weights.scales
    return reals


def _reals(tensor: Tensor | None) -> Array:
    """Returns stored weights as reals, float64 of the tensor's shape."""
    assert tensor is not None
    if tensor.integers is None:
        return tensor.floats.astype(np.float64).reshape(tensor.shape)
    return _dequantized(tensor.integers.reshape(tensor.shape), tensor)


def _dequantized(values: Array, tensor: Tensor) -> Array:
    """Returns real values of a tensor, float64 of the same shape; floats stay what they are."""
    if not tensor.is_quantized:
        return values.astype(np.float64)
    along = [1] * values.ndim
    along[tensor.channel_axis if len(tensor.scales) > 1 else 0] = -1
    points, scales = (each.reshape(along) for each in (tensor.zero_points, tensor.scales))
    reals: Array = (values.astype(np.float64) - points) * scales
    return reals
