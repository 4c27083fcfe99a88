"""What a model leaves to its caller is in its file, and whatever runs it here does it first."""

import numpy as np
import pytest

from tests.components.models.test_c_array import recorded
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.input_normalization import (
    METADATA,
    InputNormalization,
    normalizations_of,
    with_normalizations,
)
from tfx_tflite.components.models.tflite_model import TFLiteModel

RANDOM = np.random.default_rng(0)
NORMALIZATION = InputNormalization(
    RANDOM.normal(5, 1, 32).astype(np.float32), RANDOM.uniform(0.1, 9, 32).astype(np.float32)
)
DENSE = recorded("dense")[0]


def test_constants_are_read_as_they_were_written_to_the_last_bit():
    content = with_normalizations(DENSE, {"x": NORMALIZATION})
    found = normalizations_of(content)["x"]
    assert found.mean.dtype == found.factor.dtype == np.float32
    assert np.array_equal(found.mean, NORMALIZATION.mean)
    assert np.array_equal(found.factor, NORMALIZATION.factor)


def test_what_was_written_before_is_replaced():
    once = with_normalizations(DENSE, {"x": NORMALIZATION})
    other = InputNormalization(NORMALIZATION.factor, NORMALIZATION.mean)
    twice = with_normalizations(once, {"x": other})
    assert len(Graph(twice).metadata(METADATA)) == 1
    assert np.array_equal(normalizations_of(twice)["x"].mean, other.mean)


def test_a_model_without_constants_has_none():
    assert normalizations_of(DENSE) == {}
    assert with_normalizations(DENSE, {}) is DENSE


def test_predicting_and_quantizing_normalize_first():
    plain = TFLiteModel(DENSE)
    model = TFLiteModel(with_normalizations(DENSE, {"x": NORMALIZATION}))
    reals = RANDOM.normal(5, 1, (4, 32)).astype(np.float32)
    given = {"x": (reals - NORMALIZATION.mean) * NORMALIZATION.factor}
    assert np.array_equal(model.quantize({"x": reals})["x"], plain.quantize(given)["x"])
    for name, expected in plain.predict(given).items():
        assert np.array_equal(model.predict({"x": reals})[name], expected)


def test_an_entry_of_something_else_is_told():
    draft = Graph(DENSE).draft()
    draft.add_metadata(METADATA, b'{"format": 2}')
    with pytest.raises(ModelError, match="is not the input normalization of a model"):
        normalizations_of(draft.content())
