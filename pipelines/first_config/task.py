"""What a model is asked: which label its output is compared with, and by which metrics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.errors import ConfigError, listed
from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.pipelines.first_config.features import Feature

# How labels are called, most usual first.
_LABELS = ("label", "labels", "target", "targets", "class", "y", "outcome")
# Slices by a label of more classes than that would say little.
_MOST_SLICES = 20
_ROUNDING = 0.01

Metric = str | dict[str, object]


@dataclass(frozen=True)
class Task:
    """What is judged, and how.

    Attributes:
        label: The feature, or the model's input for one that reproduces it.
        is_input: Whether it is that.
        output: Which output of the model.
        kind: In words, for people.
        metrics: As the config has them.
        rule: The first rule of the gate.
        vocabulary: The classes of a label that is a text, in order.
        classes: How many classes there are; 0 for numbers.
    """

    label: str
    is_input: bool
    output: str
    kind: str
    metrics: Sequence[Metric]
    rule: Mapping[str, object]
    vocabulary: Sequence[str] = field(default=())
    classes: int = 0

    @property
    def is_sliced(self) -> bool:
        """Whether figures by class are worth having."""
        return 0 < self.classes <= _MOST_SLICES


def likely_labels(features: Mapping[str, Feature], outputs: Sequence[str], named: str) -> list[str]:
    """Returns the features that are called like labels, the likeliest first.

    Args:
        features: Those of the examples.
        outputs: Those of the model.
        named: What the user said; empty if nothing.

    Raises:
        ConfigError: There is no feature of the name that the user said.
    """
    if named and named not in features:
        raise ConfigError(f"--label {named}: no such feature; the data have: {listed(features)}")
    if named:
        return [named]
    by_folded = {name.lower(): name for name in reversed(list(features))}
    return [by_folded[name] for name in (*_LABELS, *outputs) if name in by_folded]


def tasks(
    features: Mapping[str, Feature], outputs: Mapping[str, Array], inputs: Mapping[str, int]
) -> list[Task]:
    """Returns what could be judged: each feature that fits an output, then inputs that do.

    Args:
        features: Those that could be labels.
        outputs: What the model said to some examples, by output.
        inputs: The number of values of an example, by input.
    """
    found = [
        task
        for feature in features.values()
        for output, values in outputs.items()
        if (task := _task(feature, output, values)) is not None
    ]
    return found or [
        Task(
            label=name,
            is_input=True,
            output=output,
            kind=f"a model that reproduces its input {name!r}",
            metrics=("MeanSquaredError", "MeanAbsoluteError"),
            rule={"metric": "MeanSquaredError", "max_relative_drop": 0.1},
        )
        for name, size in inputs.items()
        for output, values in outputs.items()
        if size == values[0].size
    ]


def _task(feature: Feature, output: str, values: Array) -> Task | None:
    size = feature.size
    if size is None or values.dtype.kind != "f" or not len(values):
        return None
    classes = values.shape[-1] if values.ndim > 1 else 1
    positions = values[0].size // max(classes, 1)
    if feature.kind == "text":
        return _of_texts(feature, output, values, classes) if positions == size == 1 else None
    numbers = feature.numbers
    is_index = feature.kind == "int" and all(0 <= n < classes for row in numbers for n in row)
    if classes > 1 and size == positions and is_index:
        return _of_classes("Sparse", feature.name, output, values, classes)
    if size != values[0].size:
        return None
    if feature.values <= {0, 1}:
        if classes > 1 and all(sum(row) == positions for row in numbers):
            return _of_classes("", feature.name, output, values, classes)
        return _of_two(feature.name, output, values)
    return Task(
        label=feature.name,
        is_input=False,
        output=output,
        kind="regression",
        metrics=("MeanAbsoluteError", "MeanSquaredError"),
        rule={"metric": "MeanAbsoluteError", "max_relative_drop": 0.05},
    )


def _of_texts(feature: Feature, output: str, values: Array, classes: int) -> Task | None:
    found = sorted(value for value in feature.values if isinstance(value, bytes))
    if len(found) != classes or classes < 2:
        return None
    task = _of_classes("Sparse", feature.name, output, values, classes)
    names = tuple(value.decode("utf-8", "replace") for value in found)
    return Task(**{**vars(task), "vocabulary": names})


def _of_classes(prefix: str, label: str, output: str, values: Array, classes: int) -> Task:
    are_probabilities = _are_probabilities(values) and bool(
        np.allclose(values.sum(axis=-1), 1, atol=_ROUNDING)
    )
    accuracy, crossentropy = f"{prefix}CategoricalAccuracy", f"{prefix}CategoricalCrossentropy"
    return Task(
        label=label,
        is_input=False,
        output=output,
        kind=f"classification, {classes} classes, {_scores(are_probabilities)}",
        metrics=(
            accuracy,
            crossentropy
            if are_probabilities
            else {"class_name": crossentropy, "config": {"from_logits": True}},
        ),
        rule={"metric": accuracy, "max_drop": 0.01},
        classes=classes,
    )


def _of_two(label: str, output: str, values: Array) -> Task:
    are_probabilities = _are_probabilities(values)
    metrics: tuple[Metric, ...] = ("BinaryAccuracy", "AUC")
    if not are_probabilities:
        metrics = (
            {"class_name": "BinaryAccuracy", "config": {"threshold": 0}},
            {"class_name": "BinaryCrossentropy", "config": {"from_logits": True}},
        )
    return Task(
        label=label,
        is_input=False,
        output=output,
        kind=f"classification, yes or no, {_scores(are_probabilities)}",
        metrics=metrics,
        rule={"metric": "BinaryAccuracy", "max_drop": 0.01},
        classes=2 if math.prod(values.shape[1:]) == 1 else 0,
    )


def _scores(are_probabilities: bool) -> str:
    return "probabilities" if are_probabilities else "logits"


def _are_probabilities(values: Array) -> bool:
    return bool(((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all())
