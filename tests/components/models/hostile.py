"""Models that harm an interpreter, each after a public report, made by editing real ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.object_tree import OperatorTree, SubgraphTree

MICRO = Path(__file__).parent / "micro"
# Int8 models as the converter makes them.
NETS = ("deep_residual", "dense", "depthwise", "hard_swish")


@cache
def net(name: str) -> bytes:
    """Returns a real model."""
    content: bytes = np.load(MICRO / f"{name}.npz")["model"].tobytes()
    return content


@cache
def real_inputs(name: str) -> dict[str, np.ndarray]:
    """Returns an example for a real model, in real numbers."""
    return {"x": np.zeros((1, *np.load(MICRO / f"{name}.npz")["inputs"].shape[1:]), np.float32)}


def first(draft: Draft, kind: str) -> OperatorTree:
    """Returns the first operator of a kind."""
    return next(operator for operator in draft.operators if draft.kind(operator) == kind)


def edited(name: str, change: Callable[[Draft], None]) -> bytes:
    """Returns a real model after a change."""
    draft = Graph(net(name)).draft()
    change(draft)
    return draft.content()


@dataclass(frozen=True)
class Operand:
    """A tensor of a model of one operator; what has no values is an input of the model."""

    kind: str
    shape: Sequence[int]
    values: np.ndarray | None = None


def model_of(kind: str, operands: Sequence[Operand], result: Operand, **options: object) -> Draft:
    """Returns a model of one operator, whose only input is `x` and whose output is `y`.

    Args:
        kind: The operator's.
        operands: What it reads; the first without values is the input.
        result: What it writes.
        options: The name of the options as `options`, and their values.
    """
    tree = object_tree.model_tree()
    graph = tree.subgraphs[0]
    for place, operand in enumerate((*operands, result)):
        tensor = object_tree.tensor_tree(f"t{place}", operand.kind, operand.shape)
        if operand.values is not None:
            tensor.buffer = len(tree.buffers)
            tree.buffers.append(object_tree.buffer_tree(operand.values))
        graph.tensors.append(tensor)
    [given] = [place for place, operand in enumerate(operands) if operand.values is None]
    count = len(operands)
    tree.operatorCodes = [object_tree.code_tree(kind)]
    graph.operators = [object_tree.operator_tree(0, range(count), [count])]
    if options:
        object_tree.set_options(graph.operators[0], options.pop("options"), **options)
    graph.inputs, graph.outputs = [given], [count]
    signature = object_tree.signature_tree(["x"], ["y"])
    signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = given, count
    tree.signatureDefs = [signature]
    return Draft(tree)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def _set_option(kind: str, option: str, value: int) -> Callable[[Draft], None]:
    return lambda draft: setattr(first(draft, kind).builtinOptions, option, value)


def _filter_of_no_channels(draft: Draft) -> None:
    conv = first(draft, "CONV_2D")
    weights = draft.main.tensors[conv.inputs[1]]
    weights.shape = [*weights.shape[:3], 0]
    draft.tree.buffers[weights.buffer] = object_tree.buffer_tree()


def _output_left_out(draft: Draft) -> None:
    first(draft, "CONV_2D").outputs = [-1]


def _weights_without_values(draft: Draft) -> None:
    dense = first(draft, "FULLY_CONNECTED")
    draft.main.tensors[dense.inputs[1]].buffer = 0


def _weights_written(draft: Draft) -> None:
    dense = first(draft, "FULLY_CONNECTED")
    dense.outputs = [dense.inputs[1]]


def _shape_of(*sizes: int) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        add = first(draft, "ADD")
        draft.main.tensors[add.outputs[0]].shape = list(sizes)

    return change


def _buffer_far_away(draft: Draft) -> None:
    dense = first(draft, "FULLY_CONNECTED")
    buffer = draft.tree.buffers[draft.main.tensors[dense.inputs[1]].buffer]
    buffer.data, buffer.offset, buffer.size = None, 2**40, 4096


def _scales_of_too_many_channels(draft: Draft) -> None:
    weights = draft.main.tensors[first(draft, "CONV_2D").inputs[1]]
    weights.quantization.quantizedDimension = 17


def reshape_to_more_axes() -> bytes:
    operands = [
        Operand("FLOAT32", [1]),
        Operand("INT32", [8], ints(1, 1, 1, 1, 1, 1, 1, 1)),
    ]
    return model_of("RESHAPE", operands, Operand("FLOAT32", [1])).content()


def gather_before_the_beginning() -> bytes:
    operands = [Operand("FLOAT32", [4]), Operand("INT32", [2], ints(-100_000, 2**30))]
    return model_of(
        "GATHER", operands, Operand("FLOAT32", [2]), options="GatherOptions", axis=0
    ).content()


def gather_nd_before_the_beginning() -> bytes:
    operands = [Operand("FLOAT32", [4]), Operand("INT32", [1, 1], ints(-100_000))]
    return model_of("GATHER_ND", operands, Operand("FLOAT32", [1])).content()


def segment_sum_before_the_beginning() -> bytes:
    operands = [Operand("FLOAT32", [2]), Operand("INT32", [2], ints(-100_000, -1))]
    return model_of("SEGMENT_SUM", operands, Operand("FLOAT32", [1])).content()


def scatter_far_away() -> bytes:
    operands = [
        Operand("INT32", [1, 1], ints(2**30)),
        Operand("FLOAT32", [1]),
        Operand("INT32", [1], ints(4)),
    ]
    return model_of("SCATTER_ND", operands, Operand("FLOAT32", [4])).content()


def tile_past_32_bits() -> bytes:
    operands = [Operand("FLOAT32", [65537]), Operand("INT32", [1], ints(65536))]
    return model_of("TILE", operands, Operand("FLOAT32", [1])).content()


def expand_dims_at_a_negative_axis() -> bytes:
    operands = [Operand("FLOAT32", [4]), Operand("INT32", [1], ints(-100_000))]
    return model_of("EXPAND_DIMS", operands, Operand("FLOAT32", [1, 4])).content()


def split_in_no_parts(name: str = "x", shape: Sequence[int] = (4,)) -> bytes:
    operands = [Operand("INT32", [1], ints(0)), Operand("FLOAT32", shape)]
    draft = model_of(
        "SPLIT", operands, Operand("FLOAT32", shape), options="SplitOptions", numSplits=0
    )
    draft.tree.signatureDefs[0].inputs[0].name = name
    return draft.content()


def depth_to_space_of_blocks_of_nothing() -> bytes:
    return model_of(
        "DEPTH_TO_SPACE",
        [Operand("FLOAT32", [1, 2, 2, 4])],
        Operand("FLOAT32", [1, 4, 4, 1]),
        options="DepthToSpaceOptions",
        blockSize=0,
    ).content()


def _loop(draft: Draft, condition: int, body: int) -> bytes:
    draft.tree.subgraphs = [draft.main, *(_body(draft.main) for _ in range(2))]
    object_tree.set_options(
        draft.main.operators[0],
        "WhileOptions",
        condSubgraphIndex=condition,
        bodySubgraphIndex=body,
    )
    return draft.content()


def _body(main: SubgraphTree) -> SubgraphTree:
    """Returns a graph that gives back what it is given."""
    body = object_tree.model_tree().subgraphs[0]
    body.tensors = [object_tree.tensor_tree("value", "BOOL", [1])]
    body.inputs = body.outputs = [0]
    return body


def while_in_itself() -> bytes:
    return _loop(model_of("WHILE", [Operand("BOOL", [1])], Operand("BOOL", [1])), 1, 0)


def while_of_a_missing_body() -> bytes:
    return _loop(model_of("WHILE", [Operand("BOOL", [1])], Operand("BOOL", [1])), 1, 99)


def while_without_an_end() -> bytes:
    """Both graphs give back what they are given, which is true."""
    return _loop(model_of("WHILE", [Operand("BOOL", [1])], Operand("BOOL", [1])), 1, 2)


# What is said of a model that only running it shows to be wrong.
REFUSED = "crashes TensorFlow Lite's interpreter|does not take|cannot be run"

# What was reported where, the model, and what is said of it.
REPORTS: tuple[tuple[str, Callable[[], bytes], str], ...] = (
    (
        "tensorflow#115308: the root lies outside the file",
        lambda: b"\x18\x00\x00\x00TFL3",
        "lead outside the file or nowhere",
    ),
    ("LiteRT#10080: cut in the middle", lambda: net("dense")[: len(net("dense")) // 2], "outside"),
    (
        "tensorflow#61902: a convolution with stride 0",
        lambda: edited("hard_swish", _set_option("CONV_2D", "strideW", 0)),
        r"operator #\d+ of subgraph 0, CONV_2D, has strideW 0",
    ),
    (
        "tensorflow#61905: a stride that is 0 in 16 bits",
        lambda: edited("depthwise", _set_option("DEPTHWISE_CONV_2D", "strideW", 0x10000)),
        "DEPTHWISE_CONV_2D, has strideW 65536",
    ),
    (
        "tensorflow#60622, CVE-2023-27579: a filter of no channels",
        lambda: edited("hard_swish", _filter_of_no_channels),
        "CONV_2D, has a filter of nothing",
    ),
    ("tensorflow#124982: reshaped to more axes", reshape_to_more_axes, REFUSED),
    (
        "CVE-2020-15211: an output that is left out",
        lambda: edited("hard_swish", _output_left_out),
        "refers to missing tensors",
    ),
    (
        "CVE-2020-15209: an operator that writes what is stored",
        lambda: edited("dense", _weights_written),
        "FULLY_CONNECTED, writes tensor",
    ),
    (
        "CVE-2021-37688: weights that have no values",
        lambda: edited("dense", _weights_without_values),
        r"reads tensor \d+, which has no value",
    ),
    (
        "tensorflow#111458: a size of INT_MAX",
        lambda: edited("hard_swish", _shape_of(2**31 - 1, 2**31 - 1, 2**31 - 1)),
        "more than 2147483647 elements",
    ),
    (
        "tflite-micro#3552: sizes whose product is 0 in 32 bits",
        lambda: edited("hard_swish", _shape_of(65536, 65536)),
        "more than 2147483647 elements",
    ),
    (
        "tensorflow#112657: a negative size",
        lambda: edited("hard_swish", _shape_of(-7)),
        "has a negative size",
    ),
    (
        "tflite-micro#3582: scales along an axis that is not there",
        lambda: edited("hard_swish", _scales_of_too_many_channels),
        "scales along axis 17 of 4",
    ),
    (
        "a buffer beyond the file",
        lambda: edited("dense", _buffer_far_away),
        r"buffer \d+ ends at byte",
    ),
    ("CVE-2021-29591: a loop that is its own body", while_in_itself, "subgraph 0 calls itself"),
    ("a loop whose body is missing", while_of_a_missing_body, "calls subgraph 99"),
    ("CVE-2021-37687: GATHER before the beginning", gather_before_the_beginning, REFUSED),
    ("tensorflow#51324: GATHER_ND before the beginning", gather_nd_before_the_beginning, REFUSED),
    ("CVE-2020-15212: SEGMENT_SUM before the beginning", segment_sum_before_the_beginning, REFUSED),
    ("CVE-2020-15214: SCATTER_ND far away", scatter_far_away, REFUSED),
    ("tensorflow#111637: TILE past 32 bits", tile_past_32_bits, REFUSED),
    ("CVE-2021-37685: EXPAND_DIMS at a negative axis", expand_dims_at_a_negative_axis, REFUSED),
    ("CVE-2021-29599: SPLIT in no parts", split_in_no_parts, REFUSED),
    (
        "CVE-2021-29595: DEPTH_TO_SPACE of blocks of nothing",
        depth_to_space_of_blocks_of_nothing,
        "has blockSize 0",
    ),
)
