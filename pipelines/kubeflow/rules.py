"""What Kubeflow's back end asks of a compiled pipeline, looked at before it is sent anywhere.

The back end finds most of this only when a run has started, or says `pipeline spec is invalid` and
no more. The rules are those of its API server, compiler and driver, from 2.0 to 2.17.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from tfx_tflite.components.errors import TfxTfliteError
from tfx_tflite.pipelines.kubeflow.pipeline_spec import (
    Artifact,
    Component,
    Executor,
    ExecutorConfig,
    PipelineSpec,
    PlatformSpec,
    Task,
    Value,
)

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
    """The compiled pipeline is none that Kubeflow would run: a fault of whoever made it."""


def check(spec: PipelineSpec, platform: PlatformSpec, values: Mapping[str, Value]) -> None:
    """Checks a compiled pipeline.

    Args:
        spec: The pipeline, in the JSON form of KFP's PipelineSpec.
        platform: What is asked of Kubernetes; empty where nothing is.
        values: The runtime parameters that a run is given.

    Raises:
        BrokenRule: It breaks a rule; a line for each.
    """
    broken = list(broken_rules(spec, platform, values))
    if broken:
        raise BrokenRule(
            "\n".join(
                f"the compiled pipeline is none that Kubeflow runs: {rule}" for rule in broken
            )
        )


def broken_rules(
    spec: PipelineSpec, platform: PlatformSpec, values: Mapping[str, Value]
) -> Iterator[str]:
    """Yields what is wrong with a compiled pipeline, a line each; the arguments are `check`'s."""
    yield from _names(spec)
    yield from _root_parameters(spec, values)
    for name, task in _tasks(spec).items():
        yield from (f"task {name}: {rule}" for rule in _task(spec, task))
    for name, component in spec["components"].items():
        yield from (f"component {name}: {rule}" for rule in _component(spec, component))
    for name, executor in _executors(spec).items():
        yield from (f"executor {name}: {rule}" for rule in _executor(executor))
    yield from _platform(spec, platform)


def _tasks(spec: PipelineSpec) -> Mapping[str, Task]:
    return spec["root"]["dag"]["tasks"]


def _executors(spec: PipelineSpec) -> Mapping[str, Executor]:
    return spec["deploymentSpec"]["executors"]


def _names(spec: PipelineSpec) -> Iterator[str]:
    name = spec["pipelineInfo"]["name"]
    if not _PIPELINE_NAME.fullmatch(name):
        yield f"its name {name!r} is not made of up to 128 lower-case letters, digits and '-'"
    if spec.get("schemaVersion") != _SCHEMA_VERSION:
        yield f"its schema is {spec.get('schemaVersion')}, not {_SCHEMA_VERSION}"
    size = len(json.dumps(spec))
    if size > _LARGEST_SPEC:
        yield f"it has {size:,} characters, of which Kubernetes takes {_LARGEST_SPEC:,}"
    seen: dict[str, str] = {}
    for task in _tasks(spec):
        if not _TASK_NAME.fullmatch(task):
            yield f"task {task!r}: the name is not made of up to 63 letters, digits and '-'"
        other = seen.setdefault(task.lower(), task)
        if other != task:
            yield f"tasks {other} and {task} differ in upper and lower case alone"


def _root_parameters(spec: PipelineSpec, values: Mapping[str, Value]) -> Iterator[str]:
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, definition in parameters.items():
        kind = definition.get("parameterType")
        if not _PARAMETER_NAME.fullmatch(name):
            yield f"runtime parameter {name!r}: the name is not made of letters, digits and '_'"
        if "defaultValue" in definition and not _is_of(kind, definition["defaultValue"]):
            yield f"runtime parameter {name}: {definition['defaultValue']!r} is no {kind}"
        if name in values and not _is_of(kind, values[name]):
            yield f"runtime parameter {name}: a run is given {values[name]!r}, which is no {kind}"
        if name not in values and "defaultValue" not in definition:
            yield f"runtime parameter {name}: it has neither a default nor a value"
    for name in values:
        if name not in parameters:
            yield f"runtime parameter {name}: a run is given it, but there is none"


