"""What is shown of a run while it goes on: on a terminal, in a file, with -q and with -v."""

import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.pipelines.cli.results import RESULT
from tests.pipelines.cli.terminals import Terminal, lines_of, terminal
from tfx_tflite.components.progress import (
    CALIBRATED,
    CANDIDATES,
    EXAMPLES,
    PREDICTED,
    TRAINED,
    VARIABLE,
    Step,
    tell,
)
from tfx_tflite.pipelines.cli.console import RunPrinter
from tfx_tflite.pipelines.cli.log_lines import as_shown
from tfx_tflite.pipelines.cli.running_stage import Counts, counted, running_line
from tfx_tflite.pipelines.cli.verbosity import Verbosity

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits before a terminal that can do everything."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("CI", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)


def counts_of(*steps: Step) -> Counts:
    with counted() as counts:
        for step in steps:
            tell(step)
        counts.poll()
    return counts


def line(counts: Counts, width: int = 100) -> str:
    return running_line("Trainer", 12.34, counts, width).plain


def test_a_stage_shows_how_long_it_runs():
    assert re.fullmatch(r"\S Trainer {20}12\.3 s", line(Counts()))


def test_a_stage_shows_how_much_is_done_of_how_much():
    counts = counts_of(Step(TRAINED, of=300, is_first=True), Step(TRAINED, 100), Step(TRAINED, 50))
    assert line(counts).endswith(" s  ━━━━━━━━━━──────────  150/300 training steps")


def test_a_stage_shows_how_much_is_done_if_it_is_not_known_of_how_much():
    assert line(counts_of(Step(PREDICTED, 1234))).endswith(" s  1,234 examples predicted")


def test_the_size_of_a_split_is_known_to_later_stages():
    with counted() as counts:
        tell(Step(EXAMPLES, of=449, split="eval"))
        tell(Step(EXAMPLES, of=1348, split="train"))
        counts.restart()
        assert counts.what == ""
        tell(Step(PREDICTED, split="eval", is_first=True))
        tell(Step(PREDICTED, 32))
        counts.poll()
    assert line(counts).endswith("32/449 examples predicted")


def test_what_is_counted_anew_begins_at_nothing():
    counts = counts_of(
        Step(TRAINED, of=10, is_first=True), Step(TRAINED, 10), Step(TRAINED, is_first=True)
    )
    assert line(counts).endswith(" s  0 training steps")


def test_work_that_is_done_twice_is_not_more_than_all():
    counts = counts_of(Step(CALIBRATED, of=20), Step(CALIBRATED, 20), Step(CALIBRATED, 5))
    assert line(counts).endswith("━  20/20 examples calibrated")


@pytest.mark.parametrize(
    ("seconds", "done", "shown"),
    [
        (2.0, 100, "100/400 examples predicted"),
        (10.0, 100, "100/400 examples predicted, 30 s left"),
        (61.0, 100, "100/400 examples predicted, 3 min 3 s left"),
        (10.0, 400, "400/400 examples predicted"),
    ],
)
def test_a_stage_shows_how_long_the_rest_takes_once_that_can_be_said(
    tmp_path: Path, seconds: float, done: int, shown: str
):
    now = 0.0
    path = tmp_path / "progress"
    counts = Counts(path, lambda: now)
    path.write_bytes(Step(PREDICTED, of=400, is_first=True).to_line())
    counts.poll()
    now = seconds
    path.write_bytes(path.read_bytes() + Step(PREDICTED, done).to_line())
    counts.poll()
    assert line(counts).endswith(f"  {shown}")


def rounds(*steps: Step) -> Counts:
    first = Step(CANDIDATES, 3, of=40, note="equalization (best so far: weights)")
    return counts_of(first, *steps)


def test_rounds_show_how_they_stand_beside_what_is_counted_in_them():
    shown = line(rounds(Step(PREDICTED, 7)), 160)
    note = "3 of at most 40 candidates: equalization (best so far: weights)"
    assert shown.endswith(f" s  {note}  7 examples predicted")


def test_the_next_round_begins_with_nothing_counted():
    counts = rounds(Step(PREDICTED, 7), Step(CANDIDATES, 4, of=40, note="bias correction"))
    assert line(counts, 160).endswith(" s  4 of at most 40 candidates: bias correction")


