"""The working memory of a model on TensorFlow Lite Micro, found by trying sizes.

The runtime plans where tensors go while it loads a model, and needs memory for the plan itself at
the end of the arena, which is given back. So the smallest arena is larger than what its recorder
counts as used afterwards, and only trying tells how much. All sizes are tried in one copy of the
process, as long as none of them ends it.
"""

import mmap
import re

import numpy as np

from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.live_memory import memory_steps
from tfx_tflite.components.models.micro import generous_arena, interpreter
from tfx_tflite.components.models.process_copy import in_a_copy, told_by_a_copy
from tfx_tflite.components.models.target_facts import Arena, Source
from tfx_tflite.components.versions import MICRO

# What the runtime aligns the arena to: smaller steps make no difference.
_GRAIN = 16
_CAVEAT = (
    "pointers have 64 bits here and 32 on most microcontrollers, where the runtime's records are "
    "smaller; kernels of CMSIS-NN take scratch of another size"
)
# Seconds that trying all sizes may take.
_TIME_LIMIT = 120.0
_RECORDED = re.compile(r"Arena allocation (\w+) (\d+) bytes")


def arena(content: bytes) -> Arena:
    """Returns the smallest arena with which a model can be loaded.

    Args:
        content: The flatbuffer.

    Raises:
        ValueError: The runtime does not take the model, or takes very long for it.
        ModelError: The runtime is not installed.
    """
    enough = -(-generous_arena(content) // _GRAIN)
    used = _recorded(content, enough)
    # The recorder is a help, and the search does without it.
    search = _Search(content, enough, max(used.get("total", 0) // _GRAIN - 1, 0))
    search.run()
    return Arena(
        size_bytes=search.enough * _GRAIN,
        head_bytes=used.get("head"),
        tail_bytes=used.get("tail"),
        source=Source.here(MICRO, "exact", _CAVEAT),
        steps=memory_steps(read_graph(content)),
    )


def _recorded(content: bytes, grains: int) -> dict[str, int]:
    """Returns what the runtime's recorder says is used: `total`, `head` and `tail`, in bytes.

    Args:
        content: The flatbuffer.
        grains: An arena that is enough.
    """

    def record() -> None:
        interpreter(content, grains * _GRAIN).print_allocations()

    _, lines = told_by_a_copy(record, _TIME_LIMIT)
    found = _RECORDED.findall("\n".join(lines))
    return {part: int(size) for part, size in found}


class _Search:
    """A search for the smallest arena, in memory that is shared with copies of this process.

    All sizes are in grains.

    Args:
        content: The flatbuffer.
        enough: A size that is enough.
        guess: A size that is probably too small, by little.
    """

    def __init__(self, content: bytes, enough: int, guess: int):
        self._content = content
        # The largest size that is too small, the one that is tried, the smallest that is enough.
        self._sizes = np.frombuffer(mmap.mmap(-1, 24), np.int64)
        self._sizes[:] = (0, guess, enough)

    @property
    def enough(self) -> int:
        """The smallest size that is known to be enough."""
        return int(self._sizes[2])

    @property
    def _is_over(self) -> bool:
        too_small, _, enough = self._sizes
        return bool(enough - too_small <= 1)

    def run(self) -> None:
        """Tries sizes until the smallest is known."""
        while not self._is_over:
            ended = in_a_copy(self._try_sizes, _TIME_LIMIT)
            if not ended.in_time:
                raise ValueError(
                    f"TensorFlow Lite Micro takes more than {_TIME_LIMIT:.0f} s to load it with "
                    "arenas of some sizes"
                )
            if not ended.well:
                # A size that ends the process is too small. The next is tried in a copy of its own.
                self._note(False)

    def _try_sizes(self) -> None:
        while not self._is_over:
            self._note(self._is_enough(int(self._sizes[1])))

    def _is_enough(self, size: int) -> bool:
        try:
            interpreter(self._content, size * _GRAIN)
        except RuntimeError:
            return False
        return True

    def _note(self, is_enough: bool) -> None:
        """Notes what came of the size that is tried, and which is next."""
        size = self._sizes[1]
        self._sizes[2 if is_enough else 0] = size
        self._sizes[1] = (self._sizes[0] + self._sizes[2]) // 2
