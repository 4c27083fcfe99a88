"""Channels of activations scaled so that one scale of 8 bits serves them all.

Where nothing but positively homogeneous operators (ReLU, pooling, padding with zeros, reshaping,
sums) is between layers, a channel may be multiplied by any s > 0 as it is written and divided by it
as it is read: relu(s * x) = s * relu(x). Weights have a scale for each output, activations have one
for all channels; so factors are chosen by what channels were seen to hold:

- 1 / a for a channel that only depthwise layers read, whose weights have a scale for each channel;
- sqrt(r / a) for others, where r is the largest weight that a layer has for the channel, so that
  activations and weights share the burden.

Here a is the largest absolute value of the channel on calibration examples. After Nagel et al.,
Data-Free Quantization Through Weight Equalization and Bias Correction (ICCV 2019), who take the
weights of both layers; with activations known, depthwise layers are equalized in full.

Dense layers must have a scale for each output, too (`dense_channels.py`): with one scale, rows that
were scaled down would be lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.models.input_normalization import normalizations_of, normalized
from tfx_tflite.components.models.object_tree import OperatorTree
from tfx_tflite.components.models.runtime import open_observable
from tfx_tflite.components.quantization.repairs.channels import (
    Layer,
    carried,
    layer_of,
    per_channel,
    readers_of_values,
    store_operand,
)

# Channels that hold less of the largest one are dead: what they were seen to hold is noise.
_DEAD = 1e-6
# Around the median of a group.
_LARGEST_CHANGE = 1000.0
# scale of the input * scale of the weights / scale of the output: XNNPACK does not load a model in
# which it is 256 or more. Ranges may be set narrower than what was seen.
_LARGEST_FACTOR = 64.0
# A bias larger than that many products of the two scales makes the quantizer enlarge the weights'
# scale, so that these round to nothing.
_LARGEST_BIAS = 2.0**28
_ACTIVATION_STEPS, _WEIGHT_STEPS = 255, 127
# Layers each of whose outputs is of several channels.
_MIXING = frozenset({"CONV_2D", "FULLY_CONNECTED"})


def equalized(float32: bytes, samples: Sequence[Tensors]) -> bytes:
    """Returns a model with the same results whose channels hold numbers of like size.

    Args:
        float32: The float flatbuffer.
        samples: Calibration examples, in groups of one shape: by input name, of shape
            (examples, *example_shape).

    Returns:
        The very bytes if there is nothing to scale.

    Raises:
        ValueError: The runtime does not take the model, or it has not one signature.
        RuntimeError: The runtime refuses an example.
    """
    graph = read_graph(float32)
    trees = graph.draft().operators
    groups = list(_groups(graph, trees))
    if not groups:
        return float32
    seen = _largest(graph, {tensor for group in groups for tensor in group.watched}, samples)
    scaled = _Scaled(graph, seen)
    for group in groups:
        scaled.scale(group)
    return scaled.content()


@dataclass(frozen=True)
class _Reading:
    """A layer that reads channels of a group.

    Attributes:
        layer: The layer.
        places: The channel of what each place of its weights' last axis is multiplied with.
    """

    layer: Layer
    places: Array


@dataclass(frozen=True)
class _Constant:
    """A constant that is added to channels of a group.

    Attributes:
        operator: What adds it.
        position: Its position among the operands.
        values: float64 of shape (places of the last axis,).
        channels: The channel of each.
    """

    operator: Operator
    position: int
    values: Array
    channels: Array


@dataclass
class _Group:
    """Activations whose channels must be scaled together, and the layers around them.

    Attributes:
        size: How many channels.
        tensors: The channel of each place of their last axes.
        writing: The layers that write them, and the channel of each output.
        reading: The layers that read them.
        constants: What is added in between.
        products: What multiplies an activation of the group with another that is not.
    """

    size: int
    tensors: dict[Tensor, Array] = field(default_factory=dict)
    writing: list[_Reading] = field(default_factory=list)
    reading: list[_Reading] = field(default_factory=list)
    constants: list[_Constant] = field(default_factory=list)
    products: list[Operator] = field(default_factory=list)

    @property
    def watched(self) -> set[Tensor]:
        """The activations whose sizes must be known."""
        layers = [each.layer.operator for each in (*self.writing, *self.reading)]
        around = {tensor for each in layers for tensor in (each.inputs[0], each.outputs[0])}
        return {*self.tensors, *around}


def _groups(graph: Graph, trees: Sequence[OperatorTree]) -> Iterator[_Group]:
    """Yields the groups of a graph, in the order of their first layers."""
    done: set[Tensor] = set()
    for operator in graph.main.operators:
        layer = layer_of(operator, trees[operator.index])
        if layer is None or operator.outputs[0] in done:
            continue
        search = _Search(graph, trees, layer.weights.shape[layer.outputs_axis])
        is_group = search.finds(operator.outputs[0])
        done.update(search.group.tensors)
        if is_group:
            yield search.group


class _Search:
    """The search for all that must be scaled together with an activation.

    Attributes:
        group: What was found.
    """

    def __init__(self, graph: Graph, trees: Sequence[OperatorTree], size: int):
        self.group = _Group(size)
        self._graph = graph
        self._trees = trees
        self._pending: list[Tensor] = []

    def finds(self, first: Tensor) -> bool:
        """Returns whether its channels can be scaled.

        Args:
            first: What a layer writes.
        """
        if not self._join(first, np.arange(self.group.size)):
            return False
        while self._pending:
            tensor = self._pending.pop()
            if not (self._writes(tensor) and self._reads(tensor)):
                return False
        # x * x would be scaled twice.
        return all(
            sum(tensor in self.group.tensors for tensor in each.inputs) == 1
            for each in self.group.products
        )

    def _join(self, tensor: Tensor, channels: Array) -> bool:
        known = self.group.tensors.get(tensor)
        if known is not None:
            return bool(np.array_equal(known, channels))
        if tensor in self._graph.main.outputs or tensor.type != "FLOAT32" or not tensor.shape:
            return False
        if tensor.shape[-1] != len(channels) or tensor.signature_shape[-1] != len(channels):
            return False
        self.group.tensors[tensor] = channels
        self._pending.append(tensor)
        return True

    def _writes(self, tensor: Tensor) -> bool:
        """Takes in what writes a tensor, and what that reads; returns whether it scales."""
        operator, channels = self._graph.writers.get(tensor), self.group.tensors[tensor]
        if operator is None:
            return False
        tree = self._trees[operator.index]
        if object_tree.activation_of(tree) not in ("NONE", "RELU"):
            return False
        if (layer := layer_of(operator, tree)) is not None:
            self.group.writing.append(_Reading(layer, channels))
            return True
        if operator.name in ("ADD", "SUB"):
            return all(
                self._adds(operator, position, channels) for position in range(len(operator.inputs))
            )
        if operator.name == "MUL":
            return self._multiplies(operator, channels)
        source = operator.inputs[0]
        # What the operator makes of a shorter axis may have come from elsewhere.
        known = self.group.tensors.get(source, channels)
        passed = carried(operator, tree, known)
        if passed is None or not np.array_equal(passed.channels, channels):
            return False
        return self._join(source, known)

    def _adds(self, operator: Operator, position: int, channels: Array) -> bool:
        tensor, output = operator.inputs[position], operator.outputs[0]
        if not tensor.is_constant:
            return tensor.signature_shape == output.signature_shape and self._join(tensor, channels)
        values = per_channel(tensor, len(channels))
        if values is None:
            return False
        self.group.constants.append(_Constant(operator, position, values, channels))
        return True

    def _multiplies(self, operator: Operator, channels: Array) -> bool:
        """Takes in the one operand of a product that is scaled: an activation of its shape."""
        shape = operator.outputs[0].signature_shape
        activations = [each for each in operator.inputs if not each.is_constant]
        known = [each for each in activations if each in self.group.tensors]
        if len(activations) == 2 and len(known) != 1:
            return False
        [source] = known if len(activations) == 2 else activations
        self.group.products.append(operator)
        return source.signature_shape == shape and self._join(source, channels)

    def _reads(self, tensor: Tensor) -> bool:
        """Takes in what reads a tensor, and what that writes; returns whether all of it scales."""
        readers = readers_of_values(self._graph, tensor)
        return bool(readers) and all(self._reads_one(tensor, each) for each in readers)

    def _reads_one(self, tensor: Tensor, operator: Operator) -> bool:
        channels, tree = self.group.tensors[tensor], self._trees[operator.index]
        if operator.name in ("ADD", "SUB", "MUL"):
            is_whole = tensor.signature_shape == operator.outputs[0].signature_shape
            return is_whole and self._join(operator.outputs[0], channels)
        if [place for place, each in enumerate(operator.operands) if each is tensor] != [0]:
            return False
        if (layer := layer_of(operator, tree)) is not None:
            places = layer.inputs(channels)
            if places is not None:
                self.group.reading.append(_Reading(layer, places))
            return places is not None
        passed = carried(operator, tree, channels)
        return passed is not None and self._join(operator.outputs[0], passed.channels)


def _largest(graph: Graph, tensors: set[Tensor], samples: Sequence[Tensors]) -> dict[Tensor, Array]:
    """Returns the largest absolute value in each place of tensors' last axes on examples."""
    names = {tensor: name for each in graph.signatures for name, tensor in each.inputs.items()}
    exposed = sorted(tensors - names.keys(), key=lambda tensor: tensor.index)
    model = open_observable(graph.with_outputs(exposed))
    normalizations = normalizations_of(graph.content)
    found = {tensor: np.zeros(max(tensor.shape[-1:], default=1)) for tensor in tensors}
    for group in samples:
        for row in range(len(next(iter(group.values())))):
            raw = {name: values[row : row + 1] for name, values in group.items()}
            example = normalized(raw, normalizations)
            given = {name: info.taken(example[name]) for name, info in model.inputs.items()}
            model.run(given)
            for tensor, largest in found.items():
                # Kernels write over inputs. No view is kept while the interpreter runs.
                values = (
                    np.abs(given[names[tensor]])
                    if tensor in names
                    else np.abs(model.activation(tensor.index))
                )
                seen = values.reshape(-1, len(largest)).max(axis=0, initial=0)
                np.maximum(largest, seen, out=largest)
    return found


