"""Recorded calls of Kubeflow's containers, and what an executor gets of a call."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_executor import BaseExecutor

from tfx_tflite.pipelines.kubeflow import entry_point as kubeflow_entry_point
from tfx_tflite.pipelines.kubeflow.call import (
    INPUTS_ARGUMENT,
    INVOCATION_ARGUMENT,
    OUTPUTS_ARGUMENT,
    Task,
)

CALLS = Path(__file__).with_name("calls")
FORMS = ("kfp-2.17-minio", "kfp-2.17-s3", "kfp-2.0-minio")
VERTEX = "vertex"
_EXECUTOR = "--executor_class_path"


@dataclass(frozen=True)
class Recording:
    """One call of a container.

    Attributes:
        call: What takes the place of `{{$}}`.
        command: The container's command and arguments.
    """

    call: dict[str, Any]
    command: tuple[str, ...]

    @classmethod
    def read(cls, form: str, task: str) -> "Recording":
        """Returns the call of a task in a form; Vertex AI's is the newest with what that has."""
        folder = CALLS / (FORMS[0] if form == VERTEX else form)
        found = json.loads((folder / f"{task}.json").read_text())
        recording = cls(found["executor_input"], tuple(found["command"]))
        return recording.as_on_vertex() if form == VERTEX else recording

    def argument(self, name: str) -> str:
        """Returns the value of an argument."""
        return self.command[self.command.index(name) + 1]

    def as_on_vertex(self) -> "Recording":
        """Returns the call as Vertex AI's documentation of ExecutorInput has it.

        Types are present, names are those of its metadata store's resources, and URIs are in
        Google Cloud Storage, as is the output file.
        """
        call = copy.deepcopy(self.call)
        call["outputs"]["artifacts"].pop("executor-logs", None)
        declared = json.loads(self.argument(INPUTS_ARGUMENT)).get("artifacts", {})
        for key, artifact in artifacts_in(call):
            if key in declared:
                artifact["type"] = declared[key]["artifactType"]
            artifact["uri"] = artifact["uri"].replace("minio://", "gs://")
            store = "projects/1/locations/europe-west1/metadataStores/default/artifacts"
            artifact["name"] = f"{store}/{artifact['name']}"
            artifact.get("metadata", {}).pop("store_session_info", None)
            for name in ("current_model_id", "baseline_model_id"):
                if name in artifact.get("metadata", {}):
                    artifact["metadata"][name] = f"{store}/{artifact['metadata'][name]}"
        output_file = call["outputs"]["outputFile"].replace("/minio/", "gs://")
        call["outputs"]["outputFile"] = output_file.replace("output_metadata", "executor_output")
        return Recording(call, self.command)

    def declaring(self, outputs: Mapping[str, str]) -> "Recording":
        """Returns the call of a container that is told its outputs: by key, the type's title."""
        spec = {
            "artifacts": {
                key: {"artifactType": {"instanceSchema": f"title: {title}\ntype: object\n"}}
                for key, title in outputs.items()
            }
        }
        return Recording(self.call, (*self.command, OUTPUTS_ARGUMENT, json.dumps(spec)))

    def arguments(self) -> list[str]:
        """Returns the arguments after the module's name, with the call in its place."""
        assert self.command[:2] == ("python", "-m")
        return [part.replace("{{$}}", json.dumps(self.call)) for part in self.command[3:]]


def artifacts_in(call: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns every artifact of a call, with the name of its input or output."""
    return [
        (key, artifact)
        for side in ("inputs", "outputs")
        for key, entry in call[side].get("artifacts", {}).items()
        for artifact in (entry or {}).get("artifacts") or []
    ]


@dataclass(frozen=True)
class GivenArtifact:
    """An artifact as an executor gets it.

    Attributes:
        kind: The class's type name.
        uri: Where it is for the executor.
        id: Its id.
        metadata: Its properties and custom properties.
    """

    kind: str
    uri: str
    id: int
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What an executor's `Do` was called with."""

    inputs: dict[str, list[GivenArtifact]]
    outputs: dict[str, list[GivenArtifact]]
    properties: dict[str, Any]


class Recorder(BaseExecutor):
    """An executor that keeps what it was given."""

    given: list[Given] = []

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        sides = (
            {key: [_given(artifact) for artifact in entries] for key, entries in side.items()}
            for side in (input_dict, output_dict)
        )
        self.given.append(Given(*sides, dict(exec_properties)))


def _given(artifact: Any) -> GivenArtifact:
    properties = {name: getattr(artifact, name) for name in artifact.mlmd_artifact.properties}
    own = {name: _custom(artifact, name) for name in artifact.mlmd_artifact.custom_properties}
    return GivenArtifact(artifact.TYPE_NAME, artifact.uri, artifact.id, {**properties, **own})


def _custom(artifact: Any, name: str) -> Any:
    # TFX's own method for any type takes 0 and empty text for nothing.
    if artifact.mlmd_artifact.custom_properties[name].HasField("struct_value"):
        return artifact.get_json_value_custom_property(name)
    return artifact.get_custom_property(name)


def given_by(arguments: Sequence[str], copies: Path, monkeypatch: Any) -> tuple[Given, dict]:
    """Returns what the executor gets of a call, and the report of it that the container leaves.

    Args:
        arguments: The container's, as `Task.parse` takes them.
        copies: A directory to have the launcher's copies in, and the output file.
        monkeypatch: pytest's, to do so.
    """
    monkeypatch.setattr(
        kubeflow_entry_point,
        "COPIES",
        {f"{scheme}://": f"{copies}/{scheme}/" for scheme in ("minio", "s3", "gs")},
    )
    changed = list(arguments)
    changed[changed.index(_EXECUTOR) + 1] = f"{__name__}.Recorder"
    place = changed.index(INVOCATION_ARGUMENT) + 1
    call = json.loads(changed[place])
    call["outputs"]["outputFile"] = f"{copies}/output.json"
    changed[place] = json.dumps(call)
    for _, artifact in artifacts_in(call):
        if artifact.get("uri"):
            parent = Path(copies, artifact["uri"].replace("://", "/")).parent
            parent.mkdir(parents=True, exist_ok=True)
    Recorder.given.clear()
    kubeflow_entry_point.run(Task.parse(changed))
    return Recorder.given.pop(), json.loads((copies / "output.json").read_text())
