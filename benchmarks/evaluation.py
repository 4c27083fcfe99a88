"""CPU-seconds of evaluating two models: this project's evaluator against TFMA's own, in one run.

Both read the same TFRecords through TFXIO and Beam's FnApiRunner, compute the same metrics and
slices for two models, and write TFMA's result files. TFMA is given two SavedModels, because it
refuses a TFLite model beside one. Exits with 0 only where the ratios hold.

    python benchmarks/evaluation.py [--rows 20000 200000]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.example_splits import ReadBatches, SplitFiles
from tfx_tflite.components.quantization_evaluator.evaluation import (
    CompareModels,
    MetricPlan,
    load_evaluation,
    two_model_config,
)
from tfx_tflite.components.quantization_evaluator.gate import Gate, GateRule
from tfx_tflite.components.quantization_evaluator.prediction import ModelPair
from tfx_tflite.components.schemes import Quantization, Scheme
from tfx_tflite.components.tflite_quantizer.conversion import convert

FEATURES, CLASSES, SLICES = 16, 4, 5
# How many times fewer CPU-seconds than TFMA are asked for, by rows.
BOUNDS = {20_000: 10.0, 200_000: 20.0}
TOLERANCE = 1e-6


def main() -> int:
    """Prints a line for each number of rows and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=sorted(BOUNDS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        pair = make_models(Path(directory))
        warm_up(pair, Path(directory))
        return int(not all(compare(pair, Path(directory), rows) for rows in arguments.rows))


def warm_up(pair: ModelPair, directory: Path) -> None:
    """Pays for what either side does once a process."""
    source = write_rows(directory, 200)
    ours(pair, source, directory / "warm-ours")
    theirs(pair, source, directory / "warm-theirs")


def compare(pair: ModelPair, directory: Path, rows: int) -> bool:
    """Prints the figures for one number of rows and returns whether they hold."""
    source = write_rows(directory, rows)
    spent_by_us = cpu_seconds(lambda: ours(pair, source, directory / f"ours-{rows}"))
    spent_by_tfma = cpu_seconds(lambda: theirs(pair, source, directory / f"theirs-{rows}"))
    difference = largest_difference(pair, directory / f"ours-{rows}", directory / f"theirs-{rows}")
    ratio = spent_by_tfma / spent_by_us
    bound = BOUNDS.get(rows, 0.0)
    holds = ratio >= bound and difference <= TOLERANCE
    print(
        f"{rows:>9,} rows: TFMA {spent_by_tfma:7.2f} CPU-s, ours {spent_by_us:6.2f} CPU-s, "
        f"ratio {ratio:5.1f} (at least {bound:g}), largest difference of float figures "
        f"{difference:.1e}: {'holds' if holds else 'DOES NOT HOLD'}",
        flush=True,
    )
    return holds


def cpu_seconds(run) -> float:
    """Returns the CPU time of this process while `run` runs."""
    start = time.process_time()
    run()
    return time.process_time() - start


def make_models(directory: Path) -> ModelPair:
    """Returns a small tabular classifier as SavedModel and as int8 TFLite model."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [
            tf.keras.Input([FEATURES], name="x"),
            tf.keras.layers.Dense(32, activation="relu"),
            tf.keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
    def serving_tensors(x):
        return {"probabilities": model(x)}

    path = directory / "model"
    tf.saved_model.save(model, str(path), {"serving_tensors": serving_tensors})
    samples = np.random.default_rng(0).normal(size=(100, FEATURES)).astype(np.float32)
    (directory / "conversion").mkdir()
    converted = convert(
        path, "serving_tensors", Quantization(Scheme.INT8), {"x": samples}, directory / "conversion"
    )
    (directory / "tflite").write_bytes(converted.quantized)
    return ModelPair(str(path), "serving_tensors", None, str(directory / "tflite"), None)


def write_rows(directory: Path, rows: int) -> SplitFiles:
    """Writes random rows as TFRecords and returns how to read them."""
    path = directory / f"rows-{rows}.tfrecord"
    generator = np.random.default_rng(rows)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(rows):
            example = tf.train.Example()
            feature = example.features.feature
            feature["x"].float_list.value.extend(generator.normal(size=FEATURES))
            feature["label"].int64_list.value.append(int(generator.integers(CLASSES)))
            feature["group"].int64_list.value.append(int(generator.integers(SLICES)))
            writer.write(example.SerializeToString())
    return SplitFiles("eval", (str(path),), schema().SerializeToString(), "benchmark")


def schema() -> schema_pb2.Schema:
    """Returns the rows' schema."""
    result = schema_pb2.Schema()
    for name, kind, size in (
        ("x", schema_pb2.FLOAT, FEATURES),
        ("label", schema_pb2.INT, 1),
        ("group", schema_pb2.INT, 1),
    ):
        feature = result.feature.add(name=name, type=kind)
        feature.shape.dim.add(size=size)
        feature.presence.min_fraction = 1
    return result


def eval_config() -> tfma.EvalConfig:
    """Returns the metrics and slices that both compute."""
    names = ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy")
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(label_key="label", signature_name="serving_tensors")],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name=name) for name in names])
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["group"])],
    )


def plan(pair: ModelPair) -> MetricPlan:
    """Returns which metrics are computed on batches: all of them."""
    return MetricPlan.make(
        two_model_config(eval_config()),
        pair.resolve_output(),
        Gate(rules=(GateRule(min_agreement=0),)),
    )


def ours(pair: ModelPair, source: SplitFiles, output: Path) -> None:
    """Evaluates with this project's evaluator."""
    config = two_model_config(eval_config())
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = (
            pipeline
            | ReadBatches(source)
            | CompareModels(pair, config, plan(pair), None, str(output))
        )


def theirs(pair: ModelPair, source: SplitFiles, output: Path) -> None:
    """Evaluates with TFMA's own extractors and evaluators, two SavedModels."""
    config = two_model_config(eval_config())
    for spec in config.model_specs:
        spec.model_type = tfma.TF_GENERIC
    models = [
        tfma.default_eval_shared_model(
            eval_saved_model_path=pair.saved_model, model_name=spec.name, eval_config=config
        )
        for spec in config.model_specs
    ]
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = (
            pipeline
            | source.tfxio().BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=models, eval_config=config, output_path=str(output)
            )
        )


def largest_difference(pair: ModelPair, ours_path: Path, theirs_path: Path) -> float:
    """Returns how far the float model's figures are apart, over all metrics and slices."""
    values = load_evaluation(str(ours_path), plan(pair)).values
    found = {(value.metric, value.slice): value.float_value for value in values}
    differences = []
    for record in tfma.load_metrics(str(theirs_path)):
        parts = [f"{k.column}:{k.int64_value}" for k in record.slice_key.single_slice_keys]
        for item in record.metric_keys_and_values:
            key = (item.key.name, ", ".join(parts) or "overall")
            if item.key.model_name == "float" and not item.key.is_diff and key in found:
                differences.append(abs(found.pop(key) - item.value.double_value.value))
    return max(differences) if not found else float("inf")


if __name__ == "__main__":
    sys.exit(main())
