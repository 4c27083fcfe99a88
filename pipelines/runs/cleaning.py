"""What old runs left below a root, and what of it nobody refers to any more.

What stays: all that the newest runs read and gave, the newest outputs of each node (which the next
run is served from TFX's cache), what the push of a version that is at the destination read and
gave, and the reports that the last results name. A destination that cannot be read may refer to
everything that was ever pushed. What goes is first marked in ML Metadata, so that no run is served
it, then moved aside at once, then deleted, then noted as deleted; whoever is killed in between
leaves the rest to the next one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from tfx_tflite.components.documents import json_value
from tfx_tflite.components.errors import ConfigError, NotKnownError, TfxTfliteError
from tfx_tflite.components.presence import ABSENT
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.trust import open_to_read
from tfx_tflite.pipelines.metadata.history import (
    History,
    MetadataHistory,
    StoredArtifact,
    StoredExecution,
)
from tfx_tflite.pipelines.runs.artifact_trees import (
    artifact_tree,
    directories_in,
    entries_of,
    remove_tree,
    size_of,
)
from tfx_tflite.pipelines.runs.model_copy import DIRECTORY as MODEL_COPIES
from tfx_tflite.pipelines.runs.reports import DIRECTORY as REPORTS
from tfx_tflite.pipelines.schedule.records import FILE_NAME as RECORDS
from tfx_tflite.pipelines.schedule.records import last_record

_PUSHER = "Pusher"
_LOG = re.compile(r"\d{8}-\d{6}-\d+(?:\.job-server)?\.(?:log|json)")


@dataclass(frozen=True)
class Cleaned:
    """What was cleaned, or would be.

    Attributes:
        root: The root.
        runs: How many runs keep all they had.
        directories: The directories of artifacts, below the root.
        logs: The logs and results, below the root.
        size_bytes: Of all that.
        notes: What the user should know of why something stays.
        is_done: Whether it was cleaned.
    """

    root: str
    runs: int
    directories: tuple[str, ...]
    logs: tuple[str, ...]
    size_bytes: int
    notes: tuple[str, ...] = ()
    is_done: bool = False

    @property
    def status(self) -> Literal["cleaned", "would_clean"]:
        """What it is called."""
        return "cleaned" if self.is_done else "would_clean"

    def to_keys(self) -> dict[str, JsonValue]:
        """Returns it as JSON has it."""
        return {
            "status": self.status,
            "root": self.root,
            "runs_kept": self.runs,
            "artifacts": list(self.directories),
            "logs": list(self.logs),
            "size_bytes": self.size_bytes,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Directory:
    """A directory of artifacts below the root.

    Attributes:
        path: Where it is.
        execution: The id of the execution that it was made for.
    """

    path: Path
    execution: int


def clean(config: PipelineConfig, keep: int, is_dry: bool = False) -> Cleaned:
    """Removes what the runs before the newest left; the caller keeps the root's lock.

    Args:
        config: The config.
        keep: How many runs keep what they left.
        is_dry: Whether to look only.

    Raises:
        ConfigError: No run of this pipeline has left anything below the root.
        MetadataError: The store of ML Metadata cannot be reached.
        NotKnownError: It cannot be told what the last runs refer to.
        OSError: Something cannot be read or removed; calling again removes the rest.
    """
    _check_store(config)
    with MetadataHistory.opened(config) as store:
        history = store.read()
        if history is ABSENT:
            raise ConfigError(
                f"metadata: {config.metadata_path} knows no run of {config.name}; is it the store "
                "of this root? nothing was cleaned"
            )
        return _Cleaning(config, history, keep).result(None if is_dry else store)


def _check_store(config: PipelineConfig) -> None:
    """Checks that a store that is a file is there: an empty one would be made otherwise.

    Raises:
        ConfigError: It is not.
    """
    if config.metadata.server is None and not Path(config.metadata_path).exists():
        raise ConfigError(
            f"metadata: there is no {config.metadata_path}, so no run was here; nothing was cleaned"
        )


class _Cleaning:
    """What stays and what goes of a pipeline's past.

    Args:
        config: The config.
        history: What ML Metadata knows.
        keep: How many runs keep what they left.
    """

    def __init__(self, config: PipelineConfig, history: History, keep: int):
        self._config = config
        self._root = Path(config.root)
        self._below = Path(config.artifacts_path)
        self._tree = artifact_tree(config.artifacts_path)
        self._history = history
        self._executions = history.executions
        self._notes: list[str] = []
        self._runs = self._newest_runs(keep)
        self._logs = tuple(self._old_logs(keep))
        kept = self._kept_artifacts()
        self._places = [Path(history.artifacts[number].uri) for number in sorted(kept)]
        self._places += self._places_of_results()
        # The directories that hold any of it.
        self._used = frozenset(above for place in self._places for above in _with_parents(place))

    def result(self, store: MetadataHistory | None) -> Cleaned:
        """Returns what goes, and removes it if there is a store to note it in."""
        directories = tuple(self._old_directories())
        models = tuple(self._old_copies())
        copies = (*models, *self._old_reports())
        shared = ((path, self._read_by_workers(path)) for path in models)
        elsewhere = [read for path, read in shared if read != path]
        paths = (*(entry.path for entry in directories), *elsewhere, *copies)
        size = sum(map(self._tree.size, (*(entry.path for entry in directories), *elsewhere)))
        size += sum(map(size_of, (*copies, *self._logs)))
        if store is not None:
            self._remove(store, directories)
            # Those here last: by them cleaning again finds what is left elsewhere.
            self._tree.remove(elsewhere)
            for copy in copies:
                remove_tree(copy)
        return Cleaned(
            str(self._root),
            len(self._runs),
            tuple(map(self._shown, paths)),
            tuple(map(self._shown, self._logs)),
            size,
            tuple(self._notes),
            store is not None,
        )

    def _shown(self, path: Path) -> str:
        if path.is_relative_to(self._root):
            return path.relative_to(self._root).as_posix()
        # Artifacts that are elsewhere.
        below = path.relative_to(self._below).as_posix()
        return f"{self._config.artifacts_path}/{below}"

    # What stays

    def _newest_runs(self, keep: int) -> frozenset[int]:
        """Returns the newest runs that left something below this root, in a store of several."""
        runs = {
            entry.run
            for entry in self._executions.values()
            if any(self._is_here(number) for number in entry.outputs)
        }
        return frozenset(sorted(runs)[-keep:])

    def _is_here(self, artifact: int) -> bool:
        return Path(self._history.artifacts[artifact].uri).is_relative_to(self._below)

    def _kept_artifacts(self) -> set[int]:
        """Returns the ids of the artifacts that somebody refers to."""
        kept = {number for entry in self._kept_executions() for number in entry.artifacts}
        return kept | self._pushed_artifacts()

    def _kept_executions(self) -> Iterator[StoredExecution]:
        newest: dict[str, StoredExecution] = {}
        for _, entry in sorted(self._executions.items()):
            if entry.run in self._runs:
                yield entry
            if entry.ended_well:
                newest[entry.node] = entry
        yield from newest.values()

    def _pushed_artifacts(self) -> set[int]:
        """Returns the ids of the artifacts that versions at the destination refer to.

        All that was ever handed to a push, if it cannot be told what is at the destination.
        """
        pushes = [entry for entry in self._executions.values() if entry.node == _PUSHER]
        try:
            digests, executions = self._pushed()
        except TfxTfliteError as error:
            self._notes.append(f"all that was pushed stays: {str(error).splitlines()[0]}")
            return {number for entry in pushes for number in entry.artifacts}
        return {
            number
            for entry in pushes
            if entry.id in executions or digests & self._digests(entry.artifacts)
            for number in entry.artifacts
        }

    def _digests(self, artifacts: Iterable[int]) -> set[str]:
        return {self._history.artifacts[number].model_digest for number in artifacts} - {""}

    def _pushed(self) -> tuple[set[str], set[int]]:
        """Returns the digests of the models at the destination, and the executions of their pushes.

        Raises:
            TfxTfliteError: The destination, or a version there, cannot be read.
        """
        destination = open_to_read(self._config)
        manifests = [destination.manifest(number) for number in destination.numbers()]
        digests = {manifest.model.digest for manifest in manifests}
        ids = [manifest.metadata for manifest in manifests if manifest.metadata is not None]
        return digests, {entry.execution for entry in ids if entry.execution is not None}

    def _places_of_results(self) -> Iterator[Path]:
        """Yields where the reports are that the last results name.

        Raises:
            NotKnownError: A result cannot be read.
        """
        old = frozenset(self._logs)
        results = [
            self._root / "last_run.json",
            *(log for log in self._all_logs() if log.suffix == ".json" and log not in old),
        ]
        documents = [_document(path) for path in results]
        record = last_record(self._root / "schedule" / RECORDS)
        documents.append({} if record is ABSENT else record)
        for document in documents:
            for result in (document, document.get("result")):
                if isinstance(result, Mapping):
                    named = (result.get(key) for key in ("report", "page"))
                    yield from (Path(name) for name in named if isinstance(name, str))

    # What goes

    def _old_logs(self, keep: int) -> Iterator[Path]:
        """Yields the logs and results that are older than the newest results."""
        logs = self._all_logs()
        results = [log.stem for log in logs if log.suffix == ".json"]
        if len(results) >= keep:
            yield from (log for log in logs if log.stem < results[-keep])

    def _all_logs(self) -> list[Path]:
        directory = self._root / "logs"
        return sorted(path for path in entries_of(directory) if _LOG.fullmatch(path.name))

    def _old_directories(self) -> Iterator[_Directory]:
        """Yields the directories below the root that nobody refers to.

        Only those of executions that the store knows: what it does not know is somebody else's.
        """
        if not self._runs:
            return
        for entry in self._all_directories():
            execution = self._executions.get(entry.execution)
            node = entry.path.relative_to(self._below).parts[0]
            if execution is None or execution.node != node or not self._is_old(execution):
                continue
            if entry.path not in self._used:
                yield entry

    def _old_copies(self) -> Iterator[Path]:
        """Yields the copies of SavedModels that old runs read and nobody refers to.

        A run that wants one makes it anew, also if it was removed in part. They stay live in ML
        Metadata, where such a run finds what it has imported before.
        """
        known = {Path(entry.uri) for entry in self._history.artifacts.values()}
        places = frozenset(self._places)
        for path in directories_in(self._root / MODEL_COPIES):
            read = self._read_by_workers(path)
            if self._runs and read in known and read not in places:
                yield path

    def _read_by_workers(self, path: Path) -> Path:
        return self._tree.read_by_workers(path, self._root)

    def _old_reports(self) -> Iterator[Path]:
        """Yields the copies of reports that no result names, of artifacts in an object store."""
        for path in directories_in(self._root / REPORTS):
            if path not in self._used:
                yield path

    def _is_old(self, execution: StoredExecution) -> bool:
        """Returns whether an execution was in a run that keeps nothing by itself.

        In a store that several roots share, or whose root was moved, it may have been elsewhere.
        """
        is_here = not execution.outputs or any(map(self._is_here, execution.outputs))
        return execution.run not in self._runs and is_here

    def _all_directories(self) -> Iterator[_Directory]:
        for path in self._tree.directories():
            yield _Directory(path, int(path.name))

    # Going

    def _remove(self, store: MetadataHistory, directories: Iterable[_Directory]) -> None:
        """Removes what goes, and what was left of what went before."""
        paths = [entry.path for entry in directories]
        going_paths = frozenset(paths)
        going = [
            artifact
            for artifact in self._live()
            if not going_paths.isdisjoint(_with_parents(Path(artifact.uri)))
        ]
        store.mark([artifact.id for artifact in going], "marked")
        self._tree.remove(paths)
        gone = [
            artifact.id
            for artifact in (*self._marked(), *going)
            if not self._tree.exists(artifact.uri)
        ]
        store.mark(gone, "gone")
        for log in self._logs:
            log.unlink(missing_ok=True)

    def _live(self) -> Iterator[StoredArtifact]:
        return (entry for entry in self._history.artifacts.values() if entry.state == "live")

    def _marked(self) -> Iterator[StoredArtifact]:
        """Yields what somebody marked who was killed before it was noted as deleted."""
        marked = (entry for entry in self._history.artifacts.values() if entry.state == "marked")
        return (entry for entry in marked if Path(entry.uri).is_relative_to(self._below))


def _with_parents(path: Path) -> tuple[Path, ...]:
    """Returns a path and all directories that it is in."""
    return path, *path.parents


def _document(path: Path) -> dict[str, JsonValue]:
    """Returns a result that was kept; nothing if there is none, or if it is damaged.

    Raises:
        NotKnownError: It cannot be read.
    """
    try:
        document = json_value(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NotKnownError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
