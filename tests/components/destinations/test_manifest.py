"""The manifest's JSON Schema is in the docs, and what is pushed keeps to it."""

import json
from pathlib import Path

import jsonschema

from tests.conftest import ROOT
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.manifest import Manifest

SCHEMA = ROOT / "docs" / "manifest.schema.json"


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Mend with `python -m tfx_tflite.components.destinations.manifest`."""
    assert SCHEMA.read_text() == Manifest.json_schema()


def test_a_pushed_manifest_keeps_to_the_schema(candidate, tmp_path: Path):
    pushed = Destination.open(str(tmp_path / "to")).push(candidate())
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads((Path(pushed.uri) / "manifest.json").read_text())
    jsonschema.validate(document, schema)
