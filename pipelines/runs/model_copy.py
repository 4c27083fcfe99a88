"""A trained model that a config names by its path, copied below the run's root before it is read.

What lies at the path is its owner's, who may replace it at any time, also while a run is at work.
A run therefore takes a copy, named by its digest, and every stage reads that and nothing else.
A Keras file is exported as a SavedModel, once for each content of the file: every export differs.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfx_tflite.components.artifact_layout import FLOAT_MODEL_FILE
from tfx_tflite.components.digests import (
    bytes_digest,
    directory_digest,
    file_digest,
    files_below,
    tree_digest,
)
from tfx_tflite.components.documents import Document
from tfx_tflite.components.errors import ModelError, TfxTfliteError
from tfx_tflite.components.models import keras_export
from tfx_tflite.components.private_files import make_private_directory
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.runs.results import write_whole

# Below the root of a config.
DIRECTORY = "models"
_EXPORTS = "keras_exports.json"


class KerasExports(Document):
    """Which exports there are of Keras files.

    Attributes:
        digests: The digest of an export, by that of what it was made of and with.
    """

    kind = "the record of exports of Keras files"

    digests: dict[str, str] = {}


def own_copy(config: PipelineConfig) -> str | None:
    """Returns where a run's copy of the model is that its config names; None with a trainer.

    Raises:
        ModelError: It changed while it was copied, has links that lead out of it, or is a Keras
            file that cannot be exported.
        NotKnownError: It cannot be listed.
        OSError: It cannot be read, or the copy cannot be written.
    """
    model = config.model
    if model.saved_model is not None:
        return copied_model(model.saved_model, config.root)
    if model.tflite is not None:
        return copied_file(model.tflite, config.root)
    if model.keras is not None:
        return exported_keras(model.keras, config.root, model.trust)
    return None


def copied_file(tflite: str, root: str) -> str:
    """Returns the path of a directory with a copy of a TensorFlow Lite file.

    Args:
        tflite: The file.
        root: The root of a config.

    Raises:
        ModelError: It changed while it was copied.
        OSError: It cannot be read, or the copy cannot be written.
    """
    content = Path(tflite).read_bytes()
    digest = tree_digest({FLOAT_MODEL_FILE: bytes_digest(content)})
    target = _place(root, digest)
    if not _is_whole(target, digest):
        with _unfinished(target) as copy:
            (copy / FLOAT_MODEL_FILE).write_bytes(content)
    return str(target)


def exported_keras(file: str, root: str, is_trusted: bool) -> str:
    """Returns the path of the SavedModel that a Keras file was exported as, now or earlier.

    Args:
        file: The Keras file.
        root: The root of a config.
        is_trusted: Whether the file may hold code.

    Raises:
        ModelError: It cannot be exported, or changed meanwhile.
        OSError: It cannot be read, or the export cannot be written.
    """
    digest = file_digest(file)
    key = f"{digest} {'trusted ' if is_trusted else ''}{keras_export.made_with()}"
    record = Path(root) / _EXPORTS
    known = _read_exports(record).digests
    if key in known and _is_whole(_place(root, known[key]), known[key]):
        return str(_place(root, known[key]))
    made = _export(file, root, is_trusted)
    if file_digest(file) != digest:
        raise ModelError(f"{file} changed while it was exported; run again")
    # What is known of other files stays so: they may come back.
    write_whole(KerasExports(digests={**known, key: directory_digest(made)}), record)
    return str(made)


def _read_exports(record: Path) -> KerasExports:
    # A file that is not known to be exported is exported anew, so nothing is decided by absence.
    try:
        return KerasExports.parse(record.read_bytes(), str(record))
    except (OSError, TfxTfliteError):
        return KerasExports()


def _export(file: str, root: str, is_trusted: bool) -> Path:
    """Returns where a Keras file was exported to: a directory named by the digest of the export."""
    models = Path(root) / DIRECTORY
    make_private_directory(models)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=models) as directory:
        made = Path(directory) / "model"
        # It has the name that tells Keras of which kind it is, and nobody else changes it.
        copy = Path(directory) / f"model{Path(file).suffix}"
        shutil.copyfile(file, copy)
        keras_export.export(copy, made, is_trusted, named=file)
        target = _place(root, directory_digest(made))
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
        return target


def _place(root: str, digest: str) -> Path:
    return Path(root) / DIRECTORY / digest.partition(":")[2]


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
    target = _place(root, digest)
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
    with _unfinished(target) as copy:
        for name, file in files_below(source).items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy / name)
        if directory_digest(copy) != digest:
            raise ModelError(f"the SavedModel at {source} changed while it was copied; run again")


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Yields a directory that is at `target`, and there whole, once the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as directory:
        copy = Path(directory) / "model"
        copy.mkdir()
        yield copy
        # A damaged one may be there.
        shutil.rmtree(target, ignore_errors=True)
        copy.rename(target)