@dataclass(frozen=True)
class _State:
    """The layers of a group before or after it is scaled.

    Attributes:
        weights: Of each layer, float64.
        biases: Of each layer, float64 of shape (outputs,); zeros if it has none.
        seen: The largest absolute value in each place of the last axis of what they read and write.
    """

    weights: Mapping[Operator, Array]
    biases: Mapping[Operator, Array]
    seen: Mapping[Tensor, Array]

    def unfit(self, layer: Layer) -> Array:
        """Returns for which outputs of a layer scales are out of what can be taken.

        Returns:
            bool of shape (outputs,).
        """
        operator = layer.operator
        rows = np.moveaxis(self.weights[operator], layer.outputs_axis, 0)
        largest = np.abs(rows).reshape(len(rows), -1).max(axis=1)
        read, written = (
            self.seen[tensor].max() / _ACTIVATION_STEPS
            for tensor in (operator.inputs[0], operator.outputs[0])
        )
        products = read * largest / _WEIGHT_STEPS
        bias = np.abs(self.biases[operator])
        # A range from -a to a has twice the scale of one from 0 to a.
        is_factor_large = 2 * products > _LARGEST_FACTOR * written
        is_bias_large = (bias > _LARGEST_BIAS * products) & (largest > 0)
        unfit: Array = is_factor_large | is_bias_large
        return unfit


