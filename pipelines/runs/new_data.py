"""Whether there is anything new to train on: rolling data against what the last run used.

Only configs whose splits have spans are asked; others are run whenever somebody wants them to. All
of it is said without loading TFX where the data are on this machine.
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfx_tflite.components.destinations.ledger import utc_now
from tfx_tflite.components.digests import bytes_digest, directory_digest, file_digest
from tfx_tflite.components.documents import Document
from tfx_tflite.components.errors import DocumentError, telling_line
from tfx_tflite.components.examples.spans import RollingSplits, Span, local_glob
from tfx_tflite.components.presence import ABSENT, Presence, not_known
from tfx_tflite.components.uris import is_local
from tfx_tflite.components.versions import code_digest, code_version
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.preflight import Preflight
from tfx_tflite.pipelines.runs.file_digests import FileDigests
from tfx_tflite.pipelines.runs.results import RunResult, write_whole
from tfx_tflite.pipelines.runs.user_code import module_digest, source_digest

_FILE_NAME = "last_data.json"


class UsedData(Document):
    """What the last run that came to a verdict used.

    Attributes:
        digest: As that of `RunInputs`.
        spans: The spans that it took, the newest first.
        status: What came of it.
        current: The version that was current at the destination after it; None if none was.
        waiting: The version that it pushed, if that waits for approval.
        finished: When, in UTC.
    """

    kind = "the record of the data that a run used"

    digest: str
    spans: tuple[Span, ...]
    status: str
    current: int | None
    waiting: int | None = None
    finished: str


@dataclass(frozen=True)
class RunInputs:
    """What the outcome of a run depends on.

    Attributes:
        spans: The spans that it takes, the newest first.
        digest: Of the files of those spans (names and contents; of remote ones sizes and times of
            change), the config, the modules or model it names, and our own code.
        current: The version that is current at the destination; None if none is.
        is_compared: Whether the new model is compared with that version (`against: pushed`).
    """

    spans: tuple[Span, ...]
    digest: str
    current: int | None
    is_compared: bool

    @classmethod
    def of(cls, found: Preflight) -> "RunInputs | None":
        """Returns what a run of a config would depend on now; None if its data have no spans.

        Args:
            found: The config, and what was found of it.

        Raises:
            DataError: The spans cannot be told.
            NotKnownError: The data or the destination cannot be read.
        """
        config = found.config
        if config.data.input_base is None or not (rolling := config.rolling_splits()).is_rolling:
            return None
        if not found.data and not is_local(config.artifacts_path):
            # The same file systems as in the run.
            from tfx_tflite.pipelines.tfx import object_files

            object_files.register()
        spans = found.spans or rolling.newest(_remote_glob)
        files = _local_files(found) if found.data else _remote_files(rolling, spans)
        parts = {
            "config": config.model_dump(mode="json", exclude={"schedule"}),
            "versions": code_version(),
            "pipelines": code_digest(Path(__file__).parents[1]),
            "code": dict(named_files(config)),
            "files": sorted(files),
        }
        return cls(
            spans,
            bytes_digest(json.dumps(parts, sort_keys=True).encode()),
            found.current,
            bool(config.gate.against("pushed")),
        )

    def nothing_new(self, config: PipelineConfig) -> RunResult | None:
        """Returns the result of a run that has nothing to do, if the last one used the very same.

        None if something is new.

        Args:
            config: The config.
        """
        last = self.used_before(Path(config.root))
        if last is None:
            return None
        reason = (
            f"nothing new: {self.spans[0]} was used by the run that was {last.status} at "
            f"{last.finished}"
        )
        scheme = config.quantization.scheme_name
        return RunResult(status="nothing_new", scheme=scheme, reasons=(reason,))

    def used_before(self, root: Path) -> UsedData | None:
        """Returns the record of the last finished run if it used the very same; None otherwise.

        A record that is damaged is none: the run that is then done again writes it anew.

        Args:
            root: The config's `root`.

        Raises:
            NotKnownError: The record cannot be read.
        """
        content = read_record(root / _FILE_NAME)
        if content is ABSENT:
            return None
        try:
            last = UsedData.parse(content, _FILE_NAME)
        except DocumentError:
            return None
        is_approved = last.waiting is not None and last.waiting == self.current
        is_same = last.digest == self.digest and (is_approved or not self._is_other(last.current))
        return last if is_same else None

    def _is_other(self, current: int | None) -> bool:
        """Returns whether the destination has changed in a way that another run would act on."""
        if self.is_compared:
            return current != self.current
        return current is not None and self.current is None

    def remember(self, root: Path, result: RunResult) -> None:
        """Records that a run used this, if it came to a verdict.

        Args:
            root: The config's `root`.
            result: What came of it.
        """
        if not result.is_verdict:
            return
        pushed = None if result.waits_for_approval else result.pushed_to
        used = UsedData(
            digest=self.digest,
            spans=self.spans,
            status=result.status,
            current=int(posixpath.basename(pushed)) if pushed else self.current,
            waiting=result.version if result.waits_for_approval else None,
            finished=utc_now(),
        )
        write_whole(used, root / _FILE_NAME)


def read_record(path: Path) -> Presence[bytes]:
    """Returns what a run has noted, or that there is no such note.

    Raises:
        NotKnownError: It cannot be read, which is not "never ran".
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise not_known(str(path), "read", error.strerror or str(error)) from error


