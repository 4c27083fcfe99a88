"""Runs a compiled pipeline without a cluster: what a back end does, in order, with subprocesses.

Everything is parsed into the real proto classes of the pipeline spec, strictly: a field that they
do not have is an error.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

Artifacts = dict[tuple[str, str], pb.RuntimeArtifact]


@dataclass(frozen=True)
class Backend:
    """How two back ends differ.

    Attributes:
        runs_driver: Whether ExampleGen's driver is run before its executor.
        types_inputs: Whether input artifacts come with their type.
        names_artifacts: Whether artifacts have names.
    """

    runs_driver: bool
    types_inputs: bool
    names_artifacts: bool


VERTEX = Backend(runs_driver=True, types_inputs=True, names_artifacts=True)
OPEN_SOURCE = Backend(runs_driver=False, types_inputs=False, names_artifacts=False)


class TaskFailed(AssertionError):
    """A container ended with another code than 0."""


@dataclass
class Harness:
    """One run of a compiled pipeline.

    Args:
        spec: The pipeline spec, from a `.yaml`, or that of a `.json`.
        directory: A clean directory: the pipeline root and all that containers may use.
        backend: The back end that is acted.
        values: Runtime parameters of this run; others have their defaults.
    """

    spec: pb.PipelineSpec
    directory: Path
    backend: Backend
    values: Mapping[str, int | float | str] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deployment = json_format.ParseDict(
            json_format.MessageToDict(self.spec.deployment_spec), pb.PipelineDeploymentConfig()
        )
        unknown = set(self.values) - set(self.spec.root.input_definitions.parameters)
        assert not unknown, f"not runtime parameters: {unknown}"

    def run(self, *, until: str | None = None) -> "Harness":
        """Runs the tasks, each after those that it depends on, and returns this run."""
        tasks = self.spec.root.dag.tasks
        graph = {name: set(task.dependent_tasks) for name, task in tasks.items()}
        for name in TopologicalSorter(graph).static_order():
            self._run_task(name)
            self.order.append(name)
            if name == until:
                break
        return self

    def path(self, task: str, key: str) -> Path:
        """Where an artifact lies."""
        return Path(self.artifacts[task, key].uri)

    def _run_task(self, name: str) -> None:
        task = self.spec.root.dag.tasks[name]
        component = self.spec.components[task.component_ref.name]
        executor = self.deployment.executors[component.executor_label]
        if executor.HasField("importer"):
            [key] = component.output_definitions.artifacts
            imported = executor.importer
            self.artifacts[name, key] = pb.RuntimeArtifact(
                uri=imported.artifact_uri.constant.string_value,
                metadata=imported.metadata,
                name=self._artifact_name(name, key),
            )
            return
        invocation = self._invocation(name, task, component)
        container = executor.container
        if self.backend.runs_driver and container.HasField("lifecycle"):
            driver = container.lifecycle.pre_cache_check
            self._execute(name, [*driver.command, *driver.args], invocation)
            self._merge(invocation)
        self._execute(name, [*container.command, *container.args], invocation)
        self._merge(invocation)
        for key, entries in invocation.outputs.artifacts.items():
            [self.artifacts[name, key]] = entries.artifacts

    def _invocation(
        self, name: str, task: pb.PipelineTaskSpec, component: pb.ComponentSpec
    ) -> pb.ExecutorInput:
        directory = self.directory / "root" / name
        directory.mkdir(parents=True)
        invocation = pb.ExecutorInput()
        for key, value in task.inputs.parameters.items():
            if value.WhichOneof("kind") == "component_input_parameter":
                self._resolve(value.component_input_parameter, invocation, key)
            else:
                invocation.inputs.parameter_values[key].CopyFrom(value.runtime_value.constant)
        for key, value in task.inputs.artifacts.items():
            source = value.task_output_artifact
            artifact = invocation.inputs.artifacts[key].artifacts.add()
            artifact.CopyFrom(self.artifacts[source.producer_task, source.output_artifact_key])
            if self.backend.types_inputs:
                artifact.type.CopyFrom(component.input_definitions.artifacts[key].artifact_type)
            else:
                artifact.ClearField("type")
        for key, definition in component.output_definitions.artifacts.items():
            invocation.outputs.artifacts[key].artifacts.add(
                uri=str(directory / key),
                type=definition.artifact_type,
                metadata=definition.metadata,
                name=self._artifact_name(name, key),
            )
        invocation.outputs.output_file = str(directory / "executor_output.json")
        return invocation

    def _artifact_name(self, task: str, key: str) -> str:
        store = "projects/1/locations/here/metadataStores/default/artifacts"
        return f"{store}/{task}-{key}" if self.backend.names_artifacts else ""

    def _resolve(self, parameter: str, invocation: pb.ExecutorInput, key: str) -> None:
        value = invocation.inputs.parameter_values[key]
        given = self.values.get(parameter)
        if isinstance(given, str):
            value.string_value = given
        elif given is not None:
            value.number_value = given
        else:
            value.CopyFrom(self.spec.root.input_definitions.parameters[parameter].default_value)

    def _execute(self, name: str, command: list[str], invocation: pb.ExecutorInput) -> None:
        serialized = json_format.MessageToJson(invocation)
        home = self.directory / "container"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [argument.replace("{{$}}", serialized) for argument in command],
            cwd=home,
            capture_output=True,
            text=True,
            env={
                # The image's `python` is the environment's.
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(home),
                "TMPDIR": str(home),
                "TF_CPP_MIN_LOG_LEVEL": "2",
            },
        )
        if done.returncode != 0:
            raise TaskFailed(f"{name}: {done.stderr[-4000:]}")

    def _merge(self, invocation: pb.ExecutorInput) -> None:
        """Takes over what a container reports of its outputs, as both back ends do."""
        report = Path(invocation.outputs.output_file).read_text(encoding="utf-8")
        output = json_format.Parse(report, pb.ExecutorOutput())
        for key, entries in output.artifacts.items():
            [artifact] = invocation.outputs.artifacts[key].artifacts
            [reported] = entries.artifacts
            artifact.uri = reported.uri or artifact.uri
            artifact.metadata.update(json_format.MessageToDict(reported.metadata))


def read_yaml(path: Path) -> pb.PipelineSpec:
    """Returns the pipeline spec of a compiled `.yaml`."""
    return json_format.ParseDict(next(yaml.safe_load_all(path.read_text())), pb.PipelineSpec())
