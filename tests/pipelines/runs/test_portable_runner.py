"""The pipeline through Beam's portable job service, with workers in separate processes.

Submitter, job server and workers talk as they do on a Flink or Spark cluster.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.pipelines.metadata.servers import free_port, wait_for

pytestmark = pytest.mark.slow

# What differs between any two runs, also of one runner: by the file's name in an artifact's
# directory, the keys that are left out of the comparison.
MEASURED = {
    # How long an inference took; when the run was and with which settings; where it was pushed,
    # and the versions there.
    "report.json": (
        *("latency_ms", "latency_by_threads"),
        *("evaluated_at", "run", "provenance", "pushed", "history"),
    ),
    # When the model was pushed, which is its version; and ids, which ML Metadata gives to the
    # outputs of a stage in no fixed order.
    "manifest.json": ("pushed_at", "version", "metadata"),
}
# The report as a page, which shows the latencies, in the evaluation and as Kubeflow's artifact.
PAGES = ("report.html", "value")


@contextlib.contextmanager
def server(
    module: str, *arguments: str, port: int, log: Path, before: Sequence[str] = ()
) -> Iterator[None]:
    """A module of Beam as a process that listens, maybe started by another command."""
    # The worker pool starts its workers as `python`, whichever comes first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", module, *arguments],
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, "PATH": path},
        )
        try:
            wait_for(port, process, log)
            yield
        finally:
            # The worker pool has workers of its own, in its process group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster_args(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What `beam.args` is for a job server and a worker pool that run while the tests do."""
    logs = tmp_path_factory.mktemp("cluster")
    jobs, workers = free_port(), free_port()
    portability, worker = "apache_beam.runners.portability", "apache_beam.runners.worker"
    with (
        server(
            f"{portability}.local_job_service_main", "-p", str(jobs), port=jobs, log=logs / "jobs"
        ),
        server(
            f"{worker}.worker_pool_main",
            f"--service_port={workers}",
            port=workers,
            log=logs / "workers",
        ),
    ):
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{workers}",
        ]


def files_of_a_run(directory: Path, name: str, model: Path, args: list[str]) -> dict[str, Path]:
    """Runs digits below a directory and returns what it wrote, put aside under a name.

    Every run has the same root, because artifacts name each other by where they are.
    """
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run
    from tfx_tflite.pipelines.runs.runners import StageObserver
    from tfx_tflite.pipelines.runs.worker_processes import workers_of

    stages = []
    overrides = [
        f"root={directory}/root",
        f"push.destination={directory}/root/pushed",
        f"model={{saved_model: {model}, signature: serving_tensors}}",
        f"beam.args={json.dumps(args)}",
    ]
    observer = StageObserver(started=lambda name: None, ended=stages.append)
    found = inspect(load_config(CONFIGS / "digits.yaml", overrides))
    with workers_of(found.config.beam) as workers:
        result = run(found, "local", observer, workers=workers)
    assert result.status == "pushed"
    assert {stage.outcome for stage in stages} == {"done"}
    kept = directory / name
    (directory / "root").rename(kept)
    return {
        str(path.relative_to(kept)): path
        for path in sorted((kept / "artifacts").rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory, digits_model: Path):
    directory = tmp_path_factory.mktemp("runs")
    args = ["--runner=FnApiRunner"]
    return directory, files_of_a_run(directory, "in_process", digits_model, args)


def content(path: Path) -> object:
    """Returns what two runs must agree on."""
    if path.name in MEASURED:
        document = json.loads(path.read_text())
        return {key: document[key] for key in document if key not in MEASURED[path.name]}
    if path.name == "eval_config.json":
        # TFMA writes the mapping of the models' places in no fixed order.
        return json.loads(path.read_text())
    if path.name == "FeatureStats.pb":
        return statistics(path)
    return None if path.name in PAGES else path.read_bytes()


def statistics(path: Path) -> list[object]:
    """Returns TFDV's statistics as words and numbers.

    Means are sums of floats in the order in which bundles come, so their last digit is not fixed.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    return [word if not number(word) else f"{float(word):.10g}" for word in str(found).split()]


def number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


@pytest.mark.generations
def test_workers_in_other_processes_write_the_same_bytes(
    in_process, digits_model: Path, cluster_args: list[str]
):
    directory, expected = in_process
    found = files_of_a_run(directory, "cluster", digits_model, cluster_args)
    assert found.keys() == expected.keys()
    assert [name for name in found if content(found[name]) != content(expected[name])] == []


def test_what_is_compared_is_what_the_stages_write(in_process):
    _, files = in_process
    assert {name.split("/")[1] for name in files} >= {
        "ImportExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "CalibrationSampler",
        "TFLiteQuantizer",
        "QuantizationEvaluator",
        "Pusher",
    }
    names = {path.name for path in files.values()}
    assert names >= {"ranges.json", "tflite", "comparison.json", "sample.json", "report.json"}


@pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
def test_several_workers_draw_the_same_sample_and_make_the_same_model(
    in_process, digits_model: Path, mode: str
):
    """Workers share the files of a split, and give their results in any order."""
    directory, expected = in_process
    args = ["--runner=FnApiRunner", "--direct_num_workers=2"]
    args += [f"--direct_running_mode={mode}"]
    found = files_of_a_run(directory, mode, digits_model, args)
    assert found.keys() == expected.keys()
    assert [name for name in found if content(found[name]) != content(expected[name])] == []
