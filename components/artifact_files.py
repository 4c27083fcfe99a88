"""Artifacts as local directories: the modules below the executors work on plain local paths.

An artifact's URI may be anything that TFX's file I/O reaches. A local one is used in place; a
remote one is copied to a temporary directory and, when written, copied back.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from tfx_tflite.components.artifact_layout import FLOAT_MODEL_FILE
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.uris import is_local

# What an executor is given and what it fills, by the keys of its component.
Artifacts = dict[str, list[types.Artifact]]

# The custom property of an artifact that is a copy: the URI of what it was copied from.
STORED_AT = "stored_at"


def stored_at(artifact: types.Artifact) -> str:
    """Returns the URI to name an artifact by, which others can reach too.

    In a container on Kubeflow artifacts are local copies, and `artifact.uri` is gone with it.
    """
    return artifact.get_string_custom_property(STORED_AT) or artifact.uri


def stored_path(artifact: types.Artifact, path: str) -> str:
    """Returns the URI to name a path in an artifact by; see `stored_at`."""
    return stored_at(artifact) + path.removeprefix(artifact.uri)


@contextlib.contextmanager
def readable(uri: str) -> Iterator[Path]:
    """Yields a local directory with the files of `uri`, or the local file if that is one."""
    if is_local(uri) or any_place.is_served(uri):
        with any_place.local_copy(uri) as path:
            yield Path(path)
        return
    with tempfile.TemporaryDirectory() as copy:
        if fileio.isdir(uri):
            io_utils.copy_dir(uri, copy)
            yield Path(copy)
        else:
            file = Path(copy) / uri.rpartition("/")[2]
            io_utils.copy_file(uri, str(file))
            yield file


@contextlib.contextmanager
def writable(uri: str) -> Iterator[Path]:
    """Yields a local directory whose files are at `uri` once the block ends without an error.

    Files that are at `uri` already stay, but for those of the same names.
    """
    if is_local(uri):
        Path(uri).mkdir(parents=True, exist_ok=True)
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as copy:
        yield Path(copy)
        _copy_files(Path(copy), uri)


def _copy_files(directory: Path, uri: str) -> None:
    """Copies a directory's files to a URI, beside those that are there."""
    if any_place.is_served(uri):
        any_place.put(directory, uri)
        return
    fileio.makedirs(uri)
    for file in sorted(directory.rglob("*")):
        target = f"{uri.rstrip('/')}/{file.relative_to(directory).as_posix()}"
        if file.is_dir():
            fileio.makedirs(target)
        else:
            # It removes an old one first: a file system in memory would append to it.
            io_utils.copy_file(str(file), target, overwrite=True)


def float_model_uri(artifacts: list[types.Artifact]) -> str:
    """Returns where the float model of a `Model` artifact lies.

    A Trainer writes a SavedModel below `Format-Serving`; an imported SavedModel is the artifact
    itself, and so is the directory of an imported TensorFlow Lite file, or the file.
    """
    artifact = artifact_utils.get_single_instance(artifacts)
    uri = artifact.uri
    is_model = not fileio.isdir(uri) or fileio.exists(f"{uri}/saved_model.pb")
    if is_model or fileio.exists(f"{uri}/{FLOAT_MODEL_FILE}"):
        return uri
    return path_utils.serving_model_path(uri)


def tflite_file(model_directory: Path) -> Path:
    """Returns the TensorFlow Lite file in a `Model` artifact; TFX, TFMA and Pusher look there."""
    return Path(path_utils.serving_model_dir(str(model_directory))) / "tflite"
