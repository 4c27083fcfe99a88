"""Proof from the flatbuffer that a converted model is what its scheme promises.

The converter leaves float operators in a model asked to be full integer, and weights as they were
in one asked to be smaller, without an error. What each scheme promises is the table in
docs/schemes.md, after the TensorFlow Lite quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.schemes import Quantization, Scheme

_FLOATS = frozenset({"FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64"})
# The activations that an integer scheme computes with; 32 and 64 bits are indices and shapes.
_ACTIVATIONS = {Scheme.INT8: "INT8", Scheme.INT8_FLOAT_IO: "INT8", Scheme.INT16X8: "INT16"}
# Operators whose second input is the weights.
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
# Operators that change how a number is stored, not what it is.
_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
# The converter leaves smaller weights as they are in `dynamic_range`.
_SMALLEST_QUANTIZED_WEIGHTS = 1024


@dataclass(frozen=True)
class Violation:
    """One way in which a model breaks its scheme's promise.

    Attributes:
        layer: The operator or tensor, by its place in the graph and its name.
        reason: What is wrong with it.
    """

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


@dataclass(frozen=True)
class Operator:
    """An operator of a flatbuffer with the tensors that it reads and writes."""

    index: int
    name: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    @property
    def label(self) -> str:
        """The operator's place, kind and the short name of what it writes."""
        written = short_name(self.outputs[0]) if self.outputs else ""
        return f"{self.name} #{self.index} ({written})" if written else f"{self.name} #{self.index}"


class FlatbufferGraph:
    """A TFLite flatbuffer as tensors and operators.

    Args:
        content: The bytes of the file.
    """

    def __init__(self, content: bytes):
        self._model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of all subgraphs, in order."""
        return tuple(self._operators())

    def _operators(self) -> Iterator[Operator]:
        index = 0
        for graph in self._model.subgraphs:
            for operator in graph.operators:
                yield Operator(
                    index,
                    self._operator_name(operator.opcodeIndex),
                    tuple(graph.tensors[i] for i in operator.inputs if i >= 0),
                    tuple(graph.tensors[i] for i in operator.outputs if i >= 0),
                )
                index += 1

    def _operator_name(self, opcode_index: int) -> str:
        code = self._model.operatorCodes[opcode_index]
        name = flatbuffer_utils.opcode_to_name(self._model, opcode_index)
        if name != "CUSTOM":
            return name
        return code.customCode.decode() if isinstance(code.customCode, bytes) else code.customCode

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The input tensors of the main graph."""
        main = self._model.subgraphs[0]
        return tuple(main.tensors[i] for i in main.inputs)

    @property
    def outputs(self) -> tuple[Any, ...]:
        """The output tensors of the main graph."""
        main = self._model.subgraphs[0]
        return tuple(main.tensors[i] for i in main.outputs)

    def at_the_edge(self, tensors: Iterable[Any]) -> bool:
        """Returns whether all the tensors are inputs or outputs of the main graph."""
        edge = {id(tensor) for tensor in (*self.inputs, *self.outputs)}
        return all(id(tensor) in edge for tensor in tensors)

    def stored_bytes(self, tensor: Any) -> int:
        """Returns how many bytes of a tensor's values are stored in the file."""
        buffer = self._model.buffers[tensor.buffer]
        return len(buffer.data) if buffer.data is not None else int(buffer.size)

    def is_constant(self, tensor: Any) -> bool:
        """Returns whether a tensor's values are stored in the file."""
        return self.stored_bytes(tensor) > 0

    def is_builtin(self, operator: Operator) -> bool:
        """Returns whether every TensorFlow Lite runtime has the operator."""
        return hasattr(flatbuffer_utils.schema_fb.BuiltinOperator, operator.name)

    def operator_counts(self) -> dict[str, int]:
        """Returns how often each kind of operator occurs."""
        return dict(sorted(Counter(operator.name for operator in self.operators).items()))


def tensor_type(tensor: Any) -> str:
    """Returns a tensor's type as the schema names it: INT8, FLOAT32 or another."""
    return flatbuffer_utils.type_to_name(tensor.type)


def quantization_of(tensor: Any) -> tuple[float | None, int | None]:
    """Returns scale and zero point of a tensor, or None twice where it has not one of each."""
    found = tensor.quantization
    if found is None or found.scale is None or len(found.scale) != 1:
        return None, None
    return float(found.scale[0]), int(found.zeroPoint[0])


