"""What a terminal shows of the stage that runs: for how long it runs, and how far it has come."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from tfx_tflite.components.characters import escaped
from tfx_tflite.components.progress import VARIABLE, Step
from tfx_tflite.pipelines.cli.tables import shortened

NAME_WIDTH = 24
_FRAMES = Spinner("dots").frames
_FRAMES_PER_SECOND = 8
_BAR_WIDTH = 20
_BAR, _REST = "━", "─"
# Seconds before which it is not said how many are left.
_TOO_SOON = 3.0
# Cells below which nothing is shown of how rounds stand.
_LEAST_NOTE = 16


@dataclass(frozen=True)
class Rounds:
    """Work in which other things are counted.

    Attributes:
        what: What is done again and again.
        done: How often it was done.
        most: How often at most; None if that is not known.
        note: How it stands.
        began: When the first one began, in seconds.
        told: When that was told, which is when the next one began.
    """

    what: str
    done: int
    most: int | None
    note: str
    began: float
    told: float

    def seconds_left(self, now: float) -> float | None:
        """Returns how long the rest takes if all rounds are needed; None if that is not known."""
        rest = _rest(self.told - self.began, self.done, self.most)
        if rest is None:
            return None
        # The one that runs takes its share at most.
        return rest - min(now - self.told, (self.told - self.began) / self.done)


class Counts:
    """How much of the running stage is done, as its workers tell it.

    Args:
        path: The file that they append to; None if there is none.
        clock: Returns the time in seconds.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.monotonic):
        self._path = path
        self._clock = clock
        self._began = 0.0
        self._read = 0
        self._sizes: dict[str, int] = {}
        self.what = ""
        self.done = 0
        self.total: int | None = None
        self.rounds: Rounds | None = None
        self.job = ""

    def restart(self) -> None:
        """Forgets what was told; another stage begins. The sizes of splits stay known."""
        self.poll()
        self.what, self.done, self.total, self.rounds, self.job = "", 0, None, None, ""

    def poll(self) -> None:
        """Reads what was told since the last time."""
        if self._path is None:
            return
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(end)
            for line in whole.splitlines():
                if (step := Step.parse(line)) is not None:
                    self._take(step)

    def _take(self, step: Step) -> None:
        if step.split is not None and step.of is not None:
            self._sizes[step.split] = step.of
            return
        if step.job is not None:
            self.job = step.job
            return
        if step.note is not None:
            told = self._clock()
            began = told if self.rounds is None else self.rounds.began
            self.rounds = Rounds(step.what, step.more, step.of, step.note, began, told)
            self.what = ""
            return
        if step.is_first or step.what != self.what:
            self.what, self.done, self.total = step.what, 0, None
            self._began = self._clock()
        self.done += step.more
        if step.of is not None:
            self.total = step.of
        if step.split is not None:
            self.total = self._sizes.get(step.split)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on as it went; None if that cannot be said yet."""
        return _rest(self._clock() - self._began, self.done, self.total)

    @property
    def most_seconds_left(self) -> float | None:
        """How long the rest of the rounds takes if all are needed; None if that is not known."""
        return None if self.rounds is None else self.rounds.seconds_left(self._clock())


def _rest(spent: float, done: int, total: int | None) -> float | None:
    """Returns how many seconds the rest takes; None if that cannot be said yet."""
    if not total or not 0 < done < total or spent < _TOO_SOON:
        return None
    return spent * (total - done) / done


@contextlib.contextmanager
def counted() -> Iterator[Counts]:
    """Yields counts that workers of this machine tell while the block runs."""
    with contextlib.ExitStack() as stack:
        path: Path | None = None
        # If there is no room for the file, a run shows no counts.
        with contextlib.suppress(OSError):
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfx-tflite-"))
            path = Path(directory) / "progress"
            path.touch()
            os.environ[VARIABLE] = str(path)
            stack.callback(os.environ.pop, VARIABLE)
        yield Counts(path)


class RunningStage:
    """A line that is drawn again and again while a stage runs, and is gone when it has ended.

    Args:
        console: The terminal.
        width: Returns how many cells it has now.
        counts: How much is done.
    """

    def __init__(self, console: Console, width: Callable[[], int], counts: Counts):
        self._console = console
        self._width = width
        self._counts = counts
        self._name = ""
        self._start = 0.0
        self._live: Live | None = None

    def start(self, name: str) -> None:
        """Shows a stage from now on."""
        self.stop()
        self._counts.restart()
        self._name, self._start = name, time.monotonic()
        self._live = Live(
            get_renderable=self._line,
            console=self._console,
            refresh_per_second=_FRAMES_PER_SECOND,
            transient=True,
            # They are the log's.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def stop(self) -> None:
        """Removes the line, if there is one."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _line(self) -> Text:
        self._counts.poll()
        seconds = time.monotonic() - self._start
        # In a terminal's last column some go on to the next line.
        return running_line(self._name, seconds, self._counts, self._width() - 1)


