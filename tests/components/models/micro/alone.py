"""TensorFlow Lite Micro's interpreter on its own, without anything of this project.

`python alone.py MODEL INPUTS OUTPUTS` runs a model with one input and one output on real values,
one example after the other: INPUTS and OUTPUTS are files of NumPy. It prints the smallest arena, in
bytes, found by halving; each size is tried in a process of its own, as one that is much too small
ends it.
"""

import faulthandler
import os
import sys
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime

_ENOUGH, _GRAIN = 1 << 22, 16


def outputs(content: bytes, reals: np.ndarray) -> np.ndarray:
    """Returns the outputs for real inputs of shape (examples, ...), in the model's own type."""
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=_ENOUGH)
    detail = interpreter.get_input_details(0)
    values = reals.astype(np.float32)
    if detail["dtype"] != np.float32:
        [scale] = detail["quantization_parameters"]["scales"]
        [zero_point] = detail["quantization_parameters"]["zero_points"]
        limits = np.iinfo(detail["dtype"])
        steps = values / np.float32(scale)
        # Halves are rounded away from zero, as C's round does.
        steps = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + zero_point
        values = np.clip(steps, limits.min, limits.max).astype(detail["dtype"])
    found = []
    for row in values:
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0).copy())
    return np.concatenate(found)


def is_enough(content: bytes, arena_size: int) -> bool:
    """Returns whether the model can be loaded with so much memory."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # An arena that is much too small ends the child, which is no news.
            faulthandler.disable()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            runtime.Interpreter.from_bytes(content, arena_size=arena_size)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def smallest_arena(content: bytes) -> int:
    """Returns the smallest arena, in bytes: a multiple of what the runtime aligns it to."""
    too_small, enough = 0, _ENOUGH // _GRAIN
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if is_enough(content, middle * _GRAIN):
            enough = middle
        else:
            too_small = middle
    return enough * _GRAIN


if __name__ == "__main__":
    model = Path(sys.argv[1]).read_bytes()
    np.save(sys.argv[3], outputs(model, np.load(sys.argv[2])))
    print(smallest_arena(model))
