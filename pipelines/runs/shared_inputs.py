"""What a run reads that lies below its root, put where Beam's workers find it.

They find all artifacts, and what a config names by places of its own. Builtin data and a run's copy
of a model are below the root, which workers on other machines do not have if `artifacts` is in an
object store; so they are put beside the artifacts, once.
"""

import posixpath
from pathlib import Path

from tfx_tflite.components.digests import file_digest, files_below
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.object_stores import files as objects
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.config import PipelineConfig


def shared(directory: str, config: PipelineConfig) -> str:
    """Returns where Beam's workers find a folder below the root of a config.

    Args:
        directory: The folder, whose name says what is in it for good.
        config: The config.

    Returns:
        The folder itself, or the URI of a copy if artifacts are in an object store.

    Raises:
        ModelError, NotKnownError: It cannot be listed.
        StoreError: The object store does not keep the copy.
    """
    if is_local(config.artifacts_path):
        return directory
    below = Path(directory).relative_to(config.root).as_posix()
    uri = posixpath.join(config.artifacts_path, below)
    here = {name: file_digest(file) for name, file in files_below(directory).items()}
    there = {name: objects.digest(f"{uri}/{name}") for name in objects.below(uri)}
    if there != here:
        objects.remove_all(uri)
        any_place.put(Path(directory), uri)
    return uri
