"""CPU-seconds of evaluating two models: this project's evaluator against TFMA's own, in one run.

Both read the same TFRecords through TFXIO and Beam's FnApiRunner, compute the same metrics and
slices for two models, and write TFMA's result files. On rows of a table TFMA is given two
SavedModels, because it refuses a TFLite model beside one. On images the prediction with TFLite
models alone is compared, against TFMA's TFLite extractor. Then this project's evaluator alone, on
few and many rows: its memory must not grow. Exits with 0 only where all hold.

    python benchmarks/evaluation.py [--rows 20000 200000] [--images 300] [--most-rows 1000000]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.extractors.tflite_predict_extractor import TFLitePredictExtractor
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.examples.splits import ReadBatches, SplitFiles
from tfx_tflite.components.judgement.compare_models import CompareModels, PlannedComparison
from tfx_tflite.components.judgement.eval_config import judged_outputs, targets_of, two_model_config
from tfx_tflite.components.judgement.evaluation import load_evaluation
from tfx_tflite.components.judgement.gate import AgreementLimit, Gate
from tfx_tflite.components.judgement.metric_plan import MetricPlan
from tfx_tflite.components.judgement.prediction import ModelPair
from tfx_tflite.components.models.float_model import input_reader, read_tensor_signature
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

FEATURES, CLASSES, SLICES = 16, 4, 5
# How many times fewer CPU-seconds than TFMA are asked for, by rows.
BOUNDS = {20_000: 10.0, 200_000: 20.0}
# TFMA runs the plain kernels, which take 2.6 (int8) to 3.5 (float) times as long as XNNPACK's here;
# the rest of what it costs is its own handling of features. Nothing is left to gain on our side, as
# nine tenths of it are the interpreter's.
IMAGE_BOUND = 3.5
IMAGE_SIZE, IMAGE_CLASSES = 96, 1000
TOLERANCE = 1e-6
FEW_ROWS = 10_000
# How much more memory many rows may take than few: what an allocator scatters, and no row's share.
MEMORY_BOUND_MB = 50


def main() -> int:
    """Prints a line for each number of rows and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=sorted(BOUNDS))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--most-rows", type=int, default=1_000_000)
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        return print_memory(arguments.directory, arguments.memory_of)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        pair = make_models(directory)
        warm_up(pair, directory)
        held = [compare(pair, directory, rows) for rows in arguments.rows]
        if arguments.images:
            held.append(compare_images(directory, arguments.images))
        if arguments.most_rows:
            held.append(compare_memory(directory, arguments.most_rows))
        return int(not all(held))


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


def compare_images(directory: Path, images: int) -> bool:
    """Prints what predicting with a MobileNetV2 costs and returns whether the ratio holds.

    Both sides run the same float and int8 TFLite models on the same batches in memory, TFMA through
    its features and TFLite extractors, this project as its own extractor does.
    """
    tflites, saved_model = make_image_models(directory)
    source = write_images(directory, images)
    spent_by_us = milliseconds_an_image(
        source, lambda: beam.ParDo(_PredictTFLite(tflites, saved_model))
    )
    spent_by_tfma = milliseconds_an_image(source, lambda: _TFMAPredicts(tflites, source))
    ratio = spent_by_tfma / spent_by_us
    holds = ratio >= IMAGE_BOUND
    print(
        f"MobileNetV2 0.35 at {IMAGE_SIZE}, float and int8: TFMA's TFLite extractor "
        f"{spent_by_tfma:.2f} CPU-ms an image, ours {spent_by_us:.2f}, ratio {ratio:.1f} "
        f"(at least {IMAGE_BOUND:g}): {'holds' if holds else 'DOES NOT HOLD'}",
        flush=True,
    )
    return holds


def milliseconds_an_image(source: SplitFiles, make_predict: Callable[[], Any]) -> float:
    """Returns CPU-milliseconds an image: of many less of few, so that the start does not count.

    Args:
        source: The images.
        make_predict: Returns the transform of RecordBatches that predicts.
    """
    batches = list(source.batches(batch_size=100))
    images = sum(batch.num_rows for batch in batches)
    path = f"{source.files[0]}.arrow"
    with pa.ipc.new_file(path, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)

    def run(times: int) -> None:
        with beam.Pipeline("FnApiRunner") as pipeline:
            _ = (
                pipeline
                | beam.Create([path] * times, reshuffle=False)
                | beam.FlatMap(mapped_batches)
                | make_predict()
            )

    run(1)
    few, many = (cpu_seconds(lambda times=times: run(times)) for times in (1, 6))
    return 1000 * (many - few) / (5 * images)