def _is_of(kind: str | None, value: JsonValue) -> bool:
    """Returns whether a value is of a parameter's type, by the names of KFP's ParameterTypeEnum."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return {
        "NUMBER_INTEGER": number is not None and float(number).is_integer(),
        "NUMBER_DOUBLE": number is not None,
        "STRING": isinstance(value, str),
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }.get(str(kind), False)


def _task(spec: PipelineSpec, task: Task) -> Iterator[str]:
    component = spec["components"].get(task["componentRef"]["name"])
    if component is None:
        yield f"there is no component {task['componentRef']['name']}"
        return
    for other in task.get("dependentTasks", ()):
        if other not in _tasks(spec):
            yield f"it waits for {other}, which is no task"
    yield from _task_parameters(spec, task, component)
    yield from _task_artifacts(spec, task, component)


def _task_parameters(spec: PipelineSpec, task: Task, component: Component) -> Iterator[str]:
    root = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    given = task.get("inputs", {}).get("parameters", {})
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    for name, source in given.items():
        if name not in declared:
            yield f"it is given parameter {name}, which its component does not have"
            continue
        kind = declared[name].get("parameterType")
        if "componentInputParameter" in source:
            outer = root.get(source["componentInputParameter"])
            if outer is None:
                yield f"parameter {name} is no runtime parameter of the pipeline"
            elif outer.get("parameterType") != kind:
                yield f"parameter {name} is of type {kind}, not {outer.get('parameterType')}"
        elif "runtimeValue" in source and not _is_of(kind, source["runtimeValue"].get("constant")):
            yield f"parameter {name}: {source['runtimeValue'].get('constant')!r} is no {kind}"
    for name, definition in declared.items():
        if name not in given and not definition.get("isOptional"):
            yield f"it is not given parameter {name}"


def _task_artifacts(spec: PipelineSpec, task: Task, component: Component) -> Iterator[str]:
    given = task.get("inputs", {}).get("artifacts", {})
    declared = component.get("inputDefinitions", {}).get("artifacts", {})
    for name, source in given.items():
        producer = source.get("taskOutputArtifact", {}).get("producerTask")
        key = source.get("taskOutputArtifact", {}).get("outputArtifactKey")
        if name not in declared:
            yield f"it is given artifact {name}, which its component does not have"
        if key not in _outputs_of(spec, producer):
            yield f"artifact {name} is output {key} of {producer}, which there is none of"
        elif producer not in task.get("dependentTasks", ()):
            yield f"artifact {name} comes from {producer}, which it does not wait for"
    for name, definition in declared.items():
        if name not in given and not definition.get("isOptional"):
            yield f"it is not given artifact {name}"


def _outputs_of(spec: PipelineSpec, task: str | None) -> Mapping[str, Artifact]:
    if task is None or task not in _tasks(spec):
        return {}
    component = _tasks(spec)[task]["componentRef"]["name"]
    return spec["components"].get(component, {}).get("outputDefinitions", {}).get("artifacts", {})


def _component(spec: PipelineSpec, component: Component) -> Iterator[str]:
    label = component.get("executorLabel")
    if label not in _executors(spec):
        yield f"there is no executor {label}"
    for definitions in (
        component.get("inputDefinitions", {}),
        component.get("outputDefinitions", {}),
    ):
        for name, parameter in definitions.get("parameters", {}).items():
            if "parameterType" not in parameter:
                yield f"parameter {name} has no type"
        for name, artifact in definitions.get("artifacts", {}).items():
            kind = artifact.get("artifactType", {})
            if "schemaTitle" not in kind and not _TITLE.search(kind.get("instanceSchema", "")):
                yield f"artifact {name} has a type without a title like tfx.Model"


def _executor(executor: Executor) -> Iterator[str]:
    if set(executor) == {"importer"}:
        if not executor["importer"].get("artifactUri", {}).get("constant"):
            yield "it imports nothing"
        return
    if set(executor) != {"container"}:
        yield f"it is a {', '.join(executor) or 'nothing'}, of which only Vertex AI has any"
        return
    container = executor["container"]
    if not container.get("image") or not container.get("command"):
        yield "it has no image or no command"
    arguments = container.get("args", [])
    if arguments.count(_CALL) != 1:
        yield f"it is handed the call ({_CALL}) {arguments.count(_CALL)} times, not once"
    values = [entry.get("value", "") for entry in container.get("env", ())]
    for text in (*container["command"], *arguments, *values):
        if _PLACEHOLDER in text and text != _CALL:
            yield f"{_PLACEHOLDER} in {text[:60]!r} would be put in place of"


def _platform(spec: PipelineSpec, platform: PlatformSpec) -> Iterator[str]:
    asked = _asked_of_kubernetes(platform)
    for label in asked:
        if "container" not in _executors(spec).get(label, {}):
            yield f"something is asked of Kubernetes for {label}, which is no container"
    for label, config in asked.items():
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
        platform: What is asked of Kubernetes; empty where nothing is.
    """
    needed = [_FIRST]
    for config in _asked_of_kubernetes(platform).values():
        needed += [_SINCE[field] for field in config]
        if len(config.get("podMetadata", {}).get("labels", {})) > 1:
            needed.append(_SEVERAL_LABELS)
    return max(needed)
