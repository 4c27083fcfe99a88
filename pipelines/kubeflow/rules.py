"""What Kubeflow's back end asks of a compiled pipeline, looked at before it is sent anywhere.

The back end finds most of this only when a run has started, or says `pipeline spec is invalid` and
no more. The rules are those of its API server, compiler and driver, from 2.0 to 2.17.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue
from pydantic.alias_generators import to_camel

from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.pipelines.kubeflow.pipeline_spec import (
    ExecutorConfig,
    PipelineSpec,
    PlatformSpec,
    Value,
)

if TYPE_CHECKING:
    from google.protobuf import struct_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb2

_PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_TASK_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TITLE = re.compile(r"^title: *([a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49})$", re.MULTILINE)
# What is put in place of an argument: the call. Nothing else of ours is.
_CALL = "{{$}}"
_PLACEHOLDER = "{{$"
# Kubernetes keeps objects of 1.5 MB; a workflow has the pipeline and as much again around it.
_LARGEST_SPEC = 700_000
_SCHEMA_VERSION = "2.1.0"


class BrokenRule(TfxTfliteError):
    """Kubeflow would refuse the compiled pipeline: a fault of whoever made it."""


def check(spec: PipelineSpec, platform: PlatformSpec, values: Mapping[str, Value]) -> None:
    """Checks a compiled pipeline.

    Args:
        spec: The pipeline, in the JSON form of KFP's PipelineSpec.
        platform: What is asked of Kubernetes; empty if nothing is.
        values: The runtime parameters that a run is given.

    Raises:
        BrokenRule: It breaks a rule; a line for each.
    """
    broken = list(broken_rules(spec, platform, values))
    if broken:
        raise BrokenRule(
            "\n".join(f"Kubeflow would refuse the compiled pipeline: {rule}" for rule in broken)
        )


def broken_rules(
    spec: PipelineSpec, platform: PlatformSpec, values: Mapping[str, Value]
) -> Iterator[str]:
    """Yields what is wrong with a compiled pipeline, a line each; the arguments are `check`'s."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    pipeline = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    deployment = json_format.ParseDict(
        spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig()
    )
    yield from _names(pipeline)
    size = len(json.dumps(spec))
    if size > _LARGEST_SPEC:
        yield f"it has {size:,} characters, of which Kubernetes takes {_LARGEST_SPEC:,}"
    yield from _root_parameters(pipeline, values)
    for name, task in pipeline.root.dag.tasks.items():
        yield from (f"task {name}: {rule}" for rule in _task(pipeline, task))
    for name, component in pipeline.components.items():
        yield from (f"component {name}: {rule}" for rule in _component(deployment, component))
    for name, executor in deployment.executors.items():
        yield from (f"executor {name}: {rule}" for rule in _executor(executor))
    yield from _platform(deployment, platform)


def _names(spec: "pb2.PipelineSpec") -> Iterator[str]:
    name = spec.pipeline_info.name
    if not _PIPELINE_NAME.fullmatch(name):
        yield f"its name {name!r} is not made of up to 128 lower-case letters, digits and '-'"
    if spec.schema_version != _SCHEMA_VERSION:
        yield f"its schema is {spec.schema_version}, not {_SCHEMA_VERSION}"
    seen: dict[str, str] = {}
    for task in sorted(spec.root.dag.tasks):
        if not _TASK_NAME.fullmatch(task):
            yield f"task {task!r}: the name is not made of up to 63 letters, digits and '-'"
        other = seen.setdefault(task.lower(), task)
        if other != task:
            yield f"tasks {other} and {task} differ in upper and lower case alone"


