"""The working memory of a TensorFlow Lite model, beside the model file itself."""

from collections.abc import Mapping

import numpy as np

from tfx_tflite.components.models.runtime import allocate, open_interpreter
from tfx_tflite.components.versions import Kernels


def arena_bytes(content: bytes, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Returns how much memory the tensors of one inference take, in bytes.

    Those are activations and the kernels' scratch, where TensorFlow Lite's planner has laid them
    out: memory that several share counts once, and weights that stay in the file do not count. It
    is measured with the builtin kernels, as delegates plan memory of their own; a microcontroller's
    runtime has other kernels, so its arena differs somewhat.

    Args:
        content: The flatbuffer.
        shapes: Of an example by input name, for free axes; see `runtime.allocate`.
    """
    interpreter = open_interpreter(content, Kernels.BUILTIN)
    allocate(interpreter, shapes)
    file_start = _address(np.frombuffer(content, np.uint8))
    spans = []
    for detail in interpreter.get_tensor_details():
        try:
            values = interpreter.tensor(detail["index"])()
        except ValueError:  # A tensor that no kernel needed memory for.
            continue
        start = _address(values)
        if not file_start <= start < file_start + len(content):
            spans.append((start, start + values.nbytes))
    return _covered(spans)


def _address(values: np.ndarray) -> int:
    return int(values.__array_interface__["data"][0])


def _covered(spans: list[tuple[int, int]]) -> int:
    """Returns how many bytes lie in at least one of some (start, end) spans."""
    covered = reached = 0
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return covered
