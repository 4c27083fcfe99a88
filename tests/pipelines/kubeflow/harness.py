"""Runs a compiled pipeline without a cluster: what a back end does, as its own calls are recorded.

`calls` has those recordings, and README.md there says where they come from. What is
known of driver and launcher beside, and acted here: a container has copies of its own inputs alone,
without empty directories, and of its outputs only the directory above; of what it reports, URI and
metadata of an output's first artifact are taken; a null in metadata is refused, a boolean becomes
an integer, lists and structs are wrapped. Vertex AI is acted by its documentation.

Everything is parsed into the real proto classes of the pipeline spec, strictly: a field that they
do not have is an error.
"""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from tests.pipelines.kubeflow.container import Container, Ended, given_to_user

# Where the launcher has its copies, by the scheme of URIs.
COPIES = {"minio": "/minio", "s3": "/s3", "gs": "/gcs"}
_LOGS = "executor-logs"
_SESSION = json.dumps({"Provider": "minio", "Params": {"secretName": "mlpipeline-minio-artifact"}})


@dataclass(frozen=True)
class Form:
    """How back ends differ in their calls.

    Attributes:
        names_outputs: Whether outputs are named, by their keys.
        has_logs: Whether each task has one output more, for the container's log.
        has_file_beside_outputs: Whether the output file is beside the outputs.
        is_vertex: Whether inputs have types, names are those of resources, ExampleGen's driver is
            run, and the whole bucket is there.
    """

    names_outputs: bool
    has_logs: bool
    has_file_beside_outputs: bool
    is_vertex: bool = False


KFP_2_17 = Form(names_outputs=True, has_logs=True, has_file_beside_outputs=True)
KFP_2_0 = Form(names_outputs=False, has_logs=False, has_file_beside_outputs=False)
VERTEX = Form(names_outputs=True, has_logs=False, has_file_beside_outputs=True, is_vertex=True)
FORMS = {"2.17": KFP_2_17, "2.0": KFP_2_0, "vertex": VERTEX}


