"""Checks of what is evaluated: outputs, labels, weights, slices and metrics."""

from collections.abc import Iterator
from pathlib import Path

from tfx_tflite.components.errors import listed
from tfx_tflite.components.judgement.metrics.catalog import row_of
from tfx_tflite.components.judgement.metrics.targets import LabelInputConfig
from tfx_tflite.components.judgement.settings import OutputConfig
from tfx_tflite.components.models.interfaces import TensorForm
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


def groups_are_by_a_feature(subject: Subject) -> Iterator[Mistake]:
    """Checks that each example has a feature that says which group it is in."""
    evaluation = subject.config.evaluation
    if evaluation.group_by is not None:
        yield from _group_feature(subject, "evaluation.group_by", evaluation.group_by)
    if evaluation.aggregate is not None:
        yield from _group_feature(subject, "evaluation.aggregate.by", evaluation.aggregate.by)


def targets_of_scores_are_there(subject: Subject) -> Iterator[Mistake]:
    """Checks what the scores of groups are errors from: an input, or a feature."""
    aggregate, output = subject.config.evaluation.aggregate, _judged_output(subject)
    if aggregate is None:
        return
    key = "evaluation.aggregate.target"
    if not aggregate.is_error:
        if output is not None and output.values not in (None, 1):
            yield Mistake(
                "evaluation.aggregate.score",
                f"is output, but output {output.name!r} has {output.values} values an example, and "
                "a score is one",
            )
    elif isinstance(aggregate.target, LabelInputConfig):
        yield from _label_input(subject, key, aggregate.target.input)
    elif aggregate.target is not None:
        split = subject.config.evaluation.split
        yield from feature_is_known(subject, key, aggregate.target, split)
        yield from _target_feature(subject, key, aggregate.target, output)
    elif subject.signature is not None and len(subject.signature.inputs) > 1:
        known = listed(tensor.name for tensor in subject.signature.inputs)
        yield Mistake(
            "evaluation.aggregate",
            f"the model has several inputs, say which is the target: {known}",
        )


def _judged_output(subject: Subject) -> TensorForm | None:
    """Returns the output that is judged; None if it is not known, or there are several."""
    asked = subject.config.evaluation.output
    outputs = () if subject.signature is None else subject.signature.outputs
    found = [tensor for tensor in outputs if asked in (None, tensor.name)]
    return found[0] if len(found) == 1 else None


def _target_feature(
    subject: Subject, key: str, name: str, output: TensorForm | None
) -> Iterator[Mistake]:
    """Finds features that no error of an output can be from."""
    look = subject.look_of(subject.config.evaluation.split)
    if look is None or not look.is_known:
        return
    found = look.found(name)
    if any(feature.kind == "text" for feature in found):
        yield Mistake(key, f"feature {name!r} holds texts or bytes; a target is numbers")
        return
    wanted = None if output is None else output.values
    others = {size for feature in found for size in feature.sizes} - {wanted}
    if output is not None and wanted is not None and others:
        yield Mistake(
            key,
            f"feature {name!r} has {min(others)} values in an example, but output {output.name!r} "
            f"has {wanted}",
        )


def _group_feature(subject: Subject, key: str, name: str) -> Iterator[Mistake]:
    split = subject.config.evaluation.split
    look = subject.look_of(split)
    if look is None or not look.is_known:
        return
    if look.lacks(name):
        hint = "give each example one" if look.found(name) else did_you_mean(name, look.features)
        yield Mistake(key, f"feature {name!r} is not in every example of split {split!r}; {hint}")
    elif any(feature.kind == "float" for feature in look.found(name)):
        yield Mistake(
            key,
            f"feature {name!r} holds numbers that need not be whole; groups are strings or whole "
            "numbers",
        )
    elif others := {size for feature in look.found(name) for size in feature.sizes if size != 1}:
        yield Mistake(
            key,
            f"feature {name!r} has {max(others)} values in an example of split {split!r}, expected "
            "one: the example's group",
        )


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
            elif not row_of(metric.class_name).module and not known_names.has_metric(
                metric.class_name
            ):
                hint = did_you_mean(metric.class_name, known_names.usual_metrics())
                yield Mistake(
                    place, f"neither TFMA nor Keras has a metric {metric.class_name!r}; {hint}"
                )
