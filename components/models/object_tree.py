"""The object tree of a TensorFlow Lite flatbuffer, as the schema has it, with types.

The schema's generated code has none, so that protocols name here what is used of its classes.
Vectors that are empty are left out of a tree: they are None. `Graph` is for reading a model and
`Draft` for changing one; nothing else knows the schema.

The schema's code is LiteRT's, which is the same as TensorFlow's and comes without the rest of it.
"""

import copy
from collections.abc import Collection, Sequence
from functools import cache
from typing import Protocol

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as _schema

from tfx_tflite.components.examples.tensors import Array

_IDENTIFIER = b"TFL3"
# What a flatbuffer is begun with; it grows.
_FIRST_BYTES = 1024

Integers = Sequence[int] | Array | None
Reals = Sequence[float] | Array | None
Name = bytes | str | None


class QuantizationTree(Protocol):
    """Scales and zero points of a quantized tensor, or the range of one to be quantized."""

    min: Reals
    max: Reals
    scale: Reals
    zeroPoint: Integers
    quantizedDimension: int


class TensorTree(Protocol):
    """A tensor of a subgraph; its values, if stored, are in a buffer."""

    name: Name
    shape: Integers
    shapeSignature: Integers
    type: int
    buffer: int
    isVariable: bool
    quantization: QuantizationTree | None
    sparsity: object | None


class OperatorTree(Protocol):
    """An operator of a subgraph; it names tensors by number, -1 for an operand left out."""

    opcodeIndex: int
    inputs: Integers
    outputs: Integers
    intermediates: Integers
    builtinOptionsType: int
    builtinOptions: object
    builtinOptions2: object


class SubgraphTree(Protocol):
    """A graph of operators."""

    tensors: list[TensorTree]
    operators: list[OperatorTree]
    inputs: Integers
    outputs: Integers


class BufferTree(Protocol):
    """Stored bytes; those of very large models lie beyond the flatbuffer."""

    data: Array | None
    offset: int
    size: int


class CodeTree(Protocol):
    """A kind of operator."""

    builtinCode: int
    deprecatedBuiltinCode: int
    customCode: Name
    version: int


class NamedTensorTree(Protocol):
    """An input or an output of a signature."""

    name: Name
    tensorIndex: int


class SignatureTree(Protocol):
    """How a subgraph is called."""

    signatureKey: Name
    subgraphIndex: int
    inputs: list[NamedTensorTree] | None
    outputs: list[NamedTensorTree] | None


class MetadataTree(Protocol):
    """What the converter or an author wrote of the model."""

    name: Name
    buffer: int


class ModelTree(Protocol):
    """A whole model."""

    version: int
    operatorCodes: list[CodeTree]
    subgraphs: list[SubgraphTree]
    buffers: list[BufferTree]
    metadata: list[MetadataTree] | None
    signatureDefs: list[SignatureTree] | None

    def Pack(self, builder: object) -> int:
        """Writes it to a builder of flatbuffers."""


def parse(content: bytes) -> ModelTree:
    """Returns the object tree of a flatbuffer."""
    model = _schema.Model.GetRootAs(bytearray(content), 0)
    tree: ModelTree = _schema.ModelT.InitFromObj(model)
    return tree


