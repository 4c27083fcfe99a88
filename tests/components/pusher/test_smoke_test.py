"""A model is tried in a process of its own, with the plain runtime, before it is pushed."""

from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.errors import PushError
from tfx_tflite.components.golden_samples import GoldenSamples
from tfx_tflite.components.pusher.smoke_test import try_model


@pytest.fixture
def shipped(tmp_path: Path, digits_flatbuffer: bytes, digits_arrays):
    """A version's files, and the description of its golden samples."""
    import tensorflow as tf

    (tmp_path / "model.tflite").write_bytes(digits_flatbuffer)
    images = digits_arrays["eval"][0][:4]
    samples = GoldenSamples.record(
        tf.lite.Interpreter(model_content=digits_flatbuffer), {"image": images}
    )
    description = {**samples.write(tmp_path / "golden"), "runtime": "tensorflow"}
    return tmp_path, description


def test_a_model_that_gives_what_it_gave_passes_and_the_runtime_is_named(shipped):
    assert try_model(*shipped)["smoke_test"].startswith("ai-edge-litert ")


def test_a_model_without_golden_samples_is_run_once(shipped):
    assert try_model(shipped[0], None)["smoke_test"].startswith("ai-edge-litert ")


def test_other_outputs_stop_the_push(shipped):
    directory, golden = shipped
    file = directory / golden["outputs"][0]["file"]
    values = np.fromfile(file, "<f4")
    values[3] += 0.5
    values.astype("<f4").tofile(file)
    with pytest.raises(PushError, match=r"output 'probabilities' is off by up to 0\.5 from what"):
        try_model(directory, golden)


def test_a_difference_within_the_tolerance_passes(shipped):
    directory, golden = shipped
    file = directory / golden["outputs"][0]["file"]
    (np.fromfile(file, "<f4") + np.float32(0.001)).tofile(file)
    try_model(directory, golden)


def test_a_file_that_is_no_model_stops_the_push(shipped):
    directory, golden = shipped
    (directory / "model.tflite").write_bytes(b"not a flatbuffer")
    with pytest.raises(PushError, match="it cannot be run: "):
        try_model(directory, golden)


def test_a_runtime_that_dies_stops_the_push(shipped, monkeypatch: pytest.MonkeyPatch):
    directory, golden = shipped
    dying = directory / "dying"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    with pytest.raises(PushError, match="the runtime died of SIGSEGV"):
        try_model(directory, golden)


def test_a_model_that_takes_too_long_stops_the_push(shipped):
    with pytest.raises(PushError, match="took more than 0 s"):
        try_model(*shipped, time_limit=0.01)


def test_golden_files_are_plain_little_endian_values(shipped, digits_arrays):
    directory, golden = shipped
    [entry] = golden["inputs"]
    content = (directory / entry["file"]).read_bytes()
    expected = digits_arrays["eval"][0][:4]
    assert entry["shape"] == [4, 8, 8, 1] and entry["dtype"] == "float32"
    assert content == expected.astype("<f4").tobytes()


def test_samples_are_repeated_for_a_model_of_a_larger_fixed_batch(digits_model: Path):
    import tensorflow as tf

    class Fixed(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4, 2], tf.float32, name="x")])
        def __call__(self, x):
            return {"y": x * 2.0}

    module = Fixed()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.__call__.get_concrete_function()], module
    )
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    samples = GoldenSamples.record(interpreter, {"x": rows})
    assert samples.batch_size == 4
    np.testing.assert_array_equal(samples.inputs["x"], rows[[0, 1, 2, 0]])
    np.testing.assert_array_equal(samples.outputs["y"], 2 * rows[[0, 1, 2, 0]])


class Interpreter:
    """Gives outputs such as models have that are no plain tensors of a batch."""

    def __init__(self, outputs):
        self._outputs = outputs

    def get_signature_runner(self):
        return self

    def get_input_details(self):
        return {"x": {"shape_signature": np.array([-1, 2])}}

    def __call__(self, x):
        return self._outputs(x)


def test_outputs_of_strings_and_of_varying_shapes_are_no_golden_samples():
    lengths = iter(range(1, 9))

    def outputs(x):
        word = np.array([b"cat"], object)
        varying = np.zeros((1, next(lengths)), np.float32)
        return {"y": x, "word": word, "varying": varying, "scalar": np.float32(2)}

    rows = np.ones((3, 2), np.float32)
    samples = GoldenSamples.record(Interpreter(outputs), {"x": rows})
    assert set(samples.outputs) == {"y", "scalar"}


def test_the_tolerance_of_one_large_value_allows_for_its_rounding(tmp_path: Path):
    rows = np.full((1, 2), 1234.567, np.float32)
    samples = GoldenSamples.record(Interpreter(lambda x: {"y": x}), {"x": rows})
    [entry] = samples.write(tmp_path)["outputs"]
    assert np.spacing(rows).max() < entry["tolerance"] < 1
