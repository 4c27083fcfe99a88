"""What is written beside a model that is pushed, and that each file has its digest."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.components.models.test_c_array import recorded
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.judgement import shipped_files
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import Gate, SizeLimit
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.models import golden_samples
from tfx_tflite.components.models.input_normalization import (
    InputNormalization,
    with_normalizations,
)
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.models.vela import accelerate

GATE = Gate(rules=(SizeLimit(max_size_ratio=1.0),))
ETHOS_U = tuple(
    Target(runtime="tflite-micro", accelerator=name) for name in ("ethos-u55-128", "ethos-u65-256")
)
COMPILED = {"model_ethos-u55-128.tflite", "model_ethos-u65-256.tflite"}
GOLDEN = {"golden/input_0.bin", "golden/output_0.bin"}


def ship(directory: Path, recipe: str | None = None, **settings) -> shipped_files.ShippedFiles:
    """Ships the net `dense`, whose inputs are random."""
    model = TFLiteModel(recorded("dense")[0])
    [name] = model.inputs
    inputs = {name: np.random.default_rng(0).normal(size=(10, 32)).astype(np.float32)}
    first = FirstExamples(pa.RecordBatch.from_pydict({}), inputs, inputs)
    wanted = EvaluatorSettings(gate=GATE, **settings)
    return shipped_files.write_shipped_files(directory, model, first, wanted, None, recipe=recipe)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({}, GOLDEN),
        ({"golden_samples": 0}, set()),
        ({"golden_samples": 0, "recipe": "{}"}, {"recipe.json"}),
        ({"extras": ("c_array",), "golden_samples": 0}, {"model.h", "model.cc"}),
        ({"extras": ("c_array",)}, {*GOLDEN, "model.h", "model.cc"}),
        ({"extras": ("vela",), "devices": ETHOS_U}, {*GOLDEN, *COMPILED}),
    ],
)
def test_what_is_asked_for_is_written_with_its_digest(tmp_path: Path, settings, files):
    shipped = ship(tmp_path, **settings)
    assert set(shipped.digests) == files
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == files
    assert all(file_digest(tmp_path / name) == shipped.digests[name] for name in files)


def test_what_the_caller_does_first_is_in_the_signature_and_done_in_the_golden_samples(
    tmp_path: Path,
):
    constants = InputNormalization(np.full(32, 3, np.float32), np.full(32, 0.5, np.float32))
    content = with_normalizations(recorded("dense")[0], {"x": constants})
    model, inputs = TFLiteModel(content), {"x": np.full((10, 32), 4, np.float32)}
    first = FirstExamples(pa.RecordBatch.from_pydict({}), inputs, inputs)
    settings = EvaluatorSettings(gate=GATE)
    shipped = shipped_files.write_shipped_files(tmp_path, model, first, settings, None)
    [tensor] = shipped.signature.inputs
    assert tensor.normalization is not None and tensor.normalization.shape == (32,)
    assert set(tensor.normalization.mean) == {3} and set(tensor.normalization.factor) == {0.5}
    [golden] = golden_samples.read(tmp_path, shipped.golden.inputs).values()
    assert np.abs(model.inputs["x"].reals(golden) - 0.5).max() <= tensor.scale / 2


def test_the_array_is_called_what_the_settings_say(tmp_path: Path):
    ship(tmp_path, extras=("c_array",), model_name="my-digits")
    assert "extern const unsigned char my_digits_model[];" in (tmp_path / "model.h").read_text()


def test_the_program_is_shipped_if_micro_gave_the_golden_samples(tmp_path: Path):
    content, golden = recorded("dense")
    shipped_files._write_sources(tmp_path, content, [golden], "dense")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("model.h", "model.cc"),
        *("golden.h", "golden.cc", "golden_test.cc"),
    }
    # Its arena is at least what the interpreter needs here.
    assert "#define DENSE_ARENA_BYTES 4096" in (tmp_path / "golden_test.cc").read_text()


def test_the_compiled_file_is_what_vela_makes_of_the_model(tmp_path: Path):
    ship(tmp_path, extras=("vela",), devices=ETHOS_U[:1])
    compiled = accelerate(recorded("dense")[0], "ethos-u55-128").content
    assert (tmp_path / "model_ethos-u55-128.tflite").read_bytes() == compiled
