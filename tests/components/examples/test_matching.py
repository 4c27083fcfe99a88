"""Which feature feeds which input, by name, by the config, or because nothing else fits."""

import re

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.errors import DataError, ModelError
from tfx_tflite.components.examples.matching import Feature, features_of, match_features
from tfx_tflite.components.examples.tensors import InputSpec

KERAS = InputSpec("keras_tensor", (None, 64), np.dtype(np.float32))
PIXELS = Feature("pixels", "FLOAT", (64,))
LABEL = Feature("label", "INT", (1,))


def test_an_input_takes_the_feature_of_its_name():
    match = match_features([InputSpec("pixels", (None, 64), KERAS.dtype)], {}, [PIXELS, LABEL])
    assert match.features == {}
    assert not match.notes


def test_the_config_names_the_feature_of_an_input():
    match = match_features([KERAS], {"keras_tensor": "pixels"}, [PIXELS, LABEL])
    assert match.features == {"keras_tensor": "pixels"}
    assert not match.notes


def test_an_only_input_takes_the_only_feature_that_fits_and_says_so():
    match = match_features([KERAS], {}, [PIXELS, LABEL])
    assert match.features == {"keras_tensor": "pixels"}
    [note] = match.notes
    assert note == (
        "input 'keras_tensor' is fed by feature 'pixels', the only one of its shape and type; "
        "model.inputs can name another"
    )


@pytest.mark.parametrize("name", ["label", "weight", "region"])
def test_a_feature_with_another_use_is_no_candidate(name):
    number = InputSpec("keras_tensor", (None, 1), np.dtype(np.float32))
    features = [Feature(name, "INT", (1,)), Feature("age", "INT", (1,))]
    match = match_features([number], {}, features, not_inputs=[name])
    assert match.features == {"keras_tensor": "age"}


def test_several_candidates_are_listed_with_the_yaml_to_write():
    other = Feature("noise", "FLOAT", (8, 8))
    with pytest.raises(DataError) as error:
        match_features([KERAS], {}, [PIXELS, other, LABEL])
    assert str(error.value) == (
        "no feature has the name of 'keras_tensor': keras_tensor (float32 [?, 64]) could take "
        "pixels, noise. Say in the config which feature feeds which input, for example\n"
        "model: {inputs: {keras_tensor: pixels}}"
    )


def test_without_a_candidate_the_features_are_listed_with_their_shapes():
    with pytest.raises(DataError, match=re.escape("Features: pixels (FLOAT [49])")):
        match_features([KERAS], {}, [Feature("pixels", "FLOAT", (49,))])


def test_several_inputs_are_not_matched_by_themselves():
    inputs = [KERAS, InputSpec("keras_tensor_1", (None, 3), np.dtype(np.float32))]
    features = [PIXELS, Feature("numbers", "FLOAT", (3,))]
    expected = "model: {inputs: {keras_tensor: pixels, keras_tensor_1: numbers}}"
    with pytest.raises(DataError, match=re.escape(expected)):
        match_features(inputs, {}, features)


def test_a_name_that_yaml_would_take_apart_is_quoted():
    spec = InputSpec("serving_default_args_0:0", (None, 64), np.dtype(np.float32))
    with pytest.raises(DataError, match=re.escape('{inputs: {"serving_default_args_0:0": a}}')):
        match_features([spec], {}, [Feature("a", "FLOAT", (64,)), PIXELS])


def test_a_misspelt_input_is_told():
    with pytest.raises(ModelError, match=r"no input 'keras_tenser' \(did you mean 'keras_tensor'"):
        match_features([KERAS], {"keras_tenser": "pixels"}, [PIXELS])


def test_a_misspelt_feature_is_told():
    with pytest.raises(DataError, match=r"no feature 'pixles' \(did you mean 'pixels'\?\)"):
        match_features([KERAS], {"keras_tensor": "pixles"}, [PIXELS, LABEL])


def test_without_a_schema_inputs_keep_their_names():
    assert match_features([KERAS], {}, []).features == {}


@pytest.mark.parametrize(
    ("kind", "shape", "dtype", "wanted", "fits"),
    [
        ("FLOAT", (8, 8), np.float32, (None, 8, 8, 1), True),
        ("INT", (64,), np.float32, (None, 64), True),
        ("INT", (64,), np.uint8, (None, 64), True),
        ("FLOAT", (64,), np.int32, (None, 64), False),
        ("BYTES", (64,), np.float32, (None, 64), False),
        ("BYTES", (1,), object, (None, 1), True),
        ("FLOAT", (60,), np.float32, (None, None, 20), True),
        ("FLOAT", (61,), np.float32, (None, None, 20), False),
        ("FLOAT", None, np.float32, (None, None, 20), True),
        ("FLOAT", None, np.float32, (None, 20), False),
        ("FLOAT", (4, 5, 3), np.float32, (None, None, None, 3), True),
        ("FLOAT", (60,), np.float32, (None, None, None, 3), False),
        ("FLOAT", (1,), np.float32, (None,), True),
    ],
)
def test_type_and_number_of_values_decide_what_fits(kind, shape, dtype, wanted, fits):
    assert Feature("x", kind, shape).fits(InputSpec("x", wanted, np.dtype(dtype))) is fits


def test_a_schema_tells_shapes_as_such_or_by_counts():
    schema = text_format.Parse(
        """
        feature { name: "a" type: FLOAT shape { dim { size: 8 } dim { size: 8 } } }
        feature { name: "b" type: INT value_count { min: 3 max: 3 } }
        feature { name: "c" type: BYTES value_count { min: 1 max: 5 } }
        """,
        schema_pb2.Schema(),
    )
    assert features_of(schema.SerializeToString()) == (
        Feature("a", "FLOAT", (8, 8)),
        Feature("b", "INT", (3,)),
        Feature("c", "BYTES", None),
    )
