"""A model is tried in a process of its own, with the plain runtime, before it is pushed."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.components.models import hostile
from tests.components.models.micro_outputs import (
    differences,
    expected_differences,
    rounds_dense_layers_otherwise,
)
from tests.forked import TRIED_BY_COMMAND
from tfx_tflite.components.destinations.manifest import Golden, GoldenTensor
from tfx_tflite.components.errors import EvaluationError, PushError
from tfx_tflite.components.models import smoke_test
from tfx_tflite.components.models.golden_samples import GoldenSamples, run
from tfx_tflite.components.models.smoke_test import try_model
from tfx_tflite.components.versions import Kernels, Runtime

# What TensorFlow Lite Micro gave for nets whose kernels disagree.
MICRO = Path(__file__).parent / "micro"


@pytest.fixture(autouse=True)
def _by_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has each process started by its command, as outside of tests."""
    monkeypatch.setattr(smoke_test, "_ended", TRIED_BY_COMMAND)


@pytest.fixture(scope="module")
def tensor_model():
    """Converts a function of one float tensor `x` to a TFLite model with the output `output`."""
    import tensorflow as tf

    def convert(function, shape: list) -> bytes:
        module = tf.Module()
        spec = tf.TensorSpec(shape, tf.float32, name="x")
        module.function = tf.function(lambda x: {"output": function(x)}, input_signature=[spec])
        concrete = module.function.get_concrete_function()
        return tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()

    return convert


@pytest.fixture
def shipped(tmp_path: Path, digits_flatbuffer: bytes, digits_arrays):
    """A version's files, and the description of its golden samples."""
    (tmp_path / "model.tflite").write_bytes(digits_flatbuffer)
    images = digits_arrays["eval"][0][:4]
    samples = GoldenSamples.record(digits_flatbuffer, {"image": images})
    return tmp_path, samples.write(tmp_path)


def test_a_model_that_gives_what_it_gave_passes_and_both_runtimes_are_named(shipped):
    found = try_model(shipped[0], [shipped[1]])
    assert found.runtime.package == "ai-edge-litert"
    assert found.recorded_with.kernels is Kernels.REFERENCE
    assert found.kernels_deviate.examples == 4 and found.kernels_deviate.answers == 0


def test_a_model_without_golden_samples_is_run_once(shipped):
    assert try_model(shipped[0], []).runtime.package == "ai-edge-litert"


def test_a_model_with_free_axes_and_without_golden_samples_is_run_on_an_examples_shape(
    tmp_path: Path, tensor_model
):
    import tensorflow as tf

    kernel = tf.ones([5, 3, 2])
    content = tensor_model(lambda x: tf.nn.conv1d(x, kernel, 1, "VALID"), [None, None, 3])
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(PushError, match="it cannot be run"):
        try_model(tmp_path, [], {"x": (1, 1, 3)})
    try_model(tmp_path, [], {"x": (1, 9, 3)})


def test_an_output_that_is_off_by_one_bit_stops_the_push(shipped):
    directory, golden = shipped
    file = directory / golden.outputs[0].file
    bits = np.fromfile(file, "<u4")
    bits[3] += 1
    bits.tofile(file)
    with pytest.raises(
        PushError, match=r"'probabilities' is not what it was .*tensorflow .*reference kernels"
    ):
        try_model(directory, [golden])


def test_kernels_that_promise_nothing_of_the_kind_need_not_give_the_same_bits(shipped):
    """Those that record if the reference kernels lack an operator."""
    directory, golden = shipped
    golden = golden.model_copy(update={"runtime": Runtime.of(Kernels.BUILTIN)})
    file = directory / golden.outputs[0].file
    (np.fromfile(file, "<f4") + np.float32(0.001)).tofile(file)
    found = try_model(directory, [golden]).kernels_deviate
    assert found.largest == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize("net", ["deep_residual", "depthwise", "dense", "hard_swish"])
def test_nets_whose_kernels_disagree_pass_and_it_is_told_how_far(tmp_path: Path, net: str):
    recorded = np.load(MICRO / f"{net}.npz")
    content = recorded["model"].tobytes()
    (tmp_path / "model.tflite").write_bytes(content)
    samples = GoldenSamples.record(content, {"x": recorded["inputs"]})
    outputs = samples.outputs["output"]
    assert differences(outputs, recorded["outputs"]) == expected_differences(net)
    found = try_model(tmp_path, [samples.write(tmp_path)]).kernels_deviate
    assert found.examples == len(recorded["inputs"])
    if net != "dense":
        assert found.largest > 10
    else:
        # TensorFlow 2.21's reference kernels round dense layers as XNNPACK does.
        assert found.largest == (0 if rounds_dense_layers_otherwise() else 1)


