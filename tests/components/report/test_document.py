"""The evaluation's report as a document: its schema, and what it keeps when it is read again."""

import json
import math

import jsonschema
import pytest

from tests.components.report.reports import AUTO, BLESSED, RECORDED, REFUSED
from tests.conftest import ROOT
from tfx_tflite.components.destinations.manifest import MetadataIds
from tfx_tflite.components.errors import DocumentError
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.report.document import Provenance, Report

RUNS = ["blessed", "refused", "targets", "several_outputs", "binary", "regression", "auto", "draws"]
SCHEMA = ROOT / "docs" / "report.schema.json"


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Mend with `python -m tfx_tflite.components.report.document`."""
    assert SCHEMA.read_text() == Report.json_schema()


@pytest.mark.parametrize("name", [*RUNS, "earlier"])
def test_reports_of_real_runs_keep_to_the_schema(name: str):
    document = json.loads((RECORDED / f"{name}.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)


@pytest.mark.parametrize("name", RUNS)
def test_a_report_that_is_read_and_written_is_the_same_file(name: str):
    text = (RECORDED / f"{name}.json").read_text()
    assert Report.parse(text, name).to_json() == text


def test_no_key_of_an_earlier_report_is_lost():
    before = json.loads((RECORDED / "earlier.json").read_text())
    after = Report.parse((RECORDED / "earlier.json").read_bytes(), "earlier").to_keys()
    assert before.keys() <= after.keys()
    # They have more keys by now.
    parts = before.keys() - {"signature", "golden", "latency_ms", "latency_by_threads", "gate"}
    assert {key: after[key] for key in parts} == {key: before[key] for key in parts}


def test_keys_of_a_later_report_are_passed_over():
    later = {**BLESSED.to_keys(), "format": 99, "news": 1}
    assert Report.model_validate(later) == BLESSED.model_copy(update={"format": 99})


def test_a_figure_that_is_not_known_is_null_in_json_and_no_number_again():
    rule = REFUSED.rules[0].model_copy(update={"drop": math.nan, "lower": -math.inf})
    text = REFUSED.model_copy(update={"rules": (rule,)}).to_json()
    [again] = Report.parse(text, "again").rules
    assert math.isnan(again.drop) and again.lower is None
    assert json.loads(text)["rules"][0]["drop"] is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"verdict": "perhaps"}'])
def test_a_damaged_report_is_an_error_that_names_the_file(content: str):
    with pytest.raises(DocumentError, match=r"at/report\.json is not an evaluation report: "):
        Report.parse(content, "at/report.json")


def test_the_command_is_one_that_a_shell_takes():
    overrides = ("quantization.scheme=int8", "gate.rules=[{max_size_ratio: 0.5}]")
    provenance = Provenance(
        pipeline="p", config="my config.yaml", config_digest="sha256:0", overrides=overrides
    )
    assert provenance.command == (
        "tfx-tflite run 'my config.yaml' --set quantization.scheme=int8 "
        "--set 'gate.rules=[{max_size_ratio: 0.5}]'"
    )


def test_a_manifest_has_the_model_s_name_and_what_the_report_found():
    ids = MetadataIds(execution=1, model_artifact=2, blessing_artifact=3)
    described = BLESSED.description(ids)
    assert described.name == "digits" and described.metadata == ids
    assert (described.rules, described.digests) == (BLESSED.rules, BLESSED.digests)
    # As `quantization.recipe` takes it.
    assert described.recipe == {"scheme": "int8"}
    assert Recipe.parse(json.dumps(AUTO.description(ids).recipe), "manifest") == AUTO.recipe


def test_the_shapes_of_an_example_are_those_of_the_signature_s_inputs():
    assert BLESSED.example_shapes == {"image": (1, 8, 8, 1)}
    assert Report(verdict="blessed").example_shapes == {}
