"""What models take and give, read without TensorFlow, against TensorFlow's own reading."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import interfaces
from tfx_tflite.components.models.interfaces import TensorForm


@pytest.fixture(scope="module")
def many_types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel whose signatures have scalars, free axes, an unknown rank and many types."""
    import tensorflow as tf

    def spec(shape, dtype, name: str) -> tf.TensorSpec:
        return tf.TensorSpec(shape, dtype, name=name)

    @tf.function(
        input_signature=[
            spec([None, 3, None], tf.float32, "free"),
            spec([2, 4], tf.int64, "fixed"),
            spec(None, tf.float16, "of_any_rank"),
            spec([], tf.bool, "scalar"),
            spec([None], tf.string, "text"),
            spec([None], tf.uint8, "byte"),
        ]
    )
    def several(free, fixed, of_any_rank, scalar, text, byte):
        return {"sum": tf.reduce_sum(free, 1), "text": text, "rest": [fixed, scalar, byte][0]}

    @tf.function(input_signature=[spec([None, 5], tf.float32, "x")])
    def other(x):
        return {"y": x * 2.0}

    path = tmp_path_factory.mktemp("model") / "many"
    tf.saved_model.save(tf.Module(), str(path), {"several": several, "other": other})
    return path


@pytest.mark.slow
def test_signatures_of_a_saved_model_are_those_that_tensorflow_reads(
    many_types: Path, digits_model: Path
):
    from tfx_tflite.components.models import float_model

    def form(spec) -> TensorForm:
        dtype = "string" if spec.dtype == object else np.dtype(spec.dtype).name
        return TensorForm(spec.name, spec.shape, dtype)

    for path in (many_types, digits_model):
        theirs = float_model.read_signatures(path)
        ours = interfaces.of_saved_model(path)
        assert ours.keys() == theirs.keys()
        for name, signature in theirs.items():
            assert ours[name].inputs == tuple(map(form, signature.inputs))
            assert ours[name].outputs == tuple(map(form, signature.outputs))


@pytest.mark.slow
def test_signatures_of_a_flatbuffer_are_those_that_the_interpreter_reads(
    many_types: Path, digits_flatbuffer: bytes, tmp_path: Path
):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(many_types))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [loaded.signatures["other"]], loaded
    )
    for content in (digits_flatbuffer, converter.convert()):
        file = tmp_path / "model.tflite"
        file.write_bytes(content)
        interpreter = tf.lite.Interpreter(model_content=content)
        signatures = interpreter.get_signature_list()
        ours = interfaces.of_flatbuffer(file)
        assert ours.keys() == signatures.keys()
        for name, signature in signatures.items():
            runner = interpreter.get_signature_runner(name)
            for found, names, details in (
                (ours[name].inputs, signature["inputs"], runner.get_input_details()),
                (ours[name].outputs, signature["outputs"], runner.get_output_details()),
            ):
                assert [tensor.name for tensor in found] == sorted(names)
                for tensor in found:
                    shape = [-1 if size is None else size for size in tensor.shape]
                    assert shape == details[tensor.name]["shape_signature"].tolist()
                    assert np.dtype(tensor.dtype) == details[tensor.name]["dtype"]


@pytest.mark.slow
def test_a_flatbuffer_without_signatures_has_the_tensors_of_its_first_graph(
    digits_flatbuffer: bytes, tmp_path: Path
):
    import tensorflow as tf
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(digits_flatbuffer))
    model.signatureDefs = None
    file = tmp_path / "model.tflite"
    file.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    [interface] = interfaces.of_flatbuffer(file).values()
    interpreter = tf.lite.Interpreter(str(file))
    [given], [taken] = interpreter.get_input_details(), interpreter.get_output_details()
    assert [tensor.name for tensor in interface.inputs] == [given["name"]]
    assert [tensor.name for tensor in interface.outputs] == [taken["name"]]


@pytest.mark.slow
def test_a_flatbuffer_that_is_cut_or_changed_is_told_or_read_and_never_more(
    digits_flatbuffer: bytes, tmp_path: Path
):
    file = tmp_path / "model.tflite"
    random = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(digits_flatbuffer[: random.integers(8, 6000)])
        content[random.integers(8, len(content)) % len(content)] = random.integers(256)
        content[4:8] = b"TFL3"
        file.write_bytes(content)
        try:
            interfaces.of_flatbuffer(file)
        except ModelError as error:
            assert "damaged" in str(error)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"not a model at all"])
def test_what_is_no_tensorflow_lite_model_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=r"m.tflite is not a TensorFlow Lite model"):
        interfaces.of_flatbuffer(tmp_path / "m.tflite")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xff\xff", "saved_model.pb is not a SavedModel: "),
        (b"", "saved_model.pb is not a SavedModel: it holds no graph"),
        (b"\x12\x00", "saved_model.pb has no graph tagged 'serve'"),
    ],
)
def test_what_is_no_saved_model_is_told(tmp_path: Path, content: bytes, problem: str):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=problem):
        interfaces.of_saved_model(tmp_path)


def test_it_loads_no_tensorflow():
    module = "tfx_tflite.components.models.interfaces"
    script = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
