"""Real data to try the pipeline with: the sets that scikit-learn carries, as TFRecords."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfx_tflite.components.errors import DataError

# A new version gets new directories, so that no pipeline takes old files for new ones.
_VERSION = 1
_EVAL_SHARE = 0.25
_SEED = 0

_Example = dict[str, np.ndarray]


def write_builtin_data(name: str, directory: Path) -> Path:
    """Writes a bundled data set below a directory, once, and returns where it is.

    The files are `train/data.tfrecord` and `eval/data.tfrecord`, the same bytes every time.

    Args:
        name: `digits`, `breast_cancer` or `diabetes`.
        directory: Where to make the data set's own directory.

    Raises:
        DataError: The directory cannot be written.
    """
    target = directory / f"{name}-v{_VERSION}"
    if target.exists():
        return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=directory))
        try:
            _write_splits(stage, list(_LOADERS[name]()))
            # Whole or not there: a second process may be writing the same.
            stage.rename(target)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        if not target.exists():
            raise DataError(
                f"cannot write the builtin data to {target}: {error.strerror}"
            ) from error
    return target


def _write_splits(directory: Path, examples: list[_Example]) -> None:
    order = np.random.default_rng(_SEED).permutation(len(examples))
    evaluated = round(len(examples) * _EVAL_SHARE)
    for split, rows in (("train", order[evaluated:]), ("eval", order[:evaluated])):
        (directory / split).mkdir()
        with tf.io.TFRecordWriter(str(directory / split / "data.tfrecord")) as writer:
            for row in rows:
                writer.write(_serialize(examples[row]))


def _serialize(example: _Example) -> bytes:
    features = {name: _feature(values) for name, values in example.items()}
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return message.SerializeToString(deterministic=True)


def _feature(values: np.ndarray) -> tf.train.Feature:
    if np.issubdtype(values.dtype, np.integer):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values.ravel()))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.ravel()))


def _digits() -> Iterator[_Example]:
    """`image`: 64 floats from 0 to 1; `label`: the digit."""
    from sklearn import datasets

    data = datasets.load_digits()
    for image, label in zip(data.images, data.target, strict=True):
        yield {"image": image / 16.0, "label": np.array([label])}


def _breast_cancer() -> Iterator[_Example]:
    """30 measurements, one float each; `malignant`: 0 or 1."""
    from sklearn import datasets

    data = datasets.load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    for row, benign in zip(data.data, data.target, strict=True):
        features = dict(zip(names, np.split(row, len(names)), strict=True))
        yield {**features, "malignant": np.array([1 - benign])}


def _diabetes() -> Iterator[_Example]:
    """10 measurements and `progression`, one float each."""
    from sklearn import datasets

    data = datasets.load_diabetes(scaled=False)
    for row, target in zip(data.data, data.target, strict=True):
        features = dict(zip(data.feature_names, np.split(row, len(row)), strict=True))
        yield {**features, "progression": np.array([target])}


_LOADERS: dict[str, Callable[[], Iterator[_Example]]] = {
    "digits": _digits,
    "breast_cancer": _breast_cancer,
    "diabetes": _diabetes,
}