def audit(content: bytes, quantization: Quantization) -> list[Violation]:
    """Returns every way in which a TFLite model breaks what its scheme promises.

    Args:
        content: The flatbuffer.
        quantization: What it was converted to.
    """
    graph = FlatbufferGraph(content)
    violations = [*_foreign_operators(graph), *_io(graph, quantization)]
    if quantization.scheme in _ACTIVATIONS:
        violations += _integer_operators(graph, quantization)
    else:
        violations += _weights(graph, quantization.scheme)
    return violations


def check(content: bytes, quantization: Quantization) -> None:
    """Checks that a TFLite model is what its scheme promises.

    Raises:
        ConversionError: It is not; the operators that break the promise are named.
    """
    violations = audit(content, quantization)
    if violations:
        shown = "; ".join(str(violation) for violation in violations[:4])
        more = f" (and {len(violations) - 4} more)" if len(violations) > 4 else ""
        raise ConversionError(
            f"the converted model is not {quantization.scheme.value}: {shown}{more}. Replace these "
            "operators in the model or choose another quantization.scheme"
        )


def _foreign_operators(graph: FlatbufferGraph) -> Iterator[Violation]:
    for operator in graph.operators:
        if not graph.is_builtin(operator):
            yield Violation(operator.label, "is not a builtin operator of TensorFlow Lite")


def _io(graph: FlatbufferGraph, quantization: Quantization) -> Iterator[Violation]:
    """Inputs and outputs that were float have the promised type; integer ones stay as they are."""
    promised = quantization.resolved_io_type.upper()
    for side, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for tensor in tensors:
            found = tensor_type(tensor)
            if found != promised and found in _FLOATS:
                yield Violation(f"{side} {short_name(tensor)}", f"is {found}, expected {promised}")


def _integer_operators(graph: FlatbufferGraph, quantization: Quantization) -> Iterator[Violation]:
    """No operator reads or writes a float, but for the first and last where I/O is float."""
    float_io = quantization.resolved_io_type == "float32"
    converting: list[Violation] = []
    computing: list[Violation] = []
    for operator in graph.operators:
        floats = _floats(operator)
        is_conversion = operator.name in _CONVERSIONS
        if not floats:
            yield from _weights_and_activations(graph, operator, quantization.scheme)
        elif not (float_io and is_conversion and graph.at_the_edge(floats)):
            types = ", ".join(sorted({tensor_type(tensor) for tensor in floats}))
            found = Violation(operator.label, f"computes in {types}")
            (converting if is_conversion else computing).append(found)
    # A conversion inside the graph is there because of an operator that computes in float.
    yield from computing or converting


def _floats(operator: Operator) -> list[Any]:
    tensors = (*operator.inputs, *operator.outputs)
    return [tensor for tensor in tensors if tensor_type(tensor) in _FLOATS]


def _weights_and_activations(
    graph: FlatbufferGraph, operator: Operator, scheme: Scheme
) -> Iterator[Violation]:
    if operator.name not in _WEIGHTED:
        return
    activations = tensor_type(operator.inputs[0])
    if activations != _ACTIVATIONS[scheme]:
        yield Violation(
            operator.label, f"has {activations} activations, not {_ACTIVATIONS[scheme]}"
        )
    weights = operator.inputs[1]
    if graph.is_constant(weights) and tensor_type(weights) != "INT8":
        yield Violation(operator.label, f"has {tensor_type(weights)} weights, not INT8")


def _weights(graph: FlatbufferGraph, scheme: Scheme) -> Iterator[Violation]:
    """The weights of a scheme with float activations have the promised type."""
    stored = {id(op.outputs[0]): op.inputs[0] for op in graph.operators if op.name == "DEQUANTIZE"}
    for operator in graph.operators:
        if operator.name not in _WEIGHTED:
            continue
        weights = stored.get(id(operator.inputs[1]), operator.inputs[1])
        if not graph.is_constant(weights):
            continue
        found, promised = tensor_type(weights), _promised_weights(scheme, weights)
        if found not in promised:
            yield Violation(operator.label, f"has {found} weights, not {' or '.join(promised)}")


def _promised_weights(scheme: Scheme, weights: Any) -> tuple[str, ...]:
    if scheme is Scheme.FLOAT16:
        return ("FLOAT16",)
    if scheme is Scheme.DYNAMIC_RANGE:
        small = int(np.prod(weights.shape)) < _SMALLEST_QUANTIZED_WEIGHTS
        return ("INT8", "FLOAT32") if small else ("INT8",)
    return ("FLOAT32",)


def short_name(tensor: Any) -> str:
    """Returns the last part of the `;`-joined names that the converter fuses into one."""
    name = tensor.name.decode("utf-8", "replace") if isinstance(tensor.name, bytes) else tensor.name
    last = (name or "").split(";")[-1]
    return last if len(last) <= 60 else "…" + last[-59:]
