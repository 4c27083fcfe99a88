"""A destination of pushes: one directory a version, each whole or not there at all.

A version is staged in a hidden directory beside the others, flushed to disk, and renamed into its
place, which readers see happen at once.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import PushError

MODEL_FILE = "model.tflite"
MANIFEST_FILE = "manifest.json"
MANIFEST_FORMAT = 1

_STAGING_PREFIX = ".staging-"
# What of the evaluator's report goes along with the model.
_FROM_REPORT = (
    "scheme",
    "verdict",
    "examples",
    "rules",
    "digests",
    "evaluated",
    "calibration_sample",
    "versions",
)


@dataclass(frozen=True)
class PushedVersion:
    """One version at a destination.

    Attributes:
        path: Its directory.
        number: Its version number; a later push has a higher one.
        is_new: Whether it was made now, or was there with the same model.
    """

    path: Path
    number: int
    is_new: bool


def push(tflite: Path, report: dict[str, Any], destination: Path) -> PushedVersion:
    """Makes a model the newest version at a destination.

    Args:
        tflite: The model's file.
        report: The evaluator's report, for the manifest.
        destination: The directory of the versions; made where it is not there.

    Returns:
        The new version, or the newest one where it holds the same model already.

    Raises:
        PushError: The destination cannot be written; it is left as it was.
    """
    digest = file_digest(tflite)
    try:
        destination.mkdir(parents=True, exist_ok=True)
        newest = newest_version(destination)
        if newest is not None and _holds(newest.path, digest):
            return newest
        with _staging(destination) as stage:
            shutil.copyfile(tflite, stage / MODEL_FILE)
            manifest = _manifest(stage / MODEL_FILE, report)
            return _publish(stage, manifest, destination)
    except OSError as error:
        raise PushError(
            f"the model was not pushed: {error.strerror}: {error.filename or destination}"
        ) from error


def newest_version(destination: Path) -> PushedVersion | None:
    """Returns the version with the highest number, or None where there is none."""
    numbers = [int(entry.name) for entry in destination.iterdir() if entry.name.isdecimal()]
    if not numbers:
        return None
    return PushedVersion(destination / str(max(numbers)), max(numbers), is_new=False)


def _holds(version: Path, digest: str) -> bool:
    model = version / MODEL_FILE
    return model.is_file() and (version / MANIFEST_FILE).is_file() and file_digest(model) == digest


@contextlib.contextmanager
def _staging(destination: Path) -> Iterator[Path]:
    stage = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=destination))
    stage.chmod(0o755)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _manifest(model: Path, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": MANIFEST_FORMAT,
        "pushed_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {
            "file": MODEL_FILE,
            "digest": file_digest(model),
            "size_bytes": model.stat().st_size,
        },
        **{key: report.get(key) for key in _FROM_REPORT},
    }


def _publish(stage: Path, manifest: dict[str, Any], destination: Path) -> PushedVersion:
    """Renames the staged version to the next free number."""
    while True:
        newest = newest_version(destination)
        # Seconds since the epoch, as TFX numbers versions, but never the same twice.
        number = max(int(time.time()), newest.number + 1 if newest else 0)
        text = json.dumps({"version": number, **manifest}, indent=1)
        (stage / MANIFEST_FILE).write_text(text, encoding="utf-8")
        for file in (stage / MODEL_FILE, stage / MANIFEST_FILE, stage):
            _flush(file)
        try:
            stage.rename(destination / str(number))
        except OSError:
            if not (destination / str(number)).exists():
                raise
            continue  # Another push took the number.
        _flush(destination)
        return PushedVersion(destination / str(number), number, is_new=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
