"""How every process of this package ends: the command line, containers, and children.

A library may kill a process that has done its work. TensorFlow's plugin for S3 did: a destructor of
its C++ parts aborted (SIGABRT) when the interpreter was taken down, and a push that had succeeded
counted as failed. So nothing here lets the interpreter be taken down. A process ends as the
children of the standard library's `multiprocessing` do (`Process._bootstrap`,
`popen_fork.Popen._launch`): it waits for its threads, runs what was registered with `atexit`,
flushes, and is gone. Libraries need the second: Beam stops its job servers there, and TensorFlow's
autograph removes its files, if not what Python compiled them to, which is removed here.

Importing this loads neither TensorFlow nor TFX.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# What a shell reports of a process that Ctrl-C has ended.
_INTERRUPTED = 130
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
# man 5 proc: the highest /proc/PID/oom_score_adj.
_FIRST_TO_BE_KILLED = 1000
# tensorflow/python/autograph/pyct/loader.py
_AUTOGRAPHS_MODULES = "__autograph_generated_file"


def run_to_the_end(main: Callable[[], object]) -> NoReturn:
    """Runs the main function of a process and ends the process.

    Args:
        main: Is called once. What it raises is the exit code as Python has it: that of SystemExit,
            1 for another exception, after its traceback; and 0 if it raises nothing.
    """
    end_process(_exit_code_of(main))


def end_process(code: int) -> NoReturn:
    """Ends this process for good, after its threads and its exit handlers, and with all it printed.

    Args:
        code: The exit code.
    """
    try:
        # Also runs what pools of threads have registered, which atexit does not.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _remove_bytecode_of_autograph()
        _flush()
    finally:
        os._exit(code)


def end_with(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Has the kernel end this process with its parent, whatever ends that.

    Args:
        parent: The parent's id.
        by: The signal that this process is sent then.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    # The parent may have been gone before the kernel was told.
    if os.getppid() != parent:
        os._exit(1)


def stand_in_when_memory_runs_out() -> None:
    """Makes this process, not its parent, the one that the kernel's OOM killer picks."""
    # If it may not be written, or is not there, nothing is lost.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_BE_KILLED), encoding="ascii")


def _exit_code_of(main: Callable[[], object]) -> int:
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        with contextlib.suppress(OSError):
            print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _remove_bytecode_of_autograph() -> None:
    """Removes the bytecode of autograph's modules, in a folder beside them."""
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name.startswith(_AUTOGRAPHS_MODULES) and spec is not None and spec.cached:
            bytecode = Path(spec.cached)
            # There may be none, and other processes may have theirs in the same folder.
            with contextlib.suppress(OSError):
                bytecode.unlink(missing_ok=True)
                bytecode.parent.rmdir()


def _flush() -> None:
    """Writes out what Python and C libraries hold back; a full disk does not change the code."""
    for stream in (sys.stdout, sys.stderr):
        # A stream may also be closed, or never have been there.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    ctypes.CDLL(None).fflush(None)
