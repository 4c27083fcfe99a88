"""The first examples of a split as a model's inputs, for what needs some real ones and not all."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.example_splits import SplitFiles
from tfx_tflite.components.float_model import InputReader


@dataclass(frozen=True)
class FirstExamples:
    """Examples of one shape.

    Attributes:
        inputs: By name, each of shape (examples, *example_shape), the batch dimension first.
    """

    inputs: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, source: SplitFiles, reader: InputReader, count: int) -> "FirstExamples":
        """Returns the first examples of a split and its first file that has any.

        Args:
            source: The split.
            reader: How examples become inputs.
            count: How many are looked at; those of another shape than the first are left out.

        Raises:
            DataError: The split is empty, or its examples do not fit the model.
        """
        # TFXIO reads several files in turns; the first that has any gives the same ones every time.
        batches = (batch for file in source.files for batch in source.batches(count, files=[file]))
        batch = next(batches, None)
        if batch is None:
            raise DataError(f"split {source.split!r} holds no examples; nothing to evaluate on")
        [first] = [group for group in reader.groups(batch) if 0 in group.rows]
        return cls(first.tensors)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of one example, the batch dimension first, by input name."""
        return {name: (1, *values.shape[1:]) for name, values in self.inputs.items()}

    def take(self, count: int) -> dict[str, np.ndarray]:
        """Returns the inputs of the first `count` of them, or of all if there are fewer."""
        return {name: values[:count] for name, values in self.inputs.items()}
