"""Integer kernels that TensorFlow Lite has and its quantizer makes no use of."""

from collections.abc import Iterator
from dataclasses import dataclass

from tfx_tflite.components.models.flatbuffer import Graph, Operator, Subgraph, read_graph

# Its kernel for 8 bits looks each number up in a table that it makes of both scales (elementwise
# activations: tensorflow/lite/kernels/activations.cc, `EluPrepare`).
_TABLE_LOOKUPS = frozenset({"ELU"})


def with_integer_kernels(content: bytes) -> bytes:
    """Returns a quantized model that has no float between integers where a kernel needs none.

    Args:
        content: The quantized flatbuffer; the quantizer left DEQUANTIZE, ELU and QUANTIZE in a row.

    Returns:
        The very bytes if there is nothing to change.
    """
    graph = read_graph(content)
    rows = [row for subgraph in graph.subgraphs for row in _rows(graph, subgraph)]
    if not rows:
        return content
    draft = graph.draft()
    trees = draft.operators
    for row in rows:
        trees[row.operator.index].inputs = [row.dequantize.inputs[0].index]
        trees[row.operator.index].outputs = [row.quantize.outputs[0].index]
    draft.drop_operators(trees[each.index] for each in _not_needed(graph, rows))
    draft.drop_unused_tensors()
    return draft.content()


@dataclass(frozen=True)
class _Row:
    """An operator that is to read what is dequantized for it and write what is quantized of it."""

    dequantize: Operator
    operator: Operator
    quantize: Operator


def _rows(graph: Graph, subgraph: Subgraph) -> Iterator[_Row]:
    for operator in subgraph.operators:
        if operator.name not in _TABLE_LOOKUPS:
            continue
        before, after = graph.writers.get(operator.inputs[0]), graph.readers(operator.outputs[0])
        if before is None or len(after) != 1 or operator.outputs[0] in subgraph.outputs:
            continue
        if (before.name, after[0].name) == ("DEQUANTIZE", "QUANTIZE"):
            yield _Row(before, operator, after[0])


def _not_needed(graph: Graph, rows: list[_Row]) -> Iterator[Operator]:
    outputs = {tensor for subgraph in graph.subgraphs for tensor in subgraph.outputs}
    changed = {row.operator for row in rows}
    for row in rows:
        yield row.quantize
        [floats] = row.dequantize.outputs
        if changed.issuperset(graph.readers(floats)) and floats not in outputs:
            yield row.dequantize
