"""Artifacts of an object store as folders on this machine, for stages of TFX that need such.

A stage that has Beam work has its workers read and write where artifacts are. One that has not, as
SchemaGen or a Trainer with a user's `run_fn`, reads by TensorFlow or by what the user likes, so it
is given paths: copies of its inputs, and new folders that are put where artifacts are when it ended
well. After a failure nothing was put there.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.object_stores import files as objects

if TYPE_CHECKING:
    from tfx.orchestration.portable.data_types import ExecutionInfo
    from tfx.proto.orchestration import execution_result_pb2
    from tfx.types import Artifact


class LocalArtifacts:
    """The artifacts of an execution while it has paths for them.

    Args:
        outputs: The paths of its outputs by their URIs.
    """

    def __init__(self, outputs: dict[str, str]):
        self._outputs = outputs

    @classmethod
    @contextlib.contextmanager
    def of(cls, execution: "ExecutionInfo") -> "Iterator[LocalArtifacts]":
        """Gives an execution paths in place of URIs of object stores while the block runs."""
        inputs = list(_served(execution.input_dict.values()))
        outputs = list(_served(execution.output_dict.values()))
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory("-tfx-tflite")))
            copies = {
                artifact.uri: stack.enter_context(any_place.local_copy(artifact.uri))
                for artifact in inputs
            }
            made = {
                artifact.uri: str(directory / str(place) / artifact.uri.rpartition("/")[2])
                for place, artifact in enumerate(outputs)
            }
            before = [(artifact, artifact.uri) for artifact in (*inputs, *outputs)]
            for artifact, uri in before:
                artifact.uri = copies.get(uri) or made[uri]
            try:
                yield cls(made)
            finally:
                for artifact, uri in before:
                    artifact.uri = uri

    def put(self, output: "execution_result_pb2.ExecutorOutput") -> None:
        """Puts what the execution wrote where artifacts are, and names that in its output.

        Raises:
            StoreError: The store refuses it.
        """
        for uri, path in self._outputs.items():
            if Path(path).is_file():
                objects.write(uri, Path(path).read_bytes())
            else:
                any_place.put(Path(path), uri)
        uris = {path: uri for uri, path in self._outputs.items()}
        for entries in output.output_artifacts.values():
            for artifact in entries.artifacts:
                artifact.uri = uris.get(artifact.uri, artifact.uri)


def _served(entries: "Iterable[Sequence[Artifact]]") -> "Iterator[Artifact]":
    for artifacts in entries:
        yield from (artifact for artifact in artifacts if any_place.is_served(artifact.uri))
