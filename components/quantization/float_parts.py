"""What a recipe leaves in float between integers: tensors that lose too much, or whole layers.

The quantizer makes an operator integer if all of its operands and outputs have a range, or a scale
that its kernel assumes. A tensor without a range stays float, and with it what writes and what
reads it. But operators that only move numbers hand scales on, so that tensors that have one scale
stay float together; and a scale that a kernel assumes needs no range, so that the operators are
named to the quantizer as well.
"""

from collections.abc import Collection, Iterator

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.ranges.scale_groups import same_scale_groups
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.structure import layer_keys, tensors_by_key


def with_float_parts(calibrated: bytes, recipe: Recipe) -> tuple[bytes, frozenset[str]]:
    """Returns a calibrated model as the quantizer leaves in float what a recipe says.

    Args:
        calibrated: The float flatbuffer, whose tensors have ranges.
        recipe: What is to be made of it.

    Returns:
        The model without the ranges of what is to stay float (the very bytes if nothing is), and
        the operators that are to be named to the quantizer, by what they write.

    Raises:
        ConversionError: The recipe names a tensor or layer that the model does not have.
    """
    if not (recipe.float_edges or recipe.float_layers):
        return calibrated, frozenset()
    graph = read_graph(calibrated)
    _check_names(graph, recipe)
    draft = graph.draft()
    for tensor in _float_tensors(graph, recipe.float_edges):
        draft.main.tensors[tensor.index].quantization = None
    names = frozenset(
        output.name for operator in float_operators(graph, recipe) for output in operator.outputs
    )
    return draft.content(), names


def float_operators(graph: Graph, recipe: Recipe) -> Iterator[Operator]:
    """Yields the operators that a recipe leaves in float, but for conversions.

    Args:
        graph: The float model or the quantized one; their keys are the same, as the quantizer adds
            nothing but conversions.
        recipe: Which.
    """
    if not (recipe.float_edges or recipe.float_layers):
        return
    edges = frozenset(_float_tensors(graph, recipe.float_edges))
    keys = layer_keys(graph)
    for operator in graph.main.operators:
        if operator.name in spec.CONVERSIONS:
            continue
        is_named = _is_named(operator, keys[operator], recipe.float_layers)
        if is_named or not edges.isdisjoint(operator.tensors):
            yield operator


def _is_named(operator: Operator, key: str, layers: Collection[str]) -> bool:
    names = {key, *(output.short_name for output in operator.outputs)}
    return not names.isdisjoint(layers)


def _float_tensors(graph: Graph, edges: Collection[str]) -> Iterator[Tensor]:
    """Yields the tensors of some keys, and those that have one scale with them."""
    by_key = tensors_by_key(graph)
    wanted = {by_key[key].index for key in edges if key in by_key}
    for group in same_scale_groups(graph):
        if not wanted.isdisjoint(group):
            yield from (graph.main.tensors[index] for index in group)


def _check_names(graph: Graph, recipe: Recipe) -> None:
    tensors, keys = tensors_by_key(graph), layer_keys(graph)
    missing = [key for key in recipe.float_edges if key not in tensors]
    missing += [
        name
        for name in recipe.float_layers
        if not any(_is_named(operator, key, [name]) for operator, key in keys.items())
    ]
    if missing:
        raise ConversionError(
            f"the recipe leaves {listed(missing)} in float, which the model does not have; its "
            f"layers are: {listed(keys.values(), 20)}"
        )
