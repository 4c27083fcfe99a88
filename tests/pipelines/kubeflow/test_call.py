"""Calls of containers, recorded and made, in every form: the executor gets the same of each."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.kubeflow.recordings import (
    FORMS,
    VERTEX,
    Given,
    Recording,
    artifacts_in,
    given_by,
)
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.kubeflow.call import INPUTS_ARGUMENT, Declared, Task, read_call, with_uris

# What each component declares: its inputs and outputs, by name the type.
COMPONENTS = {
    "ImportExampleGen": ({}, {"examples": "Examples"}),
    "StatisticsGen": ({"examples": "Examples"}, {"statistics": "ExampleStatistics"}),
    "SchemaGen": ({"statistics": "ExampleStatistics"}, {"schema": "Schema"}),
    "Trainer": (
        {"examples": "Examples", "schema": "Schema"},
        {"model": "Model", "model_run": "ModelRun"},
    ),
    "CalibrationSampler": (
        {"examples": "Examples", "schema": "Schema"},
        {"calibration_examples": "Examples"},
    ),
    "TFLiteQuantizer": (
        {"calibration_examples": "Examples", "model": "Model", "schema": "Schema"},
        {"quantized_model": "Model"},
    ),
    "QuantizationEvaluator": (
        {"baseline_model": "Model", "examples": "Examples", "model": "Model", "schema": "Schema"},
        {
            "blessing": "ModelBlessing",
            "evaluation": "ModelEvaluation",
            "figures": "system.Metrics",
            "page": "system.HTML",
        },
    ),
    "Pusher": (
        {"model": "Model", "model_blessing": "ModelBlessing"},
        {"pushed_model": "PushedModel"},
    ),
}
PARAMETERS = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float}
COLUMNS = ("kfp-2.17-minio", "kfp-2.0-minio", VERTEX)


def kinds(artifacts: dict[str, list]) -> dict[str, str]:
    return {key: entry.kind for key, [entry] in artifacts.items()}


@pytest.mark.parametrize("form", [*FORMS, VERTEX])
@pytest.mark.parametrize("task", COMPONENTS)
def test_of_each_recorded_call_the_executor_gets_what_its_component_declares(
    form: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recording = Recording.read(form, task)
    given, report = given_by(recording.arguments(), tmp_path, monkeypatch)
    inputs, outputs = COMPONENTS[task]
    assert kinds(given.inputs) == inputs
    assert kinds(given.outputs) == outputs
    assert given.properties == recording.call["inputs"]["parameterValues"]
    declared = json.loads(recording.argument(INPUTS_ARGUMENT))["parameters"]
    for key, value in given.properties.items():
        assert type(value) is PARAMETERS[declared[key]["parameterType"]]
    assert set(report["artifacts"]) == set(outputs)
    recorded = dict(artifacts_in({"inputs": {}, "outputs": recording.call["outputs"]}))
    for key, entry in report["artifacts"].items():
        assert entry["artifacts"][0]["uri"] == recorded[key]["uri"]
    for key, [artifact] in given.inputs.items():
        [called] = recording.call["inputs"]["artifacts"][key]["artifacts"]
        scheme, _, path = called["uri"].partition("://")
        assert artifact.uri == f"{tmp_path}/{scheme}/{path}"
        assert artifact.metadata["stored_at"] == called["uri"]
        expected = {
            name.removeprefix("custom:"): value for name, value in called["metadata"].items()
        }
        found = {name: artifact.metadata[name] for name in expected}
        for name in ("current_model_id", "baseline_model_id"):
            # Ids in place of names; see below.
            expected.pop(name, None), found.pop(name, None)
        assert found == expected


@pytest.mark.parametrize("form", [*FORMS, VERTEX])
def test_of_each_recorded_blessing_the_pusher_gets_the_id_of_the_model_it_is_of(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given, _ = given_by(Recording.read(form, "Pusher").arguments(), tmp_path, monkeypatch)
    [model], [blessing] = given.inputs["model"], given.inputs["model_blessing"]
    assert blessing.metadata["current_model_id"] == model.id
    assert blessing.metadata["baseline_model_id"] != model.id


@pytest.fixture(params=COLUMNS)
def pusher(request: pytest.FixtureRequest) -> Recording:
    """The call of a push in each form, by a container that is told its outputs."""
    return Recording.read(request.param, "Pusher").declaring({"pushed_model": "tfx.PushedModel"})


MISSING = object()
_FULL = "title: tfx.Model\ntype: object\ndescription: of another release\n"
TYPES = {
    "missing": MISSING,
    "null": None,
    "empty": {},
    "empty_schema": {"instanceSchema": ""},
    "empty_title": {"schemaTitle": ""},
    "title": {"schemaTitle": "tfx.Model"},
    "wider_type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"},
    "wider_schema": {"instanceSchema": _FULL},
    "schema_elsewhere": {"schemaUri": "gs://schemas/model.yaml"},
    "unknown_field": {"instanceSchema": "", "flavour": {"of": "another release"}},
}
NAMES = {"missing": MISSING, "null": None, "empty": "", "wider": "projects/1/artifacts/7"}


def put(artifact: dict[str, Any], field: str, value: Any) -> None:
    if value is MISSING:
        artifact.pop(field, None)
    else:
        artifact[field] = value


def changed(recording: Recording, side: str, field: str, value: Any) -> Recording:
    """Returns a call in which a field of all artifacts of a side has another value."""
    call = copy.deepcopy(recording.call)
    for entry in call[side]["artifacts"].values():
        for artifact in entry["artifacts"]:
            put(artifact, field, value)
    return replace(recording, call=call)


def without_ids(given: Given) -> Given:
    return Given(
        *(
            {
                key: [
                    replace(
                        entry,
                        id=0,
                        metadata={k: v for k, v in entry.metadata.items() if not k.endswith("_id")},
                    )
                    for entry in entries
                ]
                for key, entries in side.items()
            }
            for side in (given.inputs, given.outputs)
        ),
        given.properties,
    )


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize("form", TYPES)
def test_a_type_of_any_form_is_that_which_the_component_declares(
    pusher: Recording, side: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected, _ = given_by(pusher.arguments(), tmp_path, monkeypatch)
    arguments = changed(pusher, side, "type", TYPES[form]).arguments()
    assert given_by(arguments, tmp_path, monkeypatch)[0] == expected


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize("form", NAMES)
def test_a_name_of_any_form_changes_nothing_but_ids(
    pusher: Recording, side: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected, _ = given_by(pusher.arguments(), tmp_path, monkeypatch)
    arguments = changed(pusher, side, "name", NAMES[form]).arguments()
    found, _ = given_by(arguments, tmp_path, monkeypatch)
    assert without_ids(found) == without_ids(expected)
    assert all(entry.id for entries in found.inputs.values() for entry in entries)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize(
    "value", [MISSING, None, {}, {"a": None}], ids=["missing", "null", "empty", "of_null"]
)
def test_metadata_may_be_missing_or_empty(
    pusher: Recording, side: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = changed(pusher, side, "metadata", value).arguments()
    given, _ = given_by(arguments, tmp_path, monkeypatch)
    for [artifact] in getattr(given, side).values():
        assert set(artifact.metadata) <= {"stored_at"}


def test_metadata_comes_back_as_the_component_before_has_set_it(
    pusher: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The launcher wraps lists and structs, makes integers of booleans, and adds its own."""
    metadata = {
        "list": {"list": [1, 2]},
        "struct": {"struct": {"a": 1}},
        "of_two": {"list": [1], "more": 2},
        "flag": 1,
        "text": "t",
        "fraction": 0.5,
        "nothing": None,
        "display_name": "model",
    }
    arguments = changed(pusher, "inputs", "metadata", metadata).arguments()
    given, _ = given_by(arguments, tmp_path, monkeypatch)
    [model] = given.inputs["model"]
    assert {key: value for key, value in model.metadata.items() if key != "stored_at"} == {
        "list": [1, 2],
        "struct": {"a": 1},
        "of_two": {"list": [1], "more": 2},
        "flag": 1,
        "text": "t",
        "fraction": 0.5,
        "display_name": "model",
    }


