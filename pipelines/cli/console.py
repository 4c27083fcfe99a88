"""What a run prints, and where everything else goes: the log file."""

import contextlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.text import Text

from tfx_tflite.components.destinations.manifest import JudgedTarget
from tfx_tflite.components.errors import ConfigError, DocumentError
from tfx_tflite.components.judgement.gate import LatencyLimit
from tfx_tflite.components.private_files import make_private_directory, open_regular_file
from tfx_tflite.components.quantization.document import Bytes
from tfx_tflite.components.report.checks import own_bounds, side_of
from tfx_tflite.components.report.wording import in_unit
from tfx_tflite.components.verdict import RuleResult, Verdict, name_targets
from tfx_tflite.pipelines.cli.log_lines import shown_log
from tfx_tflite.pipelines.cli.running_stage import NAME_WIDTH, RunningStage, counted
from tfx_tflite.pipelines.cli.tables import Column, Name, Table
from tfx_tflite.pipelines.cli.text import in_a_line, printable
from tfx_tflite.pipelines.cli.verbosity import Verbosity
from tfx_tflite.pipelines.runs.results import RunResult, write_whole

_VERDICT_STYLE = {Verdict.BLESSED: "green", Verdict.REFUSED: "bold red"}
_FIGURES: dict[str, Callable[[RuleResult], float | None]] = {
    "float": lambda rule: rule.float_value,
    "quantized": lambda rule: rule.quantized_value,
    "drop": lambda rule: rule.drop,
    "at most": lambda rule: rule.upper,
    "bound": lambda rule: rule.bound,
}
_PLAIN_FIGURES = {name: figure for name, figure in _FIGURES.items() if name != "at most"}
_SLICE_ROWS = 12
# Of a terminal that does not say it, and of what is no terminal.
_USUAL_WIDTH, _USUAL_HEIGHT, _UNBOUNDED = 80, 24, 1_000_000


def log_file(root: str) -> Path:
    """Returns where this process's output goes.

    Args:
        root: The config's `root`.
    """
    return Path(root) / "logs" / time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}.log")


