"""The smallest arena of a model on TensorFlow Lite Micro, found with its Python package alone.

What this project says of an arena is compared with it. Run it on a file as `python -m
tests.components.models.micro.bisection MODEL.tflite`.
"""

import faulthandler
import os
import sys
from pathlib import Path

GRAIN = 16


def loads(content: bytes, size: int) -> bool:
    """Returns whether a child process can load a model with an arena of a size, in bytes."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # An arena that is much too small ends the child, which is no news.
            faulthandler.disable()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            from tflite_micro.python.tflite_micro import runtime

            runtime.Interpreter.from_bytes(content, arena_size=size)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def smallest_arena(content: bytes, largest: int = 2**18) -> int:
    """Returns the smallest arena that a model can be loaded with, in bytes.

    Args:
        content: The flatbuffer.
        largest: One that is enough.
    """
    too_small, enough = 0, largest // GRAIN
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if loads(content, middle * GRAIN):
            enough = middle
        else:
            too_small = middle
    return enough * GRAIN


if __name__ == "__main__":
    print(smallest_arena(Path(sys.argv[1]).read_bytes()))
