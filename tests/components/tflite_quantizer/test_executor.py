"""TFLiteQuantizer through its executor: real artifacts, Beam, converter and interpreter."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.components.models.reading import with_unused_reader
from tfx_tflite.components.errors import ConversionError, DataError, ModelError, user_error_in
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.settings import QuantizerSettings

pytestmark = [pytest.mark.slow, pytest.mark.generations]

OPTIONS = {"signature": "serving_tensors", "ranges": "minmax", "time_limit": 600}


@pytest.fixture
def quantize(digits_model: Path, write_records, tmp_path: Path):
    """Runs the executor on images, shape (n, 8, 8, 1), and returns the artifact's directory."""
    from tfx.types import artifact_utils, standard_artifacts

    from tests.executors import on_beam
    from tfx_tflite.components.tflite_quantizer.executor import Executor

    def run(
        images: np.ndarray, name: str = "model", beam_args=(), saved=digits_model, **options
    ) -> Path:
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path / f"{name}-sample")
        examples.split_names = artifact_utils.encode_split_names(["calibration"])
        rows = [{"image": image} for image in images]
        path = Path(examples.uri) / "Split-calibration" / "data_tfrecord-00000-of-00001.gz"
        write_records(path, rows, "GZIP")
        model, output = standard_artifacts.Model(), standard_artifacts.Model()
        model.uri, output.uri = str(saved), str(tmp_path / name)
        on_beam(Executor, *beam_args).Do(
            {"model": [model], "calibration_examples": [examples]},
            {"quantized_model": [output]},
            {"settings": QuantizerSettings.given(None, {**OPTIONS, **options}).to_property()},
        )
        return Path(output.uri)

    return run


@pytest.fixture(scope="module")
def images(digits_arrays) -> np.ndarray:
    return digits_arrays["train"][0][:100]


def model_of(directory: Path) -> bytes:
    return (directory / "Format-Serving" / "tflite").read_bytes()


def test_the_order_of_the_examples_and_the_workers_do_not_change_the_model(quantize, images):
    shuffled = images[np.random.default_rng(0).permutation(len(images))]
    parallel = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    one = quantize(images, "one")
    several = quantize(images, "several", beam_args=parallel)
    other = quantize(shuffled, "shuffled", beam_args=parallel)
    assert model_of(one) == model_of(several) == model_of(other)
    ranges = [
        TensorRanges.from_json((directory / "ranges.json").read_text())
        for directory in (one, several, other)
    ]
    assert ranges[0].to_json() == ranges[1].to_json() and ranges[0].examples == 100
    # Of other records in the same places only the positions differ.
    np.testing.assert_array_equal(ranges[0].minima, ranges[2].minima)
    np.testing.assert_array_equal(ranges[0].maxima, ranges[2].maxima)


def test_the_ranges_of_one_calibration_serve_another_scheme(quantize, images):
    from tfx_tflite.components.quantization.conversion.from_ranges import (
        quantize as quantize_calibrated,
    )
    from tfx_tflite.components.quantization.conversion.from_ranges import write_ranges
    from tfx_tflite.components.quantization.ranges.policy import RangePolicy
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    directory = quantize(images)
    ranges = TensorRanges.from_json((directory / "ranges.json").read_text())
    calibrated = write_ranges((directory / "float32.tflite").read_bytes(), ranges, RangePolicy())
    again = quantize_calibrated(calibrated, Recipe(Scheme.INT8_FLOAT_IO))
    assert again == model_of(quantize(images, "twin", scheme="int8_float_io"))


def test_the_report_has_range_noise_and_saturation_of_every_layer_that_computes(quantize, images):
    document = json.loads((quantize(images) / "quantization.json").read_text())
    assert document["calibration"] == {"ranges": "minmax", "percentile": None}
    assert document["warnings"] == []
    convolutions = [layer for layer in document["layers"] if layer["operator"] == "CONV_2D"]
    assert len(convolutions) == 2
    for layer in convolutions:
        lowest, highest = layer["range"]
        assert lowest == 0 < highest
        # The range becomes 255 steps.
        assert layer["scale"] == pytest.approx(highest / 255, rel=1e-3)
        assert 20 < layer["sqnr_db"] < 60
        assert layer["saturated"] < 0.01
    lowest, highest = document["input_ranges"]["image"]
    assert lowest < 0 < 1 < highest < 1.1


