"""Assembles the job servers of Flink and Spark, and runs the digits pipeline on both.

`make engines` calls it. It prints one line for each engine, and exits with 1 if one of them does
not give what one process gives, or leaves a process behind. Where engines cannot be had one line
says why, and that is no failure. With `--only-assemble` nothing is run.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.engines.assembly import (
    NAMES,
    CannotFetchError,
    JobServer,
    fetch_flink,
    missing_programs,
)
from tools.engines.comparison import NothingToCompareError, differences, outputs
from tools.engines.digits import Run, run_digits

_NOT_RUN = "engines: nothing is run on Flink and Spark"


def main() -> int:
    """Returns the exit code."""
    if missing := list(missing_programs()):
        print(f"{_NOT_RUN}: this machine lacks {' and '.join(missing)}")
        return 0
    servers = [JobServer(name) for name in NAMES]
    try:
        for server in servers:
            server.assemble()
    except CannotFetchError as error:
        print(f"{_NOT_RUN}: this cannot be fetched: {error}")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"engines: Maven ended with code {error.returncode}; what it said is above")
        return 1
    try:
        fetch_flink()
    except CannotFetchError as error:
        print(f"engines: no test will run a Flink cluster, as this cannot be fetched: {error}")
    if "--only-assemble" in sys.argv[1:]:
        return 0
    with tempfile.TemporaryDirectory(prefix="engines-") as directory:
        return _compare(servers, Path(directory))


def _compare(servers: list[JobServer], directory: Path) -> int:
    """Runs digits in one process and on each engine, and returns the exit code."""
    alone = run_digits(directory / "in_process", ["beam.engine=in_process"])
    print(f"{'in process':42} {alone.seconds:6.1f} s")
    if alone.status != "pushed":
        print(f"  {alone.status}: {alone.error}")
        return 1
    problems = 0
    for server in servers:
        run = run_digits(directory / server.name, [f"beam.engine={server.name}"])
        found = list(_problems(alone, run))
        verdict = "same bytes, no process left" if not found else "NOT THE SAME"
        ratio = run.seconds / alone.seconds
        print(f"{server.title:42} {run.seconds:6.1f} s  {ratio:4.2f} times  {verdict}", flush=True)
        for problem in found:
            print(f"  {problem}")
        problems += len(found)
    return 1 if problems else 0


def _problems(alone: Run, run: Run) -> list[str]:
    """Returns what is wrong with a run on an engine."""
    left = [f"it left a process: {command}" for command in run.left]
    if run.status != "pushed":
        return [f"{run.status}: {run.error}", *left]
    try:
        found = list(differences(outputs(alone.root), outputs(run.root)))
    except NothingToCompareError as error:
        return [str(error), *left]
    return [*(f"differs from one process: {name}" for name in found), *left]


if __name__ == "__main__":
    sys.exit(main())
