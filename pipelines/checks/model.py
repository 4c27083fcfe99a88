"""Checks of a trained model: whether it is one, and has the signatures that the config names."""

from collections.abc import Collection, Iterator

from tfx_tflite.components.errors import ModelError, NotKnownError, listed
from tfx_tflite.components.models import interfaces
from tfx_tflite.components.models.interfaces import Interface, TensorForm
from tfx_tflite.pipelines.checks.mistake import Mistake, did_you_mean
from tfx_tflite.pipelines.checks.subject import SplitLook, Subject

_KEY = "model.saved_model"
_SIGNATURE, _PREPROCESSING = "model.signature", "model.preprocessing_signature"


def saved_model_can_be_read(subject: Subject) -> Iterator[Mistake]:
    """Checks that the SavedModel has a graph for serving, or the TensorFlow Lite file is one."""
    model = subject.config.model
    key = _KEY if model.tflite is None else "model.tflite"
    try:
        if model.saved_model is not None:
            interfaces.of_saved_model(model.saved_model)
        elif model.tflite is not None:
            interfaces.of_flatbuffer(model.tflite)
    except ModelError as error:
        yield Mistake(key, str(error))
    except OSError as error:
        yield Mistake(key, f"cannot read {error.filename}: {error.strerror}", NotKnownError)


def signature_takes_tensors(subject: Subject) -> Iterator[Mistake]:
    """Checks that there is the signature, and that its inputs are tensors."""
    known, name = subject.interfaces, subject.config.model.signature
    if known is None:
        return
    if name not in known:
        yield Mistake(
            _SIGNATURE, f"the model has no signature {name!r}; {did_you_mean(name, known)}"
        )
        return
    for tensor in known[name].inputs:
        if tensor.dtype == "string":
            others = [other.name for other in known.values() if _takes_tensors(other)]
            hint = (
                f"name one that takes tensors: {listed(others)}"
                if others
                else "export one that takes tensors"
            )
            yield Mistake(
                _SIGNATURE,
                f"input {tensor.name!r} of signature {name!r} takes strings (serialized "
                f"tf.Examples?), which TensorFlow Lite cannot parse; {hint}",
            )
        elif not tensor.shape:
            yield Mistake(
                _SIGNATURE, f"input {tensor.name!r} of signature {name!r} has no batch dimension"
            )


def _takes_tensors(signature: Interface) -> bool:
    return all(tensor.dtype != "string" and tensor.shape for tensor in signature.inputs)


def preprocessing_gives_the_inputs(subject: Subject) -> Iterator[Mistake]:
    """Checks that a preprocessing signature turns examples into what the signature takes."""
    known, name = subject.interfaces, subject.config.model.preprocessing_signature
    if known is None or name is None:
        return
    if name not in known:
        yield Mistake(
            _PREPROCESSING, f"the model has no signature {name!r}; {did_you_mean(name, known)}"
        )
        return
    found = known[name]
    if [tensor.dtype for tensor in found.inputs] != ["string"]:
        yield Mistake(
            _PREPROCESSING,
            f"signature {name!r} takes {listed(tensor.name for tensor in found.inputs)}, expected "
            "one string input of serialized tf.Examples",
        )
    given = {tensor.name for tensor in found.outputs}
    needed = [] if subject.signature is None else subject.signature.inputs
    missing = [tensor.name for tensor in needed if tensor.name not in given]
    if missing:
        yield Mistake(
            _PREPROCESSING,
            f"signature {name!r} does not give {listed(missing)}, which signature "
            f"{subject.config.model.signature!r} takes; it gives: {listed(sorted(given))}",
        )


def fed_inputs_are_the_signatures(subject: Subject) -> Iterator[Mistake]:
    """Checks that the inputs that features are named for are inputs of the signature."""
    if subject.signature is None:
        return
    known = [tensor.name for tensor in subject.signature.inputs]
    for name in subject.config.model.inputs:
        if name not in known:
            yield Mistake(
                f"model.inputs.{name}",
                f"signature {subject.signature.name!r} has no input {name!r}; "
                f"{did_you_mean(name, known)}",
            )


def features_fit_the_inputs(subject: Subject) -> Iterator[Mistake]:
    """Checks that each input has a feature that feeds it, with as many values as it takes."""
    signature = subject.signature
    if signature is None or subject.config.model.preprocessing_signature is not None:
        return
    tensors = [tensor for tensor in signature.inputs if tensor.dtype != "string" and tensor.shape]
    for split, look in subject.splits_in_use.items():
        for tensor in tensors:
            named = subject.config.model.inputs.get(tensor.name)
            name, key = named or tensor.name, _SIGNATURE if named is None else "model.inputs"
            if named is None and len(signature.inputs) == 1 and not look.found(name):
                candidates = _candidates(tensor, look, subject.config.features_of_other_use())
                if len(candidates) == 1:
                    continue
                if candidates:
                    yield Mistake(
                        "model.inputs",
                        _ambiguous(tensor, split, candidates),
                        # Of what later examples have, one feature may be all that fits.
                        is_warning=not look.is_all,
                    )
                    continue
            if look.lacks(name):
                yield Mistake(key, _missing(name, split, look.features, look.found(name) != ()))
                continue
            for feature in look.found(name):
                if problem := _misfit(tensor, feature.kind, feature.sizes):
                    yield Mistake(key, f"feature {name!r} of split {split!r} {problem}")
                    break


def _candidates(tensor: TensorForm, look: SplitLook, others: Collection[str]) -> list[str]:
    """Returns the features that could feed an input that none is called like."""
    return [
        name
        for name in sorted(look.features - {*others})
        if not look.lacks(name)
        and not any(_misfit(tensor, each.kind, each.sizes) for each in look.found(name))
        and not any(_loses_fractions(tensor, each.kind) for each in look.found(name))
    ]


def _loses_fractions(tensor: TensorForm, kind: str | None) -> bool:
    """Returns whether a feature holds numbers with fractions, and an input whole ones.

    A feature that the config names, or of the input's name, may all the same: it is read as long as
    its numbers are whole. A run takes none by itself (`examples/matching.py`).
    """
    return kind == "float" and not tensor.dtype.endswith(("float16", "float32", "float64"))


def _ambiguous(tensor: TensorForm, split: str, candidates: list[str]) -> str:
    return (
        f"no feature of split {split!r} has the name of input {tensor.name!r}, and several could "
        f"feed it: {listed(candidates)}; say which: {tensor.name!r}: {candidates[0]}"
    )


def _missing(name: str, split: str, features: frozenset[str], is_in_some: bool) -> str:
    needed = f"feature {name!r}, an input of the signature,"
    if is_in_some:
        return f"{needed} is missing in an example of split {split!r}; give it a value in each"
    return f"{needed} is not in the examples of split {split!r}; {did_you_mean(name, features)}"


def _misfit(tensor: TensorForm, kind: str | None, sizes: frozenset[int]) -> str | None:
    """Returns why a feature cannot be an input; None if it can."""
    if kind == "text":
        return f"holds texts or bytes, but the input takes {tensor.dtype}"
    fixed = 1
    for size in tensor.shape[1:]:
        fixed *= 1 if size is None else size
    free = tensor.shape[1:].count(None)
    wrong = [
        size
        for size in sorted(sizes)
        if (size != fixed if not free else size == 0 or (fixed and size % fixed))
    ]
    if not wrong:
        return None
    shape = ", ".join("?" if size is None else str(size) for size in tensor.shape)
    expected = f" ({fixed} values an example)" if not free else ""
    return f"has {wrong[0]} values in an example, but the input has shape [{shape}]{expected}"
