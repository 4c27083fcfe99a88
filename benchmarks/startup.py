"""What a run costs beside its work: imports, a run with nothing to do, waiting for the converter.

Every figure is CPU seconds of the process and of its children, of this checkout and of one to
compare with, in turn, in one run. Exits with 0 only if all that is asked for holds.

    git worktree add ../before COMMIT && cd ../before && make .venv/.ready && cd -
    python benchmarks/startup.py --base ../before [--repeat 3]
"""

import argparse
import atexit
import contextlib
import functools
import importlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What is asked for: a multiple of TensorFlow's import, and seconds.
IMPORTS, CACHED, WAITING = 1.4, 1.5, 0.5

# Where things are, by the checkout's age: the newer first.
COMMAND_LINES = ("tfx_tflite.pipelines.cli.main", "tfx_tflite.pipelines.cli")
CHILDREN = (
    "tfx_tflite.components.quantization.conversion.child_process",
    "tfx_tflite.components.tflite_quantizer.child_process",
)
DEFERRED = "tfx_tflite.pipelines.tfx.imports"


@dataclass
class Cost:
    """What one process has cost.

    Attributes:
        own: CPU seconds of the process.
        children: CPU seconds of its children.
        wall: Elapsed seconds.
        waited: Elapsed seconds that the quantizer waited for its child to import.
        modules: What was imported by the end, in that order.
    """

    own: float
    children: float = 0.0
    wall: float = 0.0
    waited: float = 0.0
    modules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Checkout:
    """A checkout with an environment of its own."""

    directory: Path
    python: Path

    def measure(self, what: str, *arguments: str) -> Cost:
        """Returns what this script costs there, called with some arguments."""
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "cost.json"
            command = [str(self.python), str(Path(__file__).resolve()), "--inside", what]
            done = subprocess.run(
                [*command, str(report), *arguments],
                cwd=self.directory,
                capture_output=True,
                text=True,
            )
            if not report.exists():
                sys.exit(f"{self.directory}: {what} failed:\n{done.stderr[-2000:]}")
            return Cost(**json.loads(report.read_text(encoding="utf-8")))


def cpu(who: int) -> float:
    """Returns the CPU seconds that this process or its children have used."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def first_of(names: Sequence[str]) -> str:
    """Returns the first module that this checkout has."""
    for name in names:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name).__name__
    raise ImportError(names[-1])


def measure_imports(report: Path, listing: Path) -> None:
    """Imports modules, deferred as a run defers them, and reports what that costs."""
    deferred: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    uncollected = deferred
    # A checkout of before defers nothing, or collects garbage meanwhile.
    with contextlib.suppress(ImportError):
        names = importlib.import_module(DEFERRED).UNUSED_BY_RUNS
        imports = importlib.import_module("tfx_tflite.components.deferred_imports")
        deferred = imports.deferred_imports(names)
    with contextlib.suppress(ImportError, AttributeError):
        uncollected = imports.uncollected_imports()
    modules = json.loads(listing.read_text(encoding="utf-8"))
    before = cpu(resource.RUSAGE_SELF)
    with deferred, uncollected:
        for name in modules:
            # Modules of the run itself, and what is left of others that could not be imported.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    report.write_text(json.dumps({"own": cpu(resource.RUSAGE_SELF) - before}))


def measure_run(report: Path, arguments: Sequence[str]) -> None:
    """Runs the command line and reports what that costs."""
    waited: list[float] = []
    child = importlib.import_module(first_of(CHILDREN)).ChildProcess
    child.answer = timed(child.answer, waited)
    start = time.monotonic()

    def write_report() -> None:
        cost = {
            "own": cpu(resource.RUSAGE_SELF),
            "children": cpu(resource.RUSAGE_CHILDREN),
            "wall": time.monotonic() - start,
            # The first answer is that the imports are done.
            "waited": waited[0] if waited else 0.0,
            "modules": [name for name in sys.modules if name != "__main__"],
        }
        report.write_text(json.dumps(cost))

    atexit.register(write_report)
    sys.argv = ["tfx-tflite", *arguments]
    importlib.import_module(first_of(COMMAND_LINES)).command_line()


def timed(function: Callable[..., object], found: list[float]) -> Callable[..., object]:
    """Returns a function that notes how long it takes."""

    @functools.wraps(function)
    def call(*arguments: object, **options: object) -> object:
        start = time.monotonic()
        try:
            return function(*arguments, **options)
        finally:
            found.append(time.monotonic() - start)

    return call


def inside(what: str, report: Path, arguments: Sequence[str]) -> None:
    """Measures something in this process, of the checkout whose environment it runs in."""
    if what == "imports":
        measure_imports(report, Path(arguments[0]))
    elif what == "tensorflow":
        before = cpu(resource.RUSAGE_SELF)
        importlib.import_module("tensorflow")
        report.write_text(json.dumps({"own": cpu(resource.RUSAGE_SELF) - before}))
    else:
        measure_run(report, arguments)


@dataclass
class Figures:
    """The costs of one checkout, one of each repetition."""

    tensorflow: list[Cost] = field(default_factory=list)
    imports: list[Cost] = field(default_factory=list)
    first: list[Cost] = field(default_factory=list)
    cached: list[Cost] = field(default_factory=list)
    nothing_new: list[Cost] = field(default_factory=list)


def measure_once(checkout: Checkout, figures: Figures) -> None:
    """Measures everything once in fresh directories."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        run = functools.partial(checkout.measure, "run", "run", "configs/digits.yaml")
        places = settings(directory / "root", directory / "pushed")
        figures.first.append(run(*places))
        figures.cached.append(run(*places))
        listing = directory / "modules.json"
        listing.write_text(json.dumps(figures.first[-1].modules))
        figures.tensorflow.append(checkout.measure("tensorflow"))
        figures.imports.append(checkout.measure("imports", str(listing)))
        rolling = rolling_settings(directory)
        run(*rolling)
        figures.nothing_new.append(run(*rolling))


