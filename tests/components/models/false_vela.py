"""Programs that are started in place of Vela: `python false_vela.py NAME …`, and Vela's arguments.

Some run Vela itself, and then spoil what it has left.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_MODEL = Path("model_vela.tflite")


def hangs() -> None:
    """Does nothing, for long, and has a child that does the same."""
    subprocess.Popen([sys.executable, __file__, "sleeps"])
    sleeps()


def sleeps() -> None:
    time.sleep(600)


def leaves_a_child() -> None:
    subprocess.Popen([sys.executable, __file__, "sleeps"])
    true_vela()


def aborts() -> None:
    print("regor.cpp:161: Assertion `tensor->IsConstant()' failed.", file=sys.stderr)
    os.abort()


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fails() -> None:
    raise AssertionError("no such block")


def takes_all_memory() -> None:
    bytearray(2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def does_nothing() -> None:
    print("done")


def shows_its_environment() -> None:
    print(dict(os.environ), Path.cwd(), file=sys.stderr)
    sys.exit(1)


def true_vela() -> None:
    subprocess.run([sys.executable, "-m", "ethosu.vela", *sys.argv[2:]], check=True)


def cuts_the_model() -> None:
    true_vela()
    _MODEL.write_bytes(_MODEL.read_bytes()[:500])


def empties_the_model() -> None:
    true_vela()
    _MODEL.write_bytes(b"")


def gives_the_model_of_another() -> None:
    true_vela()
    _MODEL.write_bytes(_of_another())


def _of_another() -> bytes:
    return Path(os.environ["FALSE_VELA_OTHER"]).read_bytes()


def _summary() -> Path:
    [file] = Path().glob("*.csv")
    return file


def removes_the_summary() -> None:
    true_vela()
    _summary().unlink()


def empties_the_summary() -> None:
    true_vela()
    _summary().write_text("")


def drops_a_column() -> None:
    true_vela()
    text = _summary().read_text()
    _summary().write_text(text.replace("cycles_total", "cycles_in_all"))


def writes_no_number() -> None:
    true_vela()
    header, row = _summary().read_text().splitlines()
    _summary().write_text(f"{header}\n{row.rpartition(',')[0]},nan\n")


def changes_the_cycles() -> None:
    true_vela()
    header, row = _summary().read_text().splitlines()
    _summary().write_text(f"{header}\n{row.rpartition(',')[0]},1\n")


def writes_bytes_that_are_no_text() -> None:
    true_vela()
    _summary().write_bytes(b"\xff\xfe\x00,")


PROGRAMS: dict[str, Callable[[], None]] = {
    name: found for name, found in globals().items() if callable(found) and name[0] != "_"
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]]()
