"""What an artifact's files were when the stage that made it ended, and whether they still are.

A stage records the digests of the files in each of its outputs as a custom property, in ML Metadata
and not beside the files, and every stage that takes an artifact compares before it reads it. So a
file that is swapped, cut, damaged, removed, added or older stops the run, whether the artifact was
made by this run or is from the cache.

`on_known_bytes` does so for an executor of this project, in anybody's pipeline. For TFX's own
components the runners of `tfx_tflite.pipelines` and its entry point on Kubeflow do.
"""

import contextlib
import functools
import json
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from pydantic import TypeAdapter, ValidationError
from tfx import types
from tfx.dsl.io import fileio

from tfx_tflite.components import artifact_files
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.artifact_layout import CONTENT_DIGESTS
from tfx_tflite.components.digests import file_digest, files_below, stream_digest, tree_digest
from tfx_tflite.components.errors import ArtifactError, ModelError, telling_line
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.object_stores import files as objects
from tfx_tflite.components.presence import not_known
from tfx_tflite.components.uris import is_local

# A store may keep an index of properties, and PostgreSQL's takes texts of up to 2,704 bytes.
_LONGEST = 2000
# Files are read side by side, which hides how long a store takes to answer.
_READERS = 8
_DIGESTS = TypeAdapter(dict[str, str])
# The name of everything together.
_ALL = "./"

_Executor = TypeVar("_Executor")
# An executor's `Do`.
_Do = Callable[[_Executor, Artifacts, Artifacts, dict[str, object]], None]
# What shows that a file on this machine was written, without reading it.
_State = tuple[int, int, int]


def on_known_bytes(do: "_Do[_Executor]") -> "_Do[_Executor]":
    """Makes an executor's `Do` read only inputs that are as they were made, and record its outputs.

    What it writes to begins empty: where ML Metadata was lost or put back, TFX counts executions
    anew, and a folder of that number may be there, with a blessing in it.

    Raises:
        ArtifactError: An input is not what it was, or changed meanwhile.
        NotKnownError: An input cannot be read.
    """

    @functools.wraps(do)
    def checked(
        self: _Executor,
        input_dict: Artifacts,
        output_dict: Artifacts,
        exec_properties: dict[str, object],
    ) -> None:
        _empty(output_dict)
        with unchanged(input_dict):
            do(self, input_dict, output_dict, exec_properties)
        record(output_dict)

    return checked


def _empty(artifacts: Artifacts) -> None:
    for artifact in (entry for entries in artifacts.values() for entry in entries):
        if any_place.is_served(artifact.uri):
            objects.empty(artifact.uri)
            continue
        path = Path(artifact.uri)
        if not is_local(artifact.uri) or not path.is_dir():
            continue
        for left in path.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


def record(artifacts: Artifacts) -> None:
    """Records the digests of the files of some artifacts as their custom property.

    Those of which `record_known` has recorded them are not read again.
    """
    for artifact in (entry for entries in artifacts.values() for entry in entries):
        if artifact.get_string_custom_property(CONTENT_DIGESTS):
            continue
        if found := described(artifact.uri):
            artifact.set_string_custom_property(CONTENT_DIGESTS, found)


def record_known(artifact: types.Artifact, digests: Mapping[str, str]) -> None:
    """Records digests of files that were made while the files were written.

    Args:
        artifact: The artifact.
        digests: By name, those of all its files.
    """
    artifact.set_string_custom_property(CONTENT_DIGESTS, _as_text(digests))


def record_in(artifact: metadata_store_pb2.Artifact) -> None:
    """Records the digests of the files of an artifact as ML Metadata has it."""
    if found := described(artifact.uri):
        artifact.custom_properties[CONTENT_DIGESTS].string_value = found


def is_own(class_path: str) -> bool:
    """Returns whether a component or an executor is of this project and does so by itself."""
    return class_path.startswith("tfx_tflite.")


@contextlib.contextmanager
def unchanged(artifacts: Artifacts) -> Iterator[None]:
    """Checks artifacts before the block and, on this machine, that none was written to during it.

    Raises:
        ArtifactError: One is not what it was when it was made, or changed meanwhile.
        NotKnownError: One cannot be read.
    """
    entries = [(key, entry) for key, listed in artifacts.items() for entry in listed]
    before = [_states(entry) for _, entry in entries]
    check_all(artifacts)
    yield
    for (key, entry), states in zip(entries, before, strict=True):
        if (found := _states(entry)) != states:
            [name, *_] = sorted(dict(states.items() ^ found.items()))
            raise ArtifactError(
                f"input {key!r}: {_path(entry, name)} was written to while it was read; run again"
            )


def check_all(artifacts: Artifacts) -> None:
    """Checks that artifacts are what they were when they were made, as far as that was recorded.

    Raises:
        ArtifactError: One is not.
        NotKnownError: One cannot be read.
    """
    for key, entries in artifacts.items():
        for artifact in entries:
            check(key, artifact)


