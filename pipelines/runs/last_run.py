"""Whether a run would only repeat the last one, found out without TensorFlow and TFX.

TFX takes the outputs of a stage from its cache if nothing that the stage depends on has changed. To
ask TFX, it must be imported, which takes longer than all the rest. So a run that came to a verdict
notes what it depended on and what it left. If both are found as they were, its result stands. If
anything is another, is gone, or cannot be seen without TFX, there is a run, and TFX decides.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from pydantic import JsonValue

from tfx_tflite.components.digests import bytes_digest, file_digest
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import DestinationError, DocumentError, NotKnownError
from tfx_tflite.components.presence import ABSENT, not_known
from tfx_tflite.components.uris import is_local
from tfx_tflite.components.versions import code_version
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.preflight import Preflight
from tfx_tflite.pipelines.config.trust import open_to_read
from tfx_tflite.pipelines.runs.new_data import named_files, read_record
from tfx_tflite.pipelines.runs.results import RunResult, write_whole

_FILE_NAME = "last_run.json"
# What is in the environment for the libraries that compute.
_ENVIRONMENT = ("TF_", "TFX_", "XLA_", "KERAS_", "CUDA_", "BEAM_", "PYTHON")
_CODE = ("tfx_tflite.components", "tfx_tflite.pipelines")


class Stage(Part):
    """A stage of a run.

    Attributes:
        name: The node's id.
        is_cached: Whether a run that changes nothing takes it from the cache.
    """

    name: str
    is_cached: bool


class LastRun(Document):
    """The last run below a root that came to a verdict.

    Attributes:
        inputs: The digest of what it depended on.
        left: The digest of what it left.
        stages: Its stages, in the order in which they ended.
        result: What came of it.
    """

    kind = "the record of a run"

    inputs: str
    left: str
    stages: tuple[Stage, ...]
    result: RunResult

    @classmethod
    def repeated_by(cls, found: Preflight, inputs: str | None) -> "LastRun | None":
        """Returns the last run if another one would only repeat it; None otherwise.

        Args:
            found: The config, and what was found of it.
            inputs: As `inputs_of` returns it.

        Raises:
            NotKnownError: The record, what the last run left, or the destination cannot be read.
        """
        content = read_record(Path(found.config.root) / _FILE_NAME)
        if content is ABSENT:
            return None
        try:
            last = cls.parse(content, _FILE_NAME)
            is_same = last.inputs == inputs and last.left == _left_by(found.config)
            return last if is_same and _is_whole(last.result, found.config) else None
        except FileNotFoundError:
            return None
        except (DocumentError, DestinationError):
            # Damaged: another run makes it whole, or says what is wrong.
            return None


def remember(
    found: Preflight, inputs: str | None, stages: Iterable[Stage], result: RunResult
) -> None:
    """Notes a run, if another one like it would come to the same result.

    Args:
        found: The config, and what was found of it before the run.
        inputs: As `inputs_of` returned it before the run.
        stages: The stages of the run.
        result: What came of it.

    Raises:
        OSError: The note cannot be written.
    """
    path = Path(found.config.root) / _FILE_NAME
    try:
        if inputs is not None and _is_repeatable(found, result):
            left = _left_by(found.config)
            last = LastRun(inputs=inputs, left=left, stages=tuple(stages), result=result)
            write_whole(last, path)
            return
    except (FileNotFoundError, DestinationError, NotKnownError):
        # It went away or changed after the push: the next run looks for itself.
        pass
    path.unlink(missing_ok=True)


def forget(found: Preflight) -> None:
    """Removes the note of the last run, which another one has overtaken.

    Args:
        found: The config, and what was found of it.

    Raises:
        OSError: The note cannot be removed.
    """
    (Path(found.config.root) / _FILE_NAME).unlink(missing_ok=True)


def _is_repeatable(found: Preflight, result: RunResult) -> bool:
    """Returns whether a run that finds what this one left comes to the same result."""
    if not result.is_verdict or result.push_note:
        return False
    destination = open_to_read(found.config)
    current = destination.current() or 0
    # Of another version than the model was compared with, the evaluator may think otherwise.
    if found.compared_version not in (None, current):
        return False
    if result.waits_for_approval:
        # Whatever anybody decides about it shows in what is at the destination.
        return True
    return result.status == "refused" or result.pushed_to == destination.path(current)


def _is_whole(result: RunResult, config: PipelineConfig) -> bool:
    """Returns whether the version that was pushed is what its manifest says, as a push looks."""
    if result.pushed_to is None:
        return True
    destination = open_to_read(config)
    number = result.version if result.waits_for_approval else destination.current()
    return number is not None and not destination.problems(number)


def inputs_of(found: Preflight) -> str | None:
    """Returns the digest of what a run depends on; None if it cannot be seen without TFX.

    That is the config, the files that it names, the modules beside the trainer's, the data by
    names, sizes and times, the code, the packages that are installed, and the environment.

    Args:
        found: The config, and what was found of it.

    Raises:
        OSError: A file was removed meanwhile.
    """
    config = found.config
    base = config.data.input_base or config.root
    places = (base, config.push.destination, config.artifacts_path)
    if config.metadata.server is not None or not all(map(is_local, places)):
        return None
    parts: dict[str, JsonValue] = {
        "config": config.model_dump(mode="json", exclude={"schedule"}),
        "files": dict(named_files(config)),
        "modules": _modules_beside(config),
        "data": _states(file for data in found.data for file in data.files),
        "key": _states(filter(None, [config.push.signing_key, config.push.verify_key])),
        "code": _states(_own_code()),
        "versions": code_version(),
        "packages": ", ".join(sorted(_installed())),
        "python": sys.version,
        "environment": {
            name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)
        },
    }
    return bytes_digest(json.dumps(parts, sort_keys=True).encode())


def _modules_beside(config: PipelineConfig) -> dict[str, JsonValue]:
    """Returns the digests of the modules that TFX packs with the trainer's."""
    if config.model.trainer is None:
        return {}
    directory = Path(config.model.trainer.module_file).parent
    return {file.name: file_digest(file) for file in sorted(directory.glob("*.py"))}


