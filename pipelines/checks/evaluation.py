"""Checks of what is evaluated: outputs, labels, weights, slices and metrics."""

from collections.abc import Iterator
from pathlib import Path

from tfx_tflite.components.judgement.metrics.catalog import row_of
from tfx_tflite.components.judgement.settings import LabelInputConfig, OutputConfig
from tfx_tflite.pipelines.checks import known_names
from tfx_tflite.pipelines.checks.data import feature_is_known
from tfx_tflite.pipelines.checks.mistake import Mistake, did_you_mean
from tfx_tflite.pipelines.checks.subject import Subject
from tfx_tflite.pipelines.checks.trainer import is_importable


def _judged(subject: Subject) -> Iterator[tuple[str, OutputConfig]]:
    """Yields what is judged of each output, with the key that it stands under."""
    evaluation = subject.config.evaluation
    for index, judged in enumerate(evaluation.judged):
        yield "evaluation" if evaluation.outputs is None else f"evaluation.outputs.{index}", judged


def outputs_are_the_models(subject: Subject) -> Iterator[Mistake]:
    """Checks that the signature has the outputs that are judged."""
    if subject.signature is None:
        return
    known = [tensor.name for tensor in subject.signature.outputs]
    for key, judged in _judged(subject):
        if judged.output is not None and judged.output not in known:
            yield Mistake(
                f"{key}.output",
                f"signature {subject.signature.name!r} has no output {judged.output!r}; "
                f"{did_you_mean(judged.output, known)}",
            )
        elif judged.output is None and len(known) > 1:
            yield Mistake(
                f"{key}.output",
                f"signature {subject.signature.name!r} has several outputs, say which one is "
                f"judged: {', '.join(known)}",
            )


def labels_are_there(subject: Subject) -> Iterator[Mistake]:
    """Checks that each label is a feature, an output of the preprocessing, or an input."""
    for key, judged in _judged(subject):
        if isinstance(judged.label, LabelInputConfig):
            yield from _label_input(subject, f"{key}.label", judged.label.input)
        elif isinstance(judged.label, str):
            yield from _label_feature(subject, f"{key}.label", judged.label)
            yield from _label_texts(subject, key, judged)


def _label_texts(subject: Subject, key: str, judged: OutputConfig) -> Iterator[Mistake]:
    """Finds labels that are texts, if nothing says which class each is."""
    look = subject.look_of(subject.config.evaluation.split)
    if look is None or not look.is_known or judged.vocabulary is not None:
        return
    if any(feature.kind == "text" for feature in look.found(str(judged.label))):
        yield Mistake(
            f"{key}.label",
            f"the feature {judged.label!r} holds texts; list them in the order of the classes as "
            "vocabulary beside it",
        )


def _label_input(subject: Subject, key: str, name: str) -> Iterator[Mistake]:
    if subject.signature is None:
        return
    known = [tensor.name for tensor in subject.signature.inputs]
    if name not in known:
        hint = did_you_mean(name, known)
        yield Mistake(key, f"signature {subject.signature.name!r} has no input {name!r}; {hint}")


def _label_feature(subject: Subject, key: str, name: str) -> Iterator[Mistake]:
    split = subject.config.evaluation.split
    look = subject.look_of(split)
    if look is None or not look.is_known or not look.lacks(name):
        return
    if look.found(name):
        yield Mistake(key, f"an example of split {split!r} has no label {name!r}; give each one")
        return
    known = set(look.features)
    if subject.config.model.preprocessing_signature is not None:
        if subject.preprocessing is None:
            # It may give the label.
            return
        outputs = {tensor.name for tensor in subject.preprocessing.outputs}
        if name in outputs:
            return
        known |= outputs
    yield Mistake(
        key, f"there is no feature {name!r} in split {split!r}; {did_you_mean(name, known)}"
    )


def weights_are_there(subject: Subject) -> Iterator[Mistake]:
    """Checks that weights are a feature of every example."""
    split = subject.config.evaluation.split
    look = subject.look_of(split)
    if look is None or not look.is_known:
        return
    for key, judged in _judged(subject):
        weight = judged.example_weight
        if weight is not None and look.lacks(weight):
            hint = (
                "give each example one"
                if look.found(weight)
                else did_you_mean(weight, look.features)
            )
            yield Mistake(
                f"{key}.example_weight",
                f"feature {weight!r} is not in every example of split {split!r}; {hint}",
            )


def slices_are_by_features(subject: Subject) -> Iterator[Mistake]:
    """Checks that slices are by features that there are; others would have no examples."""
    evaluation = subject.config.evaluation
    for index, names in enumerate(evaluation.slices):
        for place, name in enumerate(names):
            key = f"evaluation.slices.{index}.{place}"
            yield from feature_is_known(subject, key, name, evaluation.split)


def metrics_are_known(subject: Subject) -> Iterator[Mistake]:
    """Checks that there is each metric in TFMA or Keras, or else the module that it is in."""
    trainer = subject.config.model.trainer
    folder = None if trainer is None else Path(trainer.module_file).parent
    for key, judged in _judged(subject):
        for index, metric in enumerate(judged.metrics):
            place = f"{key}.metrics.{index}"
            if metric.module is not None:
                top = metric.module.partition(".")[0]
                if not is_importable(top, folder):
                    yield Mistake(f"{place}.module", f"there is no module {metric.module!r}")
            elif instead := row_of(metric.class_name).instead:
                yield Mistake(
                    place,
                    f"TFMA cannot merge Keras' {metric.class_name!r} over batches; use {instead}",
                )
            elif not known_names.has_metric(metric.class_name):
                hint = did_you_mean(metric.class_name, known_names.usual_metrics())
                yield Mistake(
                    place, f"neither TFMA nor Keras has a metric {metric.class_name!r}; {hint}"
                )
