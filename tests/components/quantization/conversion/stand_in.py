"""The converter's real child process, with something else than TensorFlow behind it.

Run as `python stand_in.py BEHAVIOUR PIPE PARENT`; imports are quick.
"""

import ctypes
import mmap
import os
import signal
import sys
import time
import types
from pathlib import Path

from tfx_tflite.components.quantization import conversion
from tfx_tflite.components.quantization.conversion import child_main, messages
from tfx_tflite.components.quantization.conversion.messages import Request


def abort(request: Request) -> bytes:
    os.abort()


def abort_with_a_message(request: Request) -> bytes:
    print('loc(fused["Conv2D:", "net/conv/Conv2D@f"]): error: bad', flush=True)
    print("LLVM ERROR: Failed.", flush=True)
    os.abort()


def abort_at_int16(request: Request) -> bytes:
    if request.recipe.scheme.value == "int16x8":
        os.abort()
    return pid(request)


def exit_at_int16(request: Request) -> bytes:
    if request.recipe.scheme.value == "int16x8":
        os._exit(1)
    print("error: of the first request", flush=True)
    return b""


def read_at_null(request: Request) -> bytes:
    return ctypes.string_at(0)


def exit_3(request: Request) -> bytes:
    os._exit(3)


def kill_itself(request: Request) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def raise_an_error(request: Request) -> bytes:
    raise ValueError("at /tmp/abc/x.py")


def ask_for_too_much(request: Request) -> bytes:
    return bytes(bytearray(1 << 60))


def sleep(request: Request) -> bytes:
    time.sleep(600)
    return b""


def loop(request: Request) -> bytes:
    print(f"pid {os.getpid()}", flush=True)
    while True:
        pass


def take_memory(request: Request) -> bytes:
    kept = []
    while True:
        kept.append(b"x" * (8 << 20))
        time.sleep(0.005)


def reserve_memory(request: Request) -> bytes:
    with mmap.mmap(-1, 4 << 30):
        time.sleep(0.5)
    return b"fine"


def pid(request: Request) -> bytes:
    return str(os.getpid()).encode()


def environment(request: Request) -> bytes:
    """Gives what a model would read of it, in whatever way."""
    return Path("/proc/self/environ").read_bytes() + repr(dict(os.environ)).encode()


def fill_the_disk(request: Request) -> bytes:
    messages.RESULT = "/dev/full"
    return b"x" * 100_000


def main(behaviour: str, pipe: int, parent: int) -> None:
    for name in ("from_ranges", "stock"):
        setattr(conversion, name, types.ModuleType(name))
        sys.modules[f"{conversion.__name__}.{name}"] = getattr(conversion, name)
    child_main._convert = globals()[behaviour]
    child_main.main(pipe, parent)


def command(behaviour: str) -> tuple[str, ...]:
    """Returns the command line of a child that behaves so."""
    return (sys.executable, "-X", "faulthandler", str(Path(__file__).resolve()), behaviour)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
