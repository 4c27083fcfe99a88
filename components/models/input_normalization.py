"""The normalization that whoever calls a model does before, written into the model's file.

A model from which its normalization was moved takes (value - mean) * factor for each value of an
input. Whatever here runs a model on real values asks its file for these constants first, so that
the model stays the same function of real values; the manifest of a push has them for the device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import read_graph

METADATA = "tfx_tflite.input_normalization"


@dataclass(frozen=True, eq=False)
class InputNormalization:
    """What is done with an input.

    Attributes:
        mean: What is subtracted, float32 of a shape that is broadcast to that of an example.
        factor: What the difference is multiplied with, of the same shape.
    """

    mean: Array
    factor: Array

    def __call__(self, values: Array) -> Array:
        """Returns what the model takes, float32.

        Args:
            values: Real values of shape (examples, *example_shape).
        """
        found: Array = (values.astype(np.float32) - self.mean) * self.factor
        return found


Normalizations = Mapping[str, InputNormalization]


class _Constants(Part):
    """The constants of an input, in C order."""

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    factor: tuple[float, ...]


class _Entry(Document):
    """What is written into a model's file."""

    kind = "the input normalization of a model"
    error = ModelError

    format: Literal[1] = 1
    inputs: dict[str, _Constants]


def normalizations_of(content: bytes) -> Normalizations:
    """Returns the normalization that a model expects of its caller, by input name.

    Args:
        content: The flatbuffer.

    Raises:
        ModelError: What is written there is something else.
    """
    # Most models have none, and need not be parsed for that.
    if METADATA.encode() not in content:
        return {}
    return {
        name: InputNormalization(
            np.array(found.mean, np.float32).reshape(found.shape),
            np.array(found.factor, np.float32).reshape(found.shape),
        )
        for entry in read_graph(content).metadata(METADATA)
        for name, found in _Entry.parse(entry, "an entry of the model's metadata").inputs.items()
    }


def with_normalizations(content: bytes, normalizations: Normalizations) -> bytes:
    """Returns a model whose file says what its caller does with the inputs.

    Args:
        content: The flatbuffer.
        normalizations: By input name; what the file said before is replaced.

    Returns:
        The very bytes if there is nothing to write.
    """
    if not normalizations:
        return content
    entry = _Entry(
        inputs={
            name: _Constants(
                shape=each.mean.shape,
                mean=tuple(each.mean.ravel().tolist()),
                factor=tuple(each.factor.ravel().tolist()),
            )
            for name, each in sorted(normalizations.items())
        }
    )
    draft = read_graph(content).draft()
    draft.drop_metadata(METADATA)
    draft.add_metadata(METADATA, entry.to_json().encode())
    return draft.content()


def normalized(inputs: Tensors, normalizations: Normalizations) -> Tensors:
    """Returns inputs as a model takes them that leaves their normalization to its caller.

    Args:
        inputs: Real values by name, the batch dimension first.
        normalizations: By input name.
    """
    return {
        name: normalizations[name](values) if name in normalizations else values
        for name, values in inputs.items()
    }