def test_rounds_show_how_long_they_take_at_most(tmp_path: Path):
    now = 0.0
    path = tmp_path / "progress"
    counts = Counts(path, lambda: now)
    path.write_bytes(Step(CANDIDATES, 0, of=40, note="plain").to_line())
    counts.poll()
    now = 10.0
    path.write_bytes(path.read_bytes() + Step(CANDIDATES, 10, of=40, note="ranges").to_line())
    counts.poll()
    assert line(counts).endswith("10 of at most 40 candidates: ranges, at most 30 s left")
    now = 10.5
    assert counts.most_seconds_left == 29.5
    # A round that takes longer than those before takes nothing from the rest.
    now = 60.0
    assert counts.most_seconds_left == 29.0


@pytest.mark.parametrize("width", range(13, 120))
def test_rounds_are_one_line_at_any_width(width: int):
    assert cell_len(line(rounds(Step(PREDICTED, 7, of=9)), width)) <= width


@pytest.mark.parametrize("width", range(13, 100))
def test_a_stage_is_one_line_at_any_width(width: int):
    counts = counts_of(Step(PREDICTED, 123_456, of=1_234_567))
    shown = line(counts, width)
    assert cell_len(shown) <= width
    # Figures are shown whole or not at all.
    assert "12.3 s" in shown and ("123,456/1,234,567" in shown) == ("," in shown)


def test_lines_that_are_half_written_are_read_when_they_are_whole(tmp_path: Path):
    path = tmp_path / "progress"
    whole = Step(PREDICTED, 5).to_line()
    counts = Counts(path)
    counts.poll()
    path.write_bytes(whole + whole[:9])
    counts.poll()
    assert counts.done == 5
    with path.open("ab") as file:
        file.write(whole[9:] + b"of somebody else\n")
    counts.poll()
    assert counts.done == 10


def test_counts_are_told_while_a_run_is_watched_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with counted():
        assert Path(os.environ[VARIABLE]).parent.parent == tmp_path
    assert VARIABLE not in os.environ and list(tmp_path.iterdir()) == []


def test_a_run_that_finds_no_room_for_counts_shows_none(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with counted() as counts:
        tell(Step(PREDICTED, 1))
        counts.poll()
    assert counts.what == ""


def on_a_terminal(columns: int = 100, **settings: object) -> str:
    """Returns what a terminal gets of two stages, the first of which counts examples."""
    with terminal(columns) as (stream, screen):
        printer = RunPrinter(stream, **settings)
        with printer.watching(Path(os.devnull)):
            printer.started("Evaluator")
            tell(Step(PREDICTED, 449, of=449))
            if printer._stage is not None:
                wait_for(lambda: "449/449" in screen.so_far())
            printer.ended("Evaluator", 1.5)
            printer.started("Pusher")
            printer.ended("Pusher", 0.5, "unchanged, from cache")
    return screen.so_far()


LINES = [
    "  Evaluator                   1.5 s",
    "  Pusher                      0.5 s  unchanged, from cache",
]


def last_drawn(text: str) -> list[str]:
    """Returns the lines that are left: each is what was printed since it was last erased."""
    drawn = [re.split(r"\x1b\[2K", part)[-1] for part in text.split("\n")]
    return [line for line in lines_of("\n".join(drawn)) if line]


def test_on_a_terminal_a_stage_is_drawn_again_and_is_one_line_in_the_end():
    text = on_a_terminal()
    assert "⠋ Evaluator" in text and "449/449 examples predicted" in text
    assert [line for line in last_drawn(text) if "⠋" not in line and "/" not in line] == LINES
    # A process that is killed would leave it hidden.
    assert "\x1b[?25" not in text


@pytest.mark.parametrize(
    ("name", "value"), [("TERM", "dumb"), ("TERM", "unknown"), ("CI", "true"), ("CI", "1")]
)
def test_where_nobody_looks_or_no_line_can_be_erased_a_stage_is_a_line(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    text = on_a_terminal()
    assert text.replace("\r\n", "\n").splitlines() == LINES
    assert VARIABLE not in os.environ


def test_no_color_leaves_no_colours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(100) as (stream, screen):
        printer = RunPrinter(stream)
        with printer.watching(Path(os.devnull)):
            printer.started("Evaluator")
            printer.ended("Evaluator", 1.5)
        printer.result(RESULT)
    colours = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-9]|4[0-9]|9[0-7])m")
    assert not colours.search(screen.so_far()) and "⠋" in screen.so_far()


def test_in_a_file_a_stage_is_a_line_and_nothing_is_a_command():
    stream = io.StringIO()
    printer = RunPrinter(stream)
    with printer.watching(Path(os.devnull)):
        printer.started("Evaluator")
        printer.ended("Evaluator", 1.5)
        printer.started("Pusher")
        printer.ended("Pusher", 0.5, "unchanged, from cache")
    assert stream.getvalue().splitlines() == LINES


