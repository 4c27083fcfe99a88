"""What hypothesis makes of configs: each is valid, or is refused without a traceback."""

from pathlib import Path

from tests.pipelines.config.fuzz import fuzz

# Some ten seconds' worth; `python -m tests.pipelines.config.fuzz 10000` reads more.
_EXAMPLES = 400


def test_any_config_is_valid_or_refused(tmp_path: Path, record_property):
    counts = fuzz(tmp_path, _EXAMPLES)
    found = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    record_property("summary", f"{counts.total()} configs: {found}")
    assert counts["valid"] and counts["ConfigError"] > counts["valid"]