class TaskFailed(AssertionError):
    """A container ended with another code than 0, or its report was refused.

    Args:
        task: The task.
        ended: How the container ended.
        problem: What was refused.
    """

    def __init__(self, task: str, ended: Ended, problem: str = ""):
        super().__init__(f"{task}: {problem or f'exit code {ended.code}'}\n{ended.log[-4000:]}")
        self.task = task
        self.ended = ended


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact as ML Metadata has it.

    Attributes:
        id: Its id.
        key: The name of the output that it is of.
        uri: Where it is.
        metadata: Its properties and custom properties.
    """

    id: int
    key: str
    uri: str
    metadata: Mapping[str, Any]


@dataclass
class Harness:
    """One run of a compiled pipeline.

    Args:
        spec: The pipeline spec, from a `.yaml`, or that of a `.json`.
        directory: A clean directory for the object store and the containers.
        form: How containers are called.
        root: The pipeline root.
        image: What containers have beside the system, by where they have it.
        values: Runtime parameters of this run; others have their defaults.
        variables: Environment variables of containers.
        is_forked: As for `Container.run`.
    """

    spec: pb.PipelineSpec
    directory: Path
    form: Form
    root: str = "minio://mlpipeline/v2/artifacts"
    image: Mapping[str, Path] = field(default_factory=dict)
    values: Mapping[str, int | float | str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    is_forked: bool = True
    artifacts: dict[tuple[str, str], StoredArtifact] = field(default_factory=dict)
    calls: dict[str, pb.ExecutorInput] = field(default_factory=dict)
    ended: dict[str, Ended] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deployment = json_format.ParseDict(
            json_format.MessageToDict(self.spec.deployment_spec), pb.PipelineDeploymentConfig()
        )
        unknown = set(self.values) - set(self.spec.root.input_definitions.parameters)
        assert not unknown, f"not runtime parameters: {unknown}"
        self._run_id = uuid.uuid4()
        # Where a pod has its outputs, by URI.
        self._uploads: dict[str, Path] = {}

    def run(self, *, until: str | None = None) -> "Harness":
        """Runs the tasks, each after those that it depends on, and returns this run.

        Raises:
            TaskFailed: One failed; those after it are not run.
        """
        tasks = self.spec.root.dag.tasks
        graph = {name: set(task.dependent_tasks) for name, task in tasks.items()}
        for name in TopologicalSorter(graph).static_order():
            self._run_task(name)
            if name == until:
                break
        return self

    def again(self, name: str, **parameters: str) -> Ended:
        """Runs the container of a task once more, as when it is retried, and returns how it ended.

        What it has written and reported is let go, so that those of before fit together.

        Args:
            name: The task.
            parameters: Other values for parameters of its component.
        """
        call = pb.ExecutorInput()
        call.CopyFrom(self.calls[name])
        for key, value in parameters.items():
            call.inputs.parameter_values[key].string_value = value
        container = self._executor(name).container
        ended, _ = self._execute(name, [*container.command, *container.args], call)
        return ended

    def path(self, task: str, key: str) -> Path:
        """Where the object store has an artifact."""
        return self.stored(self.artifacts[task, key].uri)

    def stored(self, uri: str) -> Path:
        """Where the object store has a URI."""
        scheme, _, path = uri.partition("://")
        return self.directory / "store" / scheme / path

    def _executor(self, name: str) -> Any:
        component = self.spec.components[self.spec.root.dag.tasks[name].component_ref.name]
        return self.deployment.executors[component.executor_label]

    def _run_task(self, name: str) -> None:
        executor = self._executor(name)
        if executor.HasField("importer"):
            imported = executor.importer
            component = self.spec.components[self.spec.root.dag.tasks[name].component_ref.name]
            [key] = component.output_definitions.artifacts
            uri = imported.artifact_uri.constant.string_value
            self._store(name, key, uri, json_format.MessageToDict(imported.metadata))
            return
        call = self.calls[name] = self._call(name)
        container = executor.container
        if self.form.is_vertex and container.HasField("lifecycle"):
            driver = container.lifecycle.pre_cache_check
            ended, found = self._execute(name, [*driver.command, *driver.args], call)
            if found is None:
                raise TaskFailed(name, ended)
            for key, entries in found.artifacts.items():
                [artifact] = call.outputs.artifacts[key].artifacts
                artifact.metadata.update(json_format.MessageToDict(entries.artifacts[0].metadata))
        ended, report = self._execute(name, [*container.command, *container.args], call)
        self.ended[name] = ended
        if ended.code != 0:
            raise TaskFailed(name, ended)
        self._upload(call)
        self._publish(name, call, report, ended)

    def _call(self, name: str) -> pb.ExecutorInput:
        task = self.spec.root.dag.tasks[name]
        component = self.spec.components[task.component_ref.name]
        call = pb.ExecutorInput()
        for key, value in task.inputs.parameters.items():
            if value.WhichOneof("kind") == "component_input_parameter":
                self._resolve(value.component_input_parameter, call, key)
            else:
                call.inputs.parameter_values[key].CopyFrom(value.runtime_value.constant)
        for key, value in task.inputs.artifacts.items():
            source = value.task_output_artifact
            artifact = self.artifacts[source.producer_task, source.output_artifact_key]
            given = call.inputs.artifacts[key].artifacts.add(
                name=self._name(str(artifact.id)), uri=artifact.uri
            )
            if self.form.is_vertex:
                given.type.CopyFrom(component.input_definitions.artifacts[key].artifact_type)
            else:
                given.type.instance_schema = ""
            given.metadata.update(artifact.metadata)
            if not self.form.is_vertex:
                given.metadata.update(
                    {"display_name": artifact.key, "store_session_info": _SESSION}
                )
        directory = f"{self.root}/{self.spec.pipeline_info.name}/{self._run_id}/{name}"
        directory = f"{directory}/{uuid.uuid4()}"
        for key, definition in component.output_definitions.artifacts.items():
            call.outputs.artifacts[key].artifacts.add(
                uri=f"{directory}/{key}",
                type=definition.artifact_type,
                metadata=definition.metadata,
                name=self._name(key) if self.form.names_outputs else "",
            )
        if self.form.has_logs:
            call.outputs.artifacts[_LOGS].artifacts.add(
                uri=f"{directory}/{_LOGS}",
                type=pb.ArtifactTypeSchema(schema_title="system.Artifact"),
                name=_LOGS,
            )
        call.outputs.output_file = (
            f"{_copy(directory)}/output_metadata.json"
            if self.form.has_file_beside_outputs
            else "/tmp/kfp_outputs/output_metadata.json"
        )
        return call

    def _name(self, name: str) -> str:
        store = "projects/1/locations/here/metadataStores/default/artifacts"
        return f"{store}/{name}" if self.form.is_vertex else name

    def _resolve(self, parameter: str, call: pb.ExecutorInput, key: str) -> None:
        value = call.inputs.parameter_values[key]
        given = self.values.get(parameter)
        if isinstance(given, str):
            value.string_value = given
        elif given is not None:
            value.number_value = given
        else:
            value.CopyFrom(self.spec.root.input_definitions.parameters[parameter].default_value)

    def _execute(
        self, name: str, command: list[str], call: pb.ExecutorInput
    ) -> tuple[Ended, pb.ExecutorOutput | None]:
        """Runs a command as the launcher does; returns how it ended and what it reported."""
        pod = self.directory / "pods" / f"{name}-{uuid.uuid4()}"
        copies = self._copies(pod, call)
        container = Container(
            pod / "container",
            {**self.image, **{COPIES[scheme]: path for scheme, path in copies.items()}},
            self.variables,
        )
        serialized = json_format.MessageToJson(call, indent=None)
        arguments = [argument.replace("{{$}}", serialized) for argument in command]
        ended = container.run(arguments, self.is_forked)
        places = {COPIES[scheme]: path for scheme, path in copies.items()}
        output_file = _on_this_machine(call.outputs.output_file, {**places, "/tmp": container.tmp})
        if ended.code != 0 or not output_file.exists():
            return ended, None
        for entries in call.outputs.artifacts.values():
            self._uploads[entries.artifacts[0].uri] = _on_this_machine(
                _copy(entries.artifacts[0].uri), places
            )
        report = json_format.Parse(output_file.read_text(encoding="utf-8"), pb.ExecutorOutput())
        return ended, report

    def _copies(self, pod: Path, call: pb.ExecutorInput) -> dict[str, Path]:
        """Copies the inputs of a call for its pod, and makes the directories above its outputs."""
        if self.form.is_vertex:
            # The whole bucket is mounted.
            bucket = self.directory / "store" / "gs"
            bucket.mkdir(parents=True, exist_ok=True)
            for entries in call.outputs.artifacts.values():
                self.stored(entries.artifacts[0].uri).parent.mkdir(parents=True, exist_ok=True)
            given_to_user(bucket)
            return {"gs": bucket}
        copies = {scheme: pod / scheme for scheme in COPIES}
        for directory in copies.values():
            directory.mkdir(parents=True)
        for entries in call.inputs.artifacts.values():
            for artifact in entries.artifacts:
                if "://" in artifact.uri:
                    _copy_files(self.stored(artifact.uri), _below(copies, artifact.uri))
        for entries in call.outputs.artifacts.values():
            _below(copies, entries.artifacts[0].uri).parent.mkdir(parents=True, exist_ok=True)
        for directory in copies.values():
            given_to_user(directory)
        return copies

    def _upload(self, call: pb.ExecutorInput) -> None:
        if self.form.is_vertex:
            return
        for entries in call.outputs.artifacts.values():
            uri = entries.artifacts[0].uri
            _copy_files(self._uploads[uri], self.stored(uri))

    def _publish(
        self,
        name: str,
        call: pb.ExecutorInput,
        report: pb.ExecutorOutput | None,
        ended: Ended,
    ) -> None:
        if report is None:
            raise TaskFailed(name, ended, "it has left no output file")
        for key, entries in call.outputs.artifacts.items():
            artifact = entries.artifacts[0]
            if artifact.type.instance_schema.startswith("title: system.HTML"):
                assert self.stored(artifact.uri).is_file(), f"{name}: {key} is not one file"
            metadata = json_format.MessageToDict(artifact.metadata)
            if key in report.artifacts:
                [reported] = report.artifacts[key].artifacts
                assert reported.uri == artifact.uri, f"{name}: {key} is reported elsewhere"
                metadata.update(json_format.MessageToDict(reported.metadata))
            elif key != _LOGS:
                raise TaskFailed(name, ended, f"{key} is not reported")
            if None in metadata.values():
                raise TaskFailed(name, ended, f"null in the metadata of {key}")
            self._store(name, key, artifact.uri, metadata)
        unknown = set(report.artifacts) - (set(call.outputs.artifacts) - {_LOGS})
        assert not unknown, f"{name} reports of {unknown}"

    def _store(self, task: str, key: str, uri: str, metadata: Mapping[str, Any]) -> None:
        kept = metadata if self.form.is_vertex else {k: _wrapped(v) for k, v in metadata.items()}
        self.artifacts[task, key] = StoredArtifact(len(self.artifacts) + 15, key, uri, kept)


def _wrapped(value: Any) -> Any:
    """Returns a value of metadata as it comes back from ML Metadata."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return {"list": value}
    return {"struct": value} if isinstance(value, dict) else value


def _copy(uri: str) -> str:
    """Returns where a pod has its copy of a URI."""
    scheme, _, path = uri.partition("://")
    return f"{COPIES[scheme]}/{path}"


def _below(copies: Mapping[str, Path], uri: str) -> Path:
    scheme, _, path = uri.partition("://")
    return copies[scheme] / path


def _on_this_machine(path: str, places: Mapping[str, Path]) -> Path:
    """Returns where this machine has a path of a container."""
    [place] = (place for place in places if path.startswith(f"{place}/"))
    return places[place] / path.removeprefix(f"{place}/")


def _copy_files(source: Path, target: Path) -> None:
    """Copies a file, or the files of a directory; an object store knows no empty directories."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return
    for path in source.rglob("*"):
        if path.is_file():
            _copy_files(path, target / path.relative_to(source))


def read_yaml(path: Path) -> pb.PipelineSpec:
    """Returns the pipeline spec of a compiled `.yaml`."""
    return json_format.ParseDict(next(yaml.safe_load_all(path.read_text())), pb.PipelineSpec())
