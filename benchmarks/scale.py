"""What a run costs for ten times the examples: CPU time and memory of every stage and process.

Small examples (195 bytes) are made, half of them are evaluated: accuracy, AUC and 51 slices. For
each number of them the whole pipeline runs through the command line. Beside it, in the same run,
stand the peers: `gzip -6` over the data, TFX's ExampleGen and StatisticsGen, and TFMA's evaluation
of two models, on fewer rows as it takes a hundred times as long. TFX's ExampleGen holds all
examples in memory, 1.6 GB of a million, so it and StatisticsGen run on at most --peer-rows. For
more rows their costs are taken as growing in proportion.

Costs are marginal: what so many rows take more than the 2,000 of the first run, so that imports
and the conversion do not count. Exits with 0 only where all bounds hold: of the most rows all
before the evaluation takes at most four times the CPU time of `gzip -6`, the run takes at most half
of what it takes with TFX's ExampleGen and StatisticsGen in place of its first two stages, the
evaluation grows in proportion to the rows, and the memory of the process that `tfx-tflite run`
starts hardly grows.

With an engine the job server that a run starts is counted; workers on other machines are not.

    python benchmarks/scale.py [--rows 100000 1000000] [--engine flink]
        [--peer-rows 1000000 | --no-peers]
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import google_crc32c
import numpy as np

FEATURES, GROUPS, FILES = 32, 50, 8
# The rows of the run whose costs are taken off, and those that TFMA evaluates.
FEW_ROWS, TFMA_ROWS = 2_000, 5_000
# How many rows of an inferred schema's statistics are looked at.
SAMPLE = 10_000
BEFORE = ("ImportExampleGen", "StatisticsGen", "SchemaGen", "FloatModel", "CalibrationSampler")
EVALUATION = "QuantizationEvaluator"
# Our stages, and what does the same in TFX.
TFX_STAGES = {"ImportExampleGen": "TFX's ExampleGen", "StatisticsGen": "TFX's StatisticsGen"}
# All before the evaluation, in CPU time of `gzip -6`; ten times the rows, in CPU time of the
# evaluation; and in peak memory of the process that was started.
GZIP_BOUND, EVALUATION_BOUND, MEMORY_BOUND = 4.0, 10.0, 1.2
# A whole run, in CPU time of one that takes examples and computes statistics as TFX does.
WHOLE_BOUND = 0.5
# In the environment of a run and of all that it starts, such as job servers.
MARK = "SCALE_BENCHMARK"
# A step of /proc's clock.
TICKS = os.sysconf("SC_CLK_TCK")
# What a run prints when a stage has ended.
STAGE = re.compile(r"^  (\w[\w ]*?)  +\d+\.\d s")
# Chunks of a few rows keep the memory of this process small.
CHUNK = 50_000

CONFIG = """\
name: scale
root: root
data: {{input_base: data, statistics: {sample}}}
model: {{saved_model: ../model, signature: serving_tensors}}
calibration: {{samples: 200}}
quantization: {{scheme: int8_float_io}}
evaluation:
  label: label
  metrics: [BinaryAccuracy, AUC]
  slices: [[group]]
gate:
  rules:
    - {{metric: BinaryAccuracy, max_drop: 0.1}}
    - {{metric: AUC, max_drop: 0.1, slices: each}}
push: {{destination: pushed}}
"""


@dataclass
class Cost:
    """What something took.

    Attributes:
        cpu: CPU-seconds.
        peak: Megabytes of the process that was started, at its peak.
        stages: CPU-seconds by stage.
        peaks: Megabytes of that process at its peak until the end of each stage.
        processes: Megabytes at its peak of each process, by number and name.
    """

    cpu: float = 0.0
    peak: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    processes: dict[str, float] = field(default_factory=dict)


def main() -> int:
    """Prints a table for each number of rows and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, nargs="*", default=[1e5, 1e6])
    parser.add_argument("--engine", default="in_process", help="the config's beam.engine")
    parser.add_argument("--peer-rows", type=float, default=1e6, help="the most that TFX takes")
    parser.add_argument("--no-peers", action="store_true", help="run only this project's pipeline")
    parser.add_argument("--directory", type=Path, help="where the data are made")
    parser.add_argument("--peer", choices=sorted(PEERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.rows) <= FEW_ROWS:
        parser.error(f"--rows: expected more than {FEW_ROWS:,}")
    if arguments.peer:
        return run_peer(arguments.peer, arguments.directory)
    with contextlib.ExitStack() as stack:
        directory = arguments.directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-"))
        )
        make_model(directory / "model")
        return compare(directory, sorted(map(int, arguments.rows)), arguments)


