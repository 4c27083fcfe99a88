"""Labels and example weights of a batch: from a feature, a model input or the preprocessing.

Strings become class indices by a vocabulary. What cannot be a label or a weight is an error that
names it: TFMA counts a class that the output does not have as a wrong prediction of both models,
which hides a mistake in the data or the config behind two equal and plausible figures.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import DataError, EvaluationError, listed
from tfx_tflite.components.examples.tensors import Array, feature_values, format_shape, place_of
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.group_scores import example_scores
from tfx_tflite.components.judgement.metrics.label_kinds import LabelFit, refuse
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target

_LABEL_KEY = "evaluation.label"
_WEIGHT_KEY = "evaluation.example_weight"
# The index of a string that is not in the vocabulary.
_UNKNOWN = -1


@dataclass(frozen=True)
class LabelReader:
    """Reads the labels and the weights of one output.

    Attributes:
        target: Where they are.
    """

    target: Target

    def labels(
        self,
        batch: pa.RecordBatch,
        inputs: Mapping[str, Array],
        prepared: Mapping[str, Array],
    ) -> Array:
        """Returns the labels of a batch, numbers of shape (n, values).

        Args:
            batch: The examples.
            inputs: The model's inputs, by name.
            prepared: What the preprocessing signature gives beside them; a feature goes first.

        Raises:
            DataError: An example has no label, or another number of values than the rest, or a
                string that is not in the vocabulary.
        """
        name = self.target.label_name
        if self.target.label is None:
            if name not in inputs:
                raise EvaluationError(
                    f"evaluation.label: the model has no input {name!r}; it has: {listed(inputs)}"
                )
            return _numbers(name, inputs[name].reshape(batch.num_rows, -1), batch)
        if name not in batch.schema.names and name in prepared:
            given = prepared[name]
            if given.ndim == 0 or len(given) != batch.num_rows:
                raise DataError(
                    f"the preprocessing signature gives label {name!r} in shape "
                    f"{format_shape(given.shape)} for {batch.num_rows} examples, expected one row "
                    "an example"
                )
            return self._encoded(given.reshape(batch.num_rows, -1), batch)
        lengths, values = feature_values(batch, name, _LABEL_KEY)
        if np.any(lengths != lengths[0]):
            other = int(lengths[lengths != lengths[0]][0])
            raise DataError(
                f"label {name!r} has {int(lengths[0])} values in an example and {other} in "
                "another, expected the same number in examples of one shape"
            )
        return self._encoded(values.reshape(batch.num_rows, -1), batch)

    def score_target(
        self,
        batch: pa.RecordBatch,
        inputs: Mapping[str, Array],
        prepared: Mapping[str, Array],
    ) -> Array | None:
        """Returns what the scores of groups are errors from, shape (n, values).

        None if they are no errors, but the output itself.

        Args:
            batch: The examples.
            inputs: The model's inputs, by name.
            prepared: What the preprocessing signature gives beside them; a feature goes first.

        Raises:
            EvaluationError: There is no such input, or it is not said which of several.
            DataError: An example lacks the feature, or has another number of values than the rest.
        """
        aggregate = self.target.aggregate
        assert aggregate is not None
        if not aggregate.is_error:
            return None
        wanted = aggregate.target
        if wanted is None and len(inputs) > 1:
            raise EvaluationError(
                "evaluation.aggregate: the model has several inputs, say which is the target: "
                f"{listed(inputs)}"
            )
        if not isinstance(wanted, str):
            name = next(iter(inputs)) if wanted is None else wanted.input
            label = {"label": None, "label_input": name}
        else:
            label = {"label": wanted, "label_input": None}
        plain = {"vocabulary": (), "aggregate": None, **label}
        return LabelReader(self.target.model_copy(update=plain)).labels(batch, inputs, prepared)

    def _encoded(self, values: Array, batch: pa.RecordBatch) -> Array:
        """Returns numbers for labels that may be strings."""
        name, vocabulary = self.target.label_name, self.target.vocabulary
        if values.dtype != object:
            if vocabulary:
                raise DataError(
                    f"label {name!r} holds {values.dtype} numbers, but evaluation.vocabulary is "
                    "for strings; leave it out"
                )
            return _numbers(name, values, batch)
        if not vocabulary:
            raise DataError(
                f"label {name!r} holds strings, expected numbers; list the strings in the order "
                "of the classes as evaluation.vocabulary"
            )
        distinct, places = np.unique(values.ravel(), return_inverse=True)
        known = [self._indices.get(_text(value), _UNKNOWN) for value in distinct]
        indices = np.array(known, np.int64)[places].reshape(values.shape)
        if _UNKNOWN in known:
            row, column = np.argwhere(indices == _UNKNOWN)[0]
            self._refuse_unknown(_text(values[row, column]), place_of(batch, int(row)))
        return indices

    def _refuse_unknown(self, value: str, place: str) -> None:
        near = difflib.get_close_matches(value, self.target.vocabulary, 1, cutoff=0.0)
        raise DataError(
            f"label {self.target.label_name!r} is {value!r} in {place}, which is not in "
            f"evaluation.vocabulary; the nearest entry is {near[0]!r}"
        )

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {entry: index for index, entry in enumerate(self.target.vocabulary)}

    def weights(self, batch: pa.RecordBatch) -> Array | None:
        """Returns the examples' weights, float64 of shape (n,); None if all count the same.

        Raises:
            DataError: A weight is missing, negative, not finite, or not one number.
        """
        name = self.target.example_weight
        if name is None:
            return None
        lengths, values = feature_values(batch, name, _WEIGHT_KEY)
        if values.dtype == object:
            raise DataError(f"example weight {name!r} holds strings, expected numbers")
        if np.any(lengths != 1):
            raise DataError(
                f"example weight {name!r} has {int(lengths[lengths != 1][0])} values in an "
                "example, expected one"
            )
        wrong = ~(np.isfinite(values) & (values >= 0))
        expected = "expected a finite number of 0 or more"
        refuse(batch, values, wrong, f"example weight {name!r} is", expected)
        return values.astype(np.float64)


def _numbers(name: str, values: Array, batch: pa.RecordBatch) -> Array:
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values)
        refuse(batch, values, wrong, f"label {name!r} is", "expected a finite number")
    return values


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class LabelCheck:
    """What the labels of one output must be for all metrics that are evaluated on it.

    Attributes:
        judged: The output and its label.
        metrics: The metrics.
    """

    judged: JudgedOutput
    metrics: tuple[ConfiguredMetric, ...]

    @cached_property
    def reader(self) -> LabelReader:
        """What reads the labels and the weights."""
        return LabelReader(self.judged.target)

    def scores(
        self,
        outputs: Mapping[str, Array],
        batch: pa.RecordBatch,
        inputs: Mapping[str, Array],
        prepared: Mapping[str, Array],
    ) -> dict[str, Array]:
        """Returns the score of each example for each model, shape (n, 1), if metrics are of groups.

        Args:
            outputs: By model, each of shape (n, …).
            batch: The examples.
            inputs: The model's inputs, by name.
            prepared: What the preprocessing signature gives beside them.

        Raises:
            EvaluationError: The output does not fit the target, or is not one value.
            DataError: An example lacks the target.
        """
        aggregate, output = self.judged.target.aggregate, self.judged.spec.name
        assert aggregate is not None
        target = self.reader.score_target(batch, inputs, prepared)
        count = 1 if target is None else target.shape[1]
        found = {}
        for model, values in outputs.items():
            if values[0].size != count:
                what = "one value as the score" if target is None else f"{count} as the target has"
                raise EvaluationError(
                    f"evaluation.aggregate: output {output!r} has {values[0].size} values an "
                    f"example, expected {what}; name another target, or another output"
                )
            found[model] = example_scores(aggregate.score, values, target)[:, None]
        return found

    def _fit(self, count: int, shape: tuple[int, ...]) -> LabelFit:
        return LabelFit(self.judged.target.label_name, self.judged.spec.name, count, shape)

    def of_shapes(self, count: int, shape: tuple[int, ...]) -> None:
        """Checks what the shapes alone say.

        Args:
            count: How many values the label has in an example.
            shape: The shape of an example's output.

        Raises:
            EvaluationError: A metric cannot be computed from these.
        """
        for metric in self.metrics:
            self._fit(count, shape).check(metric)

    def __call__(self, labels: Array, outputs: Mapping[str, Array], batch: pa.RecordBatch) -> None:
        """Checks a batch.

        Args:
            labels: Shape (n, values).
            outputs: By model, each of shape (n, …).
            batch: The examples, for messages.

        Raises:
            EvaluationError: A metric cannot be computed from labels and outputs of these shapes,
                or takes probabilities, or classes, and gets others.
            DataError: A label is out of range.
        """
        fit = self._fit(labels.shape[1], next(iter(outputs.values())).shape[1:])
        if self.judged.target.aggregate is not None:
            subject, expected = f"label {self.judged.target.label_name!r} is", "a group's is 0 or 1"
            refuse(batch, labels, (labels != 0) & (labels != 1), subject, expected)
        for metric in self.metrics:
            fit.check(metric)
            fit.check_labels(metric, labels, batch)
            for model, values in outputs.items():
                fit.check_outputs(metric, values, model)
