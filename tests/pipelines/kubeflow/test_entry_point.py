"""What the containers' entry point makes up for, on the real classes of the pipeline spec."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from tfx.components.example_gen.driver import FileBasedDriver

from tfx_tflite.components.report.kubeflow_artifacts import CLASS_PATHS
from tfx_tflite.pipelines.kubeflow import entry_point as kubeflow_entry_point
from tfx_tflite.pipelines.kubeflow.call import TFX_DRIVER
from tfx_tflite.pipelines.tfx import patches

EXAMPLES = pb.ArtifactTypeSchema(schema_title="tfx.Examples")
IMPORT_EXAMPLE_GEN = "tfx.components.example_gen.import_example_gen.executor.Executor"


def spec(**types: pb.ArtifactTypeSchema) -> pb.ComponentInputsSpec:
    made = pb.ComponentInputsSpec()
    for key, kind in types.items():
        made.artifacts[key].artifact_type.CopyFrom(kind)
    return made


def call(**inputs: pb.RuntimeArtifact) -> pb.ExecutorInput:
    made = pb.ExecutorInput()
    for key, artifact in inputs.items():
        made.inputs.artifacts[key].artifacts.append(artifact)
    return made


def test_artifacts_are_read_and_written_where_the_launcher_has_its_copies(tmp_path: Path):
    (tmp_path / "bucket").mkdir()
    invocation = call(model=pb.RuntimeArtifact(uri="minio://bucket/m"))
    invocation.outputs.artifacts["out"].artifacts.add(uri="minio://bucket/o")
    found = kubeflow_entry_point.use_copies(invocation, {"minio://": f"{tmp_path}/"})
    assert invocation.inputs.artifacts["model"].artifacts[0].uri == f"{tmp_path}/bucket/m"
    assert invocation.outputs.artifacts["out"].artifacts[0].uri == f"{tmp_path}/bucket/o"
    assert found == {
        f"{tmp_path}/bucket/m": "minio://bucket/m",
        f"{tmp_path}/bucket/o": "minio://bucket/o",
    }


@pytest.mark.parametrize("uri", ["gs://bucket/m", "/data/m", "minio://other/deep/m"])
def test_artifacts_without_a_copy_are_used_where_they_are(tmp_path: Path, uri: str):
    invocation = call(model=pb.RuntimeArtifact(uri=uri))
    assert kubeflow_entry_point.use_copies(invocation, {"minio://": f"{tmp_path}/"}) == {}
    assert invocation.inputs.artifacts["model"].artifacts[0].uri == uri


def test_only_example_gen_without_findings_needs_its_driver(tmp_path: Path):
    invocation = pb.ExecutorInput()
    invocation.inputs.parameter_values["input_config"].string_value = "{}"
    invocation.outputs.output_file = str(tmp_path / "output.json")
    needs = kubeflow_entry_point.needs_driver
    assert needs(IMPORT_EXAMPLE_GEN, invocation)
    assert not needs("tfx.components.statistics_gen.executor.Executor", invocation)
    (tmp_path / "output.json").write_text("{}")
    assert not needs(IMPORT_EXAMPLE_GEN, invocation)


@pytest.fixture
def spans(tmp_path: Path) -> pb.ExecutorInput:
    """The call of an ExampleGen that has the spans 3 and 12."""
    for span in (3, 12):
        (tmp_path / f"span-{span}").mkdir()
        (tmp_path / f"span-{span}" / "data").write_bytes(b"x" * span)
    invocation = pb.ExecutorInput()
    splits = {"splits": [{"name": "train", "pattern": "span-{SPAN}/*"}]}
    values = invocation.inputs.parameter_values
    values["input_config"].string_value = json.dumps(splits)
    values["input_base"].string_value = str(tmp_path)
    invocation.outputs.artifacts["examples"].artifacts.add(uri=f"{tmp_path}/out", type=EXAMPLES)
    invocation.outputs.output_file = str(tmp_path / "task" / "output.json")
    return invocation


class OldestSpan(FileBasedDriver):
    """A driver of one's own."""

    def resolve_exec_properties(self, exec_properties, pipeline_info, component_info):
        oldest = {"static_range": {"start_span_number": 3, "end_span_number": 3}}
        return super().resolve_exec_properties(
            {**exec_properties, "range_config": json.dumps(oldest)}, pipeline_info, component_info
        )


def test_a_driver_that_is_not_tfxs_is_run_where_it_is_named(spans: pb.ExecutorInput):
    kubeflow_entry_point.run_driver(spans, spec(), f"{__name__}.OldestSpan")
    assert spans.outputs.artifacts["examples"].artifacts[0].metadata["custom:span"] == 3


