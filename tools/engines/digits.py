"""The digits pipeline on an engine, in a process of its own as a user starts it."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.engines.assembly import ROOT

_CONFIG = ROOT / "configs/digits.yaml"
# A run's processes inherit this variable, also those that outlive it.
_MARK = "TFX_TFLITE_ENGINES_RUN"


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        root: Where it wrote.
        seconds: How long it took, start and end of the process included.
        status: `pushed` if all went well.
        error: What it said otherwise.
        left: The processes that it left behind, as commands.
    """

    root: Path
    seconds: float
    status: str
    error: str
    left: tuple[str, ...]


def run_digits(root: Path, overrides: Sequence[str], within: Sequence[str] = ()) -> Run:
    """Runs the pipeline.

    Args:
        root: Where it writes.
        overrides: Of the config, as for `--set`.
        within: A command that starts the one that follows it elsewhere, as `ip netns exec` does.
    """
    mark = uuid.uuid4().hex
    settings = (f"root={root}", f"push.destination={root / 'pushed'}", *overrides)
    command = [*within, sys.executable, "-m", "tfx_tflite", "run", str(_CONFIG), "--json"]
    command += [word for setting in settings for word in ("--set", setting)]
    start = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, _MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    status, error = _outcome(done.stdout)
    return Run(root, seconds, status, error, tuple(_processes_with(mark)))


def _outcome(output: str) -> tuple[str, str]:
    """Returns status and error of a run by what it printed with `--json`."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            result = json.loads(line)
            return result["status"], result.get("error", "")
    return "failed", output[-2000:]


def _processes_with(mark: str) -> Iterator[str]:
    """Yields the commands of processes that have inherited a mark."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{_MARK}={mark}".encode() in environment.read_bytes().split(b"\0"):
                command = environment.with_name("cmdline").read_bytes()
                yield command.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            # It is another user's, or has ended meanwhile.
            continue
