"""The bytes of an example: the same ones in every process.

TFX leaves the order of the features to protobuf, which in newer versions may
take another one in each process. The same data would be other bytes, another sample, other ranges
and another model.
"""

from collections.abc import Iterator

import tensorflow as tf
from google.protobuf.message import Message
from tfx.components.example_gen import write_split


class SerializeInOrder(write_split.MaybeSerialize):
    """Serializes examples with their features in the order of their names; bytes stay as they are.

    It is of a module of its own as Beam's workers import it from there.
    """

    def process(self, e: tf.train.Example | tf.train.SequenceExample | bytes) -> Iterator[bytes]:
        """Yields one example's bytes."""
        content = e.SerializeToString(deterministic=True) if isinstance(e, Message) else e
        yield from super().process(content)
