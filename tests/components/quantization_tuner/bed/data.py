"""The data of the bed: what scikit-learn carries, with more examples made of the same ones.

Half a point of a few hundred examples is one or two of them, less than what rounding moves either
way. So images are shifted and rows of tables jittered. Splits are made of different originals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn import datasets

Array = np.ndarray
TRAIN, TUNING, EVAL = SPLITS = ("train", "tuning", "eval")
# The shares of the originals that each split is made of. Of the tables, which are small, more of
# them are to try recipes on: what moves a few hundred examples of a few originals moves all alike.
_SHARES = {TRAIN: 0.45, TUNING: 0.2, EVAL: 0.35}
_TABLE_SHARES = {TRAIN: 0.3, TUNING: 0.35, EVAL: 0.35}
CALIBRATION = 200


@dataclass(frozen=True)
class Examples:
    """Examples of one split.

    Attributes:
        inputs: By input name, float32 of shape (examples, *example_shape).
        labels: Classes, int64 of shape (examples,), or reals, float32 of shape (examples, values).
    """

    inputs: Mapping[str, Array]
    labels: Array

    def part(self, start: int, end: int | None) -> "Examples":
        """Returns those from one place up to another, or to the end."""
        inputs = {name: values[start:end] for name, values in self.inputs.items()}
        return Examples(inputs, self.labels[start:end])


@dataclass(frozen=True)
class Splits:
    """A data set.

    Attributes:
        train: What nets are trained on.
        tuning: What recipes are tried on.
        eval: What the gate judges on.
    """

    train: Examples
    tuning: Examples
    eval: Examples

    @property
    def calibration(self) -> Examples:
        """The examples that ranges are measured on."""
        return self.train.part(0, CALIBRATION)


def _splits(
    make: Callable[[Array, np.random.Generator], Examples],
    originals: int,
    shares: Mapping[str, float] = _SHARES,
) -> Splits:
    """Returns examples that are made of different originals in each split."""
    order = np.random.default_rng(0).permutation(originals)
    ends = np.round(np.cumsum([shares[split] for split in SPLITS]) * originals).astype(int)
    generator = np.random.default_rng(0)
    return Splits(*(make(rows, generator) for rows in np.split(order, ends[:-1])))


@cache
def digits() -> Splits:
    """Returns images of shape (10, 10, 1), from 0 to 1, and which digit each is."""
    images, classes = datasets.load_digits(return_X_y=True)

    def shifted(rows: Array, generator: np.random.Generator) -> Examples:
        copies = np.repeat(generator.permutation(rows), 3)
        shown = np.zeros((len(copies), 10, 10, 1), np.float32)
        places = generator.integers(0, 3, (len(copies), 2))
        for image, original, (down, right) in zip(shown, images[copies], places, strict=True):
            image[down : down + 8, right : right + 8, 0] = original.reshape(8, 8) / 16
        order = generator.permutation(len(copies))
        return Examples({"x": shown[order]}, classes[copies][order].astype(np.int64))

    return _splits(shifted, len(images))


@cache
def exposures() -> Splits:
    """Returns the images of `digits` as rows of pixels (10, 10), some exposed less than others."""
    generator = np.random.default_rng(1)

    def exposed(examples: Examples) -> Examples:
        images = examples.inputs["x"][..., 0]
        factors = 10 ** generator.uniform(-1, 0, (len(images), 1, 1))
        return Examples({"x": (images * factors).astype(np.float32)}, examples.labels)

    found = digits()
    return Splits(*(exposed(each) for each in (found.train, found.tuning, found.eval)))


@cache
def reconstruction() -> Splits:
    """Returns the images of `digits` as vectors of shape (100,), with themselves as labels."""

    def flat(examples: Examples) -> Examples:
        vectors = examples.inputs["x"].reshape(len(examples.labels), -1)
        return Examples({"x": vectors}, vectors)

    found = digits()
    return Splits(*(flat(each) for each in (found.train, found.tuning, found.eval)))


def _table(values: Array, labels: Array, copies: int, jitter: float) -> Splits:
    """Returns rows with noise of a share of each column's standard deviation."""
    spread = values.std(axis=0) * jitter

    def jittered(rows: Array, generator: np.random.Generator) -> Examples:
        chosen = generator.permutation(np.repeat(rows, copies))
        noise = generator.normal(size=(len(chosen), values.shape[1])) * spread
        return Examples({"x": (values[chosen] + noise).astype(np.float32)}, labels[chosen])

    return _splits(jittered, len(values), _TABLE_SHARES)


@cache
def wine() -> Splits:
    """Returns 13 measurements of wines in their own units, and which of three growers."""
    values, classes = datasets.load_wine(return_X_y=True)
    return _table(values, classes.astype(np.int64), copies=20, jitter=0.4)


@cache
def cells() -> Splits:
    """Returns 30 measurements of cells in their own units, and whether they are benign."""
    values, classes = datasets.load_breast_cancer(return_X_y=True)
    return _table(values, classes.astype(np.int64), copies=6, jitter=0.2)


@cache
def patients() -> Splits:
    """Returns 10 measurements of patients in their own units, and how their diabetes progressed.

    The progress has mean 0 and standard deviation 1.
    """
    values, progress = datasets.load_diabetes(return_X_y=True, scaled=False)
    labels = ((progress - progress.mean()) / progress.std())[:, None].astype(np.float32)
    return _table(values, labels, copies=6, jitter=0.1)


def standardised(splits: Splits) -> Splits:
    """Returns a table, each feature with mean 0 and standard deviation 1."""
    mean, spread = moments(splits)

    def scaled(examples: Examples) -> Examples:
        values = ((examples.inputs["x"] - mean) / spread).astype(np.float32)
        return Examples({"x": values}, examples.labels)

    return Splits(*(scaled(each) for each in (splits.train, splits.tuning, splits.eval)))


def moments(splits: Splits) -> tuple[Array, Array]:
    """Returns mean and standard deviation of each feature, both of shape (features,)."""
    values = splits.train.inputs["x"].astype(np.float64)
    return values.mean(axis=0), values.std(axis=0)


@cache
def standard_cells() -> Splits:
    """Returns `cells`, each feature with mean 0 and standard deviation 1."""
    return standardised(cells())


@cache
def standard_patients() -> Splits:
    """Returns `patients`, each feature with mean 0 and standard deviation 1."""
    return standardised(patients())


@cache
def separate_patients() -> Splits:
    """Returns `patients` with an input for each feature, of shape (1,)."""
    names = datasets.load_diabetes().feature_names

    def apart(examples: Examples) -> Examples:
        columns = np.split(examples.inputs["x"], len(names), axis=1)
        return Examples(dict(zip(names, columns, strict=True)), examples.labels)

    found = patients()
    return Splits(*(apart(each) for each in (found.train, found.tuning, found.eval)))
