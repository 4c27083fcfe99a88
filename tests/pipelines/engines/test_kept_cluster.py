"""The Flink inside the job server that `make engines` builds serves one job after the other."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tfx_tflite.pipelines.engines.engine import Engine
from tfx_tflite.pipelines.engines.job_server import job_server
from tools.engines.assembly import JobServer, missing_programs

pytestmark = pytest.mark.slow
PATIENCE = 60


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.job-server.log"


@pytest.fixture
def flink(tmp_path: Path) -> Iterator[str]:
    """A job server with a Flink inside that is started early, for jobs of one part; its address."""
    if not JobServer("flink").is_current() or any("Java" in name for name in missing_programs()):
        pytest.skip("needs Java and a job server, which `make engines` builds")
    engine = Engine("flink", "[local]", parallelism=1)
    with job_server(engine, tmp_path, tmp_path / "run.log", print) as server:
        assert server is not None
        yield server.endpoint(lambda: "")


def doubled(number: int) -> int:
    return 2 * number


def failed(number: int) -> int:
    raise ValueError("it is meant to fail")


def done(flink: str, parallelism: int = 1, work: Callable[[int], int] = doubled) -> str:
    """Runs a job, and returns the state in which it ended."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(
        [
            *("--runner=PortableRunner", f"--job_endpoint={flink}", "--environment_type=LOOPBACK"),
            *(f"--parallelism={parallelism}", "--flink_master=[local]"),
        ]
    )
    pipeline = beam.Pipeline(options=options)
    pipeline | beam.Create([1, 2]) | beam.Map(work) | beam.GroupBy(lambda number: number % 2)
    try:
        return str(pipeline.run().wait_until_finish())
    except RuntimeError as error:
        assert "it is meant to fail" in str(error)
        return "FAILED"


def started(log: Path) -> int:
    """How many clusters were started."""
    return log.read_text(encoding="utf-8").count("Starting Flink Mini Cluster")


def test_flink_is_started_before_the_first_job(flink: str, log: Path):
    end = time.monotonic() + PATIENCE
    while not started(log):
        assert time.monotonic() < end, "it does not start by itself"
        time.sleep(0.1)


def test_a_job_gets_the_cluster_of_the_one_before_unless_that_failed_or_was_otherwise(
    flink: str, log: Path
):
    assert [done(flink), done(flink), started(log)] == ["DONE", "DONE", 1]
    # What failed may have taken a part of its cluster along.
    assert [done(flink, work=failed), done(flink), started(log)] == ["FAILED", "DONE", 2]
    assert [done(flink, parallelism=2), done(flink, parallelism=2), started(log)] == [
        *("DONE", "DONE", 3),
    ]
