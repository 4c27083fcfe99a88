"""The quantization report's JSON Schema is in the docs, and real reports keep to it."""

import json
from pathlib import Path

import jsonschema

from tests.conftest import ROOT
from tfx_tflite.components.quantization.document import Bytes, QuantizationReport

SCHEMA = ROOT / "docs" / "quantization.schema.json"
# Of the shipped digits pipeline, by the release before these reports had a format.
EARLIER = Path(__file__).parent / "earlier_quantization.json"


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Mend with `python -m tfx_tflite.components.quantization.document`."""
    assert SCHEMA.read_text() == QuantizationReport.json_schema()


def test_an_earlier_report_is_read_and_loses_no_key():
    before = json.loads(EARLIER.read_text())
    after = QuantizationReport.parse(EARLIER.read_bytes(), "earlier").to_keys()
    assert after == {"format": 1, "recipe": None, "tuning": None, "draws": None, **before}
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(after)


def test_a_ratio_of_sizes_that_are_not_known_is_not_known():
    assert Bytes(float_model=200, quantized=50).ratio == 0.25
    assert Bytes(quantized=50).ratio is Bytes(float_model=0, quantized=50).ratio is None