def test_an_outlier_decides_a_minmax_range_and_not_a_percentile(quantize, images):
    spoilt = np.concatenate([images, 20 * images[:1]])
    scales = {}
    for ranges in ("minmax", "percentile", "stock"):
        document = json.loads(
            (quantize(spoilt, ranges, ranges=ranges) / "quantization.json").read_text()
        )
        scales[ranges] = document["layers"][0]["scale"]
    assert scales["minmax"] > 3 * scales["percentile"]
    assert scales["stock"] == pytest.approx(scales["minmax"], rel=1e-3)


def test_robust_ranges_are_minmax_without_outliers_and_the_same_with_one(quantize, images):
    spoilt = np.concatenate([images, 20 * images[:1]])
    clean = quantize(images, "clean")
    robust = quantize(images, "robust", ranges="robust")
    with_outlier = quantize(spoilt, "outlier", ranges="robust")
    assert model_of(clean) == model_of(robust) == model_of(with_outlier)
    [warning] = json.loads((with_outlier / "quantization.json").read_text())["warnings"]
    assert "calibration example 100; input 'image' goes to 20 there and to 1 otherwise" in warning
    assert json.loads((robust / "quantization.json").read_text())["warnings"] == []


def test_a_constant_sample_is_warned_of(quantize):
    document = json.loads(
        (quantize(np.zeros((20, 8, 8, 1), np.float32)) / "quantization.json").read_text()
    )
    assert document["warnings"][0].startswith("input 'image' is 0 in all 20 calibration examples")


@pytest.mark.parametrize("ranges", ["minmax", "stock"])
def test_names_the_example_that_is_not_finite(quantize, images, ranges: str):
    bad = images.copy()
    bad[41, 3, 3, 0] = np.nan
    with pytest.raises(Exception, match="calibration example 41") as caught:
        quantize(bad, ranges=ranges)
    error = user_error_in(caught.value)
    assert isinstance(error, DataError) and "input 'image'" in str(error)


def test_each_model_is_parsed_once(quantize, images, monkeypatch: pytest.MonkeyPatch):
    """By the process of the stage: ranges, audit, noise and report have the same graph."""
    from tfx_tflite.components.digests import bytes_digest, file_digest
    from tfx_tflite.components.models import object_tree
    from tfx_tflite.components.models.flatbuffer import read_graph

    parsed: list[str] = []
    parse = object_tree.parse

    def counted(content: bytes) -> object:
        parsed.append(bytes_digest(content))
        return parse(content)

    monkeypatch.setattr(object_tree, "parse", counted)
    read_graph.cache_clear()
    directory = quantize(images)
    models = (directory / "float32.tflite", directory / "Format-Serving" / "tflite")
    assert parsed == [file_digest(model) for model in models]


@pytest.fixture
def reading_model(digits_model: Path, tmp_path: Path) -> Path:
    """The digits model with a function that reads a file."""
    return with_unused_reader(digits_model, tmp_path / "reading")


def test_a_model_that_would_read_files_is_an_error_before_it_is_loaded(
    quantize, images, reading_model: Path
):
    with pytest.raises(ModelError, match=r"operator ReadFile .* set model.trust: true"):
        quantize(images, saved=reading_model)


def test_a_model_that_is_trusted_may_read_files(quantize, images, reading_model: Path):
    assert model_of(quantize(images, saved=reading_model, scheme="float32", trust=True))


def test_a_converted_model_that_ends_the_runtimes_process_is_an_error(
    quantize, images, monkeypatch: pytest.MonkeyPatch
):
    from tfx_tflite.components.quantization.conversion import first_run

    monkeypatch.setattr(first_run, "_run_first", lambda quantized, examples: os.abort())
    with pytest.raises(ConversionError, match=r"crashes \(SIGABRT\) on the converted"):
        quantize(images, scheme="float32")
