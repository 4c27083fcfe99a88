"""The digits pipeline on a Flink and on a Spark of two hosts."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.pipelines.engines.cluster_flink import (
    FlinkCluster,
    flink_cluster,
    skip_without_a_cluster,
)
from tests.pipelines.engines.cluster_hosts import two_hosts
from tests.pipelines.engines.cluster_spark import SparkCluster
from tests.pipelines.engines.cluster_store import HostStore
from tools.engines.assembly import FLINK_JARS, JobServer
from tools.engines.comparison import differences, outputs
from tools.engines.digits import Run, run_digits

pytestmark = pytest.mark.slow
# To kill a task manager in the middle of a job.
_ATTEMPTS = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    skip_without_a_cluster()
    directory = tmp_path_factory.mktemp("cluster")
    with two_hosts() as hosts, flink_cluster(hosts, FLINK_JARS, directory) as running:
        yield running


@pytest.fixture(scope="module")
def model(digits_model: Path) -> list[str]:
    return [f"model={{saved_model: {digits_model}, signature: serving_tensors}}"]


@pytest.fixture(scope="module")
def alone(model: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pushed(run_digits(tmp_path_factory.mktemp("in-process"), model))


def pushed(run: Run) -> Run:
    assert (run.status, run.error) == ("pushed", "")
    return run


def on(cluster: FlinkCluster, overrides: list[str], root: Path) -> Run:
    """Runs the pipeline on the first host."""
    return run_digits(root, [*cluster.overrides, *overrides], cluster.hosts[0].within)


def assert_same(run: Run, alone: Run) -> None:
    assert list(differences(outputs(alone.root), outputs(run.root))) == []


def assert_nothing_is_left(cluster: FlinkCluster, run: Run) -> None:
    cluster.wait_for_task_managers()
    assert cluster.jobs("RUNNING") == []
    assert run.left == ()


def test_a_run_on_two_hosts_makes_the_same_as_one_process_though_a_task_manager_is_killed(
    cluster: FlinkCluster, model: list[str], alone: Run, tmp_path: Path
):
    # A job has work on the host for a second or so, which may be over when the manager dies.
    for attempt in range(_ATTEMPTS):
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(on, cluster, model, tmp_path / str(attempt))
            cluster.wait_for_job("StatisticsGen")
            cluster.restart_task_manager(1)
            run = pushed(running.result())
        assert_same(run, alone)
        assert_nothing_is_left(cluster, run)
        if cluster.jobs("FAILED"):
            break
    # The stage's job failed, and a second one, with outputs of its own, did not.
    stages = [name.split("-")[1] for name in cluster.jobs("FAILED")]
    assert stages == ["StatisticsGen"]
    assert any("-StatisticsGen-" in name for name in cluster.jobs("FINISHED"))
    assert all("apache_beam.runners.worker" in log.read_text() for log in cluster.pool_logs)


def test_workers_that_do_not_see_the_root_make_the_same_from_an_object_store(
    cluster: FlinkCluster,
    model: list[str],
    alone: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    store = HostStore(cluster.hosts[0])
    store.start(tmp_path / "store.log")
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    (root := tmp_path / "root").mkdir()
    # In the pools' mount namespaces an empty folder lies over the root.
    cluster.start_pools(
        20001, ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(root)]
    )
    place = f"artifacts={store.place('digits')}"
    run = pushed(on(cluster, [*model, place, "beam.workers.pool=localhost:20001"], root))
    assert not (root / "artifacts").exists()
    store.fetch("digits", tmp_path / "fetched/artifacts")
    assert list(differences(outputs(alone.root), outputs(tmp_path / "fetched"))) == []
    assert_nothing_is_left(cluster, run)


def test_workers_that_die_at_their_start_are_waited_for_no_longer_than_the_limit(
    cluster: FlinkCluster, tmp_path: Path
):
    (first := tmp_path / "bin").mkdir()
    path = os.pathsep.join((str(first), str(Path(sys.executable).parent), os.environ["PATH"]))
    cluster.start_pools(20002, ["env", f"PATH={path}"])
    # The pools run by now; the workers that they start do not.
    (first / "python").symlink_to("/bin/false")
    limits = ["beam.stage_time_limit=20", "beam.retries=1"]
    root = tmp_path / "root"
    run = on(cluster, [*limits, "beam.workers.pool=localhost:20002"], root)
    assert run.status == "failed"
    for part in (
        "took longer than beam.stage_time_limit, 20 s",
        f"was cancelled; it was running at http://{cluster.master}",
        "Workers that cannot start are waited for without end",
    ):
        assert part in run.error
    # The stage's job was cancelled, and so was that of the second try.
    stages = [name.split("-")[1] for name in cluster.jobs("CANCELED")]
    assert stages == ["ImportExampleGen"] * 2
    assert_nothing_is_left(cluster, run)
    assert not (root / "pushed").exists() and not list(root.glob("job-server-*"))


@pytest.fixture(scope="module")
def spark(cluster: FlinkCluster, tmp_path_factory: pytest.TempPathFactory) -> SparkCluster:
    """A Spark on the same hosts, with the same pools."""
    server = JobServer("spark")
    if not server.is_current():
        pytest.skip("a Spark cluster needs what `make engines` builds")
    running = SparkCluster(cluster.hosts, server.jar, tmp_path_factory.mktemp("spark"))
    running.start()
    return running


def test_a_run_on_a_spark_of_two_hosts_makes_the_same_as_one_process(
    spark: SparkCluster, cluster: FlinkCluster, model: list[str], alone: Run, tmp_path: Path
):
    first = cluster.hosts[0]
    within = [*first.within, *spark.with_address(first)]
    run = pushed(run_digits(tmp_path, [*spark.overrides, *model], within))
    assert_same(run, alone)
    assert run.left == ()
    spark.wait_until_idle()
    assert {application["state"] for application in spark.ended()} == {"FINISHED"}