def settings(root: Path, pushed: Path) -> list[str]:
    """Returns the options that keep a run in directories of its own."""
    return ["--set", f"root={root}", "--set", f"push.destination={pushed}"]


def rolling_settings(directory: Path) -> list[str]:
    """Returns the options of a run on the same data, delivered as a span."""
    [data] = (directory / "root" / "data").iterdir()
    shutil.copytree(data, directory / "spans" / "span-1")
    splits = "{train: 'span-{SPAN}/train/*', eval: 'span-{SPAN}/eval/*'}"
    return [
        *settings(directory / "rolling", directory / "rolled"),
        *("--set", f"data={{input_base: {directory / 'spans'}, splits: {splits}}}"),
        *("--set", "quantization.scheme=float16"),
    ]


@dataclass(frozen=True)
class Row:
    """A figure that is shown of both checkouts: CPU seconds unless its name says otherwise."""

    name: str
    of: Callable[[Figures], list[float]]

    def show(self, before: Figures, now: Figures) -> None:
        """Prints the least and the median of both, and how many times less it is now."""
        columns = [
            f"{min(of):8.2f} {statistics.median(of):8.2f}" for of in map(self.of, (before, now))
        ]
        least, most = min(self.of(now)), min(self.of(before))
        ratio = f"{most / least:.2f}" if least else "-"
        print(f"{self.name:<44} {columns[0]}   {columns[1]}   {ratio:>6}", flush=True)


def both(cost: Cost) -> float:
    """Returns the CPU seconds of a process and its children."""
    return cost.own + cost.children


ROWS = (
    Row("import tensorflow", lambda found: [cost.own for cost in found.tensorflow]),
    Row("imports of a run", lambda found: [cost.own for cost in found.imports]),
    Row("first run", lambda found: [both(cost) for cost in found.first]),
    Row("first run, its own process", lambda found: [cost.own for cost in found.first]),
    Row("first run, its children", lambda found: [cost.children for cost in found.first]),
    Row("first run, elapsed", lambda found: [cost.wall for cost in found.first]),
    Row(
        "waiting for the converter's child, elapsed", lambda found: [c.waited for c in found.first]
    ),
    Row("cached run", lambda found: [both(cost) for cost in found.cached]),
    Row("nothing new", lambda found: [both(cost) for cost in found.nothing_new]),
)


def imports_ratio(found: Figures) -> float:
    """Returns the imports of a run as a multiple of TensorFlow's, the least of each."""
    return min(cost.own for cost in found.imports) / min(cost.own for cost in found.tensorflow)


def verdict(name: str, figure: float, limit: float) -> bool:
    """Prints whether a figure is within its limit."""
    holds = figure <= limit
    print(f"{name}: {figure:.2f}, asked for at most {limit:g}: {'holds' if holds else 'FAILS'}")
    return holds


def main() -> int:
    """Measures both checkouts in turn and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--base", type=Path, required=True, help="a checkout to compare with")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    base = options.base.resolve()
    before, now = Figures(), Figures()
    checkouts = (
        (Checkout(base, base / ".venv" / "bin" / "python"), before),
        (Checkout(Path(__file__).resolve().parents[1], Path(sys.executable)), now),
    )
    for _ in range(options.repeat):
        for checkout, figures in checkouts:
            measure_once(checkout, figures)
    print(f"{'':<44} {'before':>8} {'':>8}   {'now':>8}")
    print(f"{'':<44} {'least':>8} {'median':>8}   {'least':>8} {'median':>8}   {'times':>6}")
    for row in ROWS:
        row.show(before, now)
    print(f"imports as a multiple of TensorFlow's, before: {imports_ratio(before):.2f}")
    held = [
        verdict("imports as a multiple of TensorFlow's", imports_ratio(now), IMPORTS),
        verdict("cached run, CPU seconds", min(map(both, now.cached)), CACHED),
        verdict("nothing new, CPU seconds", min(map(both, now.nothing_new)), CACHED),
        verdict("waiting for the child, seconds", min(c.waited for c in now.first), WAITING),
    ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        sys.exit(main())
