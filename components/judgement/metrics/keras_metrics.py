"""Metrics that neither TFMA nor Keras has, as Keras metrics, so that TFMA can build them.

What a gate judges comes from `position_values`; this is for TFMA, which builds each metric of its
config, and computes those for which it has settings of its own. TensorFlow is imported here.
"""

import tensorflow as tf
from tensorflow_model_analysis.utils.keras_lib import tf_keras


class WithinTolerance(tf_keras.metrics.MeanMetricWrapper):
    """The share of values that are near enough to their labels.

    Args:
        relative: How far off a value may be, as a share of the label's size.
        absolute: How far off it may be, in the label's unit. Of two tolerances one is enough.
        name: What it is called.
        dtype: Of its state.

    Raises:
        ValueError: There is no tolerance, or it is negative.
    """

    def __init__(
        self,
        relative: float | None = None,
        absolute: float | None = None,
        name: str = "within_tolerance",
        dtype: object = None,
    ):
        given = [value for value in (relative, absolute) if value is not None]
        if not given or min(given) < 0:
            raise ValueError(
                f"expected relative or absolute, 0 or more, received {relative} and {absolute}"
            )
        super().__init__(_near, name=name, dtype=dtype, relative=relative, absolute=absolute)
        self._tolerances = {"relative": relative, "absolute": absolute}

    def get_config(self) -> dict[str, object]:
        """Returns what makes the same metric."""
        return {"name": self.name, "dtype": self.dtype, **self._tolerances}


def _near(
    labels: tf.Tensor, predictions: tf.Tensor, relative: float | None, absolute: float | None
) -> tf.Tensor:
    predictions = tf.convert_to_tensor(predictions)
    labels = tf.cast(labels, predictions.dtype)
    allowed = tf.maximum(absolute or 0.0, (relative or 0.0) * tf.abs(labels))
    return tf.cast(tf.abs(predictions - labels) <= allowed, predictions.dtype)
