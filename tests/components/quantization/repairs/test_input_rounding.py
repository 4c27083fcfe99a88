"""Whether there is any strict int8, and which input is to blame if not."""

import numpy as np
import pytest

from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.repairs.input_rounding import (
    InputSteps,
    input_steps,
    with_rounded_inputs,
)
from tfx_tflite.components.quantization.rounding import Rounding

SKLEARN = pytest.importorskip("sklearn.datasets")
WINE = SKLEARN.load_wine()
ROWS = WINE.data.astype(np.float32)
LIMITS = {"wine": (0.0, float(ROWS.max()))}


@pytest.fixture(scope="module")
def found() -> InputSteps:
    [found] = input_steps([{"wine": ROWS}], LIMITS, {"wine": WINE.feature_names})
    return found


def test_counts_the_steps_of_each_feature(found: InputSteps):
    scale = Rounding.of_range(*LIMITS["wine"]).scale
    values = np.unique(np.rint(ROWS / scale), axis=0)
    for place, steps in enumerate(found.steps):
        assert steps + 1 >= len(np.unique(values[:, place]))
    proline = WINE.feature_names.index("proline")
    assert found.steps[proline] == int(np.ceil(np.ptp(ROWS[:, proline]) / scale))


def test_names_the_features_that_have_too_few(found: InputSteps):
    assert "proline" not in {found.feature(place) for place in found.poor}
    assert found.share_of_poor > 0.7
    sentence = found.sentence()
    assert "input 'wine'" in sentence and "but proline has 213" in sentence
    assert "(and 9 more have few)" in sentence


def test_a_constant_feature_says_nothing_and_is_not_poor():
    rows = np.stack([np.linspace(0, 1, 50), np.full(50, 0.25)], axis=1).astype(np.float32)
    [found] = input_steps([{"x": rows}], {"x": (0.0, 1.0)})
    assert found.steps == (255, 0) and found.poor == ()
    assert "every feature has at least 16" in found.sentence()


def test_the_worst_input_comes_first():
    good = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
    mixed = np.concatenate([good, 1000 * good], axis=1)
    found = input_steps([{"good": good, "mixed": mixed}], {"good": (0.0, 1.0), "mixed": (0.0, 1e3)})
    assert [each.name for each in found] == ["mixed", "good"]


def test_features_of_images_are_their_channels():
    images = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    [found] = input_steps([{"image": images}], {"image": (0.0, 1.0)})
    assert len(found.steps) == 3


@pytest.mark.slow
def test_the_model_is_the_float_one_on_inputs_that_were_rounded(float_tflite):
    def total(x, y):
        return x * 2.0 + y

    content = float_tflite(total, x=([None, 2], "float32"), y=([None, 2], "float32"))
    generator = np.random.default_rng(0)
    inputs = {name: generator.normal(size=(20, 2)).astype(np.float32) for name in ("x", "y")}
    limits = {"x": (-1.0, 2.0), "y": (-3.0, 3.0)}
    rounded = {
        name: Rounding.of_range(*limits[name])(values).astype(np.float32)
        for name, values in inputs.items()
    }
    [expected] = TFLiteModel(content).predict(rounded).values()
    [found] = TFLiteModel(with_rounded_inputs(content, limits)).predict(inputs).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_integer_inputs_stay_as_they_are(float_tflite):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.gather([1.0, 2.0, 3.0], x), x=([None], "int32"))
    assert with_rounded_inputs(content, {}) is content
