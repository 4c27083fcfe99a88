"""Whole runs of digits as a person has them, on a pseudo-terminal."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.pipelines.cli.terminals import Terminal, lines_of

PATIENCE = 600.0
CTRL_C = b"\x03"


class Session:
    """A run on a terminal of its own.

    Args:
        root: What it writes is below it.
        options: More of the command line.
    """

    def __init__(self, root: Path, *options: str):
        self.screen = Terminal(columns=100)
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("CI", "NO_COLOR", "COLUMNS"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tfx_tflite", "run", str(CONFIGS / "digits.yaml")),
                *("--set", f"root={root}/runs", "--set", f"push.destination={root}/pushed"),
                *options,
            ],
            stdin=self.screen.descriptor,
            stdout=self.screen.descriptor,
            stderr=self.screen.descriptor,
            env=environment,
            # Its terminal is the one that Ctrl-C comes from.
            preexec_fn=take_terminal,
        )

    def wait_for(self, text: str) -> None:
        self._wait(lambda: text in self.screen.so_far() or self.process.poll() is not None)
        assert text in self.screen.so_far()

    def press(self, key: bytes) -> None:
        os.write(self.screen._ours, key)

    def ended(self) -> str:
        """Returns all that was printed, when the run has ended."""
        self.process.wait(PATIENCE)
        self.screen.close()
        return self.screen.so_far()

    def _wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.screen.so_far()[-2000:]
            time.sleep(0.02)


def take_terminal() -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def session(root: Path, *options: str) -> Iterator[Session]:
    made = Session(root, *options)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The root of a run that pushes, and all that it printed."""
    root = tmp_path_factory.mktemp("whole")
    with session(root) as run:
        text = run.ended()
    assert run.process.returncode == 0, text[-3000:]
    return root, text


def test_training_calibration_and_prediction_show_how_far_they_are(whole):
    _, text = whole
    for count in (
        "0/300 training steps",
        "300/300 training steps",
        "0/200 examples calibrated",
        "0/449 examples predicted",
        "449/449 examples predicted",
    ):
        assert count in text, count


def test_each_stage_is_one_line_in_the_end_below_where_the_log_is(whole):
    root, text = whole
    left = [re.split(r"\x1b\[2K", part)[-1] for part in text.split("\n")]
    lines = [line for line in lines_of("\n".join(left)) if line and line[0] < "\u2800"]
    assert lines[0] == "digits: int8"
    log = Path(lines[1].removeprefix("log").strip())
    assert log.parent == root / "runs" / "logs" and log.is_file()
    end = next(place for place, line in enumerate(lines) if line.startswith("metric "))
    stages = [line.split()[0] for line in lines[2:end]]
    assert stages[0] == "loading" and stages[-1] == "Pusher" and len(stages) == 9
    assert all(re.search(r"\d\.\d s$", line) for line in lines[2:end])
    assert lines[-1].endswith(" s in all")


def test_the_cursor_is_never_hidden(whole):
    assert "\x1b[?25" not in whole[1]


def test_the_verbose_see_the_log_and_the_same_stages(tmp_path: Path):
    with session(tmp_path, "-v") as run:
        run.wait_for("SchemaGen")
        run.press(CTRL_C)
        text = run.ended()
    lines = lines_of(text)
    log = Path(next(line for line in lines if line.startswith("log ")).split()[1])
    assert any(line.startswith("  StatisticsGen ") and line.endswith(" s") for line in lines)
    assert log.read_text().splitlines()[0] in text


def test_ctrl_c_leaves_no_half_line_and_the_next_run_goes_on(tmp_path: Path):
    with session(tmp_path) as run:
        run.wait_for("loading TFX")
        run.press(CTRL_C)
        text = run.ended()
    assert run.process.returncode == 1
    last = text.rpartition("\x1b[2K")[2]
    assert re.fullmatch(
        r"\r?error: interrupted; run again [^\r\n]*\r\n  the log has more: \S+\r\n", last
    )
    assert text.endswith("\r\n") and "Traceback" not in text