def check(key: str, artifact: types.Artifact) -> None:
    """Checks that an artifact is what it was when it was made, if that was recorded.

    Args:
        key: Which input it is, for the message.
        artifact: The artifact.

    Raises:
        ArtifactError: It is not.
        NotKnownError: It cannot be read.
    """
    recorded = artifact.get_string_custom_property(CONTENT_DIGESTS)
    if not recorded:
        return
    expected = _as_recorded(key, artifact, recorded)
    files = _file_digests(artifact.uri)
    found = next(parts for parts in _ever_coarser(files) if _is_as_fine(parts, expected))
    for name in sorted({*expected, *found}):
        before, now = expected.get(name), found.get(name)
        if before == now:
            continue
        place = _path(artifact, name)
        what = f"{place} changed since it was made: {now}, expected {before}"
        if now is None:
            what = f"{place} is gone since it was made, expected {before}"
        if before is None:
            what = f"{place} was not there when the artifact was made: {now}"
        raise ArtifactError(
            f"input {key!r}: {what}; put it back as it was, or remove "
            f"{artifact_files.stored_at(artifact)} to have all of it made anew"
        )


def described(uri: str) -> str:
    """Returns the digests of what lies at a URI as JSON; empty if nothing does.

    They are by file, or by folder if there are too many files for a text of a property.

    Raises:
        NotKnownError: It cannot be read.
    """
    files = _file_digests(uri)
    return _as_text(files) if files else ""


def _as_recorded(key: str, artifact: types.Artifact, recorded: str) -> dict[str, str]:
    try:
        return _DIGESTS.validate_json(recorded)
    except ValidationError as error:
        place = artifact_files.stored_at(artifact)
        raise ArtifactError(
            f"input {key!r}: the digests of {place} in ML Metadata are damaged, so nobody can tell "
            f"whether it is as it was made; remove {place} to have all of it made anew"
        ) from error


def _as_text(files: Mapping[str, str]) -> str:
    texts = (json.dumps(parts, sort_keys=True) for parts in _ever_coarser(files))
    return next(text for text in texts if len(text) <= _LONGEST or _ALL in text)


def _ever_coarser(files: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yields digests by file, by the uppermost folders, and of everything."""
    yield files
    folders: dict[str, dict[str, str]] = {}
    for name, digest in files.items():
        top, slash, _ = name.partition("/")
        folders.setdefault(top + slash, {})[name] = digest
    yield {
        name: tree_digest(parts) if name.endswith("/") else parts[name]
        for name, parts in folders.items()
    }
    yield {_ALL: tree_digest(files)}


def _is_as_fine(parts: Mapping[str, str], recorded: Mapping[str, str]) -> bool:
    """Returns whether digests are by what those that were recorded are by."""

    def fineness(names: Mapping[str, str]) -> tuple[bool, bool]:
        return _ALL in names, any(name.endswith("/") for name in names)

    return fineness(parts) == fineness(recorded) or _ALL in parts


def _file_digests(uri: str) -> dict[str, str]:
    """Returns the digests of the files below a URI by name, or of the file that it is as ``."""
    files = _local_files(uri) if is_local(uri) else _remote_files(uri)
    with ThreadPoolExecutor(_READERS) as readers:
        return dict(zip(files, readers.map(_digest, files.values()), strict=True))


def _digest(path: str) -> str:
    try:
        if is_local(path):
            return file_digest(path)
        if any_place.is_served(path):
            return objects.digest(path)
        with fileio.open(path, "rb") as file:
            return stream_digest(file)
    except (OSError, tf.errors.OpError) as error:
        raise not_known(path, "read", telling_line(str(error))) from error


def _local_files(uri: str) -> dict[str, str]:
    path = Path(uri)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise not_known(uri, "read", error.strerror or str(error)) from error
    if stat.S_ISDIR(mode):
        return {name: str(file) for name, file in files_below(path).items()}
    return {"": uri}


def _remote_files(uri: str) -> dict[str, str]:
    base = uri.rstrip("/")
    if any_place.is_served(base):
        if objects.is_file(base):
            return {"": base}
        return {name: f"{base}/{name}" for name in objects.below(base)}
    try:
        if not fileio.exists(base):
            return {}
        if not fileio.isdir(base):
            return {"": base}
        found = [
            f"{directory.rstrip('/')}/{file}"
            for directory, _, files in fileio.walk(base, onerror=_raise)
            for file in files
        ]
    except (OSError, tf.errors.OpError) as error:
        raise not_known(uri, "list", telling_line(str(error))) from error
    return {path.removeprefix(f"{base}/"): path for path in sorted(found)}


def _raise(error: Exception) -> None:
    raise error


def _states(artifact: types.Artifact) -> dict[str, _State]:
    """Returns size and times of change of the files of an artifact on this machine; else none."""
    if not is_local(artifact.uri):
        return {}
    try:
        files = _local_files(artifact.uri)
    except ModelError:
        if artifact.get_string_custom_property(CONTENT_DIGESTS):
            raise
        # Somebody's own files, imported: links may lead to where a cache of data keeps them.
        return {}
    return {name: _state(Path(file)) for name, file in files.items()}


def _state(file: Path) -> _State:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _path(artifact: types.Artifact, name: str) -> str:
    base = artifact_files.stored_at(artifact)
    return base if name in ("", _ALL) else f"{base}/{name}"
