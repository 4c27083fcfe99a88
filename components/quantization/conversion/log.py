"""What a log of the TensorFlow Lite converter says about why and where it failed.

MLIR prints `loc(…): error: …` with a nested location, of which the model's author knows one part:
the layer's name. The kind of the operator stands beside it (`"Conv2D:"`) or in the message
(`'tfl.conv_2d' op …`).
"""

import re
from dataclasses import dataclass

_LONGEST_MESSAGE = 300
_TELLING = re.compile(
    r"LLVM ERROR: |\berror: |\w+Error: |Check failed: |terminate called|what\(\): |^F\d{4} "
)
# TensorFlow looks for a GPU, which the converter does not use,
# and 2.21 calls it an error if there is none.
_OF_A_GPU = re.compile(r"\bcuda\w*\.cc:\d+\] ")
_MLIR_ERROR = re.compile(r"^(?:<unknown>:0: )?(?P<location>.*?):? ?\berror: (?P<message>.+)$")
# The converter hands locations over as a "Kind:" and a "layer/name@function"; a quoted name that a
# number follows is a line of Python.
_QUOTED = re.compile(r'"([^"]*)"(:\d+)?')
_KIND = re.compile(r"[A-Z]\w*:")
# The first frame of the stack that Python's faulthandler appends.
_FATAL = "Fatal Python error: "
_FRAME = re.compile(r'^  File "(?:[^"]*/)?([^"/]+)", line \d+ in (\w+)', re.MULTILINE)
_KIND_IN_MESSAGE = re.compile(r"'(?:tfl?)\.(\w+)' op")
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/…])/(?:[^\s/'\":;,]+/)+")


@dataclass(frozen=True)
class Complaint:
    """The last error in a log.

    Attributes:
        message: What is wrong, without locations and absolute paths; empty if nothing is said.
        operator: The kind of the guilty operator, if known.
        layer: The model's own name for where it is, if known.
    """

    message: str = ""
    operator: str | None = None
    layer: str | None = None

    def __str__(self) -> str:
        place = " at ".join(part for part in (self.operator, self.layer) if part)
        return f"{place}: {self.message}" if place else self.message


def last_complaint(log: str) -> Complaint:
    """Returns the last error of LLVM, MLIR, Abseil, C++ or Python in a log, and its place."""
    log, _, stack = log.partition(_FATAL)
    lines = (line.strip() for line in log.splitlines() if not _OF_A_GPU.search(line))
    telling = [line for line in lines if _TELLING.search(line)]
    if not telling:
        frame = _FRAME.search(stack)
        return Complaint(f"no message, in {frame[2]} of {frame[1]}" if frame else "")
    located = [match for match in map(_MLIR_ERROR.match, telling) if match]
    if not located:
        return Complaint(without_paths(telling[-1]))
    error = located[-1]
    message = without_paths(error["message"])
    # LLVM's last words come after the error that led to them.
    if error.string != telling[-1]:
        message = f"{message}; {without_paths(telling[-1])}"
    names = [name for name, line in _QUOTED.findall(error["location"]) if name and not line]
    kinds = [name[:-1] for name in names if _KIND.fullmatch(name)]
    kinds += _KIND_IN_MESSAGE.findall(error["message"])
    layers = [re.split("[@;]", name)[0] for name in names if not name.endswith(":")]
    return Complaint(message, next(iter(kinds), None), next(iter(layers), None))


def without_paths(message: str) -> str:
    """Returns a message with absolute paths shortened to their last part, and of bounded length.

    Args:
        message: A line of the converter, which names temporary files and its own sources.
    """
    shorter = _ABSOLUTE_PATH.sub("…/", message.strip())
    return shorter if len(shorter) <= _LONGEST_MESSAGE else f"{shorter[: _LONGEST_MESSAGE - 1]}…"