def test_the_driver_leaves_what_tfxs_own_for_kubeflow_leaves(spans: pb.ExecutorInput):
    from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver

    def found() -> pb.ExecutorOutput:
        return json_format.Parse(Path(spans.outputs.output_file).read_text(), pb.ExecutorOutput())

    driver._run_driver(spans, spec())
    expected = found()
    kubeflow_entry_point.run_driver(spans, spec(), TFX_DRIVER)
    assert found() == expected


def test_the_driver_resolves_the_newest_span_and_tells_the_output(spans: pb.ExecutorInput):
    invocation = spans
    kubeflow_entry_point.run_driver(invocation, spec(), TFX_DRIVER)
    [artifact] = invocation.outputs.artifacts["examples"].artifacts
    assert artifact.metadata["custom:span"] == 12
    assert "total_bytes:12" in artifact.metadata["input_fingerprint"]
    found = json_format.Parse(Path(invocation.outputs.output_file).read_text(), pb.ExecutorOutput())
    assert "span-12/*" in found.parameter_values["input_config"].string_value


def blessing(**metadata: object) -> pb.ArtifactList:
    made = pb.RuntimeArtifact(
        name="b", uri="gs://b/b", type=pb.ArtifactTypeSchema(schema_title="tfx.ModelBlessing")
    )
    made.metadata.update(metadata)
    return pb.ArtifactList(artifacts=[made])


def test_a_blessing_names_the_model_by_the_id_that_the_pusher_gets():
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as utils

    model = pb.RuntimeArtifact(
        name="gs://b/m", uri="gs://b/m", type=pb.ArtifactTypeSchema(schema_title="tfx.Model")
    )
    entries = {
        "model": pb.ArtifactList(artifacts=[model]),
        "model_blessing": blessing(current_model_id="gs://b/m", blessed=1),
    }
    with patches.named_models_of_blessings(kubeflow_entry_point._MODEL_IDS):
        parsed = utils.parse_raw_artifact_dict(entries, {})
    [pushed], [blessed] = parsed["model"], parsed["model_blessing"]
    assert pushed.id == blessed.get_int_custom_property("current_model_id") != 0
    assert blessed.get_int_custom_property("blessed") == 1


def test_a_blessing_of_another_model_does_not():
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as utils

    names: dict[int, str] = {}
    with patches.named_models_of_blessings(kubeflow_entry_point._MODEL_IDS):
        parsed = utils.parse_raw_artifact_dict(
            {"model_blessing": blessing(current_model_id="gs://b/other")}, names
        )
    [blessed] = parsed["model_blessing"]
    found = blessed.get_int_custom_property("current_model_id")
    assert names[found] == "gs://b/other"


def test_what_the_executor_reports_has_the_uris_that_kubeflow_knows(tmp_path: Path):
    output = pb.ExecutorOutput()
    output.artifacts["model"].artifacts.add(uri="/minio/b/m")
    path = tmp_path / "output.json"
    path.write_text(json_format.MessageToJson(output))
    reported = kubeflow_entry_point.finish_report(str(path), {"/minio/b/m": "minio://b/m"})
    found = json_format.Parse(path.read_text(), pb.ExecutorOutput())
    assert found.artifacts["model"].artifacts[0].uri == reported["model"].uri == "minio://b/m"


def test_no_null_is_reported_as_the_launcher_refuses_it(tmp_path: Path):
    output = pb.ExecutorOutput()
    metadata = {"a": None, "b": {"c": None, "d": 1.0}, "e": "text"}
    output.artifacts["model"].artifacts.add(uri="/m").metadata.update(metadata)
    path = tmp_path / "output.json"
    path.write_text(json_format.MessageToJson(output))
    kubeflow_entry_point.finish_report(str(path), {})
    [artifact] = json.loads(path.read_text())["artifacts"]["model"]["artifacts"]
    assert artifact["metadata"] == {"b": {"d": 1.0}, "e": "text"}


def test_an_input_that_is_a_copy_remembers_where_it_is_stored(tmp_path: Path):
    (tmp_path / "bucket").mkdir()
    invocation = call(model=pb.RuntimeArtifact(uri="minio://bucket/m"))
    kubeflow_entry_point.use_copies(invocation, {"minio://": f"{tmp_path}/"})
    [artifact] = invocation.inputs.artifacts["model"].artifacts
    assert artifact.metadata["stored_at"] == "minio://bucket/m"


