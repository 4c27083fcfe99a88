"""What ML Metadata knows of a pipeline's past: runs, executions, and artifacts that they share.

Reading it loads neither TensorFlow nor TFX.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from tfx_tflite.components.artifact_layout import MODEL_DIGEST
from tfx_tflite.components.errors import MetadataError, in_one_line
from tfx_tflite.components.presence import ABSENT, Presence
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.metadata.store import connected, connection_config

_Artifact, _Event = metadata_store_pb2.Artifact, metadata_store_pb2.Event
_Execution = metadata_store_pb2.Execution
_INPUTS = frozenset({_Event.INPUT, _Event.DECLARED_INPUT})
_ENDED_WELL = frozenset({_Execution.COMPLETE, _Execution.CACHED})
_LIVE = frozenset({_Artifact.LIVE, _Artifact.UNKNOWN, _Artifact.PENDING})
# Of a question; SQLite takes no more than so many values.
_AT_ONCE = 500

ArtifactState = Literal["live", "marked", "gone"]


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact.

    Attributes:
        id: Its id.
        uri: Where it is.
        state: `marked` where it is to be deleted, `gone` where it was.
        model_digest: Of the quantized model that it is, or speaks of; empty for others.
    """

    id: int
    uri: str
    state: ArtifactState
    model_digest: str


@dataclass(frozen=True)
class StoredExecution:
    """An execution of a node.

    Attributes:
        id: Its id.
        node: The node's id.
        run: The run that it was in, by a number that grows with time.
        ended_well: Whether it gave what it was to give, itself or from the cache.
        inputs: The ids of the artifacts that it read.
        outputs: The ids of those that it gave.
    """

    id: int
    node: str
    run: int
    ended_well: bool
    inputs: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()

    @property
    def artifacts(self) -> frozenset[int]:
        """The ids of all that it had to do with."""
        return self.inputs | self.outputs


@dataclass(frozen=True)
class History:
    """All runs of a pipeline.

    Attributes:
        executions: By id.
        artifacts: By id; those that an execution had to do with.
    """

    executions: dict[int, StoredExecution]
    artifacts: dict[int, StoredArtifact]


class MetadataHistory:
    """The past of one pipeline in a store that is open.

    Args:
        store: The store.
        pipeline: The pipeline's name.
    """

    def __init__(self, store: ml_metadata.MetadataStore, pipeline: str):
        self._store = store
        self._pipeline = pipeline

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: PipelineConfig) -> "Iterator[MetadataHistory]":
        """Yields the past of a config's pipeline.

        Args:
            config: The config; its store is there.

        Raises:
            MetadataError: The store cannot be reached, or fails meanwhile.
        """
        try:
            with connected(config):
                yield cls(ml_metadata.MetadataStore(connection_config(config)), config.name)
        except (RuntimeError, ml_metadata.errors.StatusError) as error:
            raise MetadataError(
                f"metadata: the store of ML Metadata fails: {in_one_line(error)}"
            ) from error

    def read(self) -> Presence[History]:
        """Returns what the store knows; ABSENT if it knows no such pipeline."""
        pipeline = self._store.get_context_by_type_and_name("pipeline", self._pipeline)
        if pipeline is None:
            return ABSENT
        ended_well = {
            execution.id: execution.last_known_state in _ENDED_WELL
            for execution in self._store.get_executions_by_context(pipeline.id)
        }
        runs = self._runs(pipeline.id)
        executions = {
            number: StoredExecution(number, node, runs[number], ended_well[number])
            for number, node in self._nodes().items()
            if number in runs and number in ended_well
        }
        executions = self._with_artifacts(executions)
        used = {number for entry in executions.values() for number in entry.artifacts}
        return History(executions, self._artifacts(used))

    def _runs(self, pipeline: int) -> dict[int, int]:
        """Returns the run of each execution."""
        return {
            execution.id: context.id
            for context in self._store.get_children_contexts_by_context(pipeline)
            if context.type == "pipeline_run"
            for execution in self._store.get_executions_by_context(context.id)
        }

    def _nodes(self) -> dict[int, str]:
        """Returns the node of each execution."""
        prefix = f"{self._pipeline}."
        return {
            execution.id: context.name.removeprefix(prefix)
            for context in self._store.get_contexts_by_type("node")
            if context.name.startswith(prefix)
            for execution in self._store.get_executions_by_context(context.id)
        }

    def _with_artifacts(self, executions: dict[int, StoredExecution]) -> dict[int, StoredExecution]:
        inputs, outputs = defaultdict[int, set[int]](set), defaultdict[int, set[int]](set)
        for numbers in _portions(executions):
            for event in self._store.get_events_by_execution_ids(numbers):
                found = inputs if event.type in _INPUTS else outputs
                found[event.execution_id].add(event.artifact_id)
        return {
            number: replace(
                entry, inputs=frozenset(inputs[number]), outputs=frozenset(outputs[number])
            )
            for number, entry in executions.items()
        }

    def _artifacts(self, numbers: Iterable[int]) -> dict[int, StoredArtifact]:
        return {
            artifact.id: StoredArtifact(
                artifact.id,
                artifact.uri,
                _state(artifact.state),
                artifact.custom_properties[MODEL_DIGEST].string_value
                if MODEL_DIGEST in artifact.custom_properties
                else "",
            )
            for portion in _portions(numbers)
            for artifact in self._store.get_artifacts_by_id(portion)
        }

    def mark(self, numbers: Iterable[int], state: ArtifactState) -> None:
        """Notes that artifacts are to be deleted, or were; nothing is served from the cache then.

        Args:
            numbers: Their ids.
            state: `marked` or `gone`.
        """
        wanted = _Artifact.DELETED if state == "gone" else _Artifact.MARKED_FOR_DELETION
        for portion in _portions(numbers):
            artifacts = self._store.get_artifacts_by_id(portion)
            for artifact in artifacts:
                artifact.state = wanted
            self._store.put_artifacts(artifacts)


def _state(state: int) -> ArtifactState:
    if state in _LIVE:
        return "live"
    return "marked" if state == _Artifact.MARKED_FOR_DELETION else "gone"


def _portions(numbers: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
