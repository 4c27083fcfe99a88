"""How operators keep the channels of an activation, and layers that can take them up.

The channels of an activation are the places of its last axis. Many operators treat each by itself
and each alike: scaling the channels of what they read scales those of what they write, and adding a
number to a channel adds it to the result. A convolution or a dense layer can take up both: it reads
x * s + b, and W * (x * s + b) = (W * s) * x + W * b.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor
from tfx_tflite.components.models.object_tree import OperatorTree, QuantizationTree, numbers
from tfx_tflite.components.quantization.audit import specification as spec


@dataclass(frozen=True)
class Carried:
    """What comes out of an operator if the channels of what it reads are scaled or shifted.

    Attributes:
        channels: The channel that each place of the output's last axis is of, shape (places,).
        negatives: Whether it is scaled by factors below zero as well.
        shifts: Whether it is shifted by what its operand is.
    """

    channels: Array
    negatives: bool
    shifts: bool


def carried(operator: Operator, tree: OperatorTree, channels: Array) -> Carried | None:
    """Returns how an operator carries the channels of its first operand.

    Args:
        operator: The operator.
        tree: The same one with its options.
        channels: The channel that each place of the operand's last axis is of.

    Returns:
        None if it mixes channels or does not scale with them.
    """
    rule = _RULES.get(operator.name)
    if rule is None or object_tree.activation_of(tree) not in ("NONE", "RELU"):
        return None
    found = rule(operator, channels)
    if found is None or object_tree.activation_of(tree) == "NONE":
        return found
    return Carried(found.channels, negatives=False, shifts=False)


def _linear(operator: Operator, channels: Array) -> Carried:
    """Weighted means of what is nearby in the same channel, whose weights sum to 1."""
    return Carried(channels, negatives=True, shifts=True)


def _monotonic(operator: Operator, channels: Array) -> Carried:
    """The largest of what is nearby in the same channel."""
    return Carried(channels, negatives=False, shifts=True)


def _homogeneous(operator: Operator, channels: Array) -> Carried:
    """Activations f with f(s * x) = s * f(x) for s > 0."""
    return Carried(channels, negatives=False, shifts=False)


def _padded(operator: Operator, channels: Array) -> Carried | None:
    """Zeros beside the numbers, which stay zeros if these are scaled; not among the channels."""
    paddings = _integers(operator, 1)
    if paddings is None or paddings[-2:].any():
        return None
    shifts = operator.name == "MIRROR_PAD" or not paddings.any()
    return Carried(channels, negatives=True, shifts=shifts)


def _blocks(operator: Operator, channels: Array) -> Carried | None:
    """Blocks of space that become examples, the rest of the last one filled with zeros."""
    block, paddings = _integers(operator, 1), _integers(operator, 2)
    if block is None or paddings is None or len(block) + 1 >= len(operator.outputs[0].shape):
        return None
    is_filled = operator.name == "SPACE_TO_BATCH_ND" and bool(paddings.any())
    return Carried(channels, negatives=True, shifts=not is_filled)


def _reduced(linear: bool, shifts: bool) -> Callable[[Operator, Array], Carried | None]:
    """Reductions over other axes than the last."""

    def rule(operator: Operator, channels: Array) -> Carried | None:
        axes, rank = _integers(operator, 1), len(operator.inputs[0].shape)
        if axes is None or (axes % rank == rank - 1).any():
            return None
        return Carried(channels, linear, shifts)

    return rule


def _reshaped(operator: Operator, channels: Array) -> Carried | None:
    """Numbers in the same order: the channels come again and again along a longer last axis."""
    shape = operator.outputs[0].signature_shape
    if not shape or shape[-1] < 1 or shape[-1] % len(channels):
        return None
    return Carried(np.tile(channels, shape[-1] // len(channels)), negatives=True, shifts=True)


_RULES: Mapping[str, Callable[[Operator, Array], Carried | None]] = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _linear),
    "MAX_POOL_2D": _monotonic,
    **dict.fromkeys(("RELU", "LEAKY_RELU", "PRELU", "ABS"), _homogeneous),
    **dict.fromkeys(("PAD", "MIRROR_PAD"), _padded),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), _blocks),
    "MEAN": _reduced(linear=True, shifts=True),
    "SUM": _reduced(linear=True, shifts=False),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN"), _reduced(linear=False, shifts=True)),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshaped),
}


def _integers(operator: Operator, position: int) -> Array | None:
    operand = operator.operand(position)
    return None if operand is None else operand.integers


def readers_of_values(graph: Graph, tensor: Tensor) -> list[Operator]:
    """Returns the operators that read more of a tensor than its shape."""
    return [each for each in graph.readers(tensor) if each.name not in ("SHAPE", "RANK")]


def stored_floats(tensor: Tensor | None) -> Array | None:
    """Returns the values of a float32 constant, None for anything else."""
    if tensor is None or tensor.type != "FLOAT32" or tensor.data is None or tensor.is_variable:
        return None
    # Sparse constants store fewer.
    is_whole = tensor.data.nbytes == 4 * int(np.prod(tensor.shape, dtype=np.int64))
    return tensor.floats.reshape(tensor.shape) if is_whole else None


def per_channel(tensor: Tensor | None, channels: int) -> Array | None:
    """Returns the values of a float32 constant that has one for each channel, or one for all.

    Args:
        tensor: The constant.
        channels: How many channels what it is combined with has.

    Returns:
        float64 of shape (channels,); None if it is no such constant.
    """
    values = stored_floats(tensor)
    if values is None or values.size not in (1, channels):
        return None
    if values.size > 1 and values.shape[-1] != channels:
        return None
    return np.broadcast_to(values.reshape(-1).astype(np.float64), (channels,))


@dataclass(frozen=True)
class Layer:
    """A convolution or a dense layer of a float graph, with weights that can be changed.

    Attributes:
        operator: The operator.
        weights: float32, as the schema has them: (outputs, height, width, inputs) of CONV_2D,
            (1, height, width, outputs) of DEPTHWISE_CONV_2D, (outputs, inputs) of FULLY_CONNECTED.
        bias: float32 of shape (outputs,), None if there is none.
        adds_zeros: Whether it reads zeros from around its input.
    """

    operator: Operator
    weights: Array
    bias: Array | None
    adds_zeros: bool

    @property
    def outputs_axis(self) -> int:
        """The axis of the weights that is for the outputs."""
        axis = spec.weighted(self.operator.name).channels
        assert axis is not None
        return axis

    def inputs(self, channels: Array) -> Array | None:
        """Returns the channel of what each place of the weights' last axis is multiplied with.

        Args:
            channels: The channel that each place of its activation's last axis is of.

        Returns:
            Shape (last axis of weights,); None if the layer reads them in groups.
        """
        places = self.weights.shape[-1]
        if self.operator.name == "CONV_2D":
            return channels if places == len(channels) else None
        if places % len(channels):
            return None
        if self.operator.name == "DEPTHWISE_CONV_2D":
            return np.repeat(channels, places // len(channels))
        return np.tile(channels, places // len(channels))


def layer_of(operator: Operator, tree: OperatorTree) -> Layer | None:
    """Returns an operator as a layer, None if it is none whose weights are stored as floats.

    Args:
        operator: The operator.
        tree: The same one with its options.
    """
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return None
    weights, bias = stored_floats(operator.operand(1)), stored_floats(operator.operand(2))
    if weights is None or (operator.operand(2) is not None and bias is None):
        return None
    is_point = operator.name == "FULLY_CONNECTED" or weights.shape[1:3] == (1, 1)
    return Layer(operator, weights, bias, not is_point and object_tree.pads(tree))


def store_operand(
    draft: Draft,
    operator: Operator,
    position: int,
    values: Array,
    quantization: QuantizationTree | None = None,
) -> None:
    """Has an operator of the main graph read a constant of its own with other values.

    Args:
        draft: The model.
        operator: The operator.
        position: Of the operand, which may have been left out.
        values: float32, or integers of a quantized tensor.
        quantization: Their scales.
    """
    tree, before = draft.operators[operator.index], operator.operand(position)
    name = f"{operator.outputs[0].name}/bias" if before is None else before.name
    constant = object_tree.tensor_tree(name, values.dtype.name.upper(), values.shape)
    constant.quantization = quantization
    draft.store(constant, np.ascontiguousarray(values))
    draft.main.tensors.append(constant)
    inputs = numbers(tree.inputs)
    inputs += [-1] * (position + 1 - len(inputs))
    inputs[position] = len(draft.main.tensors) - 1
    tree.inputs = inputs