def named_files(config: PipelineConfig) -> Iterator[tuple[str, str]]:
    """Yields the digests of the files that a config names beside its data, by what they are.

    Of modules that includes what they import from their folder.
    """
    if (digest := trainer_digest(config)) is not None:
        yield "trainer", digest
    if (digest := metrics_digest(config)) is not None:
        yield "metrics", digest
    if config.model.saved_model is not None:
        yield "saved_model", directory_digest(config.model.saved_model)
    for key in ("keras", "tflite"):
        if (file := getattr(config.model, key)) is not None:
            yield key, file_digest(file)
    if config.data.schema_file is not None:
        yield "schema", file_digest(config.data.schema_file)
    for key, path in config.evaluation.vocabulary_files().items():
        yield key, file_digest(path)


def trainer_digest(config: PipelineConfig) -> str | None:
    """Returns the digest of the trainer's module and of what it imports; None without a trainer."""
    trainer = config.model.trainer
    return None if trainer is None else source_digest(trainer.module_file)


def metrics_digest(config: PipelineConfig) -> str | None:
    """Returns the digest of the modules of metrics; None if no metric names one."""
    trainer = config.model.trainer
    folder = None if trainer is None else Path(trainer.module_file).parent
    modules = {
        metric.module for judged in config.evaluation.judged for metric in judged.metrics or ()
    }
    found = {name: module_digest(name, folder) for name in modules - {None} if name is not None}
    return bytes_digest(json.dumps(found, sort_keys=True).encode()) if found else None


def data_digest(digests: FileDigests, pattern: str) -> str:
    """Returns the digest of the files on this machine that match a pattern: names and contents.

    Args:
        digests: Those of the files.
        pattern: An absolute path with stars.

    Raises:
        DataError: A file cannot be read.
        NotKnownError: A folder cannot be read.
    """
    files = [f"/{path}" for path in local_glob("/", pattern.lstrip("/"))]
    return bytes_digest(json.dumps(digests.of_all(files), sort_keys=True).encode())


# Split, path below `data.input_base`, and what tells the contents from others.
_File = tuple[str, str, str]


def _local_files(found: Preflight) -> Iterator[_File]:
    digests = FileDigests(found.config.root).of_all(
        file for data in found.data for file in data.files
    )
    for data in found.data:
        for path in data.files:
            below = Path(path).relative_to(str(found.input_base)).as_posix()
            yield data.split, below, digests[path]


def _remote_files(rolling: RollingSplits, spans: tuple[Span, ...]) -> Iterator[_File]:
    from tfx.dsl.io import fileio

    for split, patterns in rolling.filled(spans).items():
        for pattern in patterns:
            for path in _remote_glob(rolling.input_base, pattern):
                status = fileio.stat(f"{rolling.input_base.rstrip('/')}/{path}")
                # To read it all would take as long as the run; a store's times are its own.
                yield split, path, f"{status.length} {status.mtime_nsec}"


def _remote_glob(directory: str, pattern: str) -> list[str]:
    # Loads TFX: only its file I/O reaches there.
    import tensorflow as tf

    from tfx_tflite.components.input_files import list_files

    try:
        return list_files(directory, pattern)
    except (tf.errors.OpError, OSError) as error:
        raise not_known(directory, "list", telling_line(str(error))) from error
