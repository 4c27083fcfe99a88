"""After runs on a Flink inside the job server the machine is as it was before."""

from pathlib import Path

import pytest

from tests.forked import tfx_tflite
from tests.pipelines.engines import ended_at_work
from tests.pipelines.runs.test_nothing_left import CONFIG, ROWS, left
from tools.engines.assembly import JobServer, missing_programs

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _flink() -> None:
    if not JobServer("flink").is_current() or any("Java" in name for name in missing_programs()):
        pytest.skip("needs Java and a job server, which `make engines` builds")


def test_a_run_that_ends_well_and_one_that_is_ended_at_work_leave_nothing(
    tmp_path: Path, digits_model: Path, write_records
):
    (temporary := tmp_path / "temporary").mkdir()
    for split in ("train", "eval"):
        write_records(tmp_path / "data" / split / "a.tfrecord", ROWS)
    config = tmp_path / "on_flink.yaml"
    config.write_text(CONFIG.format(name="on_flink", data="data", model=digits_model))
    command = ("run", config, "--set", "beam.engine=flink")
    variables = {"TMPDIR": str(temporary)}

    ended = tfx_tflite(
        *command,
        variables={**variables, **ended_at_work.variables(tmp_path / "on_flink/logs")},
        main=ended_at_work.main,
    )
    assert ended.returncode == 1
    assert "cancelling on_flink-ImportExampleGen-" in ended.stdout
    assert list(temporary.iterdir()) == []
    done = tfx_tflite(*command, variables=variables)
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
    # All jobs of a run are done by one cluster, which was there before the first one.
    *_, log = sorted((tmp_path / "on_flink/logs").glob("*.job-server.log"))
    assert log.read_text(encoding="utf-8").count("Starting Flink Mini Cluster") == 1
    # A port that is listened to is a process's, too.
    assert left(tmp_path) == []
