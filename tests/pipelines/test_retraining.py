"""A pipeline that retrains for ever; the long version is `python -m tests.pipelines.retraining`."""

from pathlib import Path

import pytest

from tests.pipelines.retraining import Retraining

pytestmark = pytest.mark.slow


def test_nothing_bad_is_pushed_and_nothing_good_is_lost(tmp_path: Path, record_property):
    life = Retraining(tmp_path, seed=3)
    life.live(ticks=10)
    record_property("summary", f"10 ticks: {life.summary}")
