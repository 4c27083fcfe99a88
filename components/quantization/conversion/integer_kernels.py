"""Integer kernels that TensorFlow Lite has and its quantizer makes no use of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.quantization.conversion.unused_parts import drop_unused_tensors

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
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    found = [change for graph in model.subgraphs for change in _changes(model, graph)]
    if not found:
        return content
    for change in found:
        change.apply()
    drop_unused_tensors(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@dataclass(frozen=True)
class _Change:
    """An operator that is to read and write integers."""

    graph: Any
    operator: Any
    dequantize: Any
    quantize: Any

    def apply(self) -> None:
        """Makes the operator read what is dequantized for it and write what is quantized of it."""
        floats = int(self.dequantize.outputs[0])
        self.operator.inputs = [int(self.dequantize.inputs[0])]
        self.operator.outputs = [int(self.quantize.outputs[0])]
        gone = [self.quantize]
        if not _readers(self.graph, floats) and floats not in self.graph.outputs:
            gone.append(self.dequantize)
        self.graph.operators = [each for each in self.graph.operators if each not in gone]


def _changes(model: Any, graph: Any) -> Iterator[_Change]:
    writers = {int(i): operator for operator in graph.operators for i in operator.outputs}
    for operator in graph.operators:
        if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) not in _TABLE_LOOKUPS:
            continue
        [source], [target] = operator.inputs, operator.outputs
        before, after = writers.get(int(source)), _readers(graph, int(target))
        if before is None or len(after) != 1 or target in graph.outputs:
            continue
        kinds = [flatbuffer_utils.opcode_to_name(model, o.opcodeIndex) for o in (before, *after)]
        if kinds == ["DEQUANTIZE", "QUANTIZE"]:
            yield _Change(graph, operator, before, after[0])


def _readers(graph: Any, tensor: int) -> list[Any]:
    return [each for each in graph.operators if each.inputs is not None and tensor in each.inputs]