@pytest.mark.parametrize("value", [MISSING, None, ""], ids=["missing", "null", "empty"])
@pytest.mark.parametrize(("side", "key"), [("inputs", "model"), ("outputs", "pushed_model")])
def test_an_artifact_without_a_uri_is_named(pusher: Recording, side: str, key: str, value: Any):
    arguments = changed(pusher, side, "uri", value).arguments()
    with pytest.raises(ConfigError, match=f"the container's call: the artifact '{key}' has no URI"):
        Task.parse(arguments)


@pytest.mark.parametrize(
    "value",
    [MISSING, None, {}, {"artifacts": []}, {"artifacts": None}],
    ids=["missing", "null", "empty", "no_artifacts", "null_artifacts"],
)
def test_an_input_that_is_not_given_is_not_there(
    pusher: Recording, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    call = copy.deepcopy(pusher.call)
    put(call["inputs"]["artifacts"], "model_blessing", value)
    given, _ = given_by(replace(pusher, call=call).arguments(), tmp_path, monkeypatch)
    assert kinds(given.inputs) == {"model": "Model"}


@pytest.mark.parametrize(
    "kind", [{}, {"schemaTitle": "system.Artifact"}, {"schemaTitle": "tfx.Model"}],
    ids=["none", "system", "tfx"],
)  # fmt: skip
def test_what_the_component_does_not_declare_is_left_alone(
    pusher: Recording, kind: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = given_by(pusher.arguments(), tmp_path, monkeypatch)
    call = copy.deepcopy(pusher.call)
    for side in ("inputs", "outputs"):
        artifact = {"name": "x", "type": kind, "uri": "minio://bucket/x"}
        call[side]["artifacts"]["another"] = {"artifacts": [artifact]}
        call[side]["sidecar"] = {"of": "another release"}
    call["inputs"]["parameterValues"].update(another=7, nothing=None, more={"a": [1]})
    call["outputs"]["parameters"] = {"another": {"outputFile": "/tmp/another"}}
    call["customPath"] = "/x"
    arguments = replace(pusher, call=call).arguments()
    assert given_by(arguments, tmp_path, monkeypatch) == expected


@pytest.mark.parametrize("value", [0, 0.0, "0", False], ids=["int", "double", "text", "bool"])
def test_a_number_of_any_form_is_of_the_type_that_is_declared(pusher: Recording, value: Any):
    call = copy.deepcopy(pusher.call)
    call["inputs"]["parameterValues"]["force"] = value
    found = Task.parse(replace(pusher, call=call).arguments()).call.inputs.parameter_values["force"]
    assert found == 0 and type(found) is int


@pytest.mark.parametrize(
    "value", [{"filesystem": {"base_directory": "/p"}}, '{"filesystem": {"base_directory": "/p"}}']
)
def test_a_struct_for_a_text_is_its_json(pusher: Recording, value: Any):
    call = copy.deepcopy(pusher.call)
    call["inputs"]["parameterValues"]["push_destination"] = value
    values = Task.parse(replace(pusher, call=call).arguments()).call.inputs.parameter_values
    assert json.loads(values["push_destination"]) == {"filesystem": {"base_directory": "/p"}}


@pytest.mark.parametrize("value", ["many", [1], {"a": 1}, 1.5])
def test_what_is_no_such_number_is_an_error_that_names_the_parameter(pusher: Recording, value: Any):
    call = copy.deepcopy(pusher.call)
    call["inputs"]["parameterValues"]["force"] = value
    with pytest.raises(ConfigError, match=r"^force: expected a .*number, received "):
        Task.parse(replace(pusher, call=call).arguments())


@pytest.mark.parametrize("value", [MISSING, None, {}], ids=["missing", "null", "empty"])
def test_parameters_may_be_missing_or_empty(pusher: Recording, value: Any):
    call = copy.deepcopy(pusher.call)
    put(call["inputs"], "parameterValues", value)
    assert Task.parse(replace(pusher, call=call).arguments()).call.inputs.parameter_values == {}


def test_a_parameter_of_null_is_not_given(pusher: Recording):
    call = copy.deepcopy(pusher.call)
    call["inputs"]["parameterValues"]["force"] = None
    values = Task.parse(replace(pusher, call=call).arguments()).call.inputs.parameter_values
    assert set(values) == {"push_destination"}


@pytest.mark.parametrize("text", ["", "[]", '{"inputs": 3}', '{"inputs": {"artifacts": [1]}}'])
def test_what_is_no_call_is_an_error_in_a_line(text: str):
    with pytest.raises(ConfigError, match=r"^the container's call: ") as raised:
        read_call(text, Declared(), Declared())
    assert "\n" not in str(raised.value)


def test_an_older_pipelines_parameters_are_read_as_tfx_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Vertex AI's schema 2.0, which TFX compiles for by default, declares no inputs."""
    artifact = {"uri": "gs://bucket/run/model", "type": {"schemaTitle": "tfx.Model"}}
    call = {
        "inputs": {"parameters": {"count": {"intValue": "6"}, "name": {"stringValue": "n"}}},
        "outputs": {"artifacts": {"model": {"artifacts": [artifact]}}},
    }
    arguments = ["--executor_class_path", "x.Y"]
    arguments += ["--json_serialized_invocation_args", json.dumps(call)]
    given, _ = given_by(arguments, tmp_path, monkeypatch)
    assert given.properties == {"count": 6, "name": "n"} and kinds(given.outputs) == {
        "model": "Model"
    }


def test_a_text_for_people_names_uris_instead_of_copies():
    text = "/minio/b/m: no model; /data/minio/x stays, as does https://host/s3/y; see (/s3/b/n)"
    assert with_uris(text) == (
        "minio://b/m: no model; /data/minio/x stays, as does https://host/s3/y; see (s3://b/n)"
    )
