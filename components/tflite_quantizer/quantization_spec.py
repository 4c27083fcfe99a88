"""What the TensorFlow Lite quantization specification says about each operator.

Source: https://ai.google.dev/edge/litert/models/quantization_spec, with what the kernels themselves
check where it says nothing (tensorflow/lite/kernels/*.cc, `Prepare`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightedOperator:
    """Where an operator keeps its weights.

    Attributes:
        weights: The positions of the operands that are weights.
        bias: The position of the bias, or None.
        activation: The position of the activations that the weights are multiplied with.
        channels: The dimension of the weights along which there is a scale for each channel, or
            None for one scale in all.
        per_channel: Whether there must be a scale for each channel; else there may be.
        symmetric: Whether the weights' zero point is 0 and -128 is not used.
    """

    weights: tuple[int, ...] = (1,)
    bias: int | None = None
    activation: int = 0
    channels: int | None = None
    per_channel: bool = False
    symmetric: bool = True


WEIGHTED = {
    "CONV_2D": WeightedOperator(bias=2, channels=0, per_channel=True),
    "DEPTHWISE_CONV_2D": WeightedOperator(bias=2, channels=3, per_channel=True),
    "TRANSPOSE_CONV": WeightedOperator(bias=3, activation=2, channels=0, per_channel=True),
    "FULLY_CONNECTED": WeightedOperator(bias=2, channels=0),
    "CONV_3D": WeightedOperator(bias=2, channels=4),
    "CONV_3D_TRANSPOSE": WeightedOperator(bias=3, activation=2, channels=4),
    "BATCH_MATMUL": WeightedOperator(weights=(0, 1), symmetric=False),
    # Tables: what is looked up keeps the table's scale.
    "GATHER": WeightedOperator(weights=(0,), activation=1, symmetric=False),
    "EMBEDDING_LOOKUP": WeightedOperator(activation=0, channels=0, symmetric=False),
    # Input, recurrent and projection weights; peepholes are vectors of 16 bits.
    "UNIDIRECTIONAL_SEQUENCE_LSTM": WeightedOperator(weights=(*range(1, 9), 16)),
    "LSTM": WeightedOperator(weights=(*range(1, 9), 16)),
    "UNIDIRECTIONAL_SEQUENCE_RNN": WeightedOperator(weights=(1, 2)),
    "RNN": WeightedOperator(weights=(1, 2)),
    "SVDF": WeightedOperator(weights=(1,)),
}

# Their cell state has 16 bits and some of their vectors 32, whatever the activations have.
RECURRENT = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "SVDF"})

# The scale and zero point of these operators' outputs, by the type of the output.
FIXED_OUTPUTS = {
    "SOFTMAX": {"INT8": (1 / 256, -128), "INT16": (1 / 32768, 0)},
    "LOGISTIC": {"INT8": (1 / 256, -128), "INT16": (1 / 32768, 0)},
    "LOG_SOFTMAX": {"INT8": (16 / 256, 127)},
    "TANH": {"INT8": (1 / 128, 0), "INT16": (1 / 32768, 0)},
    "L2_NORMALIZATION": {"INT8": (1 / 128, 0), "INT16": (1 / 32768, 0)},
}

# Operators that move numbers or choose among them: all quantized operands and outputs have one
# scale and zero point.
SAME_SCALE = frozenset(
    {
        *("AVERAGE_POOL_2D", "MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN", "MAXIMUM", "MINIMUM"),
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "REVERSE_V2", "TILE", "BROADCAST_TO"),
        *("CONCATENATION", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE"),
        *("GATHER", "GATHER_ND", "SELECT", "SELECT_V2", "PAD", "PADV2", "MIRROR_PAD"),
        *("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DYNAMIC_UPDATE_SLICE"),
    }
)

# Operators that change how a number is stored, not what it is.
CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})

# Operators that only call subgraphs, which are audited themselves.
CALLS = frozenset({"WHILE", "IF", "CALL", "CALL_ONCE"})

FLOATS = frozenset({"FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64"})

# Zero points that the types of quantized tensors allow.
ZERO_POINTS = {
    "INT4": (-8, 7),
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT16": (0, 0),
    "INT32": (0, 0),
    "INT64": (0, 0),
}
