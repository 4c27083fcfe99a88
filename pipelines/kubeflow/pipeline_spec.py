"""The JSON form of a compiled pipeline: as much of KFP's PipelineSpec as is read or written here.

The full forms are pipeline_spec.proto and kubernetes_executor_config.proto of Kubeflow Pipelines.
"""

from typing import TypeAlias, TypedDict

from pydantic import JsonValue

# Of a runtime parameter.
Value: TypeAlias = int | float | str


class _Reference(TypedDict):
    name: str


class _Constant(TypedDict, total=False):
    constant: JsonValue


class _Parameter(TypedDict, total=False):
    parameterType: str
    defaultValue: JsonValue
    isOptional: bool


class _ArtifactType(TypedDict, total=False):
    schemaTitle: str
    instanceSchema: str


class Artifact(TypedDict, total=False):
    """An artifact that a component declares."""

    artifactType: _ArtifactType
    isOptional: bool


class _Definitions(TypedDict, total=False):
    parameters: dict[str, _Parameter]
    artifacts: dict[str, Artifact]


class Component(TypedDict, total=False):
    """What a task runs."""

    executorLabel: str
    inputDefinitions: _Definitions
    outputDefinitions: _Definitions


class _Output(TypedDict, total=False):
    producerTask: str
    outputArtifactKey: str


class _Source(TypedDict, total=False):
    componentInputParameter: str
    runtimeValue: _Constant
    taskOutputArtifact: _Output


class _Inputs(TypedDict, total=False):
    parameters: dict[str, _Source]
    artifacts: dict[str, _Source]


class Task(TypedDict, total=False):
    """A component at its place in the pipeline."""

    componentRef: _Reference
    dependentTasks: list[str]
    inputs: _Inputs
    cachingOptions: JsonValue


class _Dag(TypedDict):
    tasks: dict[str, Task]


class _Root(TypedDict, total=False):
    dag: _Dag
    inputDefinitions: _Definitions


class _Container(TypedDict, total=False):
    image: str
    command: list[str]
    args: list[str]
    env: list[dict[str, str]]


class _Importer(TypedDict, total=False):
    artifactUri: _Constant


class Executor(TypedDict, total=False):
    """How a component is run."""

    container: _Container
    importer: _Importer


class _Deployment(TypedDict):
    executors: dict[str, Executor]


class PipelineSpec(TypedDict, total=False):
    """A pipeline."""

    pipelineInfo: _Reference
    schemaVersion: str
    root: _Root
    components: dict[str, Component]
    deploymentSpec: _Deployment


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
