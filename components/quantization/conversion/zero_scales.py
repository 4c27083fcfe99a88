"""Channels of nothing but zeros, whose weights the quantizer for 16 bits gives a scale of zero.

A scale of zero is none, though the integers are right: zeros stand for zero with any scale.
Training leaves such channels, and pruning does.
"""

from collections.abc import Iterator

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.flatbuffer import Graph, Tensor, read_graph
from tfx_tflite.components.quantization.audit import specification as spec


def with_positive_scales(content: bytes) -> bytes:
    """Returns a quantized model in which no channel of weights or biases has a scale of zero.

    Args:
        content: The quantized flatbuffer.

    Returns:
        The very bytes if there is none.
    """
    graph = read_graph(content)
    changed = dict(_changed(graph))
    if not changed:
        return content
    draft = graph.draft()
    for subgraph, tree in zip(graph.subgraphs, draft.tree.subgraphs, strict=True):
        for tensor in changed.keys() & set(subgraph.tensors):
            quantization = object_tree.scales_tree(changed[tensor], tensor.channel_axis)
            tree.tensors[tensor.index].quantization = quantization
    return draft.content()


def _changed(graph: Graph) -> Iterator[tuple[Tensor, Array]]:
    """Yields the weights and biases with scales of zero, and the scales that they are to have."""
    for operator in graph.operators:
        kind = spec.weighted(operator.name)
        weights = operator.operand(kind.weights[0]) if kind.channels is not None else None
        if weights is None or len(weights.scales) < 2 or (weights.scales > 0).all():
            continue
        # Of the same size as others, so that no kernel finds it too large.
        largest = weights.scales.max() or 1.0
        scales = np.where(weights.scales > 0, weights.scales, largest)
        yield weights, scales.astype(np.float32)
        source = operator.operand(kind.activation)
        bias = None if kind.bias is None else operator.operand(kind.bias)
        if bias is not None and source is not None and len(bias.scales) == len(scales):
            yield bias, (source.scales * scales).astype(np.float32)
