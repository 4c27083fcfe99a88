"""A metric of one's own."""

import tensorflow_model_analysis as tfma


class OwnCount(tfma.metrics.ExampleCount):
    """How many examples there are, by another name."""
