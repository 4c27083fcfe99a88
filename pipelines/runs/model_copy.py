"""A SavedModel that a config names by its path, copied below the run's root before it is read.

What lies at the path is its owner's, who may replace it at any time, also while a run is at work.
A run therefore takes a copy, named by its digest, and every stage reads that and nothing else.
"""

import shutil
import tempfile
from pathlib import Path

from tfx_tflite.components.digests import directory_digest, files_below
from tfx_tflite.components.errors import ModelError, TfxTfliteError

# Below the root of a config.
DIRECTORY = "models"


def copied_model(saved_model: str, root: str) -> str:
    """Returns the path of a copy of a SavedModel, which is made unless there is one already.

    Args:
        saved_model: The SavedModel's directory.
        root: The root of a config.

    Raises:
        ModelError: It has links that lead out of it, or changed while it was copied.
        NotKnownError: It cannot be listed.
        OSError: It cannot be read, or the copy cannot be written.
    """
    digest = directory_digest(saved_model)
    target = Path(root) / DIRECTORY / digest.partition(":")[2]
    if not _is_whole(target, digest):
        _copy(Path(saved_model), target, digest)
    return str(target)


def _is_whole(copy: Path, digest: str) -> bool:
    try:
        return copy.is_dir() and directory_digest(copy) == digest
    except TfxTfliteError:
        # Somebody has put something else into it.
        return False


def _copy(source: Path, target: Path, digest: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as directory:
        copy = Path(directory) / "model"
        copy.mkdir()
        for name, file in files_below(source).items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy / name)
        if directory_digest(copy) != digest:
            raise ModelError(f"the SavedModel at {source} changed while it was copied; run again")
        # A damaged one may be there.
        shutil.rmtree(target, ignore_errors=True)
        copy.rename(target)
