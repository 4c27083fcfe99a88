"""Images of examples: which values are black and white, and how large they are."""

import base64

import numpy as np
import pytest

from tfx_tflite.components.errors import EvaluationError


def decoded(image: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    import tensorflow as tf

    from tfx_tflite.components.judgement.shown_examples import _png

    return tf.io.decode_png(base64.b64decode(_png(image, limits))).numpy()


@pytest.mark.parametrize(
    ("lowest", "highest", "limits"),
    [
        (0.0, 1.0, (0.0, 1.0)),
        (0.2, 0.7, (0.0, 1.0)),
        (-0.9, 0.8, (-1.0, 1.0)),
        (0.0, 254.0, (0.0, 255.0)),
        (-3.0, 8.0, (-3.0, 8.0)),
        (4.0, 4.0, (0.0, 255.0)),
    ],
)
def test_usual_ranges_are_kept_and_others_go_from_black_to_white(lowest, highest, limits):
    from tfx_tflite.components.judgement.shown_examples import _limits

    images = [np.full((2, 2, 1), lowest), np.full((2, 2, 1), highest)]
    assert _limits(images) == limits


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_image_is_a_png_of_its_values(channels: int):
    image = np.random.default_rng(0).random((6, 5, channels)).astype(np.float32)
    np.testing.assert_array_equal(decoded(image, (0.0, 1.0)), np.rint(255 * image.astype(float)))


def test_a_large_image_is_made_smaller():
    image = np.zeros((1000, 300, 3), np.uint8)
    shape = decoded(image, (0.0, 255.0)).shape
    assert max(shape[:2]) <= 128 and shape[0] / shape[1] == pytest.approx(1000 / 300, rel=0.05)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"x": (8, 8)}, "x"),
        ({"x": (8, 8, 1)}, "x"),
        ({"meta": (3,), "photo": (8, 8, 3)}, "photo"),
    ],
)
def test_the_input_that_is_an_image_is_found_by_its_shape(inputs, name):
    from tfx_tflite.components.judgement.shown_examples import _image_input

    assert _image_input({key: np.zeros((2, *shape)) for key, shape in inputs.items()}) == name


@pytest.mark.parametrize("shape", [(), (3,), (1, 8), (8, 8, 5), (2, 8, 8, 3)])
def test_other_inputs_are_no_images(shape):
    from tfx_tflite.components.judgement.shown_examples import _image_input

    with pytest.raises(EvaluationError, match="no input of the model is one"):
        _image_input({"x": np.zeros((2, *shape))})
