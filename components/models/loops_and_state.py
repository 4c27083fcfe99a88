"""Layers that run in loops or keep a state, which few schemes can do with: found and named early.

Keras names what a layer computes after the layer: `encoder/lstm_1/while` is layer `encoder/lstm_1`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.models.flatbuffer import text

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
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(float_tflite))
    found = list(_written_by(model, _STATE))
    if found:
        raise ConversionError(
            f"{_named(found)} keeps a state in a variable from one run to the next, so that "
            "results depend on the order of the examples; make the state an input and an output of "
            "the signature (in Keras: stateful=False)"
        )


def check_no_loops(float_tflite: bytes) -> None:
    """Checks that a model's operators all are in its main graph, where they can be quantized.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: They are not; the layers are named.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(float_tflite))
    for operator in model.subgraphs[0].operators:
        kind = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
        if kind in _LOOPS or kind.startswith("STABLEHLO_"):
            layers = list(_written_by(model, frozenset({kind})))
            raise ConversionError(
                f"operator {kind} runs a part of the model that TensorFlow Lite does not quantize: "
                f"{_named(layers)}; {_OTHERWISE}, or take quantization.scheme: dynamic_range"
            )


def explain_list_loop(graph: Any) -> str:
    """Returns what to do about a recurrent layer that does not even convert.

    Args:
        graph: The signature's graph, a `tf.compat.v1.GraphDef`.
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


def _written_by(model: Any, kinds: frozenset[str]) -> Iterator[str]:
    """Yields the layers of the operators of some kinds, in all subgraphs that are run."""
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) in kinds:
                outputs = () if operator.outputs is None else operator.outputs
                yield from (layer_of(text(graph.tensors[int(i)].name)) for i in outputs)
                if not len(outputs):
                    yield ""


def _named(layers: Iterable[str]) -> str:
    names = list(dict.fromkeys(layer for layer in layers if layer))
    if not names:
        return "the model"
    return f"layer{'s' if len(names) > 1 else ''} {listed(names)}"