def compare(directory: Path, many: list[int], arguments: argparse.Namespace) -> int:
    """Prints what each number of rows takes, and returns 0 if all bounds hold."""
    settings = [] if arguments.engine == "in_process" else [f"beam.engine={arguments.engine}"]
    few = run_pipeline(make_rows(directory, FEW_ROWS), settings)
    runs: dict[int, Cost] = {}
    peers: dict[str, float] = {}
    held = []
    for rows in many:
        data = make_rows(directory, rows)
        peer_rows = min(rows, int(arguments.peer_rows))
        runs[rows] = run_pipeline(data, settings)
        zipped = gzip(data)
        holds = show(rows, runs[rows], few, zipped)
        # Of few rows most are in the sample that statistics are computed of.
        held += [holds] if rows == many[-1] else []
        if not arguments.no_peers:
            if not peers or rows <= arguments.peer_rows:
                peers = show_peers(make_rows(directory, peer_rows), peer_rows)
            holds = show_whole(rows, runs[rows], peers)
            held += [holds] if rows == many[-1] else []
    if not arguments.no_peers:
        show_tfma(directory)
    for smaller, larger in itertools.pairwise(many):
        held += show_growth(runs[smaller], runs[larger], few, smaller, larger)
    return int(not all(held))


def show(rows: int, cost: Cost, few: Cost, zipped: float) -> bool:
    """Prints what each stage takes and the memory of each process, and returns what holds."""
    print(f"\n{rows:,} rows: {cost.cpu:.1f} CPU-s in all, gzip -6 over the data {zipped:.2f} CPU-s")
    for stage, spent in cost.stages.items():
        more = microseconds(spent - few.stages.get(stage, 0.0), rows)
        print(
            f"  {stage:<24} {spent:8.2f} CPU-s  {more:8.2f} us a row more than {FEW_ROWS:,} rows, "
            f"{cost.peaks[stage]:6.0f} MB at the peak so far"
        )
    before = sum(cost.stages.get(name, 0.0) - few.stages.get(name, 0.0) for name in BEFORE)
    ratio = before / (zipped * (rows - FEW_ROWS) / rows)
    holds = ratio <= GZIP_BOUND
    print(
        f"  all before the evaluation: {before:.2f} CPU-s, {ratio:.1f} times gzip -6 "
        f"(at most {GZIP_BOUND:g}): {'holds' if holds else 'DOES NOT HOLD'}"
    )
    for name, peak in sorted(cost.processes.items(), key=lambda entry: -entry[1])[:8]:
        print(f"  {peak:8.0f} MB at the peak of {name}")
    sys.stdout.flush()
    return holds


def show_growth(
    smaller: Cost, larger: Cost, few: Cost, small_rows: int, rows: int
) -> tuple[bool, bool]:
    """Prints how costs grow with the rows, and returns what holds."""
    times = rows / small_rows
    print(f"\n{small_rows:,} to {rows:,} rows, {times:g} times:")
    for stage, spent in larger.stages.items():
        before = smaller.stages.get(stage, 0.0) - few.stages.get(stage, 0.0)
        if before > 1 / TICKS:
            print(f"  {stage:<24} {(spent - few.stages.get(stage, 0.0)) / before:6.1f} times")
    growth = larger.stages[EVALUATION] / smaller.stages[EVALUATION]
    linear = growth <= EVALUATION_BOUND * times / 10
    memory = larger.peak / smaller.peak
    steady = memory <= MEMORY_BOUND
    print(f"  the evaluation with all it costs: {growth:.1f} times: {'holds' if linear else 'NO'}")
    print(f"  the memory of the process: {memory:.2f} times: {'holds' if steady else 'NO'}")
    return linear, steady