def _own_code() -> Iterator[str]:
    for package in _CODE:
        spec = find_spec(package)
        for directory in (spec.submodule_search_locations or ()) if spec else ():
            yield from map(str, Path(directory).rglob("*.py"))


def _installed() -> set[str]:
    """Returns the names and versions of the packages that can be imported."""
    found: set[str] = set()
    for directory in sys.path:
        with contextlib.suppress(OSError):
            entries = Path(directory or ".").iterdir()
            found.update(entry.name for entry in entries if entry.suffix == ".dist-info")
    return found


def _left_by(config: PipelineConfig) -> str:
    """Returns the digest of what a run leaves, by names, sizes and times: a change of any shows.

    That is the store, the artifacts, the copies of data and schema, and what is at the destination.
    """
    root = Path(config.root)
    trees = (
        Path(config.artifacts_path),
        root / "data",
        root / "schemas",
        Path(config.push.destination),
    )
    store = Path(config.metadata_path)
    files = [str(file) for file in store.parent.glob(f"{store.name}*")]
    try:
        left = _states([*files, *(file for tree in trees for file in _files_below(tree))])
    except FileNotFoundError:
        # Another process has changed it meanwhile, which callers take for a change.
        raise
    except OSError as error:
        raise not_known(str(error.filename), "read", error.strerror or str(error)) from error
    return bytes_digest(json.dumps(left).encode())


def _files_below(directory: Path) -> Iterator[str]:
    for parent, _, files in os.walk(directory, onerror=_raise_unless_absent):
        yield from (f"{parent}/{file}" for file in files)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _states(files: Iterable[str]) -> list[JsonValue]:
    """Returns names, sizes and times of files; the time of a change cannot be set back."""
    found: list[JsonValue] = []
    for file in sorted(files):
        status = Path(file).stat()
        found.append([file, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return found
