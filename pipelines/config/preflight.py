"""What a config names, looked at once before any work starts.

What can be seen without TensorFlow `validate` looks at, too (`checks/table.py`), and a run goes on
from what was found. What only TensorFlow can say is looked at when a run has loaded it anyway.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from tfx_tflite.components.errors import ConfigError, DataError, NotKnownError
from tfx_tflite.components.examples.first_records import SEQUENCES
from tfx_tflite.components.examples.spans import NoSpanError, Span, local_glob
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.checks.files import keyed, kind_of_path
from tfx_tflite.pipelines.checks.mistake import error_of
from tfx_tflite.pipelines.checks.places import PLACES
from tfx_tflite.pipelines.config.config import PipelineConfig


@dataclass(frozen=True)
class DataFiles:
    """The files on this machine that match one pattern of a split.

    Attributes:
        split: The split's name.
        pattern: The pattern, with the span's number in it if it has one.
        files: Their paths, sorted.
    """

    split: str
    pattern: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Preflight:
    """What a config names, as it was found.

    Attributes:
        config: The config.
        input_base: Where the examples are; None for builtin data that have not been written yet.
        data: The files of the splits; none if they are not on this machine.
        spans: The spans that a run takes, the newest first; none if the data have no spans or are
            not on this machine.
        warnings: What a run can go on with, though it is likely not meant.
    """

    config: PipelineConfig
    input_base: str | None
    data: tuple[DataFiles, ...]
    spans: tuple[Span, ...]
    warnings: tuple[str, ...] = ()

    @cached_property
    def current(self) -> int | None:
        """The version that is current at the destination; None if none is.

        Raises:
            DestinationError: The destination cannot be read.
        """
        from tfx_tflite.pipelines.config.trust import open_to_read

        return open_to_read(self.config).current()

    @property
    def compared_version(self) -> int | None:
        """The version that rules compare with, 0 if there is none; None without such rules."""
        return (self.current or 0) if self.config.gate.against("pushed") else None

    def with_builtin_data(self, input_base: Path) -> "Preflight":
        """Returns the same with the files of builtin data, which have been written by now."""
        data = tuple(_data_files(self.config.data.splits.items(), str(input_base)))
        return replace(self, input_base=str(input_base), data=data)

    def lines(self) -> Iterator[str]:
        """Yields what was found, for people."""
        if self.spans:
            yield f"data: {', '.join(map(str, self.spans))}"
        for found in self.data:
            yield f"{found.split}: {len(found.files)} x {found.pattern}"
        if is_local(self.config.push.destination):
            yield f"pushed so far: {f'version {self.current}' if self.current else 'nothing'}"


def inspect(config: PipelineConfig) -> Preflight:
    """Looks whether the files that a config names are there and its destination can be written.

    Raises:
        ConfigError: They are not; each key and path is named.
        NotKnownError: It cannot be told, as a file or folder cannot be read.
    """
    mistakes = [mistake for check in PLACES for mistake in check(config)]
    try:
        found = with_data(config)
    except (ConfigError, NotKnownError) as error:
        raise error_of([keyed(error), *mistakes]) from error
    if mistakes:
        raise error_of(mistakes)
    return found


def with_data(config: PipelineConfig) -> Preflight:
    """Returns which files and spans of the data there are.

    Raises:
        ConfigError: There are none; the message begins with the key.
        NotKnownError: It cannot be told, as a folder cannot be read.
    """
    input_base = config.data.input_base
    if input_base is None or not is_local(input_base):
        return Preflight(config, input_base, (), ())
    try:
        if not Path(input_base).is_dir():
            raise ConfigError(f"data.input_base: there is no directory {input_base}")
        rolling = config.rolling_splits()
        spans = rolling.newest(local_glob) if rolling.is_rolling else ()
        filled = rolling.filled(spans) if spans else {}
        patterns = [(split, pattern) for split in filled for pattern in filled[split]]
        data = tuple(_data_files(patterns or config.data.splits.items(), input_base))
    except NoSpanError as error:
        raise ConfigError(f"data.splits: {error}") from error
    except (NotKnownError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"data.input_base: {error.strerror}: {error.filename}") from error
        raise NotKnownError(f"data.input_base: {_reason(error)}") from error
    return Preflight(config, input_base, data, spans)


def _reason(error: NotKnownError | OSError) -> str:
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {error.strerror}"
    return str(error)


def _data_files(patterns: Iterable[tuple[str, str]], input_base: str) -> Iterator[DataFiles]:
    for split, pattern in patterns:
        key = f"data.splits.{split}"
        try:
            files = tuple(f"{input_base}/{path}" for path in local_glob(input_base, pattern))
        except ValueError as error:
            raise ConfigError(f"data.splits: {pattern!r} is not a pattern: {error}") from error
        if not files:
            raise ConfigError(f"{key}: no file matches {input_base}/{pattern}")
        for mistake in (found for file in files for found in kind_of_path(key, file)):
            raise error_of([mistake])
        yield DataFiles(split, pattern, files)


def check_model(config: PipelineConfig) -> None:
    """Checks that a trained model has the signatures that the config names.

    A Keras file has none before it is exported.

    Raises:
        ModelError: It does not; the signatures it has are listed.
    """
    from tfx_tflite.components.models import float_model

    path = config.model.saved_model or config.model.tflite
    if path is None:
        return
    float_model.read_tensor_signature(path, config.model.signature)
    if config.model.preprocessing_signature is not None:
        float_model.read_signature(path, config.model.preprocessing_signature)


def check_examples(found: Preflight) -> None:
    """Checks that each split on this machine has at least one example.

    Args:
        found: With the files of builtin data, if they are what the config names.

    Raises:
        DataError: A split has none, or a file is not of the format that the config says.
        NotKnownError: A file cannot be read.
    """
    has_examples = _LOOKS[found.config.data.format]
    for data in found.data:
        if (
            found.config.data.format == "tfrecord"
            and not found.config.model.preprocessing_signature
        ):
            _check_no_sequences(data)
        if not has_examples(data.files):
            raise DataError(
                f"split {data.split!r} holds no examples ({found.input_base}/{data.pattern})"
            )


def _has_row(files: Iterable[str]) -> bool:
    """Returns whether one of some CSV files has a line after its header."""
    for file in files:
        with Path(file).open("rb") as lines:
            next(lines, None)
            if any(line.strip() for line in lines):
                return True
    return False


def _has_record(files: tuple[str, ...]) -> bool:
    return any(_first_record(file) is not None for file in files)


def _check_no_sequences(data: DataFiles) -> None:
    """Checks that the first record of a split is no SequenceExample.

    Raises:
        DataError: It is one, and nothing can read its feature lists.
    """
    from tfx_tflite.components.examples.records import is_sequence

    for file in data.files:
        first = _first_record(file)
        if first is not None:
            if is_sequence(first):
                raise DataError(f"the examples of {file} cannot be used as they are: {SEQUENCES}")
            return


def _first_record(file: str) -> bytes | None:
    import tensorflow as tf

    try:
        records = tf.data.TFRecordDataset(file, _compression(file))
        return next(records.take(1).as_numpy_iterator(), None)
    except tf.errors.OpError as error:
        raise DataError(_corrupt([file]) or str(error.message)) from error


def _has_table_row(data_format: str, files: tuple[str, ...]) -> bool:
    from tfx_tflite.components.examples.tables import TABLES, check_alike

    check_alike(files, data_format)
    return any(batch.num_rows for file in files for batch in TABLES[data_format].batches(file))


def find_corrupt_file(found: Preflight) -> str | None:
    """Returns which TFRecord file is corrupt and where, or None if all can be read.

    It reads everything, so it is for after a failure.
    """
    if found.config.data.format != "tfrecord":
        return None
    return _corrupt(file for data in found.data for file in data.files)


def _corrupt(files: Iterable[str]) -> str | None:
    from tfx_tflite.components.examples import records

    problems = (records.problem_in(file, None) for file in files)
    return next((problem for problem in problems if problem is not None), None)


def _compression(file: str) -> str:
    return "GZIP" if file.endswith((".gz", ".gzip")) else ""


# What says whether files of a format hold an example.
_LOOKS: Mapping[str, Callable[[tuple[str, ...]], bool]] = {
    "tfrecord": _has_record,
    "csv": _has_row,
    "npz": partial(_has_table_row, "npz"),
    "parquet": partial(_has_table_row, "parquet"),
}
