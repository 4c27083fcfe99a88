"""Names of layers and tensors that stay when a model is trained again.

Names in a flatbuffer hold counters and are fused anew by each conversion. What stays is the
structure: a layer is called after its kind and its place among the layers of that kind, in the
order in which they run (`CONV_2D:3` is the fourth convolution), and a tensor after what writes it
(`SPLIT:0.1` is the second output of the first SPLIT) or, of an input, after its name in the
signature (`input:image`).
"""

from collections import Counter
from collections.abc import Mapping

from tfx_tflite.components.digests import records_digest
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor

INPUT = "input:"


def layer_keys(graph: Graph) -> dict[Operator, str]:
    """Returns the key of each operator of the main graph."""
    seen: Counter[str] = Counter()
    found = {}
    for operator in graph.main.operators:
        found[operator] = f"{operator.name}:{seen[operator.name]}"
        seen[operator.name] += 1
    return found


def tensor_keys(graph: Graph) -> dict[Tensor, str]:
    """Returns the key of each tensor of the main graph that is an input or written."""
    found = {}
    for operator, key in layer_keys(graph).items():
        for place, tensor in enumerate(operator.outputs):
            found[tensor] = f"{key}.{place}" if place else key
    named = graph.signatures[0].inputs if graph.signatures else {}
    return {**found, **{tensor: INPUT + name for name, tensor in named.items()}}


def tensors_by_key(graph: Graph) -> Mapping[str, Tensor]:
    """Returns the tensors that have keys, by them."""
    return {key: tensor for tensor, key in tensor_keys(graph).items()}


def structure_digest(graph: Graph) -> str:
    """Returns a digest of what the main graph computes with, whatever the weights and names are."""
    keys = tensor_keys(graph)

    def described(tensor: Tensor | None) -> str:
        if tensor is None:
            return "-"
        return f"{keys.get(tensor, 'constant')}{tensor.type}{list(tensor.signature_shape)}"

    return records_digest(
        " ".join(
            [operator.name, *map(described, operator.operands), *map(described, operator.outputs)]
        ).encode()
        for operator in graph.main.operators
    )