def pack(tree: ModelTree) -> bytes:
    """Returns the flatbuffer of an object tree."""
    builder = flatbuffers.Builder(_FIRST_BYTES)
    builder.Finish(tree.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def model_tree() -> ModelTree:
    """Returns a model of nothing but an empty graph and the empty buffer that each model has."""
    tree: ModelTree = _schema.ModelT()
    tree.version = 3
    tree.operatorCodes, tree.subgraphs, tree.buffers = [], [_schema.SubGraphT()], [buffer_tree()]
    tree.subgraphs[0].tensors, tree.subgraphs[0].operators = [], []
    return tree


def buffer_tree(values: Array | None = None) -> BufferTree:
    """Returns a buffer that stores values, or nothing."""
    tree: BufferTree = _schema.BufferT()
    tree.data = None if values is None else values.reshape(-1).view(np.uint8)
    return tree


def tensor_tree(name: str, kind: str, shape: Sequence[int]) -> TensorTree:
    """Returns a tensor of a type that is named as the schema does."""
    tree: TensorTree = _schema.TensorT()
    tree.name, tree.type, tree.shape = name, type_number(kind), list(shape)
    return tree


def operator_tree(code: int, inputs: Sequence[int], outputs: Sequence[int]) -> OperatorTree:
    """Returns an operator without options, whose kind is at a place among the model's."""
    tree: OperatorTree = _schema.OperatorT()
    tree.opcodeIndex, tree.inputs, tree.outputs = code, list(inputs), list(outputs)
    return tree


def set_options(operator: OperatorTree, kind: str, **options: int) -> None:
    """Gives an operator its options, which have a name of their own: `MulOptions`, say."""
    tree = getattr(_schema, f"{kind}T")()
    for name, value in options.items():
        setattr(tree, name, value)
    operator.builtinOptionsType = getattr(_schema.BuiltinOptions, kind)
    operator.builtinOptions = tree


def change_options(operator: OperatorTree, **options: int) -> None:
    """Changes some of an operator's options, which other operators may have in common with it."""
    tree = copy.copy(operator.builtinOptions)
    for name, value in options.items():
        setattr(tree, name, value)
    operator.builtinOptions = tree


def axis_of(operator: OperatorTree) -> int:
    """Returns the axis among an operator's options."""
    return int(getattr(operator.builtinOptions, "axis", 0))


def activation_of(operator: OperatorTree) -> str:
    """Returns what an operator applies to its result, as the schema names it: NONE, RELU, ..."""
    number = int(getattr(operator.builtinOptions, "fusedActivationFunction", 0))
    return _names("ActivationFunctionType").get(number, f"ACTIVATION {number}")


def activation_number(name: str) -> int:
    """Returns the number of an activation that operators apply to their results."""
    return int(getattr(_schema.ActivationFunctionType, name))


def pads(operator: OperatorTree) -> bool:
    """Returns whether an operator reads beyond the edges of its input, so that sizes stay."""
    return int(getattr(operator.builtinOptions, "padding", _schema.Padding.VALID)) == int(
        _schema.Padding.SAME
    )


def range_tree(minimum: float, maximum: float) -> QuantizationTree:
    """Returns the range of a tensor that is to be quantized."""
    tree: QuantizationTree = _schema.QuantizationParametersT()
    tree.min, tree.max = np.array([minimum], np.float32), np.array([maximum], np.float32)
    return tree


def scale_tree(scale: float, zero_point: int) -> QuantizationTree:
    """Returns the scale and the zero point of a quantized tensor."""
    tree: QuantizationTree = _schema.QuantizationParametersT()
    tree.scale, tree.zeroPoint = [scale], [zero_point]
    return tree


def scales_tree(scales: Array, axis: int) -> QuantizationTree:
    """Returns the scales of symmetric weights, one a channel along an axis, or one."""
    tree: QuantizationTree = _schema.QuantizationParametersT()
    tree.scale, tree.zeroPoint = scales, np.zeros(len(scales), np.int64)
    tree.quantizedDimension = axis
    return tree


def code_tree(kind: str) -> CodeTree:
    """Returns a kind of builtin operator in its first version."""
    tree: CodeTree = _schema.OperatorCodeT()
    tree.builtinCode = getattr(_schema.BuiltinOperator, kind)
    # It has 8 bits; for larger numbers it says so.
    tree.deprecatedBuiltinCode = min(
        tree.builtinCode, _schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
    )
    tree.version = 1
    return tree


def signature_tree(inputs: Collection[str], outputs: Collection[str]) -> SignatureTree:
    """Returns a signature whose inputs are the first tensors, and whose outputs the next ones."""
    tree: SignatureTree = _schema.SignatureDefT()
    tree.signatureKey = "serving_default"
    tree.inputs = [_named_tensor(*entry) for entry in enumerate(inputs)]
    tree.outputs = [_named_tensor(*entry) for entry in enumerate(outputs, len(inputs))]
    return tree


def metadata_tree(name: str, buffer: int) -> MetadataTree:
    """Returns an entry of what a model says of itself, which a buffer holds."""
    tree: MetadataTree = _schema.MetadataT()
    tree.name, tree.buffer = name, buffer
    return tree


def _named_tensor(number: int, name: str) -> NamedTensorTree:
    tree: NamedTensorTree = _schema.TensorMapT()
    tree.name, tree.tensorIndex = name, number
    return tree


@cache
def _names(enumeration: str) -> dict[int, str]:
    found = vars(getattr(_schema, enumeration)).items()
    # From Python 3.13 on a class has integers of its own: `__firstlineno__`.
    return {value: name for name, value in found if not name.startswith("_")}


def type_name(number: int) -> str:
    """Returns a tensor's type as the schema names it: INT8, FLOAT32 or another."""
    return _names("TensorType").get(number, f"TYPE {number}")


def type_number(name: str) -> int:
    """Returns the number of a type, which has the name that NumPy has for it, in capitals."""
    return int(getattr(_schema.TensorType, name))


def stored_bytes(buffer: BufferTree) -> int:
    """Returns how many bytes a buffer holds, whether inside the tables or after them."""
    return len(buffer.data) if buffer.data is not None else int(buffer.size)


def kind_of(model: ModelTree, operator: OperatorTree) -> str:
    """Returns an operator's kind, as the schema or a custom operator's author names it."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _names("BuiltinOperator").get(number, f"OPERATOR {number}")
    return text(code.customCode) if name == "CUSTOM" else name


def version_of(model: ModelTree, operator: OperatorTree) -> int:
    """Returns the version of an operator's kind; 0 for a custom operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    return 0 if is_custom(code) else max(code.version, 1)


def is_custom(code: CodeTree) -> bool:
    """Returns whether a kind of operator is none of the schema's."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return number == int(_schema.BuiltinOperator.CUSTOM)


def is_builtin(kind: str) -> bool:
    """Returns whether every TensorFlow Lite runtime has a kind of operator."""
    return hasattr(_schema.BuiltinOperator, kind)


def numbers(vector: Integers) -> list[int]:
    """Returns a vector of an object tree, which leaves out empty ones."""
    return [] if vector is None else [int(number) for number in vector]


def text(name: Name) -> str:
    """Returns a name of an object tree, which has bytes or nothing for some."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
