"""What a pipeline that retrains for ever meets, at random: a simulation with real runs.

Spans arrive, or do not, or are delivered again; the trainer is at times a bad one; two runs begin
at once; runs are killed by `kill -9` at any moment; somebody rolls back; the bytes of an artifact
are swapped, cut, damaged, removed, aged or added to when its stage has ended; clocks jump by up to
years between runs and in their middle. Every run is the command `tfx-tflite run` in a process of
its own, forked from a server that has TFX loaded.

The system's clock cannot be set here, so the clock that jumps is the one that our own modules see
in a run: of it versions, the history and locks have their times. Files and ML Metadata keep the
kernel's.

    python -m tests.pipelines.runs.retraining --ticks 100 --seed 0
"""

import argparse
import collections
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.forked import address, forked_from, processes
from tests.pipelines.runs.attacks import ATTACKS, files_of
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.ledger import judgements
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.judgement.looks import judged_again

_TRAINER = Path(__file__).with_name("linear_trainer.py")

_CONFIG = """
name: retraining
root: root
data:
  input_base: data
  splits: {train: "span-{SPAN}/v{VERSION}/train/*", eval: "span-{SPAN}/v{VERSION}/eval/*"}
model:
  trainer: {module_file: trainer.py, train_steps: 1, eval_steps: 1}
  signature: serving_tensors
quantization: {scheme: float16}
evaluation: {label: label, metrics: [SparseCategoricalAccuracy]}
gate:
  budget: {false_pushes: 0.05, over: 100}
  rules:
    - {metric: SparseCategoricalAccuracy, max_drop: 0.1, confidence: 0.95}
    - {metric: SparseCategoricalAccuracy, max_drop: 0.2, against: pushed, confidence: 0.95}
push: {destination: pushed, golden_samples: 2}
"""

_DIRECTION = np.array([1.0, -2.0, 0.5, 1.5])
_GOOD = 0.9
_EVENTS = {
    "good": 0.25,
    "bad": 0.2,
    "killed": 0.15,
    "overlap": 0.1,
    "rollback": 0.1,
    "swapped": 0.2,
}
_STAGES = (
    *("ImportExampleGen", "StatisticsGen", "SchemaGen", "Trainer"),
    *("TFLiteQuantizer", "QuantizationEvaluator", "Pusher"),
)
_DAY = 86_400.0
# How far the clock of a run may be off, in seconds.
_JUMPS = (-10 * 365 * _DAY, -400 * _DAY, -_DAY, -3600, -2, 2, 3600, _DAY, 400 * _DAY)
# What an error of an artifact's bytes tells the user to do.
_REMEDY = re.compile(r"or remove (\S+) to have all of it made anew")


@dataclass(frozen=True)
class Mischief:
    """What happens to one run.

    Attributes:
        offsets: How far its clock is off in the beginning, and from its middle on, in seconds.
        middle: When that is, in seconds after its beginning.
        stage: After which stage an artifact of that stage is attacked; None for none.
        attack: Which of `attacks.ATTACKS`.
        dice: Which of the stage's artifacts, from 0 to 1.
    """

    offsets: tuple[float, float] = (0.0, 0.0)
    middle: float = 0.0
    stage: str | None = None
    attack: int = 0
    dice: float = 0.0

    def begin(self) -> None:
        """Lets it happen in this process."""
        if any(self.offsets):
            _let_clock_jump(self.offsets, self.middle)
        if self.stage is not None:
            _attack_after(self)


