"""Which pushed version a new model is compared with."""

from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.destinations.destination import Candidate, Destination
from tfx_tflite.components.destinations.manifest import Description
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.examples.tensors import InputSpec
from tfx_tflite.components.judgement.pushed_reference import PushedReference
from tfx_tflite.components.models.float_model import Signature


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    """A destination with one version."""
    model = tmp_path / "model"
    model.write_bytes(b"TFL3")
    opened = Destination.open(str(tmp_path / "to"))
    description = Description(scheme="int8", verdict="blessed")
    opened.push(
        Candidate({"model.tflite": model}, {"model.tflite": file_digest(model)}, description)
    )
    return opened


def test_it_is_the_current_version(destination: Destination):
    found = PushedReference.at(destination.uri)
    assert found is not None and found.content == b"TFL3"
    assert found.number == destination.current()
    assert PushedReference.at(destination.uri, found.number) == found


def test_there_is_none_before_the_first_push(tmp_path: Path):
    assert PushedReference.at(str(tmp_path)) is None
    assert PushedReference.at(str(tmp_path), 0) is None


@pytest.mark.parametrize("expected", [0, 7])
def test_another_version_than_expected_is_an_error(destination: Destination, expected: int):
    number = destination.current()
    message = f"version {expected or 'none'} was current when the run began, and {number} is by now"
    with pytest.raises(EvaluationError, match=message):
        PushedReference.at(destination.uri, expected)


def test_a_damaged_version_is_an_error_that_names_the_file(destination: Destination):
    number = destination.current()
    (Path(destination.uri) / str(number) / "model.tflite").write_bytes(b"TFL4")
    with pytest.raises(EvaluationError, match=r"cannot be compared with: .*model\.tflite"):
        PushedReference.at(destination.uri)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_a_model_whose_integer_input_became_float_takes_what_the_new_one_takes(dtype: str):
    """What only casts its input to float is quantized with a float input."""
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec([None, 4], tf.float32, name="x")
    module.function = tf.function(lambda x: {"y": x * 2.0}, input_signature=[spec])
    concrete = module.function.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
    signature = Signature("s", (InputSpec("x", (None, 4), np.dtype(dtype)),), ())
    PushedReference(1, "somewhere", "digest", content).check(signature, ["y"])
    with pytest.raises(EvaluationError, match="has no output 'z'"):
        PushedReference(1, "somewhere", "digest", content).check(signature, ["z"])
