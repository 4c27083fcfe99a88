"""Layers that run in loops or keep a state, which few schemes can do with: found and named early.

Keras names what a layer computes after the layer: `encoder/lstm_1/while` is layer `encoder/lstm_1`.
"""

from collections.abc import Iterable, Iterator

from tensorflow.core.framework.graph_pb2 import GraphDef

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.models.flatbuffer import Operator, read_graph

_LOOPS = frozenset({"WHILE", "IF", "CALL"})
_STATE = frozenset({"READ_VARIABLE", "ASSIGN_VARIABLE", "VAR_HANDLE"})
# What the converter says of a loop over tensors whose size it does not know.
LIST_COMPLAINT = "TensorList"
_LOOP_NODES = frozenset({"While", "StatelessWhile", "TensorListReserve"})

_OTHERWISE = (
    "unroll it (unroll=True in Keras), or make its state an input and an output of the signature, "
    "one step a call"
)


def check_stateless(float_tflite: bytes) -> None:
    """Checks that a model keeps nothing from one run to the next in variables.

    What it gives would depend on the order of the examples, and every evaluation with it.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: It does; the layers are named.
    """
    found = [each for each in read_graph(float_tflite).operators if each.name in _STATE]
    if found:
        raise ConversionError(
            f"{_named(_written_by(found))} keeps a state in a variable from one run to the next, "
            "so that results depend on the order of the examples; make the state an input and an "
            "output of the signature (in Keras: stateful=False)"
        )


def check_no_loops(float_tflite: bytes) -> None:
    """Checks that a model's operators all are in its main graph, where they can be quantized.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: They are not; the layers are named.
    """
    graph = read_graph(float_tflite)
    for operator in graph.main.operators:
        kind = operator.name
        if kind in _LOOPS or kind.startswith("STABLEHLO_"):
            layers = _written_by(each for each in graph.operators if each.name == kind)
            raise ConversionError(
                f"operator {kind} runs a part of the model that TensorFlow Lite does not quantize: "
                f"{_named(layers)}; {_OTHERWISE}, or take quantization.scheme: dynamic_range"
            )


def explain_list_loop(graph: GraphDef) -> str:
    """Returns what to do about a recurrent layer that does not even convert.

    Args:
        graph: The signature's graph.
    """
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    layers = [layer_of(node.name) for node in nodes if node.op in _LOOP_NODES]
    return (
        f"{_named(layers)} runs in a loop over a batch of any size, which the TensorFlow Lite "
        f"converter cannot convert; {_OTHERWISE}; or, for float32, float16 and dynamic_range, "
        "build the model itself with a batch of 1 (keras.Input(…, batch_size=1))"
    )


def layer_of(name: str) -> str:
    """Returns the layer that a tensor or node belongs to by its name, empty if it says none."""
    return name.split(";")[-1].split("@")[0].rpartition("/")[0]


def _written_by(operators: Iterable[Operator]) -> Iterator[str]:
    """Yields the layers that operators compute by the names of what they write."""
    for operator in operators:
        yield from (layer_of(tensor.name) for tensor in operator.outputs)


def _named(layers: Iterable[str]) -> str:
    names = list(dict.fromkeys(layer for layer in layers if layer))
    if not names:
        return "the model"
    return f"layer{'s' if len(names) > 1 else ''} {listed(names)}"