@contextlib.contextmanager
def output_to_log(log: Path) -> Iterator[tuple[IO[str], IO[str]]]:
    """Sends what this process and its children print to a log file while the block runs.

    TensorFlow, TFX and Beam write to both streams, partly from C++, so the file descriptors
    themselves are redirected.

    Args:
        log: The file; its directory is made.

    Yields:
        The terminal's own (stdout, stderr).

    Raises:
        ConfigError: The log cannot be written.
    """
    try:
        make_private_directory(log.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        opened = os.fdopen(open_regular_file(log, flags), "ab")
    except OSError as error:
        raise ConfigError(f"root: {log} cannot be written: {error.strerror}") from error
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Whoever follows the log sees a line when it is printed.
        sys.stdout.reconfigure(line_buffering=True)
    saved = [os.dup(1), os.dup(2)]
    with (
        opened as file,
        os.fdopen(os.dup(1), "w", encoding="utf-8") as stdout,
        os.fdopen(os.dup(2), "w", encoding="utf-8") as stderr,
    ):
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield stdout, stderr
        finally:
            # A log that cannot take more must not keep the terminal from being given back.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


class Terminal(Console):
    """A console that escapes what it prints, and goes quiet when nobody reads on.

    rich would take some control characters as they are, and would end the process.

    Args:
        stream: Where to. If it is no terminal, nothing is cut off or wrapped.
    """

    def __init__(self, stream: IO[str]):
        self._is_fitted = stream.isatty() and not os.environ.get("COLUMNS")
        width = None if stream.isatty() else _UNBOUNDED
        super().__init__(
            file=stream, highlight=False, emoji=False, markup=False, soft_wrap=True, width=width
        )

    def fitted_width(self) -> int:
        """Returns the width that the terminal has now, and prints in it from now on.

        People resize terminals. rich asks whichever of the process's own streams is a terminal,
        which may be another one or none.
        """
        if self._is_fitted:
            with contextlib.suppress(OSError, ValueError):
                # A terminal that does not know its size says 0. With TERM=dumb rich takes a width
                # only together with a height.
                width, height = os.get_terminal_size(self.file.fileno())
                self.size = (width or _USUAL_WIDTH, height or _USUAL_HEIGHT)
        return self.width

    @property
    def can_be_redrawn(self) -> bool:
        """Whether a line may be drawn again: on a terminal that can, with somebody before it."""
        is_watched = os.environ.get("CI", "").lower() in ("", "0", "false")
        return self.file.isatty() and self.is_interactive and is_watched

    def show_cursor(self, show: bool = True) -> bool:
        """Leaves the cursor as it is, so that none is hidden after a process was killed."""
        return False

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Returns a text, or the text of a table's cell, as it is printed."""
        return super().render_str(printable(text), *args, **options)

    def on_broken_pipe(self) -> None:
        """Sends the rest nowhere."""
        self.quiet = True
        drop(self.file)


class RunPrinter:
    """Prints a line a stage and then the verdict.

    Args:
        stream: Where to.
        goes_on: Whether there is more to do than to print, which a full disk must not end.
        verbosity: What is printed.
    """

    def __init__(
        self, stream: IO[str], goes_on: bool = True, verbosity: Verbosity = Verbosity.STAGES
    ):
        self._goes_on = goes_on
        self._verbosity = verbosity
        self._console = Terminal(stream)
        self._stage: RunningStage | None = None

    @contextlib.contextmanager
    def watching(self, log: Path) -> Iterator[None]:
        """Shows what goes on while the block runs; nothing of it is left on a terminal afterwards.

        Args:
            log: Where everything goes that is not printed.
        """
        with contextlib.ExitStack() as stack:
            if self._verbosity is Verbosity.LOG:
                stack.enter_context(shown_log(log, self.say))
            if self._verbosity is not Verbosity.VERDICT and self._console.can_be_redrawn:
                counts = stack.enter_context(counted())
                self._stage = RunningStage(self._console, self._console.fitted_width, counts)
                stack.callback(self._stop)
            yield

    def _stop(self) -> None:
        if self._stage is not None:
            with self._unwatched():
                self._stage.stop()

    def started(self, name: str) -> None:
        """Shows a stage as running, on a terminal."""
        if self._stage is not None:
            with self._unwatched():
                self._stage.start(name)

    def ended(self, name: str, seconds: float, note: str = "") -> None:
        """Prints a stage's elapsed time and what is to be noted of it."""
        self._stop()
        self.note(f"  {name:<{NAME_WIDTH}} {seconds:6.1f} s  {note}".rstrip())

    def note(self, text: str) -> None:
        """Prints a line that is neither a verdict nor an error."""
        if self._verbosity is not Verbosity.VERDICT:
            self.say(text)

    def say(self, shown: RenderableType, style: str = "") -> None:
        """Prints something; a run goes on without being watched."""
        with self._unwatched():
            self._console.fitted_width()
            self._console.print(shown, style=style)

    @contextlib.contextmanager
    def _unwatched(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            if not self._goes_on:
                raise
            self._console.on_broken_pipe()

    def result(self, result: RunResult) -> None:
        """Prints the rules, the sizes, the verdict, and where model and report are."""
        is_whole = self._verbosity is not Verbosity.VERDICT
        if is_whole:
            self.say("")
            self.say(_rules_table(result.rules))
            for line in result.notes:
                self.say(f"note: {line}")
            for line in result.warnings:
                self.say(f"warning: {line}", style="yellow")
        for line in result.reasons:
            self.say(f"refused: {line}", style="red")
        for place, line in enumerate(result.recipe.to_lines() if result.recipe else ()):
            self.note(f"{'' if place else 'recipe':<9} {line}")
        for place, line in enumerate(result.draws.to_lines() if result.draws else ()):
            self.note(f"{'' if place else 'draws':<9} {line}")
        if result.next_steps:
            self.note(f"try next: {result.next_steps[0]}")
        self.note(_sizes(result.scheme, result.size_bytes))
        for target in result.targets:
            self.note(_on_target(target))
        self.say(f"pushed to {result.pushed_to}" if result.pushed_to else "nothing was pushed")
        if result.waits_for_approval:
            self.say(f"version {result.version} waits for approval: {result.approve_command}")
        self.note(f"report    {result.page}")


def _rules_table(rules: Sequence[RuleResult]) -> Table:
    # The bound of the drop at the rule's confidence stands beside the bound that it must keep.
    figures = _FIGURES if any(rule.confidence for rule in rules) else _PLAIN_FIGURES
    table = Table(
        [
            *(Column(name, is_heading=True) for name in ("metric", "slice")),
            *(Column(name, "right") for name in figures),
            Column("verdict"),
        ]
    )
    shown = sorted(rules, key=lambda rule: rule.verdict is Verdict.BLESSED)[:_SLICE_ROWS]
    with_target = name_targets(rules)
    for rule in sorted(shown, key=rules.index):
        table.add_row(
            Name(_title(rule, with_target)),
            Name(rule.slice),
            *(_figure(rule, name) for name in figures),
            rule.verdict.value,
            style=_VERDICT_STYLE.get(rule.verdict, "yellow"),
        )
    if len(rules) > len(shown):
        table.note = f"… {len(rules) - len(shown)} more in the report"
    return table


def _figure(rule: RuleResult, column: str) -> str:
    """Returns a figure of a rule; one that is limited itself has no drop, but limit and bound."""
    if side_of(rule) is None or rule.limit is None:
        return _number(_FIGURES[column](rule))
    if column == "quantized":
        note = " (no difference)" if _is_no_difference(rule) else ""
        return rule.quantized_release or _in_unit(rule.quantized_value, rule) + note
    if column == "bound":
        return f"{side_of(rule)} {rule.limit_release or _in_unit(rule.limit, rule)}"
    if column == "at most":
        return _own_bound(rule)
    return _number(rule.float_value) if column == "float" else "-"


def _own_bound(rule: RuleResult) -> str:
    """Returns the bound of a figure, on the side on which it is limited."""
    bounds, side = own_bounds(rule), side_of(rule)
    return "-" if bounds is None else f"{side} {_in_unit(bounds[side == 'at most'], rule)}"


def _is_no_difference(rule: RuleResult) -> bool:
    """Returns whether a ratio was measured that may as well be 1."""
    bounds = own_bounds(rule)
    return (
        rule.metric == LatencyLimit.figure and bounds is not None and (bounds[0] <= 1 <= bounds[1])
    )


def _in_unit(figure: float, rule: RuleResult) -> str:
    return in_unit(figure, rule.metric, _number)


def _title(rule: RuleResult, with_target: bool) -> str:
    """Returns a rule's metric, its output if there are several, and what it is compared with."""
    target = f" on {rule.target}" if with_target and rule.target else ""
    return rule.name + (" (pushed)" if rule.against == "pushed" else "") + target


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def _sizes(scheme: str | None, sizes: Bytes) -> str:
    if sizes.ratio is None:
        return f"{sizes.quantized:,} bytes"
    return (
        f"float32 {sizes.float_model:,} bytes, {scheme} {sizes.quantized:,} bytes "
        f"({sizes.ratio:.0%})"
    )


def _on_target(target: JudgedTarget) -> str:
    """Returns what was found on a target, in a line."""
    if target.problem is not None:
        return f"on {target.target}: does not run"
    found = []
    if target.arena_bytes is not None:
        found.append(f"{target.arena_bytes:,} bytes of working memory")
    if target.accelerated is not None:
        found.append(f"{target.accelerated:.0%} of the operators accelerated")
    if target.latency_ms is not None:
        kind = "estimated" if target.latency_kind == "estimate" else "on this machine"
        found.append(f"{target.latency_ms:.3g} ms ({kind})")
    if target.differing is not None and target.decisions is not None:
        found.append(
            f"{target.differing:,} of {target.decisions:,} answers differ from this machine's"
        )
    return f"on {target.target}: {', '.join(found) or 'runs'}"


def print_error(message: str, error: BaseException, stream: IO[str]) -> None:
    """Prints what the user is told of an error, as `print_line` does."""
    # Where Ctrl-C was pressed, the terminal has printed `^C`, which is written over.
    is_echoed = isinstance(error, KeyboardInterrupt) and stream.isatty()
    with contextlib.suppress(OSError):
        print(end="\r" if is_echoed else "", file=stream)
    print_line(f"error: {message}", stream)


def print_line(text: str, stream: IO[str]) -> None:
    """Prints a line; where nobody reads on, or nothing more can be kept, it is let go.

    What has been done is not undone by that, and the exit code tells of it, too.
    """
    try:
        print(printable(text), file=stream, flush=True)
    except OSError:
        drop(stream)


def drop(stream: IO[str]) -> None:
    """Sends what is printed to a stream, and what it still holds, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_json(document: Mapping[str, object], stream: IO[str]) -> None:
    """Prints a document as one line, as `print_line` does."""
    print_line(json.dumps(document, allow_nan=False), stream)


def save_result(result: RunResult, log: Path) -> None:
    """Writes the result of a run, whole or not at all, beside its log, for `last_result`."""
    write_whole(result, log.with_suffix(".json"))


def last_result(root: Path) -> RunResult:
    """Returns the result of the last run below a root that came to a verdict.

    Args:
        root: The config's `root`.

    Raises:
        ConfigError: There is none, or it is damaged.
    """
    results = sorted((root / "logs").glob("*.json"))
    if not results:
        raise ConfigError(
            f"{in_a_line(root)}: no run has come to a verdict here; expected a config or a root"
        )
    try:
        return RunResult.parse(results[-1].read_bytes(), str(results[-1]))
    except DocumentError as error:
        raise ConfigError(
            f"{in_a_line(results[-1])} is damaged; without it the run before is shown"
        ) from error
