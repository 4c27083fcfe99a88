"""A few examples of a split as a model's inputs, for what needs some real ones and not all.

They are the first ones in the order of their digests, which no engine and no order of files
changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.examples import finite
from tfx_tflite.components.examples.lowest_digests import Workers, lowest_digests
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.examples.tensors import RAW_RECORD_COLUMN, Array, Tensors
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput
from tfx_tflite.components.judgement.prediction import ModelPair


@dataclass(frozen=True)
class FirstExamples:
    """The first examples of a split by digest that are of the same shape as the very first.

    Attributes:
        batch: The examples.
        inputs: What the models take, by name, each of shape (examples, *example_shape).
        prepared: These, and what a preprocessing signature gives beside them.
        digests: The examples' digests.
        outputs: What the quantized model gives for them, by name, once it has run.
    """

    batch: pa.RecordBatch
    inputs: Tensors
    prepared: Tensors
    digests: tuple[str, ...] = ()
    outputs: Tensors = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        source: SplitFiles,
        pair: ModelPair,
        judged: Sequence[JudgedOutput],
        count: int,
        workers: Workers | None = None,
    ) -> "FirstExamples":
        """Returns the examples with the lowest digests, each once.

        Args:
            source: The split.
            pair: The models.
            judged: The outputs that are judged, whose labels are read too.
            count: How many are looked at; those of another shape are left out.
            workers: What reads a split that is large; None reads it here.

        Raises:
            DataError: The split is empty, or its examples do not fit the model or hold NaN.
        """
        batch = lowest_digests(source, count, workers)
        reader = pair.reader([output.target.label_name for output in judged])
        [first] = [group for group in reader.groups(batch) if 0 in group.rows]
        if len(first.rows) < batch.num_rows:
            batch = batch.take(pa.array(first.rows))
        taken = {spec.name: first.tensors[spec.name] for spec in pair.signature.inputs}
        finite.check_inputs(batch, taken)
        records = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN)).flatten()
        digests = (example_digest(record).hex() for record in records.to_pylist())
        return cls(batch, taken, first.tensors, tuple(digests))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of one example, the batch dimension first, by input name."""
        return {name: (1, *values.shape[1:]) for name, values in self.inputs.items()}

    def take(self, count: int) -> dict[str, Array]:
        """Returns the inputs of the first `count` of them, or of all if there are fewer."""
        return {name: values[:count] for name, values in self.inputs.items()}