@pytest.mark.parametrize(
    ("mount", "has_gcs", "is_used"),
    [
        # Kubeflow mounts an empty volume for the launcher to copy to.
        ("/dev/sda1 {} ext4 rw 0 0", True, True),
        ("overlay / overlay rw 0 0", True, True),
        # Vertex AI mounts the bucket itself.
        ("gcsfuse {} fuse.gcsfuse rw 0 0", True, False),
        ("gcsfuse {} fuse.gcsfuse rw 0 0", False, True),
    ],
    ids=["volume", "directory", "bucket", "bucket_and_no_file_system"],
)
def test_a_mounted_bucket_is_used_only_if_tensorflow_does_not_reach_it_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: str, has_gcs: bool, is_used: bool
):
    (tmp_path / "mounts").write_text(f"proc /proc proc rw 0 0\n{mount.format(tmp_path)}\n")
    monkeypatch.setattr(kubeflow_entry_point, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(kubeflow_entry_point, "_tensorflow_has_gcs", lambda: has_gcs)
    (tmp_path / "bucket").mkdir()
    invocation = call(model=pb.RuntimeArtifact(uri="gs://bucket/m"))
    found = kubeflow_entry_point.use_copies(invocation, {"gs://": f"{tmp_path}/"})
    assert found == ({f"{tmp_path}/bucket/m": "gs://bucket/m"} if is_used else {})


def test_what_an_attempt_before_has_left_of_outputs_is_gone(tmp_path: Path):
    (tmp_path / "task" / "model").mkdir(parents=True)
    (tmp_path / "task" / "model" / "half").write_text("written")
    (tmp_path / "task" / "page").write_text("a page")
    invocation = pb.ExecutorInput()
    for key in ("model", "page", "new"):
        invocation.outputs.artifacts[key].artifacts.add(uri=f"{tmp_path}/task/{key}")
    invocation.outputs.artifacts["deep"].artifacts.add(uri=f"{tmp_path}/other/deep")
    kubeflow_entry_point.clear_outputs(invocation)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "other", tmp_path / "task"]


def test_whole_the_entry_point_runs_the_driver_and_an_executor_on_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_records
):
    """As on open-source Kubeflow Pipelines with its default store, MinIO."""
    write_records(tmp_path / "data" / "train" / "a", [{"x": 1.0}])
    (tmp_path / "copies" / "bucket").mkdir(parents=True)
    monkeypatch.setattr(kubeflow_entry_point, "COPIES", {"minio://": f"{tmp_path}/copies/"})
    invocation = pb.ExecutorInput()
    splits = {"splits": [{"name": "train", "pattern": "train/*"}]}
    values = invocation.inputs.parameter_values
    values["input_config"].string_value = json.dumps(splits)
    values["output_config"].string_value = "{}"
    values["input_base"].string_value = str(tmp_path / "data")
    values["output_data_format"].number_value = 6
    values["output_file_format"].number_value = 5
    inputs_spec = pb.ComponentInputsSpec()
    for key, value in values.items():
        inputs_spec.parameters[key].parameter_type = (
            pb.ParameterType.NUMBER_INTEGER
            if value.WhichOneof("kind") == "number_value"
            else pb.ParameterType.STRING
        )
    invocation.outputs.artifacts["examples"].artifacts.add(
        uri="minio://bucket/examples", type=EXAMPLES
    )
    invocation.outputs.output_file = str(tmp_path / "task" / "output.json")
    arguments = ["entry_point", "--executor_class_path", IMPORT_EXAMPLE_GEN]
    arguments += ["--json_serialized_invocation_args", json_format.MessageToJson(invocation)]
    arguments += ["--json_serialized_inputs_spec_args", json_format.MessageToJson(inputs_spec)]
    kubeflow_entry_point.main([*arguments, "--runner=FnApiRunner"])
    assert list((tmp_path / "copies" / "bucket" / "examples" / "Split-train").iterdir())
    output = json_format.Parse(
        Path(invocation.outputs.output_file).read_text(), pb.ExecutorOutput()
    )
    [artifact] = output.artifacts["examples"].artifacts
    assert artifact.uri == "minio://bucket/examples"
    assert "num_files:1" in artifact.metadata["input_fingerprint"]


def test_our_artifact_types_are_importable_by_the_names_that_kubeflow_has():
    from tfx.utils import import_utils

    for title, path in CLASS_PATHS.items():
        assert title == import_utils.import_class_by_path(path).TYPE_NAME
