"""What the TensorFlow Lite quantization specification says about each operator.

Source: https://ai.google.dev/edge/litert/models/quantization_spec, with what the kernels themselves
check where it says nothing (tensorflow/lite/kernels/*.cc, `Prepare`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


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


_WEIGHTED = {
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

_WITHOUT_WEIGHTS = WeightedOperator(weights=())


def weighted(operator: str) -> WeightedOperator:
    """Returns where an operator keeps its weights, if it has some.

    Args:
        operator: Its name in the schema.
    """
    return _WEIGHTED.get(operator, _WITHOUT_WEIGHTS)


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


class Treatment(Enum):
    """What an operator does with quantized numbers, and what follows for their scales."""

    QUANTIZED = "computes with integers, each operand and output having a scale of its own"
    SAME_SCALE = "moves numbers or chooses among them: all have one scale and zero point"
    ZERO_FILLED = "as SAME_SCALE, and fills up with the integer 0: the zero point must be 0"
    FIXED_OUTPUT = "computes with integers, and its kernel assumes the scale of the output"
    INTEGERS = "gives integers or booleans: shapes, indices, comparisons"
    CONVERSION = "changes how a number is stored, not what it is"
    CALL = "only calls subgraphs, which are looked at themselves"
    FLOAT_ONLY = "is left in float: there is no integer kernel, or the quantizer makes no use of it"
    QUANTIZED_BY_NEWER = "as QUANTIZED by TensorFlow 2.21, as FLOAT_ONLY by 2.16"
    NOT_ALLOWED = "keeps a state, is not TensorFlow Lite's own, or runs on no plain device"


# Every builtin operator of the schema. A model in which an operator is left in float is refused, or
# reported if that is allowed. What the quantizer and the kernels do was tried with TensorFlow 2.16
# and 2.21, operator by operator: `tests/components/quantization/conversion/test_operators.py`.
_OPERATORS: Mapping[Treatment, tuple[str, ...]] = {
    Treatment.QUANTIZED: (
        *("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "ABS", "EXP", "LOG", "RSQRT", "PRELU"),
        *(
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "RELU_0_TO_1",
            "LEAKY_RELU",
            "HARD_SWISH",
            "GELU",
            "ELU",
        ),
        *("SUM", "MEAN", "REDUCE_PROD", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"),
        *("FULLY_CONNECTED", "BATCH_MATMUL", "FAKE_QUANT"),
        *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF", "RNN", "UNIDIRECTIONAL_SEQUENCE_RNN"),
    ),
    Treatment.SAME_SCALE: (
        *("AVERAGE_POOL_2D", "MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN", "MAXIMUM", "MINIMUM"),
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "REVERSE_V2", "TILE", "BROADCAST_TO"),
        *("CONCATENATION", "PACK", "UNPACK", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE"),
        *("GATHER", "GATHER_ND", "SELECT", "SELECT_V2", "PAD", "PADV2", "MIRROR_PAD"),
        *("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DYNAMIC_UPDATE_SLICE", "TOPK_V2"),
        *("ONE_HOT", "SPARSE_TO_DENSE", "FILL", "UNIQUE", "MATRIX_SET_DIAG"),
        *("DILATE", "DENSIFY", "EMBEDDING_LOOKUP"),
    ),
    Treatment.ZERO_FILLED: ("SCATTER_ND", "MATRIX_DIAG", "ZEROS_LIKE"),
    Treatment.FIXED_OUTPUT: tuple(FIXED_OUTPUTS),
    Treatment.INTEGERS: (
        *("SHAPE", "RANK", "ARG_MAX", "ARG_MIN", "WHERE", "RANGE", "BROADCAST_ARGS"),
        *("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"),
        *("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "REDUCE_ANY", "REDUCE_ALL"),
        *("BITWISE_XOR", "RIGHT_SHIFT"),
    ),
    Treatment.CONVERSION: ("QUANTIZE", "DEQUANTIZE"),
    Treatment.CALL: ("WHILE", "IF", "CALL", "CALL_ONCE"),
    Treatment.FLOAT_ONLY: (
        *("CAST", "NEG", "SQUARE", "SIN", "COS", "ATAN2", "POW", "SIGN", "ADD_N"),
        *("FLOOR", "CEIL", "ROUND", "DIV", "FLOOR_DIV", "FLOOR_MOD", "CUMSUM", "BUCKETIZE"),
        "REVERSE_SEQUENCE",
        *("L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION", "CONV_3D", "CONV_3D_TRANSPOSE"),
        *("RFFT2D", "REAL", "IMAG", "COMPLEX_ABS", "SEGMENT_SUM", "UNSORTED_SEGMENT_SUM"),
        *("UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN"),
        *("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "REDUCE_WINDOW"),
        *("BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "EMBEDDING_LOOKUP_SPARSE"),
        *("LSH_PROJECTION", "BITCAST", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "MULTINOMIAL"),
    ),
    Treatment.QUANTIZED_BY_NEWER: ("SQRT",),
    Treatment.NOT_ALLOWED: (
        *("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CONCAT_EMBEDDINGS"),
        *("SKIP_GRAM", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE"),
        *("HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "HASHTABLE_LOOKUP"),
    ),
}
TREATMENTS = {name: kind for kind, names in _OPERATORS.items() for name in names}

# Operators of another dialect, which few runtimes have.
_STABLEHLO = "STABLEHLO_"


def treatment(operator: str) -> Treatment | None:
    """Returns what a builtin operator does with quantized numbers, None if that is not known.

    Args:
        operator: Its name in the schema.
    """
    if operator.startswith(_STABLEHLO):
        return Treatment.NOT_ALLOWED
    return TREATMENTS.get(operator)


# What may be in float where operators without an integer form are allowed.
MAY_BE_FLOAT = frozenset(
    (*_OPERATORS[Treatment.FLOAT_ONLY], *_OPERATORS[Treatment.QUANTIZED_BY_NEWER])
)
# What moves numbers as they are.
SAME_SCALE = frozenset((*_OPERATORS[Treatment.SAME_SCALE], *_OPERATORS[Treatment.ZERO_FILLED]))
ZERO_FILLED = frozenset(_OPERATORS[Treatment.ZERO_FILLED])
CONVERSIONS = frozenset(_OPERATORS[Treatment.CONVERSION])
CALLS = frozenset(_OPERATORS[Treatment.CALL])

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
