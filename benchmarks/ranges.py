"""What each way to ranges makes of outliers and of heavy tails among the calibration examples.

Nets on scikit-learn's data and on synthetic regressions are trained, calibrated on 200 examples
as they are and with one to three of them multiplied, quantized to int8 and evaluated. Exits with 0
only if `robust` equals `minmax` on clean data, holds with the outliers, and is no worse than
`minmax` on heavy tails.

    python benchmarks/ranges.py [--seeds 3]
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import sklearn.datasets
import tensorflow as tf
from observation import collect_ranges

from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

layers = tf.keras.layers
INT8 = Recipe(Scheme.INT8_FLOAT_IO)
POLICIES = ("minmax", "percentile", "robust")
SAMPLES = 200
# How many of the samples are multiplied, and by what.
OUTLIERS = ((0, 1.0), (1, 20.0), (1, 100.0), (2, 20.0), (3, 20.0), (3, 100.0))
# Four digits.
EQUAL_WITHIN = 5e-5
# What rounding to 8 bits itself moves a figure by.
HOLDS_WITHIN = 0.015


@dataclass(frozen=True)
class Task:
    """Data, split in two halves, and a net for them.

    Attributes:
        inputs: float32 of shape (examples, *example_shape).
        targets: Classes, int64 of shape (examples,), or reals, float32 of shape (examples, 1).
        build: Returns the net.
        has_outliers: Whether outliers are tried, beside the data as they are.
    """

    inputs: np.ndarray
    targets: np.ndarray
    build: Callable[[], tf.keras.Model]
    has_outliers: bool = True

    @property
    def is_regression(self) -> bool:
        """Whether the targets are reals."""
        return self.targets.dtype.kind == "f"


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns images of shape (n, 8, 8, 1) from 0 to 1 and their classes."""
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    return (images / 16).reshape(-1, 8, 8, 1).astype(np.float32), labels.astype(np.int64)


def convolutional() -> tf.keras.Model:
    """Returns the shipped config's kind of net."""
    net = tf.keras.Sequential([tf.keras.Input((8, 8, 1))])
    for filters in (16, 32):
        net.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        net.add(layers.BatchNormalization(momentum=0.9))
        net.add(layers.ReLU())
    net.add(layers.GlobalAveragePooling2D())
    net.add(layers.Dense(10, activation="softmax"))
    return net


