"""The JSON form of a compiled pipeline: as much of KFP's PipelineSpec as is read here.

The full forms are pipeline_spec.proto and kubernetes_executor_config.proto of Kubeflow Pipelines.
"""

from typing import TypeAlias, TypedDict

from pydantic import JsonValue

# The values of runtime parameters.
Value: TypeAlias = int | float | str


class Parameter(TypedDict, total=False):
    """A parameter that is declared."""

    parameterType: str
    defaultValue: JsonValue
    isOptional: bool


class ArtifactType(TypedDict, total=False):
    """The type of an artifact: by its title, or by a schema in YAML that has one."""

    schemaTitle: str
    instanceSchema: str


class Artifact(TypedDict, total=False):
    """An artifact that is declared."""

    artifactType: ArtifactType
    isOptional: bool


class Definitions(TypedDict, total=False):
    """What a component takes, or gives."""

    parameters: dict[str, Parameter]
    artifacts: dict[str, Artifact]


class Component(TypedDict, total=False):
    """What a task runs."""

    executorLabel: str
    inputDefinitions: Definitions
    outputDefinitions: Definitions


class Constant(TypedDict, total=False):
    """A value that is known."""

    constant: JsonValue


class ParameterSource(TypedDict, total=False):
    """Where a task's parameter comes from."""

    componentInputParameter: str
    runtimeValue: Constant


class TaskOutput(TypedDict, total=False):
    """An output of another task."""

    producerTask: str
    outputArtifactKey: str


class ArtifactSource(TypedDict, total=False):
    """Where a task's artifact comes from."""

    taskOutputArtifact: TaskOutput


class Inputs(TypedDict, total=False):
    """What a task is given."""

    parameters: dict[str, ParameterSource]
    artifacts: dict[str, ArtifactSource]


class Reference(TypedDict):
    """The name of something beside."""

    name: str


class Task(TypedDict, total=False):
    """A component at its place in the pipeline."""

    componentRef: Reference
    dependentTasks: list[str]
    inputs: Inputs
    cachingOptions: JsonValue


class Dag(TypedDict):
    """The tasks."""

    tasks: dict[str, Task]


class Root(TypedDict, total=False):
    """The pipeline as a component: its runtime parameters and its tasks."""

    dag: Dag
    inputDefinitions: Definitions


class Variable(TypedDict, total=False):
    """A variable of a container's environment."""

    name: str
    value: str


class Container(TypedDict, total=False):
    """What a container runs."""

    image: str
    command: list[str]
    args: list[str]
    env: list[Variable]


class Importer(TypedDict, total=False):
    """What is imported."""

    artifactUri: Constant


class Executor(TypedDict, total=False):
    """How a component is run."""

    container: Container
    importer: Importer


class Deployment(TypedDict):
    """How everything is run."""

    executors: dict[str, Executor]


class PipelineSpec(TypedDict, total=False):
    """A pipeline."""

    pipelineInfo: Reference
    schemaVersion: str
    root: Root
    components: dict[str, Component]
    deploymentSpec: Deployment


class RuntimeConfig(TypedDict, total=False):
    """What a run is given."""

    parameterValues: dict[str, Value]
    gcsOutputDirectory: str


class PipelineJob(TypedDict, total=False):
    """A pipeline with what a run of it is given, as Vertex AI takes it."""

    displayName: str
    pipelineSpec: PipelineSpec
    runtimeConfig: RuntimeConfig


class Labels(TypedDict, total=False):
    """Labels, by name."""

    labels: dict[str, str]


class ExecutorConfig(TypedDict, total=False):
    """What is asked of Kubernetes for one executor."""

    pvcMount: list[dict[str, str]]
    secretAsEnv: list[JsonValue]
    nodeSelector: Labels
    tolerations: list[dict[str, str | int]]
    imagePullSecret: list[dict[str, str]]
    podMetadata: Labels


class KubernetesDeployment(TypedDict, total=False):
    """What is asked of Kubernetes, by executor."""

    executors: dict[str, ExecutorConfig]


class Platform(TypedDict, total=False):
    """What is asked of one platform."""

    deploymentSpec: KubernetesDeployment


class PlatformSpec(TypedDict, total=False):
    """What is asked of platforms, by name; `kubernetes` is the one."""

    platforms: dict[str, Platform]