def _root_parameters(spec: "pb2.PipelineSpec", values: Mapping[str, Value]) -> Iterator[str]:
    parameters = spec.root.input_definitions.parameters
    for name, definition in parameters.items():
        kind = _kind(definition)
        default = _plain(definition.default_value)
        if not _PARAMETER_NAME.fullmatch(name):
            yield f"runtime parameter {name!r}: the name is not made of letters, digits and '_'"
        if default is not None and not _is_of(kind, default):
            yield f"runtime parameter {name}: {default!r} is no {kind}"
        if name in values and not _is_of(kind, values[name]):
            yield f"runtime parameter {name}: a run is given {values[name]!r}, which is no {kind}"
        if name not in values and default is None:
            yield f"runtime parameter {name}: it has neither a default nor a value"
    for name in values:
        if name not in parameters:
            yield f"runtime parameter {name}: a run is given it, but there is none"


def _kind(definition: "pb2.ComponentInputsSpec.ParameterSpec") -> str:
    """Returns a parameter's type by its name in KFP's ParameterTypeEnum; empty if it has none."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    kind = definition.parameter_type
    return str(pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(kind)) if kind else ""


def _plain(value: "struct_pb2.Value") -> JsonValue:
    """Returns what a value stands for; None of one that is not set."""
    from google.protobuf import json_format

    plain: JsonValue = json_format.MessageToDict(value) if value.WhichOneof("kind") else None
    return plain


def _is_of(kind: str, value: JsonValue) -> bool:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return {
        "NUMBER_INTEGER": number is not None and float(number).is_integer(),
        "NUMBER_DOUBLE": number is not None,
        "STRING": isinstance(value, str),
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }.get(kind, False)


def _task(spec: "pb2.PipelineSpec", task: "pb2.PipelineTaskSpec") -> Iterator[str]:
    name = task.component_ref.name
    if name not in spec.components:
        yield f"there is no component {name}"
        return
    for other in task.dependent_tasks:
        if other not in spec.root.dag.tasks:
            yield f"it waits for {other}, which is no task"
    declared = spec.components[name].input_definitions
    yield from _task_parameters(spec, task.inputs.parameters, declared.parameters)
    yield from _task_artifacts(spec, task, declared.artifacts)


def _task_parameters(
    spec: "pb2.PipelineSpec",
    given: "Mapping[str, pb2.TaskInputsSpec.InputParameterSpec]",
    declared: "Mapping[str, pb2.ComponentInputsSpec.ParameterSpec]",
) -> Iterator[str]:
    root = spec.root.input_definitions.parameters
    for name, source in given.items():
        if name not in declared:
            yield f"it is given parameter {name}, which its component does not have"
            continue
        kind, outer = _kind(declared[name]), source.component_input_parameter
        if outer:
            if outer not in root:
                yield f"parameter {name} is no runtime parameter of the pipeline"
            elif _kind(root[outer]) != kind:
                yield f"parameter {name} is of type {kind}, not {_kind(root[outer])}"
        elif source.HasField("runtime_value"):
            constant = _plain(source.runtime_value.constant)
            if not _is_of(kind, constant):
                yield f"parameter {name}: {constant!r} is no {kind}"
    for name, definition in declared.items():
        if name not in given and not definition.is_optional:
            yield f"it is not given parameter {name}"


def _task_artifacts(
    spec: "pb2.PipelineSpec",
    task: "pb2.PipelineTaskSpec",
    declared: "Mapping[str, pb2.ComponentInputsSpec.ArtifactSpec]",
) -> Iterator[str]:
    given = task.inputs.artifacts
    for name, source in given.items():
        producer = source.task_output_artifact.producer_task
        key = source.task_output_artifact.output_artifact_key
        if name not in declared:
            yield f"it is given artifact {name}, which its component does not have"
        if key not in _outputs_of(spec, producer):
            yield f"artifact {name} is output {key} of {producer}, which there is none of"
        elif producer not in task.dependent_tasks:
            yield f"artifact {name} comes from {producer}, which it does not wait for"
    for name, definition in declared.items():
        if name not in given and not definition.is_optional:
            yield f"it is not given artifact {name}"


def _outputs_of(
    spec: "pb2.PipelineSpec", task: str
) -> "Mapping[str, pb2.ComponentOutputsSpec.ArtifactSpec]":
    # Asking a mapping of a message for what is not there puts it there.
    if task not in spec.root.dag.tasks:
        return {}
    name = spec.root.dag.tasks[task].component_ref.name
    return spec.components[name].output_definitions.artifacts if name in spec.components else {}


def _component(
    deployment: "pb2.PipelineDeploymentConfig", component: "pb2.ComponentSpec"
) -> Iterator[str]:
    if component.executor_label not in deployment.executors:
        yield f"there is no executor {component.executor_label}"
    for definitions in (component.input_definitions, component.output_definitions):
        for name, parameter in definitions.parameters.items():
            if not parameter.parameter_type:
                yield f"parameter {name} has no type"
        for name, artifact in definitions.artifacts.items():
            kind = artifact.artifact_type
            if not (kind.schema_title or _TITLE.search(kind.instance_schema)):
                yield f"artifact {name} has a type without a title like tfx.Model"


def _executor(executor: "pb2.PipelineDeploymentConfig.ExecutorSpec") -> Iterator[str]:
    kind = executor.WhichOneof("spec")
    if kind == "importer":
        if not executor.importer.artifact_uri.HasField("constant"):
            yield "it imports nothing"
        return
    if kind != "container":
        yield f"it is a {to_camel(kind or 'nothing')}, of which only Vertex AI has any"
        return
    container = executor.container
    if not container.image or not container.command:
        yield "it has no image or no command"
    calls = list(container.args).count(_CALL)
    if calls != 1:
        yield f"it is handed the call ({_CALL}) {calls} times, not once"
    values = [variable.value for variable in container.env]
    for text in (*container.command, *container.args, *values):
        if _PLACEHOLDER in text and text != _CALL:
            yield f"{_PLACEHOLDER} in {text[:60]!r} would be put in place of"


def _platform(deployment: "pb2.PipelineDeploymentConfig", platform: PlatformSpec) -> Iterator[str]:
    asked = _asked_of_kubernetes(platform)
    for label, config in asked.items():
        known = label in deployment.executors
        if not known or not deployment.executors[label].HasField("container"):
            yield f"something is asked of Kubernetes for {label}, which is no container"
        for field in config:
            if field not in _SINCE:
                yield f"{label}: Kubeflow knows no {field}"


def _asked_of_kubernetes(platform: PlatformSpec) -> Mapping[str, ExecutorConfig]:
    kubernetes = platform.get("platforms", {}).get("kubernetes", {})
    return kubernetes.get("deploymentSpec", {}).get("executors", {})


@dataclass(frozen=True, order=True)
class Release:
    """A release of open-source Kubeflow Pipelines.

    Attributes:
        number: Its number.
        reason: What came with it that a pipeline uses.
    """

    number: tuple[int, int, int]
    reason: str

    def __str__(self) -> str:
        number = ".".join(map(str, self.number)).removesuffix(".0")
        return f"{number} or later" + (f" ({self.reason})" if self.reason else "")


_FIRST = Release((2, 0, 0), "")
# Fields of KFP's KubernetesExecutorConfig, by the releases that came with them.
_SINCE = {
    "pvcMount": Release((2, 0, 4), "volumes"),
    "secretAsEnv": Release((2, 0, 4), "secrets"),
    "nodeSelector": Release((2, 0, 4), "node_selector"),
    "podMetadata": Release((2, 1, 0), "labels"),
    "imagePullSecret": Release((2, 1, 0), "image_pull_secrets"),
    "tolerations": Release((2, 1, 0), "tolerations"),
}
# Before, the back end kept the last of several.
_SEVERAL_LABELS = Release((2, 14, 0), "more than one of labels")


def oldest_release(platform: PlatformSpec) -> Release:
    """Returns the first release that does all that a pipeline asks of it.

    Args:
        platform: What is asked of Kubernetes; empty if nothing is.
    """
    needed = [_FIRST]
    for config in _asked_of_kubernetes(platform).values():
        needed += [_SINCE[field] for field in config]
        if len(config.get("podMetadata", {}).get("labels", {})) > 1:
            needed.append(_SEVERAL_LABELS)
    return max(needed)