@dataclass
class Retraining:
    """A pipeline's life.

    Args:
        directory: Where everything of it is.
        seed: The same seed gives the same events, though not the same moments of kills.
    """

    directory: Path
    seed: int
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._data = np.random.default_rng(self.seed)
        self._span, self._versions = 0, collections.Counter[int]()
        self._known: dict[int, str] = {}
        self._seconds = 20.0
        (self.directory / "trainer.py").write_bytes(_TRAINER.read_bytes())
        (self.directory / "c.yaml").write_text(_CONFIG)

    @property
    def destination(self) -> Destination:
        """Where it pushes to."""
        return Destination.open(str(self.directory / "pushed"))

    def random_events(self, count: int) -> list[str]:
        """Returns what happens at so many ticks."""
        return self._rng.choices(list(_EVENTS), list(_EVENTS.values()), k=count)

    def live(self, events: Sequence[str]) -> None:
        """Lets a tick pass for each event, between two good ones, and checks after each of them."""
        self._deliver(new=True)
        assert self._run([])[0]["status"] == "pushed"
        self.check()
        for event in events:
            self._data_come()
            self._tick(event)
            self.check()
        # A last good run, which nothing disturbs, lands.
        self._deliver(new=True)
        result, _ = self._run([])
        assert result["status"] == "pushed", result
        self.check()
        assert self.destination.path(self.destination.current()) == result["pushed_to"]
        self.check_metadata()

    def _data_come(self) -> None:
        event = self._rng.choices(["new", "again", "none"], [0.6, 0.2, 0.2])[0]
        self.counts[f"data: {event}"] += 1
        if event != "none":
            self._deliver(new=event == "new")

    def _deliver(self, new: bool) -> None:
        """Writes a span's files, as a new span or a new version of an old one."""
        import tensorflow as tf

        self._span += new
        span = self._span if new else self._rng.randint(1, self._span)
        self._versions[span] += 1
        version = self.directory / "data" / f"span-{span}" / f"v{self._versions[span]}"
        for split, count in (("train", 200), ("eval", 300)):
            (version / split).mkdir(parents=True)
            with tf.io.TFRecordWriter(str(version / split / "data.tfrecord")) as writer:
                for row in self._data.normal(size=(count, 4)):
                    writer.write(_example(row).SerializeToString())

    def _tick(self, event: str) -> None:
        self.counts[f"run: {event}"] += 1
        bad = ["--set", "model.trainer.custom_config={bad: true}"]
        if event == "rollback":
            try:
                self.destination.roll_back(note="simulated")
            except DestinationError as error:
                assert "no version before" in str(error)
        elif event == "overlap":
            first, second = self._start([]), self._start([])
            results = [self._ended(first), self._ended(second)]
            failed = [
                result
                for result, _ in results
                if result["status"] == "failed" and not self._is_repaired(result)
            ]
            # Not before both have begun can one be in the other's way.
            assert (
                all("another run is going on below" in result["error"] for result in failed)
                and len(failed) <= 1
            ), results
        elif event == "killed":
            self._kill(self._start(self._rng.choice([[], bad])))
        elif event == "swapped":
            self._attacked(self._rng.choice([[], bad]))
        else:
            result, code = self._run(bad if event == "bad" else [])
            self.counts[f"ended: {result['status']}"] += 1
            assert (result["status"], code) in {
                ("pushed", 0),
                ("refused", 3),
                ("nothing_new", 0),
            }, result
            assert event == "good" or result["status"] != "pushed", result

    def _run(self, options: list[str]) -> tuple[dict[str, Any], int]:
        """Runs, and does what an error says if an artifact was attacked before."""
        for _ in range(len(_STAGES) + 1):
            start = time.monotonic()
            result = self._ended(self._start(options))
            if result[0]["status"] in ("pushed", "refused"):
                self._seconds = time.monotonic() - start
            if not self._is_repaired(result[0]):
                break
        return result

    def _is_repaired(self, result: dict[str, Any]) -> bool:
        """Does what an error of an artifact's bytes says; returns whether it was one."""
        remedy = _REMEDY.search(result.get("error", ""))
        if remedy is None:
            return False
        assert Path(remedy[1]).is_relative_to(self.directory / "root"), result
        shutil.rmtree(remedy[1])
        self.counts["artifacts removed as a message said"] += 1
        return True

    def _attacked(self, options: list[str]) -> None:
        """Runs while an artifact is attacked: it is told in a line, or nobody reads it any more."""
        attack = self._rng.randrange(len(ATTACKS))
        stage = self._rng.choice(_STAGES)
        mischief = Mischief(stage=stage, attack=attack, dice=self._rng.random())
        result, code = self._ended(self._start(options, mischief))
        self.counts[f"attacked: {result['status']}"] += 1
        codes = {"pushed": 0, "refused": 3, "nothing_new": 0, "failed": 1}
        assert codes[result["status"]] == code, result
        if result["status"] == "failed":
            error = result["error"]
            assert len(error.splitlines()) <= 2 and "Traceback" not in error, error

    def _jumps(self) -> Mischief:
        """Returns what may happen to the clock of a run."""
        if self._rng.random() > 0.4:
            return Mischief()
        self.counts["runs whose clock jumps"] += 1
        before, after = self._rng.choice((0.0, *_JUMPS)), self._rng.choice(_JUMPS)
        return Mischief((before, after), self._rng.uniform(0, self._seconds))

    def _start(self, options: list[str], mischief: Mischief | None = None) -> Any:
        self.counts["runs"] += 1
        output = self.directory / f"output-{self.counts['runs']}"
        process = processes().Process(
            target=_run_command,
            args=(
                address(),
                str(self.directory / "c.yaml"),
                options,
                str(output),
                mischief or self._jumps(),
            ),
        )
        process.start()
        return process, output

    def _ended(self, started: Any) -> tuple[dict[str, Any], int]:
        process, output = started
        process.join()
        lines = output.read_text().splitlines()
        assert lines and lines[-1].startswith("{"), (process.exitcode, lines)
        return json.loads(lines[-1]), process.exitcode

    def _kill(self, started: Any) -> None:
        process, _ = started
        process.join(self._rng.uniform(0.05, 1.05) * self._seconds)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            self.counts["killed in time"] += 1
        process.join()

    def check(self) -> None:
        """Checks that nothing bad was pushed and nothing good was lost or damaged."""
        assert destination_problems(self.destination) == []
        found = {
            number: self.destination.manifest(number).model.digest
            for number in self.destination.versions()
        }
        assert self._known.items() <= found.items()
        for number in found.keys() - self._known.keys():
            assert self._accuracy(number) > _GOOD, number
        assert self.destination.current() in found
        self._known = found
        self._check_judgements()

    def _check_judgements(self) -> None:
        """Checks that each model was counted once, at its turn, and none pushed that was not."""
        counted = judgements(self.destination.events())
        assert set(self._known.values()) <= {
            each.quantized_model for each in counted if each.blessed
        }
        for place, judged in enumerate(counted):
            assert judged_again(judged, counted[:place]) == judged
        nights = list(dict.fromkeys(each.night.number for each in counted))
        assert nights == list(range(1, len(nights) + 1))
        said = [(each.quantized_model, each.examples, each.blessed) for each in counted]
        assert len(set(said)) == len(said)
        self.counts["judgements"] = len(counted)

    def _accuracy(self, number: int) -> float:
        """Returns a pushed model's accuracy on examples that no run has seen."""
        from ai_edge_litert.interpreter import Interpreter

        content = self.destination.read(number, "model.tflite")
        rows = np.random.default_rng(1).normal(size=(1000, 4)).astype(np.float32)
        runner = Interpreter(model_content=content).get_signature_runner()
        answers = runner(x=rows)["probabilities"].argmax(axis=1)
        return float(np.mean(answers == (rows @ _DIRECTION > 0)))

    def check_metadata(self) -> None:
        """Checks that ML Metadata and the destination tell the same."""
        from ml_metadata import metadata_store
        from ml_metadata.proto import metadata_store_pb2

        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(self.directory / "root" / "metadata.sqlite")
        store = metadata_store.MetadataStore(connection)
        executions = {execution.id: execution for execution in store.get_executions()}
        models = {artifact.id: artifact for artifact in store.get_artifacts_by_type("Model")}
        for number, digest in self._known.items():
            ids = self.destination.manifest(number).metadata
            assert ids is not None and ids.execution in executions
            recorded = models[ids.model_artifact].custom_properties["model_digest"].string_value
            assert recorded == digest
        # What was recorded as pushed is there. What is there and was not recorded is of a run that
        # was killed between the push and its record.
        pushed = {
            int(artifact.custom_properties["pushed_version"].string_value)
            for artifact in store.get_artifacts_by_type("PushedModel")
            if artifact.custom_properties["pushed"].int_value
        }
        assert pushed <= self._known.keys()
        unrecorded = len(self._known.keys() - pushed)
        assert unrecorded <= self.counts["killed in time"]
        self.counts["pushed by a run that was killed before it could record it"] = unrecorded

    @property
    def summary(self) -> str:
        """What has happened."""
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return f"{len(self._known)} versions, none bad, none lost; {counts}"