def residual() -> tf.keras.Model:
    """Returns a net with three residual blocks."""
    inputs = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    for _ in range(3):
        y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
        x = layers.ReLU()(layers.Add()([x, layers.Conv2D(16, 3, padding="same")(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def swish() -> tf.keras.Model:
    """Returns a net whose activations are swish."""
    net = tf.keras.Sequential([tf.keras.Input((8, 8, 1))])
    for filters in (16, 32):
        net.add(layers.Conv2D(filters, 3, padding="same", activation="swish"))
    net.add(layers.GlobalAveragePooling2D())
    net.add(layers.Dense(10, activation="softmax"))
    return net


def dense(features: int, outputs: int, activation: str | None = None) -> tf.keras.Model:
    """Returns a net of two hidden layers."""
    net = tf.keras.Sequential([tf.keras.Input((features,))])
    for width in (32, 16):
        net.add(layers.Dense(width, activation="relu"))
    net.add(layers.Dense(outputs, activation=activation))
    return net


def standardised(values: np.ndarray) -> np.ndarray:
    """Returns columns with mean 0 and standard deviation 1."""
    return ((values - values.mean(axis=0)) / values.std(axis=0)).astype(np.float32)


def fares(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns taxi trips (miles, minutes, zones, hour) and their fares, some of them flat."""
    rows = 4000
    miles = generator.lognormal(0.8, 0.9, (rows, 1))
    minutes = miles * generator.lognormal(1.1, 0.4, (rows, 1)) + 2
    others = generator.integers(0, 24, (rows, 2))
    fare = 2.5 + 2.5 * miles + 0.5 * minutes
    fare[generator.random((rows, 1)) < 0.02] = 52
    return standardised(np.concatenate([miles, minutes, others], axis=1)), fare


def heavy(kind: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns eight features with heavy tails, and a target that depends on those."""
    shape = (4000, 8)
    draws = {"lognormal": lambda: generator.lognormal(0, 1, shape),
             "student": lambda: generator.standard_t(3, shape)}  # fmt: skip
    inputs = draws[kind]().astype(np.float32)
    target = inputs @ generator.normal(size=(8, 1)) + 0.5 * np.abs(inputs[:, :1])
    return inputs, target


def tasks(seed: int) -> Mapping[str, Task]:
    """Returns what is tried, by name."""
    generator = np.random.default_rng(seed)
    images, classes = digits()
    cells, malignant = sklearn.datasets.load_breast_cancer(return_X_y=True)
    patients, progression = sklearn.datasets.load_diabetes(return_X_y=True)
    found = {
        "digits, convolutional": Task(images, classes, convolutional),
        "digits, residual": Task(images, classes, residual),
        "digits, swish": Task(images, classes, swish),
        "breast cancer, dense": Task(
            standardised(cells), malignant.astype(np.int64), lambda: dense(30, 2, "softmax")
        ),
        "diabetes, regression": Task(
            standardised(patients), standardised(progression[:, None]), lambda: dense(10, 1)
        ),
    }
    for name, (inputs, target) in (
        ("taxi fares, regression", fares(generator)),
        ("lognormal, regression", heavy("lognormal", generator)),
        ("Student's t, regression", heavy("student", generator)),
    ):
        build = lambda columns=inputs.shape[1]: dense(columns, 1)  # noqa: E731
        found[name] = Task(inputs, standardised(target), build, has_outliers=False)
    return found


@dataclass(frozen=True)
class Trained:
    """A task with its float TFLite model, and the halves to calibrate and to evaluate with."""

    task: Task
    tflite: bytes
    calibration: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, task: Task, seed: int) -> "Trained":
        """Trains a task's net on one half of its data."""
        tf.keras.utils.set_random_seed(seed)
        order = np.random.default_rng(seed).permutation(len(task.inputs))
        train, held = np.split(order, [len(order) // 2])
        net = task.build()
        loss = "mse" if task.is_regression else "sparse_categorical_crossentropy"
        net.compile(tf.keras.optimizers.Adam(0.003), loss=loss)
        net.fit(task.inputs[train], task.targets[train], batch_size=32, epochs=25, verbose=0)
        calibration = task.inputs[train[:SAMPLES]]
        return cls(task, _tflite(net), calibration, task.inputs[held], task.targets[held])

    def figure(self, content: bytes) -> float:
        """Returns a model's accuracy, or its coefficient of determination."""
        found = TFLiteModel(content).predict({"x": self.inputs})["output"]
        if not self.task.is_regression:
            return float((found.argmax(axis=1) == self.targets).mean())
        variance = np.square(self.targets - self.targets.mean()).mean()
        return float(1 - np.square(found - self.targets).mean() / variance)

    def ranges(self, outliers: int, factor: float) -> TensorRanges:
        """Returns the ranges of the calibration examples, some of them multiplied."""
        examples = self.calibration.copy()
        examples[:outliers] *= factor
        return collect_ranges(self.tflite, [{"x": examples}])

    def quantized(self, ranges: TensorRanges, policy: str) -> float:
        """Returns the figure of the model in int8."""
        calibrated = write_ranges(self.tflite, ranges, RangePolicy(policy))
        return self.figure(quantize(calibrated, INT8))


def _tflite(net: tf.keras.Model) -> bytes:
    spec = tf.TensorSpec([None, *net.input_shape[1:]], tf.float32, name="x")

    @tf.function(input_signature=[spec])
    def serving(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"output": net(x, training=False)}

    path = tempfile.mkdtemp()
    try:
        tf.saved_model.save(net, path, signatures={"serving": serving})
        loaded = tf.saved_model.load(path)
        function = loaded.signatures["serving"]
        return tf.lite.TFLiteConverter.from_concrete_functions([function], loaded).convert()
    finally:
        shutil.rmtree(path)


@dataclass(frozen=True)
class Row:
    """Figures of one task under one kind of calibration data, means over the seeds."""

    task: str
    outliers: int
    factor: float
    float32: float
    by_policy: Mapping[str, float]
    cut: int
    seeds: int

    @property
    def holds(self) -> bool:
        """Whether `robust` is as good as it is said to be."""
        robust, minmax = self.by_policy["robust"], self.by_policy["minmax"]
        if not self.outliers:
            return abs(robust - minmax) < EQUAL_WITHIN
        return robust >= self.float32 - HOLDS_WITHIN or robust >= minmax

    def __str__(self) -> str:
        data = f"{self.outliers} x{self.factor:g}" if self.outliers else "as they are"
        figures = "  ".join(f"{self.by_policy[policy]:10.4f}" for policy in POLICIES)
        said = "" if self.holds else "  DOES NOT HOLD"
        return (
            f"{self.task:24}  {data:11}  {self.float32:7.4f}  {figures}  "
            f"{self.cut:3} of {self.seeds}{said}"
        )


def rows(seeds: int) -> Iterator[Row]:
    """Trains everything and yields the figures."""
    names = tasks(0)
    for name in names:
        trained = [Trained.of(tasks(seed)[name], seed) for seed in range(seeds)]
        for outliers, factor in OUTLIERS if names[name].has_outliers else OUTLIERS[:1]:
            ranges = [one.ranges(outliers, factor) for one in trained]
            yield Row(
                name,
                outliers,
                factor,
                float(np.mean([one.figure(one.tflite) for one in trained])),
                {
                    policy: float(
                        np.mean(
                            [
                                one.quantized(found, policy)
                                for one, found in zip(trained, ranges, strict=True)
                            ]
                        )
                    )
                    for policy in POLICIES
                },
                sum(bool(found.outliers()) for found in ranges),
                seeds,
            )


def main() -> int:
    """Prints a line for each figure and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    figures = "  ".join(f"{policy:>10}" for policy in POLICIES)
    print(f"{'net':24}  {'examples':11}  {'float32':>7}  {figures}  cut in")
    found = []
    for row in rows(arguments.seeds):
        print(row, flush=True)
        found.append(row.holds)
    return int(not all(found))


if __name__ == "__main__":
    sys.exit(main())
