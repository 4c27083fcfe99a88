"""What hypothesis makes of models: none ends the process that judges it, or in a traceback."""

import pytest

pytestmark = pytest.mark.slow

# Some ten seconds' worth; `python -m tests.components.models.fuzz 5000` runs more.
_EXAMPLES = 40


def test_any_model_runs_or_is_refused(record_property):
    from tests.components.models.fuzz import fuzz

    counts = fuzz(_EXAMPLES)
    found = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    record_property("summary", f"{counts.total()} models: {found}")
    assert counts["runs"] and counts["no sound"]
