"""The examples of a net of the bed as files that a pipeline reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from tests.components.quantization_tuner.bed.cases import LABEL, Case
from tests.components.quantization_tuner.bed.data import (
    CALIBRATION,
    SPLITS,
    TRAIN,
    Array,
    Examples,
)


def write(case: Case, directory: Path) -> dict[str, Path]:
    """Writes a net's examples as TFRecords of tf.Example: its inputs, and `label`.

    Args:
        case: The net.
        directory: Where; each split gets a directory of its own.

    Returns:
        The file of each split: `train`, which begins with the calibration examples, `tuning` and
        `eval`.
    """
    files = {}
    for split in SPLITS:
        examples: Examples = getattr(case.splits(), split)
        parts = (
            [case.calibration, examples.part(CALIBRATION, None)] if split == TRAIN else [examples]
        )
        files[split] = directory / split / "data.tfrecord"
        write_features(files[split], [{**part.inputs, LABEL: part.labels} for part in parts])
    return files


def write_features(file: Path, parts: Sequence[Mapping[str, Array]]) -> None:
    """Writes examples as TFRecords of tf.Example.

    Args:
        file: Where; its directory is made.
        parts: Groups of examples of one shape: by feature, of shape (examples, *shape).
    """
    file.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for part in parts:
            for row in range(len(next(iter(part.values())))):
                writer.write(_example({name: values[row] for name, values in part.items()}))


def _example(values: Mapping[str, Array]) -> bytes:
    features = {name: _feature(value) for name, value in values.items()}
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return message.SerializeToString(deterministic=True)


def _feature(value: Array) -> tf.train.Feature:
    if value.dtype.kind == "i":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value.ravel()))
    return tf.train.Feature(float_list=tf.train.FloatList(value=value.ravel()))
