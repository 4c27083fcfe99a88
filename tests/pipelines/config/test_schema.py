"""The JSON Schema of the config: what editors complete and check by."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from tests.conftest import CONFIGS, ROOT
from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config import schema

FILE = ROOT / "docs" / "config.schema.json"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    document = json.loads(FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def document(text: str, *lines: str) -> object:
    """Returns a config as an editor sees it: YAML's times are texts there."""
    loaded = YAML(typ="safe").load("\n".join([text, *lines]))
    return json.loads(
        json.dumps(loaded, default=lambda value: str(value) if isinstance(value, date) else value)
    )


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Mend with `python -m tfx_tflite.pipelines.config.schema`."""
    assert FILE.read_text(encoding="utf-8") == schema.config_schema()


def test_the_sentences_are_those_of_the_page():
    """Mend with `python -m tfx_tflite.pipelines.config.schema`."""
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    shipped = Path(schema.__file__).with_name("key_descriptions.json")
    assert json.loads(shipped.read_text(encoding="utf-8")) == schema.descriptions(page)


def test_the_command_prints_it_or_writes_it(tmp_path: Path):
    printed = CliRunner().invoke(main, ["schema"])
    written = CliRunner().invoke(main, ["schema", "--output", str(tmp_path / "s.json")])
    assert printed.stdout == (tmp_path / "s.json").read_text() == FILE.read_text()
    assert printed.exit_code == written.exit_code == 0


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_names_the_schema_and_keeps_to_it(path: Path, validator):
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    comment, _, named = first.partition("$schema=")
    assert comment == "# yaml-language-server: "
    assert (path.parent / named).resolve() == FILE
    validator.validate(document(text))


@pytest.mark.parametrize(
    "lines",
    [
        "schedule: {cron: 30 2 * * *, start: 2026-01-31 06:00:00}",
        "calibration: {ranges: percentile, percentile: 99.5}",
        "quantization: {scheme: int16x8, batch_size: 4}",
        "kubeflow: {image: i, secrets: {A: {secret: s, key: k}}}",
        "metadata: {mysql: {host: h, database: d, user: u}}",
    ],
)
def test_what_the_config_takes_the_schema_takes(lines: str, validator):
    validator.validate(document(MINIMAL, lines))


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("calibration: {sampels: 5}", "calibration"),
        ("calibration: {samples: many}", "calibration.samples"),
        ("quantization: {scheme: Int8}", "quantization.scheme"),
        ("data: {input_base: data, format: cvs}", "data.format"),
        ("beam: {args: --runner=FnApiRunner}", "beam.args"),
        ("gate: {rules: []}", "gate.rules"),
    ],
)
def test_what_the_config_refuses_the_schema_refuses(lines: str, place: str, validator):
    changed = {**document(MINIMAL), **document(lines)}
    [error] = validator.iter_errors(changed)
    assert ".".join(map(str, error.absolute_path)) == place


def properties(part: object) -> Iterator[tuple[str, dict]]:
    """Yields all keys in a schema with their schemas."""
    if isinstance(part, dict):
        for name, inner in part.get("properties", {}).items():
            yield name, inner
        for inner in part.values():
            yield from properties(inner)
    if isinstance(part, list):
        for inner in part:
            yield from properties(inner)


def test_every_key_is_described(validator):
    lacking = [
        name
        for name, part in properties(validator.schema)
        if not part.get("description") and "$ref" not in json.dumps(part)
    ]
    assert lacking == []


def test_enumerations_defaults_and_bounds_are_in_it(validator):
    definitions = validator.schema["$defs"]
    assert "int16x8" in definitions["Scheme"]["enum"]
    samples = definitions["CalibrationConfig"]["properties"]["samples"]
    assert (samples["default"], samples["minimum"]) == (200, 1)
    metrics = json.dumps(definitions["EvaluationConfig"]["properties"]["metrics"])
    assert '"SparseCategoricalAccuracy"' in metrics
