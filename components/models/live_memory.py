"""How many bytes of tensors a model needs while each of its operators runs.

A tensor is needed from the operator that writes it to the last that reads it: an input from the
beginning, an output to the end, a variable always. What is stored in the file is read from there.
No planner of memory needs less than the largest of these sums; fragments, alignment and the
kernels' scratch come on top.
"""

import math

from tfx_tflite.components.models.flatbuffer import Graph, Operator, Subgraph, Tensor
from tfx_tflite.components.models.soundness import BITS
from tfx_tflite.components.models.target_facts import MemoryStep

# Of types whose values are no numbers: RESOURCE and the like, which are handles.
_BITS_OF_A_HANDLE = 32


def memory_steps(graph: Graph) -> tuple[MemoryStep, ...]:
    """Returns the bytes of the tensors that are needed while each operator of the main graph runs.

    Free axes count as 1.

    Args:
        graph: The model.
    """
    main = graph.main
    spans = _spans(main)
    return tuple(
        MemoryStep(
            operator=place,
            name=operator.name,
            layer=_layer(operator),
            live_bytes=sum(
                tensor_bytes(tensor)
                for tensor, (first, last) in spans.items()
                if first <= place <= last
            ),
        )
        for place, operator in enumerate(main.operators)
    )


def tensor_bytes(tensor: Tensor) -> int:
    """Returns how many bytes a tensor's values take, with free axes of 1."""
    bits = BITS.get(tensor.type, _BITS_OF_A_HANDLE)
    return (math.prod(tensor.shape) * bits + 7) // 8


def _layer(operator: Operator) -> str:
    return operator.outputs[0].short_name if operator.outputs else ""


def _spans(graph: Subgraph) -> dict[Tensor, tuple[int, int]]:
    """Returns the first and the last operator that need each tensor, by their places."""
    end = len(graph.operators)
    spans = dict.fromkeys(graph.inputs, (0, 0))
    spans |= {tensor: (0, end) for tensor in graph.tensors if tensor.is_variable}
    for place, operator in enumerate(graph.operators):
        for tensor in (*operator.tensors, *operator.intermediates):
            first, last = spans.get(tensor, (place, place))
            spans[tensor] = (first, max(last, place))
    for tensor in graph.outputs:
        first, _ = spans.get(tensor, (0, end))
        spans[tensor] = (first, end)
    return {tensor: span for tensor, span in spans.items() if not tensor.is_constant}