def running_line(name: str, seconds: float, counts: Counts, width: int) -> Text:
    """Returns the line of a running stage.

    Args:
        name: The stage.
        seconds: For how long it runs.
        counts: How much of it is done.
        width: How many cells there are. What does not fit is left out: first the bar.
    """
    frame = _FRAMES[int(seconds * _FRAMES_PER_SECOND) % len(_FRAMES)]
    # Where the line that stays of the stage has its elapsed time, too.
    elapsed = f" {seconds:6.1f} s"
    room = max(1, width - cell_len(f"{frame} {elapsed}"))
    line = Text(f"{frame} {shortened(f'{escaped(name):<{NAME_WIDTH}}', room)}{elapsed}")
    line.append_text(_rounds(counts, width - line.cell_len))
    line.append_text(_count(counts, width - line.cell_len))
    line.append_text(_job(counts.job, width - line.cell_len))
    return line


def _rounds(counts: Counts, room: int) -> Text:
    """Returns how the rounds stand, as much of it as there is room for."""
    if counts.rounds is None:
        return Text()
    rounds = counts.rounds
    most = "" if rounds.most is None else f" of at most {rounds.most:,}"
    number = f"  {rounds.done:,}{most} {escaped(rounds.what)}"
    left = _left(counts.most_seconds_left, "at most ")
    note = escaped(rounds.note)
    for shown in (f"{number}: {note}{left}", f"{number}: {note}", f"  {note}"):
        if cell_len(shown) <= room:
            return Text(shown)
    # The end of the note says least.
    return Text(shortened(f"  {note}", room)) if room > _LEAST_NOTE else Text()


def _count(counts: Counts, room: int) -> Text:
    """Returns what was counted, as much of it as there is room for."""
    if not counts.what:
        return Text()
    done = counts.done if counts.total is None else min(counts.done, counts.total)
    number = f"  {done:,}" if counts.total is None else f"  {done:,}/{counts.total:,}"
    words = f"{number} {escaped(counts.what)}"
    bar = _bar(done / counts.total) if counts.total else Text()
    left = _left(counts.seconds_left)
    for shown in (
        Text.assemble(bar, words, left),
        Text(words + left),
        Text(number + left),
        Text(number),
    ):
        if shown.cell_len <= room:
            return shown
    return Text()


def _job(job: str, room: int) -> Text:
    """Returns the job that is at work, as much of it as there is room for."""
    shown = f"  {escaped(job)}" if job else ""
    return Text(shortened(shown, room)) if room > _LEAST_NOTE else Text()


def _left(seconds: float | None, limit: str = "") -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(max(round(seconds), 1), 60)
    return f", {limit}{f'{minutes} min ' if minutes else ''}{rest} s left"


def _bar(share: float) -> Text:
    filled = int(share * _BAR_WIDTH)
    return Text.assemble("  ", (_BAR * filled, "green"), (_REST * (_BAR_WIDTH - filled), "dim"))