def test_nan_from_the_default_kernels_stops_the_push(tmp_path: Path, tensor_model):
    import tensorflow as tf

    (tmp_path / "model.tflite").write_bytes(tensor_model(lambda x: tf.math.log(x), [None, 2]))
    golden = Golden(
        samples=1,
        batch_size=1,
        runtime=Runtime.of(Kernels.REFERENCE),
        inputs=(GoldenTensor(name="x", file="x.bin", dtype="float32", shape=(1, 2)),),
        outputs=(),
    )
    np.array([[1, -1]], "<f4").tofile(tmp_path / "x.bin")
    with pytest.raises(PushError, match="output 'output' of golden sample 0 is not finite"):
        try_model(tmp_path, [golden])


def test_no_golden_sample_is_recorded_of_nan(tensor_model):
    import tensorflow as tf

    content = tensor_model(lambda x: tf.math.log(x), [None, 2])
    rows = np.array([[1, 2], [1, -1]], np.float32)
    with pytest.raises(EvaluationError, match=r"golden sample 1: .*'output' as NaN"):
        GoldenSamples.record(content, {"x": rows})


def test_a_file_that_is_no_model_stops_the_push(shipped):
    directory, golden = shipped
    (directory / "model.tflite").write_bytes(b"not a flatbuffer")
    with pytest.raises(PushError, match="it cannot be run: "):
        try_model(directory, [golden])


def test_a_runtime_that_dies_stops_the_push(shipped, monkeypatch: pytest.MonkeyPatch):
    directory, golden = shipped
    dying = directory / "dying"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    with pytest.raises(PushError, match="the runtime died of SIGSEGV"):
        try_model(directory, [golden])


def test_a_model_that_takes_too_long_stops_the_push(shipped):
    with pytest.raises(PushError, match="took more than 0 s"):
        try_model(shipped[0], [shipped[1]], time_limit=0.01)


def test_golden_files_are_plain_little_endian_values(shipped, digits_arrays):
    directory, golden = shipped
    [entry] = golden.inputs
    content = (directory / entry.file).read_bytes()
    expected = digits_arrays["eval"][0][:4]
    assert entry.shape == (4, 8, 8, 1) and entry.dtype == "float32"
    assert content == expected.astype("<f4").tobytes()


def test_samples_are_repeated_for_a_model_of_a_larger_fixed_batch(tensor_model):
    content = tensor_model(lambda x: x * 2.0, [4, 2])
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    samples = GoldenSamples.record(content, {"x": rows})
    assert samples.batch_size == 4
    np.testing.assert_array_equal(samples.inputs["x"], rows[[0, 1, 2, 0]])
    np.testing.assert_array_equal(samples.outputs["output"], 2 * rows[[0, 1, 2, 0]])


class OddModel:
    """Gives outputs such as models have that are no plain tensors of a batch."""

    def __init__(self):
        self._lengths = iter(range(1, 9))

    def run(self, inputs):
        return {
            "y": inputs["x"],
            "word": np.array([b"cat"], object),
            "varying": np.zeros((1, next(self._lengths)), np.float32),
            "scalar": np.float32(2),
        }


def test_outputs_of_strings_and_of_varying_shapes_are_no_golden_samples():
    rows = np.ones((3, 2), np.float32)
    assert set(run(OddModel(), {"x": rows}, 1)) == {"y", "scalar"}


def test_golden_samples_of_before_kernels_were_named_are_to_be_recorded_again(shipped):
    directory, golden = shipped
    old = golden.model_copy(update={"runtime": "ai-edge-litert 1.0"})
    with pytest.raises(PushError, match=r"name no kernels \(ai-edge-litert 1.0\); evaluate"):
        try_model(directory, [old])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(hostile.while_in_itself(), id="circle"),
        pytest.param(hostile.split_in_no_parts(), id="crash"),
        pytest.param(hostile.net("dense")[:3000], id="cut"),
        pytest.param(hostile.tile_past_32_bits(), id="overflow"),
    ],
)
def test_a_model_that_would_end_the_process_is_not_pushed(tmp_path: Path, content: bytes):
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(PushError, match="the model was not pushed: ") as raised:
        try_model(tmp_path, [])
    assert len(str(raised.value).splitlines()) == 1


def test_the_process_that_tries_a_model_has_no_credentials(
    shipped, monkeypatch: pytest.MonkeyPatch
):
    given = {}
    run_process = subprocess.run

    def run(command, **options):
        given.update(options["env"])
        return run_process(command, **options)

    monkeypatch.setenv("HF_TOKEN", "open sesame")
    monkeypatch.setattr(subprocess, "run", run)
    assert try_model(shipped[0], [])
    assert "PATH" in given and "HF_TOKEN" not in given
