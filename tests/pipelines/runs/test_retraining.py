"""A pipeline that retrains for ever; `python -m tests.pipelines.runs.retraining` is longer."""

from pathlib import Path

import pytest

from tests.pipelines.runs.retraining import Retraining

pytestmark = pytest.mark.slow


def test_nothing_bad_is_pushed_and_nothing_good_is_lost(tmp_path: Path, record_property):
    life = Retraining(tmp_path, seed=3)
    life.live(["bad", "killed", "overlap", "swapped", "rollback", "swapped"])
    record_property("summary", f"8 ticks: {life.summary}")