class _Scaled:
    """A model whose groups are scaled one after the other."""

    def __init__(self, graph: Graph, seen: Mapping[Tensor, Array]):
        self._graph = graph
        self._seen = dict(seen)
        self._weights: dict[Operator, Array] = {}
        self._biases: dict[Operator, Array] = {}
        self._constants: list[tuple[_Constant, Array]] = []

    def scale(self, group: _Group) -> None:
        """Scales a group, as far as its layers can take it."""
        before = self._changed(group, np.ones(group.size))
        factors = self._factors(group)
        after = self._changed(group, factors)
        unfit = _unfit(group, before, after)
        if unfit.any():
            factors = np.where(unfit, 1.0, factors)
            after = self._changed(group, factors)
        if (factors == 1).all() or _unfit(group, before, after).any():
            return
        self._weights.update(after.weights)
        self._biases.update(after.biases)
        self._seen.update(after.seen)
        self._constants += [
            (each, each.values * factors[each.channels]) for each in group.constants
        ]

    def content(self) -> bytes:
        """Returns the model."""
        if not self._weights:
            return self._graph.content
        draft = self._graph.draft()
        for operator, values in self._weights.items():
            store_operand(draft, operator, 1, values.astype(np.float32))
            if operator.operand(2) is not None:
                store_operand(draft, operator, 2, self._biases[operator].astype(np.float32))
        for constant, values in self._constants:
            store_operand(draft, constant.operator, constant.position, values.astype(np.float32))
        draft.drop_unused_tensors()
        draft.drop_unused_buffers()
        return draft.content()

    def _factors(self, group: _Group) -> Array:
        """Returns the factor of each channel of a group, 1 for what is dead."""
        held = np.zeros(group.size)
        for tensor, channels in group.tensors.items():
            np.maximum.at(held, channels, self._seen[tensor])
        mixing = [each for each in group.reading if each.layer.operator.name in _MIXING]
        weights = np.zeros(group.size) if mixing else np.ones(group.size)
        for each in mixing:
            current = np.abs(self._weights_of(each.layer))
            largest = current.reshape(-1, current.shape[-1]).max(axis=0)
            np.maximum.at(weights, each.places, largest)
        alive = (held > _DEAD * held.max()) & (weights > _DEAD * weights.max())
        if not alive.any():
            return np.ones(group.size)
        ideal = weights[alive] / held[alive]
        ideal = np.sqrt(ideal) if mixing else ideal
        factors = np.ones(group.size)
        factors[alive] = np.clip(ideal / np.median(ideal), 1 / _LARGEST_CHANGE, _LARGEST_CHANGE)
        return factors

    def _changed(self, group: _Group, factors: Array) -> _State:
        """Returns the layers of a group with its channels multiplied by factors."""
        seen = {tensor: self._seen[tensor] for tensor in group.watched}
        for tensor, channels in group.tensors.items():
            seen[tensor] = seen[tensor] * factors[channels]
        layers = [each.layer for each in (*group.writing, *group.reading)]
        weights = {each.operator: self._weights_of(each) for each in layers}
        biases = {each.operator: self._bias_of(each) for each in layers}
        for each in group.writing:
            operator, by = each.layer.operator, factors[each.places]
            shape = [1] * each.layer.weights.ndim
            shape[each.layer.outputs_axis] = -1
            weights[operator] = weights[operator] * by.reshape(shape)
            biases[operator] = biases[operator] * by
        for each in group.reading:
            operator = each.layer.operator
            weights[operator] = weights[operator] / factors[each.places]
        return _State(weights, biases, seen)

    def _weights_of(self, layer: Layer) -> Array:
        return self._weights.get(layer.operator, layer.weights.astype(np.float64))

    def _bias_of(self, layer: Layer) -> Array:
        if layer.bias is None:
            return np.zeros(layer.weights.shape[layer.outputs_axis])
        return self._biases.get(layer.operator, layer.bias.reshape(-1).astype(np.float64))


def _unfit(group: _Group, before: _State, after: _State) -> Array:
    """Returns which channels get scales that the quantizer or a kernel cannot take.

    If that cannot be told of single channels, it is all of them.
    """
    found = np.zeros(group.size, bool)
    for each in group.writing:
        found[each.places[after.unfit(each.layer) & ~before.unfit(each.layer)]] = True
    for each in group.reading:
        unfit = after.unfit(each.layer) & ~before.unfit(each.layer)
        if each.layer.operator.name in _MIXING:
            found |= unfit.any()
        else:
            found[each.places[unfit]] = True
    return found