def mapped_batches(path: str) -> Iterator[pa.RecordBatch]:
    """Yields the batches of an Arrow file, mapped to memory."""
    with pa.ipc.open_file(pa.memory_map(path)) as reader:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


class _PredictTFLite(beam.DoFn):
    """Predicts with TFLite models as this project's evaluator does."""

    def __init__(self, tflites: list[Path], saved_model: Path):
        self._tflites, self._saved_model = tflites, saved_model

    def setup(self) -> None:
        signature = read_tensor_signature(self._saved_model, "serving_tensors")
        self._reader = input_reader(self._saved_model, signature, None)
        self._models = [TFLiteModel(file.read_bytes()) for file in self._tflites]

    def process(self, batch: pa.RecordBatch) -> Iterator[dict[str, np.ndarray]]:
        inputs = self._reader(batch)
        for model in self._models:
            yield model.predict(inputs)


class _TFMAPredicts(beam.PTransform):
    """Predicts with TFLite models by TFMA's extractors."""

    def __init__(self, tflites: list[Path], source: SplitFiles):
        super().__init__()
        self._config = two_model_config(eval_config())
        for spec in self._config.model_specs:
            spec.model_type, spec.signature_name = tfma.TF_LITE, ""
        self._models = [
            tfma.default_eval_shared_model(
                eval_saved_model_path=str(file.parent),
                model_name=spec.name,
                eval_config=self._config,
            )
            for file, spec in zip(tflites, self._config.model_specs, strict=True)
        ]
        self._representations = source.tfxio().TensorRepresentations()

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        features = tfma.extractors.FeaturesExtractor(
            self._config, tensor_representations=self._representations
        )
        predictions = TFLitePredictExtractor(self._config, self._models)
        return (
            batches
            | tfma.BatchedInputsToExtracts()
            | features.stage_name >> features.ptransform
            | predictions.stage_name >> predictions.ptransform
        )


def compare_memory(directory: Path, most_rows: int) -> bool:
    """Prints the peak memory for few and for many rows and returns whether it is the same."""
    write_rows(directory, FEW_ROWS)
    few, many = (peak_megabytes(directory, rows) for rows in (FEW_ROWS, most_rows))
    holds = many - few <= MEMORY_BOUND_MB
    print(
        f"{FEW_ROWS:>9,} rows take {few:,.0f} MB at the peak, {most_rows:,} rows {many:,.0f} MB "
        f"(at most {MEMORY_BOUND_MB} more): {'holds' if holds else 'DOES NOT HOLD'}",
        flush=True,
    )
    return holds


def peak_megabytes(directory: Path, rows: int) -> float:
    """Returns the peak resident memory of a process that evaluates some rows."""
    command = [sys.executable, __file__, "--memory-of", str(rows), "--directory", str(directory)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.splitlines()[-1])