def show_peers(data: Path, rows: int) -> dict[str, float]:
    """Prints what TFX takes for rows, and returns the microseconds that each takes of one."""
    found = {}
    for peer in TFX_STAGES.values():
        cost = peer_cost(peer, data)
        found[peer] = microseconds(cost.cpu, rows)
        print(
            f"  {peer:<24} {cost.cpu:8.2f} CPU-s  {found[peer]:8.2f} us a row of {rows:,}, "
            f"{cost.peak:,.0f} MB",
            flush=True,
        )
    return found


def show_whole(rows: int, cost: Cost, peers: Mapping[str, float]) -> bool:
    """Prints how a run compares with one whose examples and statistics are TFX's.

    Args:
        rows: How many there are.
        cost: What the run took.
        peers: The microseconds that each part of TFX takes of a row, without its imports.
    """
    ours = sum(cost.stages.get(stage, 0.0) for stage in TFX_STAGES)
    theirs = sum(peers.values()) * rows / 1e6
    ratio = cost.cpu / (cost.cpu - ours + theirs)
    holds = ratio <= WHOLE_BOUND
    print(
        f"  the whole run: {ratio:.2f} of one with TFX's ExampleGen and StatisticsGen "
        f"(at most {WHOLE_BOUND:g}): {'holds' if holds else 'DOES NOT HOLD'}",
        flush=True,
    )
    return holds


def show_tfma(directory: Path) -> None:
    """Prints what TFMA takes to evaluate two models."""
    cost = peer_cost("TFMA", make_rows(directory, TFMA_ROWS))
    print(
        f"\nTFMA, two models, {TFMA_ROWS:,} rows: {cost.cpu:.2f} CPU-s, "
        f"{microseconds(cost.cpu, TFMA_ROWS):.2f} us a row, {cost.peak:,.0f} MB",
        flush=True,
    )


def microseconds(seconds: float, rows: int) -> float:
    """Returns what a row takes."""
    return 1e6 * seconds / rows


def run_pipeline(data: Path, settings: Iterable[str]) -> Cost:
    """Runs the pipeline on data through the command line, and returns what it took."""
    config = data / "scale.yaml"
    config.write_text(CONFIG.format(sample=SAMPLE))
    command = [sys.executable, "-m", "tfx_tflite", "run", str(config), "--no-cache", "--force"]
    command += [part for setting in settings for part in ("--set", setting)]
    mark = f"{MARK}={uuid.uuid4().hex}"
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **dict([mark.split("=")])},
    )
    cost = Cost()
    with watched(process.pid, mark, cost) as spent:
        before = 0.0
        assert process.stdout is not None
        for line in process.stdout:
            if match := STAGE.match(line):
                now = spent()
                cost.stages[match[1]] = now - before
                cost.peaks[match[1]] = cost.peak
                before = now
        cost.cpu = spent()
    if process.wait():
        raise SystemExit(f"the run of {data} ended with {process.returncode}")
    return cost


