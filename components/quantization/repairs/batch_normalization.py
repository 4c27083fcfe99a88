"""Batch normalization after an activation, folded into the layers that read it.

The converter folds a batch normalization into the layer before it. After an activation (swish,
hard-swish, ReLU and then the normalization) or after pooling it cannot, and leaves MUL and ADD with
a constant for each channel: each has a range and 8 bits of its own. Here they go into the layers
that come next:

- W * (x * s + b) + c = (W * s) * x + (c + W * b), if no layer reads zeros from around its input;
- x * s + b = (x + b / s) * s else, of which only the addition stays. The same is done with
  relu(x * s + b) = relu(x + b / s) * s for s > 0, where the normalization is before the activation
  of the layer that comes next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.models.object_tree import numbers
from tfx_tflite.components.quantization.repairs.channels import (
    Layer,
    carried,
    layer_of,
    per_channel,
    readers_of_values,
    store_operand,
)

# By less of the median factor nothing is divided. What is added after the division must not be
# larger than that many times its median: it would take all 8 bits of the other channels.
_SMALLEST_FACTOR, _LARGEST_TERM = 1e-6, 100.0
# What a normalization of features is made of, and what may be between that and an input.
_PLAIN = frozenset(
    {
        *("MUL", "ADD", "SUB", "DIV", "CAST", "CONCATENATION", "PAD", "TRANSPOSE", "RESHAPE"),
        *("SQUEEZE", "EXPAND_DIMS", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
    }
)


def folded(float32: bytes) -> bytes:
    """Returns a model with the same results and fewer multiplications and additions of constants.

    What reads inputs of the model is left alone: that is a normalization of features, which
    quantization needs. So is what has other readers or is an output.

    Args:
        float32: The float flatbuffer.

    Returns:
        The very bytes if there is nothing to fold.
    """
    content = float32
    while True:
        graph = read_graph(content)
        draft = graph.draft()
        folds = _apart(list(_Search(graph, draft).folds()))
        if not folds:
            return content
        for fold in folds:
            fold.apply(draft)
        draft.drop_operators([draft.operators[each.index] for f in folds for each in f.dropped])
        draft.drop_unused_tensors()
        draft.drop_unused_buffers()
        draft.drop_unused_codes()
        content = draft.content()


@dataclass(frozen=True)
class _Scaling:
    """x * factors + terms, as one operator or two compute it.

    Attributes:
        operators: MUL, ADD or SUB, or MUL and one of the others.
        source: x.
        factors: float64 of shape (channels,).
        terms: float64 of shape (channels,).
        activation: What is applied to the result.
    """

    operators: tuple[Operator, ...]
    source: Tensor
    factors: Array
    terms: Array
    activation: str

    @property
    def output(self) -> Tensor:
        """What is computed."""
        return self.operators[-1].outputs[0]


@dataclass(frozen=True)
class _Taking:
    """A layer that takes up factors and terms.

    Attributes:
        layer: The layer.
        places: The channel of what each place of its weights' last axis is multiplied with.
        between: The operators between the scaling and the layer.
    """

    layer: Layer
    places: Array
    between: tuple[Operator, ...]


@dataclass(frozen=True)
class _Fold:
    """A scaling that is taken up by layers.

    Attributes:
        scaling: What the layers take up.
        takings: The layers.
        kept: The operator that adds what is left to add; None if nothing is.
        added: What it is to add, float64 of shape (channels,).
    """

    scaling: _Scaling
    takings: tuple[_Taking, ...]
    kept: Operator | None = None
    added: Array | None = None

    @property
    def dropped(self) -> tuple[Operator, ...]:
        """The operators that go."""
        return tuple(each for each in self.scaling.operators if each is not self.kept)

    @property
    def touched(self) -> frozenset[Operator]:
        """All operators that it is about."""
        found = {each.layer.operator for each in self.takings}
        found.update(*(each.between for each in self.takings), self.scaling.operators)
        return frozenset(found)

    def apply(self, draft: Draft) -> None:
        """Changes the layers, and what reads the result; the operators stay as yet."""
        for taking in self.takings:
            self._take(draft, taking)
        trees, source = draft.operators, self.scaling.source.index
        if self.kept is not None and self.added is not None:
            tree = trees[self.kept.index]
            store_operand(draft, self.kept, 1, self.added.astype(np.float32))
            tree.inputs = [source, numbers(tree.inputs)[1]]
            if self.kept.name == "SUB":
                tree.opcodeIndex = draft.code("ADD")
                activation = object_tree.activation_number(self.scaling.activation)
                object_tree.set_options(tree, "AddOptions", fusedActivationFunction=activation)
            return
        replaced = self.scaling.output.index
        for tree in draft.main.operators:
            tree.inputs = [source if i == replaced else i for i in numbers(tree.inputs)]

    def _take(self, draft: Draft, taking: _Taking) -> None:
        layer = taking.layer
        weights = layer.weights.astype(np.float64)
        scaled = weights * self.scaling.factors[taking.places]
        store_operand(draft, layer.operator, 1, scaled.astype(np.float32))
        if self.kept is not None or not self.scaling.terms.any():
            return
        others = tuple(i for i in range(weights.ndim) if i != layer.outputs_axis)
        added = (weights * self.scaling.terms[taking.places]).sum(axis=others)
        bias = added if layer.bias is None else layer.bias.reshape(-1) + added
        store_operand(draft, layer.operator, 2, bias.astype(np.float32))


def _apart(folds: Sequence[_Fold]) -> list[_Fold]:
    """Returns folds, the first ones, none of which is about an operator of another."""
    found: list[_Fold] = []
    touched: set[Operator] = set()
    for fold in folds:
        if not touched & fold.touched:
            found.append(fold)
            touched |= fold.touched
    return found


class _Search:
    """The folds that there are in a graph."""

    def __init__(self, graph: Graph, draft: Draft):
        self._graph = graph
        self._trees = draft.operators

    def folds(self) -> Iterator[_Fold]:
        """Yields them in the order of the operators."""
        for operator in self._graph.main.operators:
            scaling = self._scaling(operator)
            if scaling is None or self._reads_inputs(scaling.source):
                continue
            fold = self._without_either(scaling) or self._without_factors(scaling)
            if fold is not None:
                yield fold

    def _without_either(self, scaling: _Scaling) -> _Fold | None:
        if scaling.activation != "NONE":
            return None
        takings = self._takings(
            scaling, scaled=not (scaling.factors == 1).all(), shifted=bool(scaling.terms.any())
        )
        return _Fold(scaling, takings) if takings else None

    def _without_factors(self, scaling: _Scaling) -> _Fold | None:
        """Returns the fold of which an addition stays."""
        size, addition = np.abs(scaling.factors), scaling.operators[-1]
        if len(scaling.operators) < 2 or size.min() <= _SMALLEST_FACTOR * np.median(size):
            return None
        added = scaling.terms / scaling.factors
        if np.abs(added).max() > _LARGEST_TERM * np.median(np.abs(added)) > 0:
            return None
        if scaling.activation == "RELU" and (scaling.factors < 0).any():
            return None
        takings = self._takings(scaling, scaled=True, shifted=False)
        return _Fold(scaling, takings, addition, added) if takings else None

    def _scaling(self, operator: Operator) -> _Scaling | None:
        """Returns what an operator computes, with the addition after a multiplication."""
        found = self._one(operator)
        if found is None or operator.name != "MUL":
            return found
        readers = self._graph.readers(found.output)
        if found.output in self._graph.main.outputs or len(readers) != 1:
            return found
        after = self._one(readers[0])
        if after is None or readers[0].name == "MUL" or after.source is not found.output:
            return found
        return replace(after, operators=(operator, readers[0]), source=found.source,
                       factors=found.factors)  # fmt: skip

    def _one(self, operator: Operator) -> _Scaling | None:
        """Returns what one operator computes, None if it is no such operator."""
        activation = object_tree.activation_of(self._trees[operator.index])
        is_last = operator.name in ("ADD", "SUB")
        if operator.name not in ("MUL", "ADD", "SUB") or operator.outputs[0].type != "FLOAT32":
            return None
        if activation != "NONE" and not (is_last and activation == "RELU"):
            return None
        # What is subtracted from a constant is no sum with it.
        orders = ((0, 1),) if operator.name == "SUB" else ((0, 1), (1, 0))
        for source, constant in orders:
            tensor = operator.inputs[source]
            if tensor.is_constant or tensor.signature_shape != operator.outputs[0].signature_shape:
                continue
            channels = tensor.shape[-1] if tensor.shape else 1
            values = per_channel(operator.inputs[constant], channels)
            if values is not None:
                ones, zeros = np.ones(channels), np.zeros(channels)
                factors = values if operator.name == "MUL" else ones
                terms = {"MUL": zeros, "ADD": values, "SUB": -values}[operator.name]
                return _Scaling((operator,), tensor, factors, terms, activation)
        return None

    def _reads_inputs(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is an input, but for constants and the layout of numbers."""
        writer = self._graph.writers.get(tensor)
        if writer is None:
            return True
        computed = [each for each in writer.inputs if not each.is_constant]
        is_plain = writer.name in _PLAIN and len(computed) == 1
        return is_plain and self._reads_inputs(computed[0])

    def _takings(self, scaling: _Scaling, scaled: bool, shifted: bool) -> tuple[_Taking, ...]:
        """Returns the layers that take up a scaling; none if something else reads it as well."""
        positive = not (scaling.factors < 0).any()
        channels = np.arange(len(scaling.factors))
        found: list[_Taking] = []
        pending: list[tuple[Tensor, Array, tuple[Operator, ...]]] = [(scaling.output, channels, ())]
        while pending:
            tensor, channels, between = pending.pop()
            readers = readers_of_values(self._graph, tensor)
            if tensor in self._graph.main.outputs or not readers:
                return ()
            for reader in readers:
                tree = self._trees[reader.index]
                if [place for place, each in enumerate(reader.operands) if each is tensor] != [0]:
                    return ()
                if (layer := layer_of(reader, tree)) is not None:
                    places = layer.inputs(channels)
                    if places is None or (shifted and layer.adds_zeros):
                        return ()
                    found.append(_Taking(layer, places, between))
                    continue
                passed = carried(reader, tree, channels)
                if (
                    passed is None
                    or (scaled and not (positive or passed.negatives))
                    or (shifted and not passed.shifts)
                ):
                    return ()
                pending.append((reader.outputs[0], passed.channels, (*between, reader)))
        return tuple(found)
