"""Checks before any work starts: what can be seen to be wrong without running a stage.

The checks of files need no TensorFlow, so `validate` makes them too; those of the model's
signatures and of the data's contents are made when a run has loaded it anyway.
"""

import gzip
import tempfile
from pathlib import Path

from google.protobuf.message import DecodeError

from tfx_tflite.components.errors import ConfigError, DataError
from tfx_tflite.components.examples.spans import NoSpanError, local_glob
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.vocabulary import read_vocabulary

# Length, its checksum, and the record's checksum: the bytes of a TFRecord beside the record.
_TFRECORD_FRAME = 16


def check_files(config: PipelineConfig) -> None:
    """Checks that the files a config names are there and its destination can be written.

    Raises:
        ConfigError: They are not; the key and the path are named.
    """
    if config.model.trainer is not None:
        _check_file("model.trainer.module_file", config.model.trainer.module_file)
    if config.model.saved_model is not None:
        _check_file("model.saved_model", f"{config.model.saved_model}/saved_model.pb")
    if config.data.schema_file is not None:
        _check_file("data.schema", config.data.schema_file)
    for path in config.evaluation.vocabulary_files().values():
        read_vocabulary(path)
    if config.data.input_base is not None and is_local(config.data.input_base):
        _check_splits(config, config.data.input_base)
    if is_local(config.push.destination):
        _check_writable("push.destination", config.push.destination)
    if config.push.signing_key is not None:
        _check_signing_key(config.push.signing_key)
    server = config.metadata.server
    if server is not None and server.password_file is not None:
        _check_file(f"{server.key}.password_file", server.password_file)
    _check_writable("root", config.root)


def _files(input_base: str, pattern: str) -> list[str]:
    try:
        return sorted(str(path) for path in Path(input_base).glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f"data.splits: {pattern!r} is not a pattern: {error}") from error


def _check_file(key: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except FileNotFoundError as error:
        raise ConfigError(f"{key}: there is no file {path}") from error
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from error


def _check_splits(config: PipelineConfig, input_base: str) -> None:
    try:
        if not Path(input_base).is_dir():
            raise ConfigError(f"data.input_base: there is no directory {input_base}")
        for split, patterns in _patterns(config, input_base).items():
            for pattern in patterns:
                if not _files(input_base, pattern):
                    raise ConfigError(
                        f"data.splits.{split}: no file matches {input_base}/{pattern}"
                    )
    except NoSpanError as error:
        raise ConfigError(f"data.splits: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"data.input_base: {error.filename} cannot be read: {error.strerror}"
        ) from error


def _patterns(config: PipelineConfig, input_base: str) -> dict[str, tuple[str, ...]]:
    """Returns the patterns of each split, those of the spans that are taken where it has spans.

    Raises:
        DataError: The spans cannot be told.
    """
    if config.data.input_base is None or not (rolling := config.rolling_splits()).is_rolling:
        return {split: (pattern,) for split, pattern in config.data.splits.items()}
    return rolling.filled(rolling.newest(local_glob))


def _check_writable(key: str, path: str) -> None:
    existing = Path(path)
    try:
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise ConfigError(f"{key}: {existing} is not a directory")
        # Asking is not enough: to root everything seems writable.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigError(f"{key}: {existing} cannot be written: {error.strerror}") from error


def _check_signing_key(path: str) -> None:
    from tfx_tflite.components.destinations.keys import load_private_key

    try:
        load_private_key(path)
    except ConfigError as error:
        raise ConfigError(f"push.signing_key: {error}") from error


def check_destination(config: PipelineConfig) -> None:
    """Checks that a destination elsewhere can be reached, before anything is computed.

    Raises:
        DestinationError: It cannot.
    """
    from tfx_tflite.components.destinations.destination import Destination

    if not is_local(config.push.destination):
        Destination.open(config.push.destination).numbers()


def check_model(config: PipelineConfig) -> None:
    """Checks that an already-trained model has the signatures that the config names.

    Raises:
        ModelError: It does not; the signatures it has are listed.
    """
    from tfx_tflite.components.models import float_model

    if config.model.saved_model is None:
        return
    float_model.read_tensor_signature(config.model.saved_model, config.model.signature)
    if config.model.preprocessing_signature is not None:
        float_model.read_signature(config.model.saved_model, config.model.preprocessing_signature)


def check_data(config: PipelineConfig, input_base: str) -> None:
    """Checks that each split on this machine has at least one example.

    Raises:
        DataError: One has none, or its first file is not a TFRecord file.
    """
    if not is_local(input_base):
        return
    if config.data.format == "tfrecord":
        _check_records(config, input_base)
        return
    for split, patterns in _patterns(config, input_base).items():
        for pattern in patterns:
            if not any(_has_row(file) for file in _files(input_base, pattern)):
                raise DataError(_empty(split, input_base, pattern))


def _has_row(csv: str) -> bool:
    """Returns whether a file has a line after its header."""
    with Path(csv).open("rb") as lines:
        next(lines, None)
        return any(line.strip() for line in lines)


def _empty(split: str, input_base: str, pattern: str) -> str:
    return f"split {split!r} holds no examples ({input_base}/{pattern})"


def _check_records(config: PipelineConfig, input_base: str) -> None:
    import tensorflow as tf

    for split, patterns in _patterns(config, input_base).items():
        for pattern in patterns:
            files = _files(input_base, pattern)
            try:
                examples = tf.data.TFRecordDataset(files, _compression(files))
                if not any(True for _ in examples.take(1)):
                    raise DataError(_empty(split, input_base, pattern))
            except tf.errors.OpError as error:
                raise DataError(_corrupt(files) or str(error.message)) from error


def find_corrupt_file(config: PipelineConfig, input_base: str) -> str | None:
    """Returns which TFRecord file is corrupt and where, or None if all can be read.

    It reads everything, so it is for after a failure.
    """
    if config.data.format != "tfrecord" or not is_local(input_base):
        return None
    patterns = _patterns(config, input_base).values()
    for pattern in (pattern for split in patterns for pattern in split):
        files = _files(input_base, pattern)
        if found := _corrupt(files):
            return found
    return None


def _corrupt(files: list[str]) -> str | None:
    import tensorflow as tf

    for file in files:
        records, size = 0, 0
        try:
            for record in tf.data.TFRecordDataset(file, _compression([file])).as_numpy_iterator():
                tf.train.Example.FromString(record)
                records += 1
                size += len(record) + _TFRECORD_FRAME
            # TensorFlow takes a header that is cut off for the end of the file.
            if size == _uncompressed_size(file):
                continue
        except (tf.errors.OpError, EOFError):
            pass
        except DecodeError:
            return f"{file}: record {records} is not a tf.Example"
        return f"{file} is not a whole TFRecord file: it breaks off after {records} examples"
    return None


def _uncompressed_size(file: str) -> int:
    if not _compression([file]):
        return Path(file).stat().st_size
    with gzip.open(file) as stream:
        return sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 20), b""))


def _compression(files: list[str]) -> str:
    return "GZIP" if files and files[0].endswith((".gz", ".gzip")) else ""