@contextlib.contextmanager
def watched(leader: int, mark: str, cost: Cost) -> Iterator["Watch"]:
    """Looks at a process and all that it starts while the block runs.

    Args:
        leader: The process.
        mark: What is in the environment of all of them, wherever they go.
        cost: Is told the memory of each at its peak.
    """
    watch = Watch(leader, mark, cost)
    thread = threading.Thread(target=watch.look_on, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        thread.join()


class Watch:
    """Looks at a process and all that it starts, several times a second.

    Args:
        leader: The process.
        mark: What is in the environment of all of them.
        cost: Is told the memory of each at its peak.
    """

    def __init__(self, leader: int, mark: str, cost: Cost):
        self.ended = threading.Event()
        self._leader = leader
        self._mark = mark.encode()
        self._is_of_the_run: dict[int, bool] = {}
        self._cost = cost
        # A process that has ended is counted with what was seen of it last.
        self._spent: dict[int, float] = {}
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Returns the CPU-seconds of all of them so far."""
        with self._lock:
            self._look()
            return sum(self._spent.values())

    def look_on(self) -> None:
        """Looks until it is told to end."""
        while not self.ended.wait(0.1):
            with self._lock:
                self._look()

    def _look(self) -> None:
        for directory in Path("/proc").iterdir():
            if directory.name.isdecimal():
                # One may end while it is looked at.
                with contextlib.suppress(OSError, ValueError, IndexError):
                    self._look_at(directory)

    def _look_at(self, directory: Path) -> None:
        pid = int(directory.name)
        # While it becomes another program a process has no environment.
        if pid not in self._is_of_the_run and (found := (directory / "environ").read_bytes()):
            self._is_of_the_run[pid] = self._mark in found
        if not self._is_of_the_run.get(pid):
            return
        name, _, rest = (directory / "stat").read_text().partition(" (")[2].rpartition(") ")
        # In the order of man 5 proc, from the state on: the 12th and 13th are user and system time.
        fields = rest.split()
        self._spent[pid] = (int(fields[11]) + int(fields[12])) / TICKS
        [peak] = re.findall(r"VmHWM:\s+(\d+) kB", (directory / "status").read_text())
        megabytes = int(peak) / 1024
        key = f"{pid} {name}" + (" (the one that was started)" if pid == self._leader else "")
        self._cost.processes[key] = max(megabytes, self._cost.processes.get(key, 0.0))
        if pid == self._leader:
            self._cost.peak = max(megabytes, self._cost.peak)


def gzip(data: Path) -> float:
    """Returns the CPU-seconds of `gzip -6` over the data."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    files = sorted(map(str, (data / "data").rglob("*.tfrecord")))
    subprocess.run(["gzip", "-6", "-c", *files], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peer_cost(peer: str, data: Path) -> Cost:
    """Returns what a peer takes, in a process of its own."""
    command = [sys.executable, __file__, "--peer", peer, "--directory", str(data)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Cost(**json.loads(output.splitlines()[-1]))


def run_peer(peer: str, data: Path) -> int:
    """Runs a peer and prints what it took: CPU time without imports, and the peak of memory."""
    run = PEERS[peer](data)
    before = time.process_time()
    run()
    cpu = time.process_time() - before
    # Not ru_maxrss, which a child inherits from its parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    print(json.dumps({"cpu": cpu, "peak": int(peak) / 1024}))
    return 0


def tfx_example_gen(data: Path):
    """Returns what takes the data with TFX's ImportExampleGen."""
    from tfx.components import ImportExampleGen
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_artifacts

    splits = [
        example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*") for name in ("train", "eval")
    ]
    component = ImportExampleGen(
        str(data / "data"), example_gen_pb2.Input(splits=splits), example_gen_pb2.Output()
    )
    artifact = standard_artifacts.Examples()
    artifact.uri = str(data / "tfx_examples")
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--runner=FnApiRunner"])
    executor = component.EXECUTOR_SPEC.executor_class(context)
    properties = dict(component.exec_properties)
    return lambda: executor.Do({}, {"examples": [artifact]}, properties)


def tfx_statistics_gen(data: Path):
    """Returns what computes TFX's statistics of all examples that its ExampleGen took."""
    from tfx.components.statistics_gen.executor import Executor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import artifact_utils, standard_artifacts

    examples, output = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, output.uri = str(data / "tfx_examples"), str(data / "tfx_statistics")
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--runner=FnApiRunner"])
    executor = Executor(context)
    return lambda: executor.Do({"examples": [examples]}, {"statistics": [output]}, {})


def tfma_evaluation(data: Path):
    """Returns what evaluates two SavedModels with TFMA's own extractors."""
    import apache_beam as beam
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import config_pb2
    from tfx_bsl.tfxio import tf_example_record

    specs = "".join(
        f'model_specs {{ name: "{name}" label_key: "label" signature_name: "serving_tensors" '
        f'model_type: "tf_generic" {"is_baseline: true" if name == "baseline" else ""} }}\n'
        for name in ("baseline", "candidate")
    )
    config = text_format.Parse(
        specs + 'metrics_specs { metrics { class_name: "BinaryAccuracy" } '
        'metrics { class_name: "AUC" } } slicing_specs {} '
        'slicing_specs { feature_keys: "group" }',
        config_pb2.EvalConfig(),
    )
    models = [
        tfma.default_eval_shared_model(
            eval_saved_model_path=str(data.parent / "model"),
            model_name=spec.name,
            eval_config=config,
        )
        for spec in config.model_specs
    ]
    # All rows, so that as many are evaluated as are said.
    files = sorted(map(str, (data / "data").rglob("*.tfrecord")))
    source = tf_example_record.TFExampleRecord(
        files, raw_record_column_name="__raw_record__", telemetry_descriptors=["benchmark"]
    )

    def run() -> None:
        with beam.Pipeline("FnApiRunner") as pipeline:
            _ = (
                pipeline
                | source.BeamSource()
                | tfma.ExtractEvaluateAndWriteResults(
                    eval_shared_model=models, eval_config=config, output_path=str(data / "tfma")
                )
            )

    return run


PEERS = {
    "TFX's ExampleGen": tfx_example_gen,
    "TFX's StatisticsGen": tfx_statistics_gen,
    "TFMA": tfma_evaluation,
}


def make_rows(directory: Path, rows: int) -> Path:
    """Writes rows as TFRecords, half of them to be evaluated, and returns the directory."""
    data = directory / f"rows-{rows}"
    generator = np.random.default_rng(rows)
    for split in ("train", "eval"):
        folder = data / "data" / split
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        for number in range(FILES):
            with (folder / f"{number}.tfrecord").open("wb") as file:
                left = rows // 2 // FILES
                while left > 0:
                    file.write(records(generator, min(left, CHUNK)))
                    left -= CHUNK
    return data


def records(generator: np.random.Generator, rows: int) -> bytes:
    """Returns rows as TFRecords: all of one length, so that one of them is the mould of all."""
    values = generator.normal(size=(rows, FEATURES)).astype(np.float32)
    noisy = values @ weights() + generator.normal(size=rows)
    mould, places = mould_of_examples()
    made = np.tile(np.frombuffer(mould, np.uint8), (rows, 1))
    made[:, places["x"] : places["x"] + 4 * FEATURES] = values.view(np.uint8)
    made[:, places["label"]] = noisy > 0
    made[:, places["group"]] = generator.integers(GROUPS, size=rows)
    length = len(mould).to_bytes(8, "little")
    header = length + masked(google_crc32c.value(length))
    content, size = made.tobytes(), len(mould)
    rows_in_order = (content[start : start + size] for start in range(0, len(content), size))
    return b"".join(header + row + masked(google_crc32c.value(row)) for row in rows_in_order)


def mould_of_examples() -> tuple[bytes, Mapping[str, int]]:
    """Returns a serialized tf.Example, and where its values are."""
    import tensorflow as tf

    value = np.float32(1.5)
    features = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[value] * FEATURES)),
        # Numbers below 128 are one byte.
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[101])),
        "group": tf.train.Feature(int64_list=tf.train.Int64List(value=[102])),
        "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"_" * 7])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    content = example.SerializeToString(deterministic=True)
    places = {
        "x": content.index(value.tobytes() * FEATURES),
        "label": content.index(b"\n\x01\x65") + 2,
        "group": content.index(b"\n\x01\x66") + 2,
    }
    return content, places


