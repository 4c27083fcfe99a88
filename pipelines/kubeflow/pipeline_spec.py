"""The JSON form of a compiled pipeline: as much of KFP's PipelineSpec as is read or written here.

The full forms are pipeline_spec.proto and kubernetes_executor_config.proto of Kubeflow Pipelines.
"""

from typing import TypeAlias, TypedDict

from pydantic import JsonValue

# Of a runtime parameter.
Value: TypeAlias = int | float | str


class Task(TypedDict, total=False):
    """A component at its place in the pipeline."""

    cachingOptions: JsonValue


class _Dag(TypedDict):
    tasks: dict[str, Task]


class _Root(TypedDict, total=False):
    dag: _Dag


class PipelineSpec(TypedDict, total=False):
    """A pipeline."""

    root: _Root
    deploymentSpec: dict[str, JsonValue]


class PipelineJob(TypedDict, total=False):
    """A pipeline with what a run of it is given, as Vertex AI takes it."""

    displayName: str
    pipelineSpec: PipelineSpec
    runtimeConfig: dict[str, str | dict[str, Value]]


class _Labels(TypedDict, total=False):
    labels: dict[str, str]


class ExecutorConfig(TypedDict, total=False):
    """What is asked of Kubernetes for one executor."""

    pvcMount: list[dict[str, str]]
    secretAsEnv: list[JsonValue]
    nodeSelector: _Labels
    tolerations: list[dict[str, str | int]]
    imagePullSecret: list[dict[str, str]]
    podMetadata: _Labels


class _Executors(TypedDict, total=False):
    executors: dict[str, ExecutorConfig]


class _Platform(TypedDict, total=False):
    deploymentSpec: _Executors


class PlatformSpec(TypedDict, total=False):
    """What is asked of platforms, by name; `kubernetes` is the one."""

    platforms: dict[str, _Platform]