def test_a_stage_that_is_interrupted_leaves_no_half_line():
    with terminal(100) as (stream, screen):
        printer = RunPrinter(stream)
        with pytest.raises(KeyboardInterrupt), printer.watching(Path(os.devnull)):
            printer.started("loading TFX")
            wait_for(lambda: "loading TFX" in screen.so_far())
            raise KeyboardInterrupt
        printer.say("the next line")
    assert screen.so_far().endswith("\x1b[2Kthe next line\r\n")


def test_a_stage_is_drawn_in_the_width_that_the_terminal_has_by_now():
    with terminal(120) as (stream, screen):
        printer = RunPrinter(stream)
        with printer.watching(Path(os.devnull)):
            printer.started("Evaluator")
            tell(Step(PREDICTED, 1, of=449))
            wait_for(lambda: "1/449 examples predicted" in screen.so_far())
            screen.resize(50)
            before = len(screen.so_far())
            wait_for(lambda: "1/449\r" in screen.so_far()[before:])
            printer.ended("Evaluator", 1.5)


def test_a_run_goes_on_when_its_terminal_is_gone():
    made = Terminal(100)
    stream = os.fdopen(os.dup(made.descriptor), "w", encoding="utf-8")
    printer = RunPrinter(stream)
    with printer.watching(Path(os.devnull)):
        printer.started("Evaluator")
        os.close(made._ours)
        printer.ended("Evaluator", 1.5)
        printer.started("Pusher")
        printer.ended("Pusher", 1.5)
    printer.result(RESULT)
    os.close(made.descriptor)


def test_the_quiet_are_told_the_verdict_alone():
    stream = io.StringIO()
    printer = RunPrinter(stream, verbosity=Verbosity.VERDICT)
    with printer.watching(Path(os.devnull)):
        printer.started("Evaluator")
        printer.ended("Evaluator", 1.5)
    printer.result(RESULT)
    refused = [f"refused: {reason}" for reason in RESULT.reasons]
    assert stream.getvalue().splitlines() == [*refused, "nothing was pushed"]


def test_the_verbose_see_the_log_as_it_is_written(tmp_path: Path):
    log = tmp_path / "log"
    log.touch()
    with terminal(100) as (stream, screen):
        printer = RunPrinter(stream, verbosity=Verbosity.LOG)
        with printer.watching(log), log.open("a") as file:
            printer.started("Trainer")
            print("Epoch 1/1", file=file, flush=True)
            print("half", end="", file=file, flush=True)
            wait_for(lambda: "Epoch 1/1" in screen.so_far())
            assert "half" not in screen.so_far()
            print(" a line \x1b[2J", file=file, flush=True)
            wait_for(lambda: r"half a line \x1b[2J" in screen.so_far())
            printer.ended("Trainer", 1.5)
            print("the last one has no end", end="", file=file)
    lines = [line for line in lines_of(screen.so_far()) if "⠋" not in line]
    assert lines[-1] == "the last one has no end"


def test_all_of_the_log_is_shown_in_its_order(tmp_path: Path):
    log, stream = tmp_path / "log", io.StringIO()
    log.touch()
    with RunPrinter(stream, verbosity=Verbosity.LOG).watching(log), log.open("a") as file:
        for number in range(5000):
            print(f"line {number}", file=file, flush=True)
    assert stream.getvalue().splitlines() == [f"line {number}" for number in range(5000)]


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("plain", "plain"),
        ("1/300\r2/300\r300/300", "300/300"),
        ("ends as on Windows\r", "ends as on Windows"),
        ("12\b\b13", "1213"),
    ],
)
def test_a_line_that_was_written_over_is_shown_as_it_was_in_the_end(written: str, seen: str):
    assert as_shown(written) == seen


def test_the_quiet_are_told_how_to_approve_what_waits():
    stream = io.StringIO()
    waits = {"version": 7, "waits_for_approval": True, "approve_command": "tfx-tflite approve to 7"}
    result = RESULT.model_copy(
        update={"status": "pushed", "reasons": (), "pushed_to": "to/7", **waits}
    )
    RunPrinter(stream, verbosity=Verbosity.VERDICT).result(result)
    assert stream.getvalue().splitlines() == [
        "pushed to to/7",
        "version 7 waits for approval: tfx-tflite approve to 7",
    ]
