"""Whole runs whose rules are against what is pushed, where that cannot be read."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.judgement.test_pushed_reference import CLOSED
from tests.forked import tfx_tflite
from tests.pipelines.runs.test_bad_input import CONFIG, rows
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.verdict import Verdict
from tfx_tflite.pipelines.runs.results import FailedAfterVerdict, RunResult

pytestmark = pytest.mark.slow

AGAINST_PUSHED = """\
    - {metric: SparseCategoricalAccuracy, max_drop: 0.1, against: pushed}
push:
"""
# How long a run may take to say that a store does not answer, with TFX to load before.
TIMEOUT = 30 + 60


@pytest.fixture
def config(tmp_path: Path, digits_model: Path, write_records) -> Path:
    """A config with a rule against the pushed model, and its data."""
    for split in ("train", "eval"):
        write_records(tmp_path / "data" / split / "a.tfrecord", rows())
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.format(model=digits_model).replace("push:\n", AGAINST_PUSHED))
    return path


def run(
    config: Path, *overrides: str, before: Callable[[str], object] = lambda stage: None
) -> tuple[RunResult, dict[str, str]]:
    """Runs a config, and returns the result and how each stage went.

    Args:
        config: The config.
        overrides: As of `--set`.
        before: Is called with the name of each stage before it.
    """
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run as run_once
    from tfx_tflite.pipelines.runs.runners import StageObserver

    stages: dict[str, str] = {}
    observer = StageObserver(
        started=before, ended=lambda stage: stages.update({stage.name: stage.outcome})
    )
    return run_once(inspect(load_config(config, overrides)), "local", observer), stages


def test_a_store_that_does_not_answer_ends_the_run_in_time_and_nothing_is_blessed(
    config: Path, tmp_path: Path
):
    start = time.monotonic()
    call = ("run", config, "--json", "--set", "push.destination='s3://models/pushed'")
    done = tfx_tflite(*call, variables=CLOSED)
    assert done.returncode == 1, done.stderr
    assert time.monotonic() - start < TIMEOUT
    document = json.loads(done.stdout)
    assert document["status"] == "failed" and not document["rules"]
    assert document["error"].startswith("cannot read s3://models/pushed")
    assert len(document["error"].splitlines()) <= 2
    assert not list((tmp_path / "root").rglob("report.json"))


def test_a_destination_that_goes_away_during_a_run_leaves_the_rule_undecided(
    config: Path, tmp_path: Path
):
    first, _ = run(config)
    assert first.status == "pushed"
    pushed, away = tmp_path / "pushed", tmp_path / "away"
    scheme = "quantization.scheme=dynamic_range"

    def take_away(stage: str) -> None:
        if stage == "QuantizationEvaluator":
            pushed.rename(away)
            pushed.write_text("not a folder")

    with pytest.raises(FailedAfterVerdict, match="Not a directory") as caught:
        run(config, scheme, before=take_away)
    result = caught.value.result
    assert [rule.verdict for rule in result.rules] == [Verdict.BLESSED, Verdict.UNDECIDED]
    assert result.status == "failed" and "Not a directory" in result.reasons[0]
    report = Report.parse(Path(str(result.report)).read_bytes(), "report")
    assert report.verdict is Verdict.REFUSED and "Not a directory" in str(report.pushed_problem)
    page = Path(str(result.page)).read_text()
    assert "could not be looked at" in page and "Not a directory" in page
    # The destination is back, and that verdict is not taken for today's.
    pushed.unlink()
    away.rename(pushed)
    again, stages = run(config, scheme)
    assert again.status == "pushed" and again.pushed_to != first.pushed_to
    assert stages["TFLiteQuantizer"] == "cached" and stages["QuantizationEvaluator"] == "done"


@pytest.mark.parametrize(("when", "status"), [("pass", "pushed"), ("refuse", "refused")])
def test_a_destination_that_is_known_to_be_empty_does_what_the_rule_says(
    config: Path, when: str, status: str
):
    result, _ = run(config, f"gate.rules.1.when_nothing_pushed={when}")
    assert result.status == status
    assert "nothing was pushed yet" in result.rules[1].reason
    page = Path(str(result.page)).read_text()
    assert "nothing was pushed yet" in page
