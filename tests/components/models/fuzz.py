"""Models whose bytes were damaged, run as an evaluation runs them: figures, or an error of a line.

By hand, for longer than the test suite does:

    python -m tests.components.models.fuzz 5000
"""

import struct
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.components.models.hostile import NETS, net, real_inputs
from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.first_run import check_first_run
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.tflite_model import TFLiteModel

# Seconds that one model may take.
_LONGEST = 20.0
# After how many models what came of them is printed.
_TOLD = 250
_NUMBERS = st.one_of(
    st.sampled_from([-(2**31), -100_000, -2, -1, 0, 1, 2, 255, 65536, 2**31 - 1]),
    st.integers(-3, 300),
)


@st.composite
def flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bits."""
    data = bytearray(content)
    for _ in range(draw(st.sampled_from([1, 1, 2, 5, 40]))):
        data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@st.composite
def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """All after a place, or something in between."""
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.sampled_from([b"", content[at + draw(st.integers(0, 400)) :]]))


@st.composite
def spliced(draw: st.DrawFn, content: bytes) -> bytes:
    """A part of this or of another model in place of another part."""
    other = net(draw(st.sampled_from(NETS)))
    at, size = draw(st.integers(0, len(content))), draw(st.integers(1, 400))
    start = draw(st.integers(0, len(other) - 1))
    return content[:at] + other[start : start + size] + content[at + size :]


@st.composite
def overwritten(draw: st.DrawFn, content: bytes) -> bytes:
    """A few of the numbers that offsets, sizes and indexes are."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) // 4 - 1)) * 4
        data[at : at + 4] = struct.pack("<i", draw(_NUMBERS))
    return bytes(data)


@st.composite
def edited(draw: st.DrawFn, content: bytes) -> bytes:
    """Fields of the object tree, which stays a whole flatbuffer."""
    draft = Graph(content).draft()
    for _ in range(draw(st.integers(1, 3))):
        draw(st.sampled_from(_EDITS))(draw, draft.main)
    try:
        return draft.content()
    except (OverflowError, struct.error, TypeError, ValueError):
        # Nothing that could be written down.
        return content


def _edit_operator(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    operator = draw(st.sampled_from(graph.operators))
    side = draw(st.sampled_from(["inputs", "outputs"]))
    indexes = object_tree.numbers(getattr(operator, side))
    if indexes:
        indexes[draw(st.integers(0, len(indexes) - 1))] = draw(st.integers(-2, len(graph.tensors)))
        setattr(operator, side, draw(st.sampled_from([indexes, indexes[:-1], indexes * 2])))


def _edit_options(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    operator = draw(st.sampled_from(graph.operators))
    fields = (
        [
            name
            for name, value in vars(operator.builtinOptions or ()).items()
            if isinstance(value, int)
        ]
        if operator.builtinOptions
        else []
    )
    if fields:
        setattr(operator.builtinOptions, draw(st.sampled_from(fields)), draw(_NUMBERS))
    else:
        operator.builtinOptionsType = draw(st.integers(0, 130))


def _edit_kind(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    first, second = (draw(st.sampled_from(graph.operators)) for _ in range(2))
    first.opcodeIndex = second.opcodeIndex


def _edit_shape(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    tensor = draw(st.sampled_from(graph.tensors))
    tensor.shape = draw(st.lists(_NUMBERS, max_size=6))
    tensor.shapeSignature = draw(st.sampled_from([None, tensor.shape]))


def _edit_type(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    draw(st.sampled_from(graph.tensors)).type = draw(st.integers(0, 20))


def _edit_buffer(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    first, second = (draw(st.sampled_from(graph.tensors)) for _ in range(2))
    first.buffer = draw(st.sampled_from([0, second.buffer, first.buffer + 1]))


def _edit_scales(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    tensor = draw(st.sampled_from(graph.tensors))
    found = tensor.quantization
    if found is not None and found.scale is not None:
        found.scale = draw(st.sampled_from([[], [0.0], [1e-45], [3e38], [-1.0], [np.nan]]))
        found.quantizedDimension = draw(st.integers(-2, 5))


def _edit_ends(draw: st.DrawFn, graph: object_tree.SubgraphTree) -> None:
    side = draw(st.sampled_from(["inputs", "outputs"]))
    count = len(graph.tensors)
    setattr(graph, side, draw(st.lists(st.integers(-1, count), max_size=3)))


Edit = Callable[[st.DrawFn, object_tree.SubgraphTree], None]
_EDITS: tuple[Edit, ...] = (
    *(_edit_operator, _edit_options, _edit_kind, _edit_shape, _edit_type, _edit_buffer),
    *(_edit_scales, _edit_ends),
)


@st.composite
def models(draw: st.DrawFn) -> tuple[str, bytes]:
    """A real model's name, and its bytes after something was done to them."""
    name = draw(st.sampled_from(NETS))
    damage = draw(st.sampled_from([flipped, cut, spliced, overwritten, edited, edited]))
    return name, draw(damage(net(name)))


class Running:
    """Runs models as an evaluation does, and counts what came of them.

    What passes the check is run again as it is run afterwards, in a copy of its own, so that a
    crash there is told with the bytes that did it.
    """

    def __init__(self) -> None:
        self.counts = Counter[str]()

    def run(self, name: str, content: bytes) -> None:
        """Runs a model; what is raised beside errors for users is raised."""
        inputs = real_inputs(name)
        try:
            check_first_run(content, "F", inputs, _LONGEST)
        except TfxTfliteError as error:
            self._count(error)
            return
        afterwards = in_a_copy(lambda: _use(content, inputs), _LONGEST)
        assert afterwards.in_time and not afterwards.killed_by, afterwards
        assert not afterwards.problem.startswith(_UNEXPECTED), afterwards
        self.counts["refused in words" if afterwards.problem else "runs"] += 1

    def tell(self) -> None:
        """Prints what came of the models so far, every now and then."""
        if self.counts.total() % _TOLD == 0:
            print(described(self.counts), file=sys.stderr, flush=True)

    def _count(self, error: TfxTfliteError) -> None:
        message = str(error)
        assert len(message.splitlines()) == 1, message
        for words in ("not a valid", "crashes", "without an end"):
            if words in message:
                self.counts[words] += 1


_UNEXPECTED = "unexpected: "


def _use(content: bytes, inputs: dict[str, np.ndarray]) -> None:
    try:
        graph = Graph(content)
        assert graph.io is not None and graph.input_ranges() is not None and graph.size_parts()
        TFLiteModel(content).predict(inputs)
    except TfxTfliteError:
        raise
    except BaseException as error:
        raise AssertionError(f"{_UNEXPECTED}{type(error).__name__}: {error}") from error


def described(counts: Counter[str]) -> str:
    """Returns counts in words."""
    found = ", ".join(f"{number:,} {name}" for name, number in counts.most_common())
    return f"{counts.total():,} models: {found}"


def fuzz(examples: int) -> Counter[str]:
    """Runs so many models, and returns how many ran or ended how.

    Args:
        examples: How many.
    """
    running = Running()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(models())
    def run(model: tuple[str, bytes]) -> None:
        running.run(*model)
        running.tell()

    run()
    return running.counts


def main() -> None:
    """Prints what came of as many models as the command line says."""
    start = time.monotonic()
    counts = fuzz(int(sys.argv[1]))
    print(f"{described(counts)}, in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
