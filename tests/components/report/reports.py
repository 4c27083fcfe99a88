"""Reports of real runs; `recorded/record.py` records them again."""

from pathlib import Path
from typing import TypeVar

from tfx_tflite.components.documents import Part
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.verdict import Verdict

_Part = TypeVar("_Part", bound=Part)

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> Report:
    """Returns the report of a run."""
    path = RECORDED / f"{name}.json"
    return Report.parse(path.read_bytes(), str(path))


# Of the shipped digits pipeline, from beside the pushed model.
BLESSED = recorded("blessed")
# With every verdict that a rule can have, warnings and saturated inputs.
REFUSED = recorded("refused")
SEVERAL_OUTPUTS = recorded("several_outputs")
# On two targets, of which one has an accelerator.
TARGETS = recorded("targets")
# Of the shipped pipelines on tables.
BINARY = recorded("binary")
REGRESSION = recorded("regression")
# Of a search that repaired int8.
AUTO = recorded("auto")
# Of draws of calibration examples of which some hold the rules.
DRAWS = recorded("draws")
# Of a release whose reports had no provenance.
EARLIER = recorded("earlier")

RULE = next(rule for rule in REFUSED.rules if rule.verdict is Verdict.BLESSED and rule.method)
FAILED = next(rule for rule in REFUSED.rules if rule.verdict is Verdict.REFUSED and rule.method)
UNDECIDED = next(rule for rule in REFUSED.rules if rule.verdict is Verdict.UNDECIDED)
NOT_JUDGED = next(rule for rule in REFUSED.rules if rule.verdict is Verdict.NOT_JUDGED)


def varied(value: _Part, **fields: object) -> _Part:
    """Returns a recorded document, or a part of one, with other values in some fields."""
    assert fields.keys() <= type(value).model_fields.keys()
    return value.model_copy(update=fields)