def masked(checksum: int) -> bytes:
    """Returns a checksum as TFRecords have it."""
    turned = (checksum >> 15 | checksum << 17) + 0xA282EAD8
    return (turned & 0xFFFFFFFF).to_bytes(4, "little")


def weights() -> np.ndarray:
    """Returns what decides the label."""
    return np.random.default_rng(0).normal(size=FEATURES).astype(np.float32)


def make_model(path: Path) -> None:
    """Writes a small classifier of rows as a SavedModel."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    hidden = tf.Variable(np.random.default_rng(1).normal(size=(FEATURES, 16)), dtype=tf.float32)
    # A sum of the weighted features, made of parts that are never negative.
    first = tf.Variable(np.stack([weights(), -weights()], axis=1))

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
    def serving_tensors(x):
        parts = tf.nn.relu(tf.matmul(x, first))
        noise = tf.reduce_sum(tf.nn.relu(tf.matmul(x, hidden)), axis=1, keepdims=True)
        score = tf.matmul(parts, tf.constant([[1.0], [-1.0]])) + 1e-3 * noise
        return {"probability": tf.nn.sigmoid(score)}

    module = tf.Module()
    module.variables_used = [hidden, first]
    module.serving_tensors = serving_tensors
    tf.saved_model.save(module, str(path), {"serving_tensors": serving_tensors})


if __name__ == "__main__":
    sys.exit(main())
