"""CPU time of evaluating on TensorFlow Lite Micro, against a bare loop over its interpreter.

Both run the int8 net of `configs/digits_trainer.py` on all 1,797 digits, in one run. The bare loop
is given what the model takes, already quantized, and keeps the outputs. The evaluation reads the
TFRecords, predicts with the float model and with Micro, compares the two and writes TFMA's result
files. It also starts Beam and loads the float model, once however many examples there are: that is
told apart by evaluating all digits once and several times. Exits with 0 only if the digits
themselves take less than twice the time, and the same outputs are given.

    python benchmarks/targets.py [--repeats 3]
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import apache_beam as beam
import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.examples.splits import ReadBatches, SplitFiles
from tfx_tflite.components.judgement.candidate import Candidate
from tfx_tflite.components.judgement.compare_models import CompareModels, PlannedComparison
from tfx_tflite.components.judgement.eval_config import judged_outputs, targets_of, two_model_config
from tfx_tflite.components.judgement.gate import Gate, MetricRule
from tfx_tflite.components.judgement.metric_plan import MetricPlan
from tfx_tflite.components.judgement.prediction import ModelPair
from tfx_tflite.components.models import micro
from tfx_tflite.components.models.float_model import read_tensor_signature
from tfx_tflite.components.models.runtime import open_model
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.versions import MICRO, Kernels
from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data

sys.path.insert(0, str(Path(__file__).parents[1] / "configs"))
import digits_trainer

DIGITS = 1797
# How many times the bare loop's time the evaluation may take.
BOUND = 2.0
# How many times more all digits are evaluated, to tell the start apart.
_MORE = 4
SIGNATURE, METRIC = "serving_tensors", "SparseCategoricalAccuracy"


def main() -> int:
    """Prints what both take and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        source = digits(directory)
        pair = models(directory, source)
        inputs, predicted = read_and_predicted(pair, source)
        content = Path(pair.tflite).read_bytes()
        evaluate(pair, source, directory / "warm")
        many = dataclasses.replace(source, files=source.files * (1 + _MORE))

        def evaluation(read: SplitFiles, name: str) -> float:
            return cpu_seconds(lambda: evaluate(pair, read, directory / name))

        bare = statistics.median(
            cpu_seconds(lambda: bare_loop(content, inputs)) for _ in range(repeats)
        )
        once = statistics.median(evaluation(source, f"once-{i}") for i in range(repeats))
        often = statistics.median(evaluation(many, f"often-{i}") for i in range(repeats))
        is_same = np.array_equal(bare_loop(content, inputs), predicted)
    ours = (often - once) / _MORE
    holds = ours / bare < BOUND and is_same
    print(
        f"{DIGITS:,} digits on {MICRO} {version(MICRO)}: a bare loop {bare:.2f} CPU-s, the "
        f"evaluation {ours:.2f} CPU-s and {once - ours:.2f} CPU-s to start, ratio "
        f"{ours / bare:.2f} (below {BOUND:g}; {once / bare:.2f} with the start), "
        f"{'the same' if is_same else 'OTHER'} outputs: {'holds' if holds else 'DOES NOT HOLD'}"
    )
    return int(not holds)


def cpu_seconds(run: Callable[[], object]) -> float:
    """Returns the CPU time of this process while `run` runs."""
    start = time.process_time()
    run()
    return time.process_time() - start


def digits(directory: Path) -> SplitFiles:
    """Returns how to read all digits, those to train on and those to evaluate on."""
    data = write_builtin_data("digits", directory)
    files = tuple(sorted(str(file) for file in data.glob("*/data.tfrecord")))
    schema = schema_pb2.Schema()
    for name, kind, shape in (
        (digits_trainer.IMAGE, schema_pb2.FLOAT, digits_trainer.SHAPE),
        (digits_trainer.LABEL, schema_pb2.INT, (1,)),
    ):
        feature = schema.feature.add(name=name, type=kind)
        for size in shape:
            feature.shape.dim.add(size=size)
        feature.presence.min_fraction = 1
    return SplitFiles("all", files, schema.SerializeToString(), "benchmark")


def models(directory: Path, source: SplitFiles) -> ModelPair:
    """Returns the net, trained for an epoch, as SavedModel and in int8 for Micro."""
    tf.keras.utils.set_random_seed(1)
    records = tf.data.TFRecordDataset(list(source.files)).batch(digits_trainer.BATCH)
    examples = records.map(digits_trainer.images_and_labels)
    net = digits_trainer.build_model()
    net.fit(examples, verbose=0)
    path = directory / "saved_model"
    digits_trainer.export(net, str(path))
    [[images, _]] = examples.take(1)
    (directory / "conversion").mkdir()
    with Converter(directory / "conversion") as converter:
        recipe = Recipe(Scheme.INT8, batch_size=1)
        samples = {digits_trainer.IMAGE: images.numpy()}
        (directory / "tflite").write_bytes(converter.convert(path, SIGNATURE, recipe, samples))
    signature = read_tensor_signature(path, SIGNATURE)
    on_micro = Candidate(name="tflite-micro", kernels=Kernels.MICRO)
    return ModelPair(str(path), signature, None, str(directory / "tflite"), candidates=(on_micro,))


def read_and_predicted(pair: ModelPair, source: SplitFiles) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the int8 model takes of all digits, and what it gives in this project.

    Both in the model's own types; of shape (digits, 8, 8, 1) and (digits, 10).
    """
    reader, model = pair.reader(), pair.quantized_model()
    taken, given = [], []
    for batch in source.batches(DIGITS):
        for group in reader.groups(batch):
            [values] = model.quantize(group.tensors).values()
            taken.append(values)
            [found] = (
                open_model(model.content, Kernels.MICRO)
                .run({digits_trainer.IMAGE: values})
                .values()
            )
            given.append(found)
    return np.concatenate(taken), np.concatenate(given)


def bare_loop(content: bytes, inputs: np.ndarray) -> np.ndarray:
    """Returns the outputs of Micro's interpreter, one digit after the other."""
    interpreter = micro.interpreter(content, micro.generous_arena(content))
    found = []
    for row in inputs:
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0))
    return np.concatenate(found)


def evaluate(pair: ModelPair, source: SplitFiles, output: Path) -> None:
    """Compares the float model with the int8 one on Micro, as QuantizationEvaluator does."""
    config = two_model_config(
        config_pb2.EvalConfig(
            model_specs=[config_pb2.ModelSpec(label_key=digits_trainer.LABEL)],
            metrics_specs=[
                config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name=METRIC)])
            ],
        )
    )
    judged = judged_outputs(pair, config, targets_of(config, None))
    gate = Gate(rules=(MetricRule(metric=METRIC, max_drop=0.01),))
    plan = MetricPlan.make(config, judged, gate)
    with beam.Pipeline("FnApiRunner") as pipeline:
        comparison = PlannedComparison("float", plan, str(output))
        _ = pipeline | ReadBatches(source) | CompareModels(pair, config, [comparison], None)


if __name__ == "__main__":
    sys.exit(main())
