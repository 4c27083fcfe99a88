"""Calibration: this project's ranges against the stock converter's, in one run.

Speed and memory on MobileNetV2 at 224x224, the cost of a second scheme, ranges against those seen
by the reference kernels, sharded calibration, and an outlier among the calibration examples. Exits
with 0 only where everything holds.

    python benchmarks/calibration.py [--samples 100 5000] [--litert PYTHON]

With PYTHON of an environment that has litert-quantizer (`uv venv DIRECTORY; uv pip install --python
DIRECTORY/bin/python litert-quantizer==0.11.0`) speed is also compared with that one's two modes.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from observation import collect_ranges
from sklearn.datasets import load_digits
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.artifact_layout import RANGES_FILE
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import (
    CollectRanges,
    RangeSource,
    TensorRanges,
)
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

INPUT, SIGNATURE = "x", "serving_tensors"
IMAGE = (224, 224, 3)
INT8, INT16X8 = Recipe(Scheme.INT8), Recipe(Scheme.INT16X8)
MINMAX, PERCENTILE = RangePolicy("minmax"), RangePolicy("percentile")

# What is asked for.
FASTER, SECOND_SCHEME, MEGABYTES = 3.0, 10.0, 200.0
# Kernels of two kinds differ in the last bits.
TOLERANCE = 1e-4
# Two of the 449 digits.
ACCURACY_TOLERANCE = 0.005


@dataclass(frozen=True)
class Model:
    """A float model as SavedModel and as float TFLite flatbuffer."""

    path: Path
    tflite: bytes

    def converter(self) -> tf.lite.TFLiteConverter:
        """Returns the stock converter of the model."""
        loaded = tf.saved_model.load(str(self.path))
        return tf.lite.TFLiteConverter.from_concrete_functions(
            [loaded.signatures[SIGNATURE]], loaded
        )

    def stock(self, samples: np.ndarray, calibrate_only: bool = False) -> bytes:
        """Returns the stock converter's int8 model, or its calibrated one."""
        converter = self.converter()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({INPUT: sample[None]} for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter._experimental_calibrate_only = calibrate_only
        return converter.convert()

    def ranges(self, samples: np.ndarray) -> TensorRanges:
        """Returns this project's ranges."""
        return collect_ranges(self.tflite, [{INPUT: samples}])


def main() -> int:
    """Prints a line for each figure and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 5000])
    parser.add_argument("--litert", type=Path)
    parser.add_argument(
        "--memory-of", nargs=2, metavar=("TFLITE", "SAMPLES"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.memory_of:
        tflite, samples = arguments.memory_of
        print(extra_megabytes(Path(tflite).read_bytes(), int(samples)))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        return int(not all(list(checks(Path(directory), arguments.samples, arguments.litert))))


def checks(directory: Path, samples: Sequence[int], litert: Path | None) -> Iterator[bool]:
    """Yields whether each figure holds."""
    tf.keras.utils.set_random_seed(0)
    mobilenet = save(tf.keras.applications.MobileNetV2(weights=None), directory / "mobilenet")
    stock_conversion = yield from check_speed(mobilenet)
    if litert is not None:
        yield check_beside_litert(mobilenet, litert)
    yield from (check_memory(mobilenet, count) for count in samples)
    yield from check_second_scheme(mobilenet, stock_conversion)
    for name, network in (("residual", residual_network()), ("swish", swish_network())):
        yield check_ranges(name, save(network, directory / name))
    images, labels = digits()
    model = save(train(images[:1348], labels[:1348]), directory / "digits")
    yield check_shards(model, images[:200])
    yield check_outlier(model, images[:200], images[1348:], labels[1348:])


def save(network: tf.keras.Model, path: Path) -> Model:
    """Returns a network with a signature whose input takes any batch."""
    spec = tf.TensorSpec([None, *network.input_shape[1:]], tf.float32, name=INPUT)

    @tf.function(input_signature=[spec])
    def serving_tensors(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"output": network(x, training=False)}

    tf.saved_model.save(network, str(path), signatures={SIGNATURE: serving_tensors})
    return Model(path, Model(path, b"").converter().convert())


def report(what: str, figures: str, holds: bool) -> bool:
    """Prints a line and returns whether it holds."""
    print(f"{what}: {figures}: {'holds' if holds else 'DOES NOT HOLD'}", flush=True)
    return holds


def cpu_seconds(run: Callable[[], object]) -> float:
    """Returns the CPU time of all threads of this process while `run` runs."""
    start = time.process_time()
    run()
    return time.process_time() - start


def least_cpu_seconds(run: Callable[[], object], times: int = 2) -> float:
    """Returns the least CPU time of several runs: what else the machine does only adds to it."""
    return min(cpu_seconds(run) for _ in range(times))


def noise(count: int, shape: Sequence[int] = IMAGE, seed: int = 0) -> np.ndarray:
    """Returns `count` standard normal examples."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def check_speed(model: Model, few: int = 2, many: int = 82) -> Generator[bool, None, float]:
    """Yields whether a sample costs little enough; returns the CPU time of a stock conversion."""
    samples = noise(many)
    stock = [least_cpu_seconds(lambda n=n: model.stock(samples[:n])) for n in (few, many)]
    ours = [least_cpu_seconds(lambda n=n: model.ranges(samples[:n])) for n in (few, many)]
    by_stock, by_us = ((spent[1] - spent[0]) / (many - few) for spent in (stock, ours))
    yield report(
        "range collection, MobileNetV2 at 224",
        f"stock {1000 * by_stock:.1f} CPU-ms a sample, ours {1000 * by_us:.1f}, ratio "
        f"{by_stock / by_us:.1f} (at least {FASTER:g})",
        by_stock / by_us >= FASTER,
    )
    return stock[0] + (100 - few) * by_stock


def check_beside_litert(model: Model, python: Path, count: int = 100) -> bool:
    """Returns whether collection costs no more than litert-quantizer's quicker mode."""
    samples = noise(count)
    tflite, examples = model.path / "float32.tflite", model.path / "examples.npy"
    tflite.write_bytes(model.tflite)
    np.save(examples, samples)
    script = Path(__file__).with_name("litert_calibration.py")
    ours = least_cpu_seconds(lambda: model.ranges(samples))
    child = subprocess.run(
        [str(python), str(script), str(tflite), str(examples), INPUT],
        # It draws a bar of its progress.
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    theirs = json.loads(child.stdout.splitlines()[-1])
    ours = min(ours, least_cpu_seconds(lambda: model.ranges(samples)))
    return report(
        f"range collection beside litert-quantizer, MobileNetV2 at 224, {count} samples",
        f"ours {ours:.2f} CPU-s, theirs {theirs['default']:.2f}, in its profiler mode "
        f"{theirs['profiler']:.2f}",
        ours <= theirs["profiler"],
    )


def check_memory(model: Model, samples: int) -> bool:
    """Returns whether collection takes little memory, in a process of its own."""
    tflite = model.path / "float32.tflite"
    tflite.write_bytes(model.tflite)
    start = time.monotonic()
    child = subprocess.run(
        [sys.executable, __file__, "--memory-of", str(tflite), str(samples)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    extra = float(child.stdout.split()[-1])
    return report(
        f"extra memory, MobileNetV2 at 224, {samples:,} samples",
        f"{extra:.0f} MB (at most {MEGABYTES:g}) in {time.monotonic() - start:.0f} s",
        extra <= MEGABYTES,
    )


def extra_megabytes(tflite: bytes, samples: int) -> float:
    """Returns the peak resident memory while ranges are collected, above what was there before."""
    sizes = [min(16, samples - start) for start in range(0, samples, 16)]
    # Sets the peak back to what is resident now (proc(5)).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = peak_megabytes()
    collect_ranges(tflite, ({INPUT: noise(size, seed=n)} for n, size in enumerate(sizes)))
    return peak_megabytes() - before


def peak_megabytes() -> float:
    """Returns the peak resident memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


def check_second_scheme(model: Model, stock: float) -> Iterator[bool]:
    """Yields for each scheme whether it costs little once there are ranges."""
    ranges = model.ranges(noise(2))
    for quantization in (INT8, INT16X8):
        spent = cpu_seconds(
            lambda q=quantization: quantize(write_ranges(model.tflite, ranges, MINMAX), q)
        )
        yield report(
            f"{quantization.scheme.value} from ranges that are there, MobileNetV2 at 224",
            f"{spent:.2f} CPU-s, a stock conversion with 100 samples {stock:.1f}, ratio "
            f"{stock / spent:.0f} (at least {SECOND_SCHEME:g})",
            stock / spent >= SECOND_SCHEME,
        )


def residual_network() -> tf.keras.Model:
    """Returns convolutions with additions around them."""
    layers = tf.keras.layers
    inputs = x = tf.keras.Input([16, 16, 8])
    for _ in range(4):
        y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)])
    return tf.keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def swish_network() -> tf.keras.Model:
    """Returns convolutions with swish, which TFLite computes as x * sigmoid(x)."""
    layers = tf.keras.layers
    inputs = x = tf.keras.Input([16, 16, 8])
    for _ in range(4):
        x = layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    return tf.keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def check_ranges(name: str, model: Model) -> bool:
    """Returns whether no range is wider than what the reference kernels give, as stock's are."""
    samples = 3 * noise(100, (16, 16, 8))
    found = model.ranges(samples).resolve(MINMAX)
    indices = [tensor_range.tensor.index for tensor_range in found]
    seen = reference_widths(model.tflite, samples, indices)
    calibrated = flatbuffer_utils.convert_bytearray_to_object(
        bytearray(model.stock(samples, calibrate_only=True))
    )
    by_stock = [calibrated.subgraphs[0].tensors[index].quantization for index in indices]
    ours = np.array([tensor_range.maximum - tensor_range.minimum for tensor_range in found]) / seen
    stock = (
        np.array([quantization.max[0] - quantization.min[0] for quantization in by_stock]) / seen
    )
    return report(
        f"ranges, {name} network of {len(indices)} tensors",
        f"stock up to {stock.max():.2f} times what is seen ({np.sum(stock > 1.01)} too wide), ours "
        f"{ours.min():.5f} to {ours.max():.5f} times",
        bool(np.all(np.abs(ours - 1) <= TOLERANCE) and stock.max() > 1.01),
    )


def reference_widths(tflite: bytes, samples: np.ndarray, indices: Sequence[int]) -> np.ndarray:
    """Returns max - min of tensors, by the reference kernels with every tensor preserved."""
    interpreter = tf.lite.Interpreter(
        model_content=tflite,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    extremes = np.empty((len(samples), 2, len(indices)))
    for row, sample in enumerate(samples):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample[None])
        interpreter.invoke()
        values = [interpreter.get_tensor(index) for index in indices]
        extremes[row] = [[v.min() for v in values], [v.max() for v in values]]
    return extremes[:, 1].max(axis=0) - extremes[:, 0].min(axis=0)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's digits: images of shape (1797, 8, 8, 1) from 0 to 1, and labels."""
    bundle = load_digits()
    return (bundle.images[..., None] / 16).astype(np.float32), bundle.target


def train(images: np.ndarray, labels: np.ndarray) -> tf.keras.Model:
    """Returns a small net, trained for some seconds.

    What it averages before the last layer is small beside the largest activations, so that wide
    ranges cost it more than a net with a flattening layer.
    """
    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    model = tf.keras.Sequential([tf.keras.Input(images.shape[1:])])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", loss="sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=64, epochs=20, verbose=0)
    return model


def check_shards(model: Model, images: np.ndarray) -> bool:
    """Returns whether the int8 model is the same, however its calibration was sharded."""
    tflite = model.path / "float32.tflite"
    tflite.write_bytes(model.tflite)
    source = RangeSource(str(tflite), str(model.path), SIGNATURE)
    column = pa.array(images.reshape(len(images), -1).tolist(), pa.list_(pa.float32()))
    batches = [
        (at, pa.RecordBatch.from_pydict({INPUT: column[at : at + 8]}))
        for at in range(0, len(images), 8)
    ]
    digests = set()
    for shards in (1, 2, 8):
        random.Random(shards).shuffle(batches)
        ranges = collected_in_shards(source, [batches[n::shards] for n in range(shards)])
        content = quantize(write_ranges(model.tflite, ranges, MINMAX), INT8)
        digests.add(hashlib.sha256(content).hexdigest()[:12])
    return report(
        "int8 digits net calibrated in 1, 2 and 8 shards, shuffled",
        f"digests {', '.join(sorted(digests))}",
        len(digests) == 1,
    )


def collected_in_shards(
    source: RangeSource, shards: list[list[tuple[int, pa.RecordBatch]]]
) -> TensorRanges:
    """Returns the ranges that Beam collects from a PCollection for each shard."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / RANGES_FILE
        with beam.Pipeline("FnApiRunner") as pipeline:
            parts = [
                pipeline | f"Shard{number}" >> beam.Create(batches)
                for number, batches in enumerate(shards)
            ]
            _ = (
                parts
                | beam.Flatten()
                | CollectRanges(source)
                | beam.Map(lambda ranges: path.write_text(ranges.to_json(), encoding="utf-8"))
            )
        return TensorRanges.from_json(path.read_text(encoding="utf-8"))


def check_outlier(
    model: Model, samples: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> bool:
    """Returns whether one outlier in 201 samples costs nothing with a percentile."""

    def accuracy(content: bytes) -> float:
        predicted = TFLiteModel(content).predict({INPUT: images})["output"].argmax(axis=1)
        return float((predicted == labels).mean())

    def by_us(ranges: TensorRanges, policy: RangePolicy) -> float:
        return accuracy(quantize(write_ranges(model.tflite, ranges, policy), INT8))

    with_outlier = np.concatenate([samples, samples[:1] * 20])
    ranges = model.ranges(with_outlier)
    clean = by_us(model.ranges(samples), MINMAX)
    stock = accuracy(model.stock(with_outlier))
    minmax, percentile = by_us(ranges, MINMAX), by_us(ranges, PERCENTILE)
    return report(
        "accuracy on digits, int8, one outlier of 20 times in 201 samples",
        f"float {accuracy(model.tflite):.4f}, without the outlier {clean:.4f}, with it: stock "
        f"{stock:.4f}, minmax {minmax:.4f}, percentile {percentile:.4f}",
        percentile >= clean - ACCURACY_TOLERANCE and percentile > stock,
    )


if __name__ == "__main__":
    sys.exit(main())
