"""Reports of real runs; `recorded/record.py` records them again."""

from pathlib import Path

from tfx_tflite.components.report.document import Report

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
# Of a release whose reports had no provenance.
EARLIER = recorded("earlier")