def print_memory(directory: Path, rows: int) -> int:
    """Evaluates rows, the same file over and over, and prints the peak memory in MB."""
    source = rows_source(directory, FEW_ROWS, repeat=rows // FEW_ROWS)
    pair = model_pair(directory / "model", directory)
    ours(pair, source, directory / f"memory-{rows}")
    found = load_evaluation(str(directory / f"memory-{rows}"), plan(pair)).examples
    assert found == rows, (found, rows)
    # Not ru_maxrss, which a child inherits from its parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024)
    return 0


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
    with Converter(directory / "conversion") as converter:
        content = converter.convert(path, "serving_tensors", Recipe(Scheme.INT8), {"x": samples})
    (directory / "tflite").write_bytes(content)
    return model_pair(path, directory)


def model_pair(saved_model: Path, directory: Path) -> ModelPair:
    """Returns the models in a directory."""
    signature = read_tensor_signature(saved_model, "serving_tensors")
    return ModelPair(str(saved_model), signature, None, str(directory / "tflite"))


def write_rows(directory: Path, rows: int) -> SplitFiles:
    """Writes random rows as TFRecords and returns how to read them."""
    path = rows_file(directory, rows)
    generator = np.random.default_rng(rows)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(rows):
            example = tf.train.Example()
            feature = example.features.feature
            feature["x"].float_list.value.extend(generator.normal(size=FEATURES))
            feature["label"].int64_list.value.append(int(generator.integers(CLASSES)))
            feature["group"].int64_list.value.append(int(generator.integers(SLICES)))
            writer.write(example.SerializeToString())
    return rows_source(directory, rows)


def rows_file(directory: Path, rows: int) -> Path:
    """Returns where `write_rows` writes."""
    return directory / f"rows-{rows}.tfrecord"


def rows_source(directory: Path, rows: int, repeat: int = 1) -> SplitFiles:
    """Returns how to read what `write_rows` wrote, over and over if need be."""
    features = (
        ("x", schema_pb2.FLOAT, FEATURES),
        ("label", schema_pb2.INT, 1),
        ("group", schema_pb2.INT, 1),
    )
    files = (str(rows_file(directory, rows)),) * repeat
    return SplitFiles("eval", files, schema(features).SerializeToString(), "benchmark")


def make_image_models(directory: Path) -> tuple[list[Path], Path]:
    """Returns a MobileNetV2 as float32 and int8 TFLite models, and as SavedModel."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.applications.MobileNetV2(
        input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), alpha=0.35, weights=None, classes=IMAGE_CLASSES
    )
    spec = tf.TensorSpec([None, IMAGE_SIZE, IMAGE_SIZE, 3], tf.float32, name="image")

    @tf.function(input_signature=[spec])
    def serving_tensors(image):
        return {"probabilities": model(image, training=False)}

    path = directory / "image_model"
    tf.saved_model.save(model, str(path), {"serving_tensors": serving_tensors})
    samples = np.random.default_rng(0).random((20, IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
    working = directory / "image_conversion"
    working.mkdir()
    with Converter(working) as converter:
        models = [
            converter.float32(path, "serving_tensors"),
            converter.convert(path, "serving_tensors", Recipe(Scheme.INT8), {"image": samples}),
        ]
    # TFMA wants a directory a model, with the file `tflite` in it.
    files = [directory / name / "tflite" for name in ("image_float", "image_quantized")]
    for file, content in zip(files, models, strict=True):
        file.parent.mkdir()
        file.write_bytes(content)
    return files, path


def write_images(directory: Path, images: int) -> SplitFiles:
    """Writes random images as TFRecords and returns how to read them."""
    path = directory / f"images-{images}.tfrecord"
    generator = np.random.default_rng(images)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(images):
            example = tf.train.Example()
            feature = example.features.feature
            feature["image"].float_list.value.extend(generator.random(IMAGE_SIZE**2 * 3))
            feature["label"].int64_list.value.append(int(generator.integers(IMAGE_CLASSES)))
            feature["group"].int64_list.value.append(int(generator.integers(SLICES)))
            writer.write(example.SerializeToString())
    features = (
        ("image", schema_pb2.FLOAT, IMAGE_SIZE**2 * 3),
        ("label", schema_pb2.INT, 1),
        ("group", schema_pb2.INT, 1),
    )
    serialized = schema(features, {"image": (IMAGE_SIZE, IMAGE_SIZE, 3)}).SerializeToString()
    return SplitFiles("eval", (str(path),), serialized, "benchmark")


def schema(
    features: Iterable[tuple[str, int, int]],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> schema_pb2.Schema:
    """Returns a schema of features (name, type, number of values), some of them with a shape."""
    result = schema_pb2.Schema()
    for name, kind, size in features:
        feature = result.feature.add(name=name, type=kind)
        for dimension in (shapes or {}).get(name, (size,)):
            feature.shape.dim.add(size=dimension)
        feature.presence.min_fraction = 1
    return result


def eval_config() -> config_pb2.EvalConfig:
    """Returns the metrics and slices that both compute."""
    names = ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy")
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key="label", signature_name="serving_tensors")],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name=name) for name in names]
            )
        ],
        slicing_specs=[config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=["group"])],
    )


def plan(pair: ModelPair) -> MetricPlan:
    """Returns which metrics are computed on batches: all of them."""
    config = two_model_config(eval_config())
    judged = judged_outputs(pair, config, targets_of(config, None))
    return MetricPlan.make(config, judged, Gate(rules=(AgreementLimit(min_agreement=0),)))


def ours(pair: ModelPair, source: SplitFiles, output: Path) -> None:
    """Evaluates with this project's evaluator."""
    config = two_model_config(eval_config())
    comparison = PlannedComparison("float", plan(pair), str(output))
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | ReadBatches(source) | CompareModels(pair, config, [comparison], None)


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
