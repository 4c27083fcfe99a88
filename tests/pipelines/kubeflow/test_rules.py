"""What `compile` finds wrong with its own product, on the pipeline that the real server took."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.pipelines.kubeflow.kfp_recordings import pipeline, recording
from tfx_tflite.pipelines.kubeflow.rules import BrokenRule, check, oldest_release

Spec = dict[str, Any]


def values() -> dict[str, Any]:
    return dict(recording("create_run").request["runtime_config"]["parameters"])


def asked(**fields: Any) -> Spec:
    executors = {"Trainer_executor": fields}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def test_the_pipeline_that_the_server_took_breaks_no_rule():
    check(pipeline(), {}, values())
    check(pipeline(), asked(secretAsEnv=[]), values())


def rename(spec: Spec) -> None:
    spec["pipelineInfo"]["name"] = "My_Model"


def other_schema(spec: Spec) -> None:
    spec["schemaVersion"] = "2.0.0"


def enlarge(spec: Spec) -> None:
    container(spec)["args"].append("x" * 700_000)


def twin(spec: Spec) -> None:
    spec["root"]["dag"]["tasks"]["trainer"] = spec["root"]["dag"]["tasks"]["Trainer"]


def odd_task(spec: Spec) -> None:
    spec["root"]["dag"]["tasks"]["my task"] = spec["root"]["dag"]["tasks"]["StatisticsGen"]


def odd_parameter(spec: Spec) -> None:
    parameters(spec)["a.b"] = {"parameterType": "STRING", "defaultValue": "x"}


def text_default(spec: Spec) -> None:
    parameters(spec)["calibration_samples"]["defaultValue"] = "200"


def half_default(spec: Spec) -> None:
    parameters(spec)["calibration_samples"]["defaultValue"] = 200.5


def no_default(spec: Spec) -> None:
    parameters(spec)["more"] = {"parameterType": "STRING"}


def no_runtime_parameter(spec: Spec) -> None:
    del parameters(spec)["quantization_scheme"]


def other_type(spec: Spec) -> None:
    parameters(spec)["quantization_scheme"] = {"parameterType": "NUMBER_DOUBLE"}


def constant(spec: Spec) -> None:
    inputs = spec["root"]["dag"]["tasks"]["TFLiteQuantizer"]["inputs"]
    inputs["parameters"]["percentile"] = {"runtimeValue": {"constant": "99"}}


def missing_parameter(spec: Spec) -> None:
    definition = {"parameterType": "STRING"}
    spec["components"]["Pusher"]["inputDefinitions"]["parameters"]["more"] = definition


def unknown_parameter(spec: Spec) -> None:
    inputs = spec["root"]["dag"]["tasks"]["Pusher"]["inputs"]["parameters"]
    inputs["nothing"] = {"runtimeValue": {"constant": "x"}}


def missing_artifact(spec: Spec) -> None:
    del spec["root"]["dag"]["tasks"]["Pusher"]["inputs"]["artifacts"]["model"]


def unknown_output(spec: Spec) -> None:
    model = spec["root"]["dag"]["tasks"]["Pusher"]["inputs"]["artifacts"]["model"]
    model["taskOutputArtifact"]["outputArtifactKey"] = "nothing"


def not_waited_for(spec: Spec) -> None:
    spec["root"]["dag"]["tasks"]["Pusher"]["dependentTasks"].remove("TFLiteQuantizer")


def unknown_dependency(spec: Spec) -> None:
    spec["root"]["dag"]["tasks"]["Pusher"]["dependentTasks"].append("Nothing")


def unknown_component(spec: Spec) -> None:
    spec["root"]["dag"]["tasks"]["Pusher"]["componentRef"]["name"] = "Nothing"


def unknown_executor(spec: Spec) -> None:
    spec["components"]["Pusher"]["executorLabel"] = "nothing"


def untyped(spec: Spec) -> None:
    spec["components"]["Pusher"]["inputDefinitions"]["artifacts"]["model"]["artifactType"] = {
        "instanceSchema": ""
    }


def untyped_parameter(spec: Spec) -> None:
    definitions = spec["components"]["Pusher"]["inputDefinitions"]["parameters"]
    definitions["push_destination"] = {}


def only_on_vertex(spec: Spec) -> None:
    spec["deploymentSpec"]["executors"]["Trainer_executor"] = {"customJob": {}}


def no_image(spec: Spec) -> None:
    del container(spec)["image"]


def called_twice(spec: Spec) -> None:
    container(spec)["args"].append("{{$}}")


def placeholder(spec: Spec) -> None:
    container(spec)["env"] = [{"name": "X", "value": "{{$.pipeline_job_name}}"}]


def parameters(spec: Spec) -> Spec:
    found: Spec = spec["root"]["inputDefinitions"]["parameters"]
    return found


def container(spec: Spec) -> Spec:
    found: Spec = spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    return found


@pytest.mark.parametrize(
    ("breaking", "expected"),
    [
        (rename, "its name 'My_Model' is not made of up to 128 lower-case letters"),
        (other_schema, "its schema is 2.0.0, not 2.1.0"),
        (enlarge, "characters, of which Kubernetes takes 700,000"),
        (twin, "tasks Trainer and trainer differ in upper and lower case alone"),
        (odd_task, "task 'my task': the name is not made of up to 63 letters"),
        (odd_parameter, "runtime parameter 'a.b': the name is not made of letters"),
        (text_default, "runtime parameter calibration_samples: '200' is no NUMBER_INTEGER"),
        (half_default, "runtime parameter calibration_samples: 200.5 is no NUMBER_INTEGER"),
        (no_default, "runtime parameter more: it has neither a default nor a value"),
        (no_runtime_parameter, "quantization_scheme: a run is given it, but there is none"),
        (other_type, "parameter quantization_scheme is of type STRING, not NUMBER_DOUBLE"),
        (constant, "task TFLiteQuantizer: parameter percentile: '99' is no NUMBER_DOUBLE"),
        (missing_parameter, "task Pusher: it is not given parameter more"),
        (unknown_parameter, "task Pusher: it is given parameter nothing, which its component"),
        (missing_artifact, "task Pusher: it is not given artifact model"),
        (
            unknown_output,
            "artifact model is output nothing of TFLiteQuantizer, which there is none",
        ),
        (not_waited_for, "model comes from TFLiteQuantizer, which it does not wait for"),
        (unknown_dependency, "task Pusher: it waits for Nothing, which is no task"),
        (unknown_component, "task Pusher: there is no component Nothing"),
        (unknown_executor, "component Pusher: there is no executor nothing"),
        (untyped, "component Pusher: artifact model has a type without a title like tfx.Model"),
        (untyped_parameter, "component Pusher: parameter push_destination has no type"),
        (only_on_vertex, "executor Trainer_executor: it is a customJob, of which only Vertex AI"),
        (no_image, "executor Trainer_executor: it has no image or no command"),
        (called_twice, "it is handed the call ({{$}}) 2 times, not once"),
        (placeholder, "{{$ in '{{$.pipeline_job_name}}' would be put in place of"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(breaking: Callable[[Spec], None], expected: str):
    spec = pipeline()
    breaking(spec)
    with pytest.raises(BrokenRule) as caught:
        check(spec, {}, values())
    assert expected in str(caught.value)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("Kubeflow would refuse the compiled pipeline: ") for line in lines)


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        (asked(secretAsEvn=[]), "Trainer_executor: Kubeflow knows no secretAsEvn"),
        (
            {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"X": {}}}}}},
            "something is asked of Kubernetes for X, which is no container",
        ),
    ],
)
def test_what_is_asked_of_kubernetes_is_checked_too(platform: Spec, expected: str):
    with pytest.raises(BrokenRule, match=expected):
        check(pipeline(), platform, values())


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ({}, "2.0 or later"),
        (asked(pvcMount=[]), "2.0.4 or later (volumes)"),
        (asked(secretAsEnv=[], nodeSelector={}), "2.0.4 or later (secrets)"),
        (asked(secretAsEnv=[], tolerations=[]), "2.1 or later (tolerations)"),
        (asked(podMetadata={"labels": {"a": "b"}}), "2.1 or later (labels)"),
        (
            asked(podMetadata={"labels": {"a": "b", "c": "d"}}),
            "2.14 or later (more than one of labels)",
        ),
    ],
)
def test_the_oldest_release_is_that_of_the_newest_field(platform: Spec, expected: str):
    assert str(oldest_release(platform)) == expected
