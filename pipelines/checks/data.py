"""Checks of the data: whether there are any, and whether they are of the format that is said."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tfx_tflite.components.errors import DataError, NotKnownError
from tfx_tflite.components.examples.first_records import SEQUENCES
from tfx_tflite.pipelines.checks.mistake import Mistake, did_you_mean, is_close
from tfx_tflite.pipelines.checks.subject import Subject


def files_can_be_read(subject: Subject) -> Iterator[Mistake]:
    """Checks that the first records of each split can be read."""
    for split, look in subject.splits.items():
        key = f"data.splits.{split}"
        # One message for what is wrong with all files alike.
        for file, error in list(look.problems.items())[:1]:
            others = len(look.problems) - 1
            more = f" (and {others} more files are wrong)" if others else ""
            if isinstance(error, OSError):
                reason = error.strerror or str(error)
                yield Mistake(key, f"cannot read {file}: {reason}{more}", NotKnownError)
            else:
                kind = NotKnownError if isinstance(error, NotKnownError) else DataError
                yield Mistake(key, f"{error}{more}", kind)
        if look.has_sequences and subject.config.model.preprocessing_signature is None:
            yield Mistake(key, f"the examples cannot be used as they are: {SEQUENCES}", DataError)
        # Of many files the first ones may be empty: Beam writes such shards.
        if not look.problems and not look.records and not look.has_more_files:
            yield Mistake(key, f"split {split!r} holds no examples", DataError)


def splits_are_apart(subject: Subject) -> Iterator[Mistake]:
    """Warns if the model would be evaluated on files that it was trained on."""
    evaluated = subject.config.evaluation.split
    files: dict[str, Counter[str]] = {}
    for data in subject.preflight.data:
        files.setdefault(data.split, Counter()).update(map(_real, data.files))
    for split, names in files.items():
        shared = sorted(names.keys() & files.get(evaluated, Counter()).keys())
        if split != evaluated and shared:
            yield Mistake(
                f"data.splits.{split}",
                f"has {len(shared)} files in common with split {evaluated!r} that is evaluated, "
                f"such as {shared[0]}; figures of data that were trained on say nothing about "
                "other data",
                is_warning=True,
            )


def _real(file: str) -> str:
    return str(Path(file).resolve())


def stratum_is_a_feature(subject: Subject) -> Iterator[Mistake]:
    """Checks that the feature that calibration examples are stratified by is there."""
    plan = subject.config.calibration
    if plan.strategy != "stratified" or plan.stratify_by is None:
        return
    yield from feature_is_known(subject, "calibration.stratify_by", plan.stratify_by, plan.split)


def feature_is_known(subject: Subject, key: str, name: str, split: str) -> Iterator[Mistake]:
    """Checks that a feature is there that examples need not have.

    What only later records have is not seen, so it is claimed if all were read, or if the name is
    nearly that of another feature; else it is a warning.

    Args:
        subject: The config.
        key: Where it names the feature.
        name: The feature.
        split: Whose.
    """
    look = subject.look_of(split)
    if look is None or not look.is_known or name in look.features:
        return
    is_sure = look.is_all or is_close(name, look.features)
    read = "" if look.is_all else " in the first examples"
    hint = did_you_mean(name, look.features)
    yield Mistake(
        key,
        f"there is no feature {name!r}{read} of split {split!r}; {hint}",
        is_warning=not is_sure,
    )
