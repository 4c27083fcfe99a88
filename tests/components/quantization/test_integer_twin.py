"""A strict int8 model and its twin with float inputs and outputs agree on every row.

The twin's first operators quantize its inputs and its last dequantize its outputs, by the runtime
itself: the oracle for how the evaluator feeds integer models.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

BUILTIN = {
    "digits": ("digits_trainer", None),
    "breast_cancer": ("tabular_trainer", {"label": "malignant", "task": "binary"}),
    "diabetes": ("tabular_trainer", {"label": "progression", "task": "regression"}),
}


@pytest.fixture(scope="module", params=BUILTIN)
def twins(request, tmp_path_factory: pytest.TempPathFactory):
    """The models of a shipped config in both schemes, and its inputs on the eval split."""
    from tfx_tflite.components.models.float_model import input_reader, read_tensor_signature
    from tfx_tflite.components.models.tflite_model import TFLiteModel
    from tfx_tflite.components.quantization.conversion.converter import Converter

    directory = tmp_path_factory.mktemp(request.param)
    saved_model, batches = train(request.param, directory)
    signature = read_tensor_signature(saved_model, "serving_tensors")
    reader = input_reader(saved_model, signature, None)
    samples, inputs = reader(batches["train"]), reader(batches["eval"])
    few = {name: values[:100] for name, values in samples.items()}
    with Converter(directory) as converter:
        models = [
            TFLiteModel(converter.convert(saved_model, "serving_tensors", Recipe(scheme), few))
            for scheme in (Scheme.INT8, Scheme.INT8_FLOAT_IO)
        ]
    return *models, inputs


def train(name: str, directory: Path):
    """Trains the shipped net of a config and returns it and its data as record batches."""
    import tensorflow as tf
    import tensorflow_data_validation as tfdv
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data

    module_name, custom_config = BUILTIN[name]
    sys.path.insert(0, str(CONFIGS))
    module = __import__(module_name)
    sys.path.remove(str(CONFIGS))
    data = write_builtin_data(name, directory)
    records = {
        split: list(
            tf.data.TFRecordDataset(str(data / split / "data.tfrecord")).as_numpy_iterator()
        )
        for split in ("train", "eval")
    }
    batches = {
        split: ExamplesToRecordBatchDecoder().DecodeBatch(examples)
        for split, examples in records.items()
    }
    gzipped = directory / "train.gz"
    with tf.io.TFRecordWriter(str(gzipped), "GZIP") as writer:
        for record in records["train"]:
            writer.write(record)
    statistics = tfdv.generate_statistics_from_tfrecord(str(gzipped))
    schema = tfdv.infer_schema(statistics)
    tfdv.write_schema_text(schema, str(directory / "schema.pbtxt"))
    module.run_fn(
        SimpleNamespace(
            train_files=[str(gzipped)],
            eval_files=[str(gzipped)],
            train_steps=60,
            eval_steps=1,
            schema_path=str(directory / "schema.pbtxt"),
            custom_config=custom_config,
            serving_model_dir=str(directory / "model"),
        )
    )
    return directory / "model", batches


def agreement(strict, twin, inputs: dict[str, np.ndarray]) -> float:
    expected, found = twin.predict(inputs), strict.predict(inputs)
    same = [
        (found[name] == expected[name]).reshape(len(found[name]), -1).all(axis=1)
        for name in expected
    ]
    return float(np.mean(np.all(same, axis=0)))


def test_they_agree_on_every_row_of_the_eval_split(twins):
    strict, twin, inputs = twins
    assert agreement(strict, twin, inputs) == 1.0


@pytest.mark.parametrize("rows", [1, 3, 7, 8, 9])
def test_they_agree_for_any_batch_size(twins, rows: int):
    strict, twin, inputs = twins
    assert agreement(strict, twin, {n: v[:rows] for n, v in inputs.items()}) == 1.0


@pytest.mark.parametrize("factor", [1.1, 10.0, -3.0, 1e6])
def test_they_agree_on_values_out_of_range(twins, factor: float):
    strict, twin, inputs = twins
    scaled = {name: (values * factor).astype(np.float32) for name, values in inputs.items()}
    assert agreement(strict, twin, scaled) == 1.0


def test_they_agree_on_infinity(twins):
    strict, twin, inputs = twins
    infinite = {name: np.full_like(values[:5], np.inf) for name, values in inputs.items()}
    assert agreement(strict, twin, infinite) == 1.0


def test_they_agree_on_ties_between_two_integers(twins):
    strict, twin, inputs = twins
    generator = np.random.default_rng(0)
    ties = {}
    for name, values in inputs.items():
        info = strict.inputs[name]
        levels = generator.integers(-140, 140, size=values.shape) + 0.5
        ties[name] = ((levels - info.zero_point) * np.float32(info.scale)).astype(np.float32)
    assert agreement(strict, twin, ties) == 1.0


def test_nan_is_refused(twins):
    strict, _, inputs = twins
    with pytest.raises(DataError, match="holds NaN"):
        strict.predict({name: np.full_like(values, np.nan) for name, values in inputs.items()})
