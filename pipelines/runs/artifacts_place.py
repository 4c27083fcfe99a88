"""The place of artifacts that is elsewhere than below the root: tried, and taken for one root.

TFX numbers the folders of artifacts by the store of ML Metadata, which is the root's. Two roots
with one place would write over each other, so that a place belongs to the root that came first.
Importing this loads neither TensorFlow nor TFX.
"""

import posixpath
import uuid
from pathlib import Path

from tfx_tflite.components.documents import Document
from tfx_tflite.components.errors import ConfigError, NotKnownError, StoreError, TfxTfliteError
from tfx_tflite.components.private_files import make_private_directory
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.runs.results import write_whole

_OWNER = "owner.json"
# Below the root, what its places know it by.
_IDENTITY = "artifacts_owner.json"


class _Owner(Document):
    """Which root a place of artifacts belongs to."""

    kind = "the owner of a place of artifacts"

    root: str
    pipeline: str


def try_place(config: PipelineConfig) -> None:
    """Checks that artifacts can be written and read where a config puts them, if that is elsewhere.

    Raises:
        StoreError: They cannot be written there.
        NotKnownError: They cannot be read.
    """
    if is_local(config.artifacts_path):
        # That a path can be written is checked with all other paths.
        return
    from tfx_tflite.components.object_stores import files

    uri = posixpath.join(config.artifacts_path, f".trial-{uuid.uuid4().hex}")
    content = uri.encode()
    try:
        files.write(uri, content)
        if files.read(uri) != content:
            raise NotKnownError(f"{uri} is not what was just written there")
        files.remove(uri)
    except FileNotFoundError as error:
        raise NotKnownError(f"artifacts: {uri} was written and is not there") from error
    except (NotKnownError, StoreError) as error:
        raise type(error)(f"artifacts: {error}") from error


def take_place(config: PipelineConfig) -> None:
    """Takes the place of a config's artifacts for its root, after trying it.

    Raises:
        ConfigError: It belongs to another root.
        StoreError, NotKnownError: As for `try_place`.
    """
    if is_local(config.artifacts_path):
        return
    from tfx_tflite.components.object_stores import files

    try_place(config)
    mine = _identity(config)
    uri = posixpath.join(config.artifacts_path, _OWNER)
    try:
        found = files.read(uri)
    except FileNotFoundError:
        files.create(uri, mine.to_json().encode())
        found = files.read(uri)
    owner = _Owner.parse(found, uri)
    if owner.root != mine.root:
        raise ConfigError(
            f"artifacts: {config.artifacts_path} holds the artifacts of another root, of pipeline "
            f"{owner.pipeline}; give each root a place of its own, or remove all that is there if "
            "that root is gone"
        )


def _identity(config: PipelineConfig) -> _Owner:
    """Returns what the places of a root know it by, which is made once."""
    path = Path(config.root) / _IDENTITY
    try:
        return _Owner.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        make_private_directory(path.parent)
        made = _Owner(root=uuid.uuid4().hex, pipeline=config.name)
        write_whole(made, path)
        return made
    except TfxTfliteError as error:
        raise ConfigError(f"root: {error}") from error
