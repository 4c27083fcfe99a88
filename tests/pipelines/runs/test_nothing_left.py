"""After twenty runs, however they ended, the machine is as it was before."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.forked import tfx_tflite
from tests.pipelines.runs import ended_early

pytestmark = pytest.mark.slow

CONFIG = """\
name: {name}
root: {name}
data: {{input_base: {data}}}
model: {{saved_model: {model}, signature: serving_tensors}}
quantization: {{scheme: float32}}
evaluation: {{label: label, metrics: [SparseCategoricalAccuracy]}}
gate: {{min_examples: 1, rules: [{{metric: SparseCategoricalAccuracy, max_drop: 1}}]}}
push: {{destination: pushed}}
"""
IMAGE = np.linspace(0, 1, 64, dtype=np.float32)
ROWS = [{"image": IMAGE, "label": 1}] * 30


def processes_with_files_of(directory: Path) -> Iterator[tuple[int, str]]:
    """Yields the processes that have a file below a directory open, or work there.

    The log, to which all that a run starts prints, is one of these files.
    """
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            links = [process / "cwd", *(process / "fd").iterdir()]
            targets = [str(link.readlink()) for link in links]
        except OSError:
            continue
        for target in targets:
            if target.startswith(f"{directory}/"):
                yield int(process.name), target


def left(directory: Path) -> list[tuple[int, str]]:
    """Returns what is left after a moment for processes that are ending."""
    end = time.monotonic() + 30
    while found := list(processes_with_files_of(directory)):
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return found


def test_twenty_runs_leave_no_temporary_file_no_process_and_no_port(
    tmp_path: Path, digits_model: Path, write_records
):
    (temporary := tmp_path / "temporary").mkdir()
    for split in ("train", "eval"):
        write_records(tmp_path / "data" / split / "a.tfrecord", ROWS)
        file = write_records(tmp_path / "damaged" / split / "a.tfrecord", ROWS)
        file.write_bytes(file.read_bytes()[:-100])
    for data in ("data", "damaged"):
        config = CONFIG.format(name=f"on_{data}", data=data, model=digits_model)
        (tmp_path / f"on_{data}.yaml").write_text(config)

    def run(name: str, *options: str, **settings) -> int:
        variables = {"TMPDIR": str(temporary), **settings.pop("variables", {})}
        command = ("run", tmp_path / f"{name}.yaml", *options)
        return tfx_tflite(*command, variables=variables, **settings).returncode

    def stopped(number: signal.Signals, seconds: float) -> int:
        variables = ended_early.variables(number, seconds)
        return run("on_data", variables=variables, main=ended_early.main)

    codes = [stopped(signal.SIGINT, seconds) for seconds in (0.3, 0.8, 1.6)]
    codes += [stopped(signal.SIGTERM, 1.2)]
    assert set(codes) == {1}
    assert stopped(signal.SIGKILL, 1.0) == -signal.SIGKILL
    # Nobody was there to remove it; the next run does.
    assert [path.name.startswith("tfx-tflite-run-") for path in temporary.iterdir()] == [True]
    assert run("on_data") == 0
    assert list(temporary.iterdir()) == []
    assert [run("on_data") for _ in range(6)] == [0] * 6
    assert [run("on_data", "--set", "gate.min_examples=99") for _ in range(2)] == [3] * 2
    assert [run("on_damaged") for _ in range(2)] == [1] * 2
    assert [run("on_data", "--set", "quantization.scheme=int7") for _ in range(4)] == [2] * 4
    assert list(temporary.iterdir()) == []
    # A port that is listened to is a process's, too.
    assert left(tmp_path) == []