def _example(row: np.ndarray) -> Any:
    import tensorflow as tf

    features = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=row)),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(row @ _DIRECTION > 0)])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def _let_clock_jump(offsets: tuple[float, float], middle: float) -> None:
    """Lets the clock of this process be off, in one way first and then in another.

    It is that of our own modules alone: Beam sends `time.time` itself to its workers.
    """
    from tfx_tflite.components import locks
    from tfx_tflite.components.destinations import ledger, ledger_files, numbers
    from tfx_tflite.pipelines.runs import file_digests

    begun = time.monotonic()

    def offset() -> float:
        return offsets[time.monotonic() - begun > middle]

    class Shifted(datetime):
        """A clock that is off."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Shifted":
            return cls.fromtimestamp(time.time() + offset(), tz)

    clock = SimpleNamespace(
        time=lambda: time.time() + offset(),
        time_ns=lambda: time.time_ns() + int(offset() * 1e9),
    )
    locks.datetime = ledger.datetime = Shifted
    ledger_files.time = numbers.time = file_digests.time = clock


def _attack_after(mischief: Mischief) -> None:
    """Attacks an artifact of a stage as soon as the stage has ended."""
    from tfx_tflite.pipelines.cli import one_run

    ended = one_run.OneRun._ended

    def attacked(self: one_run.OneRun, result: Any) -> None:
        ended(self, result)
        if result.name == mischief.stage:
            _attack(Path(self._found.config.root) / "artifacts" / result.name, mischief)

    one_run.OneRun._ended = attacked


def _attack(stage: Path, mischief: Mischief) -> None:
    outputs = sorted(path for path in stage.iterdir() if path.name != ".system")
    output = outputs[int(mischief.dice * len(outputs))]
    made = sorted((path for path in output.iterdir() if files_of(path)), key=lambda p: int(p.name))
    if made:
        other = made[-2] if len(made) > 1 else made[-1]
        # An attack needs another artifact that differs; there may be none yet.
        with contextlib.suppress(AssertionError, IndexError, FileNotFoundError):
            ATTACKS[mischief.attack](made[-1], other)


def _run_command(
    server: str, config: str, options: list[str], output: str, mischief: Mischief
) -> None:
    from tfx_tflite.pipelines.cli.main import main

    mischief.begin()
    # A process group of its own, as a clock gives it; what it prints goes to a file.
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with forked_from(server):
        main(["run", config, "--runner", "local", *options, "--json"])


def main() -> None:
    """Runs the simulation and prints what has happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        life = Retraining(Path(directory), arguments.seed)
        start = time.monotonic()
        try:
            life.live(life.random_events(arguments.ticks - 2))
        finally:
            print(f"{time.monotonic() - start:.0f} s, {life.summary}", file=sys.stderr)
    print(f"{arguments.ticks} ticks: {life.summary}")


if __name__ == "__main__":
    main()
