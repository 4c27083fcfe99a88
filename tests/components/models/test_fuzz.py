"""What hypothesis makes of models: none ends the process that judges it, or in a traceback."""

import pytest

pytestmark = pytest.mark.slow

# Some ten seconds' worth; `python -m tests.components.models.fuzz 5000` runs more.
_EXAMPLES = 40


def test_any_model_runs_or_is_refused(record_property):
    from tests.components.models.fuzz import described, fuzz

    counts = fuzz(_EXAMPLES)
    record_property("summary", described(counts))
    assert counts["runs"] and counts["not a valid"]
