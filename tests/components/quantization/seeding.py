"""Changes to a flatbuffer's object tree, each of which breaks a promise in one place."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

schema = flatbuffer_utils.schema_fb
TYPES = schema.TensorType
Change = Callable[[Any, Any], None]


def seeded(content: bytes, change: Change) -> bytes:
    """Returns the model after a change to its object tree."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    change(model, model.subgraphs[0])
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def first(model: Any, graph: Any, kind: str) -> Any:
    """Returns the first operator of a kind."""
    return next(
        operator
        for operator in graph.operators
        if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) == kind
    )


def on_tensor(kind: str, side: str, position: int, change: Callable[[Any], None]) -> Change:
    """Changes an operator's input or output tensor."""
    return lambda model, graph: change(
        graph.tensors[getattr(first(model, graph, kind), side)[position]]
    )


def set_type(kind: str, side: str, position: int, type_code: int) -> Change:
    return on_tensor(kind, side, position, lambda tensor: setattr(tensor, "type", type_code))


def set_scale(kind: str, side: str, position: int, scale: float) -> Change:
    def change(tensor: Any) -> None:
        tensor.quantization.scale = [scale] * len(tensor.quantization.scale)

    return on_tensor(kind, side, position, change)


def multiply_scale(kind: str, side: str, position: int, factor: float) -> Change:
    def change(tensor: Any) -> None:
        tensor.quantization.scale = [float(scale * factor) for scale in tensor.quantization.scale]

    return on_tensor(kind, side, position, change)


def set_zero_point(kind: str, side: str, position: int, point: int) -> Change:
    def change(tensor: Any) -> None:
        tensor.quantization.zeroPoint = [point] * len(tensor.quantization.scale)

    return on_tensor(kind, side, position, change)


def drop_scale(kind: str, side: str, position: int) -> Change:
    return on_tensor(kind, side, position, lambda tensor: setattr(tensor, "quantization", None))


def one_scale(kind: str, position: int) -> Change:
    def change(tensor: Any) -> None:
        tensor.quantization.scale = [float(tensor.quantization.scale[0])]
        tensor.quantization.zeroPoint = [0]

    return on_tensor(kind, "inputs", position, change)


def fewer_scales(kind: str, position: int) -> Change:
    def change(tensor: Any) -> None:
        tensor.quantization.scale = [float(scale) for scale in tensor.quantization.scale[:-1]]
        tensor.quantization.zeroPoint = [0] * len(tensor.quantization.scale)

    return on_tensor(kind, "inputs", position, change)


def other_dimension(kind: str, position: int, dimension: int) -> Change:
    return on_tensor(
        kind,
        "inputs",
        position,
        lambda tensor: setattr(tensor.quantization, "quantizedDimension", dimension),
    )


def give_scale(kind: str, side: str, position: int) -> Change:
    """Makes a float activation a quantized one."""

    def change(tensor: Any) -> None:
        tensor.type = TYPES.INT8
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [0]

    return on_tensor(kind, side, position, change)


def set_io(side: str, type_code: int) -> Change:
    def change(model: Any, graph: Any) -> None:
        graph.tensors[getattr(graph, side)[0]].type = type_code

    return change


def store_lowest_weight(model: Any, graph: Any) -> None:
    weights = graph.tensors[first(model, graph, "CONV_2D").inputs[1]]
    data = np.array(model.buffers[weights.buffer].data, np.uint8)
    data[0] = 0x80
    model.buffers[weights.buffer].data = data


def store_float32(kind: str) -> Change:
    """Gives the tensor that is dequantized to an operator's weights another type."""

    def change(model: Any, graph: Any) -> None:
        weights = first(model, graph, kind).inputs[1]
        source = next(operator for operator in graph.operators if operator.outputs[0] == weights)
        graph.tensors[source.inputs[0]].type = TYPES.FLOAT32

    return change


def make_custom(model: Any, graph: Any) -> None:
    code = model.operatorCodes[first(model, graph, "CONV_2D").opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "FlexConv2D"


def add_float_signature(model: Any, graph: Any) -> None:
    """Adds a signature whose graph was left float, as uncalibrated ones are."""
    other = copy.deepcopy(graph)
    for tensor in other.tensors:
        if tensor.type == TYPES.INT8:
            tensor.type, tensor.quantization = TYPES.FLOAT32, None
    model.subgraphs.append(other)
    signature = copy.deepcopy(model.signatureDefs[0])
    signature.signatureKey, signature.subgraphIndex = "second", 1
    model.signatureDefs.append(signature)


def signature_of_a_missing_graph(model: Any, graph: Any) -> None:
    model.signatureDefs[0].subgraphIndex = 7


def signature_of_a_missing_tensor(model: Any, graph: Any) -> None:
    model.signatureDefs[0].inputs[0].tensorIndex = 4711


def signature_of_an_inner_tensor(model: Any, graph: Any) -> None:
    model.signatureDefs[0].outputs[0].tensorIndex = int(first(model, graph, "CONV_2D").outputs[0])


def operator_of_a_missing_tensor(model: Any, graph: Any) -> None:
    operator = first(model, graph, "CONV_2D")
    operator.inputs = [4711, *operator.inputs[1:]]


def output_of_a_missing_tensor(model: Any, graph: Any) -> None:
    graph.outputs = [4711]


def operator_without_code(model: Any, graph: Any) -> None:
    first(model, graph, "CONV_2D").opcodeIndex = 99


def tensor_without_buffer(model: Any, graph: Any) -> None:
    graph.tensors[first(model, graph, "CONV_2D").inputs[1]].buffer = 4711


def add_idle_float(model: Any, graph: Any) -> None:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = "left_over", TYPES.FLOAT32, [1]
    graph.tensors.append(tensor)
