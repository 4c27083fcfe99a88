"""Which feature of the examples feeds which input of a model.

A feature feeds the input of its name, unless the config says otherwise. A model's only input, if no
feature is called like it, is fed by the only feature that fits. Nothing here needs TensorFlow.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.errors import DataError, ModelError, listed
from tfx_tflite.components.examples.tensors import InputSpec, format_shape

# Which features an input of a kind of NumPy dtype can take without a loss of what they mean.
_TAKEN = {"f": ("FLOAT", "INT"), "i": ("INT",), "u": ("INT",), "b": ("INT",), "O": ("BYTES",)}


@dataclass(frozen=True)
class Feature:
    """What a schema says of a feature.

    Attributes:
        name: Its name.
        kind: FLOAT, INT or BYTES.
        shape: Its shape in an example; None if its number of values varies or is not said.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None

    def fits(self, spec: InputSpec) -> bool:
        """Returns whether an input can take it, by type and number of values."""
        return self.kind in _TAKEN.get(spec.dtype.kind, ()) and self._has_size_of(spec)

    def _has_size_of(self, spec: InputSpec) -> bool:
        wanted = spec.example_shape
        free = wanted.count(None)
        if free > 1:
            return self.shape is not None and _matches(self.shape, wanted)
        known = int(np.prod([size for size in wanted if size is not None], dtype=np.int64))
        if self.shape is None:
            return free == 1
        size = int(np.prod(self.shape, dtype=np.int64))
        return size % max(known, 1) == 0 if free else size == known

    def __str__(self) -> str:
        shape = "of varying length" if self.shape is None else format_shape(self.shape)
        return f"{self.name} ({self.kind} {shape})"


def _matches(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (None, given) for size, given in zip(wanted, shape, strict=True)
    )


def features_of(schema: bytes) -> tuple[Feature, ...]:
    """Returns the features of a serialized schema, in its order."""
    return tuple(
        Feature(feature.name, schema_pb2.FeatureType.Name(feature.type), _shape(feature))
        for feature in schema_pb2.Schema.FromString(schema).feature
    )


def _shape(feature: schema_pb2.Feature) -> tuple[int, ...] | None:
    if feature.HasField("shape"):
        return tuple(int(dim.size) for dim in feature.shape.dim)
    count = feature.value_count
    return (int(count.min),) if count.min and count.min == count.max else None


@dataclass(frozen=True)
class FeatureMatch:
    """Which feature feeds each input.

    Attributes:
        features: The feature's name, by the input's. An input that is not there is fed by the
            feature of its name.
        notes: What was matched without anybody having said so, in a line each.
    """

    features: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def match_features(
    inputs: Sequence[InputSpec],
    named: Mapping[str, str],
    features: Sequence[Feature],
    not_inputs: Iterable[str] = (),
) -> FeatureMatch:
    """Returns which feature feeds each input of a signature.

    Args:
        inputs: The inputs.
        named: Features by input, as the config has them.
        features: Those of the examples; none if they are not known, and then each input that the
            config does not name is fed by the feature of its name.
        not_inputs: Features that have another use, such as labels, and are matched only by name.

    Raises:
        ModelError: The config names an input that the signature does not have.
        DataError: The config names a feature that the examples do not have, or none can be told.
    """
    _check_named(inputs, named, features)
    if not features:
        return FeatureMatch(dict(named))
    known = {feature.name for feature in features}
    missing = [spec for spec in inputs if spec.name not in named and spec.name not in known]
    if not missing:
        return FeatureMatch(dict(named))
    used = {*not_inputs, *named.values(), *(spec.name for spec in inputs)}
    unused = [feature for feature in features if feature.name not in used]
    candidates = {
        spec.name: [feature for feature in unused if feature.fits(spec)] for spec in missing
    }
    if len(inputs) > 1 or len(candidates[missing[0].name]) != 1:
        raise DataError(_explained(missing, candidates, unused))
    [spec], [feature] = missing, candidates[missing[0].name]
    note = (
        f"input {spec.name!r} is fed by feature {feature.name!r}, the only one of its shape and "
        f"type; model.inputs can name another"
    )
    return FeatureMatch({**named, spec.name: feature.name}, (note,))


def _check_named(
    inputs: Sequence[InputSpec], named: Mapping[str, str], features: Sequence[Feature]
) -> None:
    names = [spec.name for spec in inputs]
    for name, feature in named.items():
        if name not in names:
            raise ModelError(
                f"model.inputs: the signature has no input {name!r}{_meant(name, names)}; it has: "
                f"{listed(names)}"
            )
        known = [each.name for each in features]
        if known and feature not in known:
            raise DataError(
                f"model.inputs.{name}: there is no feature {feature!r}{_meant(feature, known)}; "
                f"the examples have: {listed(known)}"
            )


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _explained(
    missing: Sequence[InputSpec],
    candidates: Mapping[str, Sequence[Feature]],
    unused: Sequence[Feature],
) -> str:
    """Returns what to write where no feature has an input's name."""
    lines = "; ".join(_candidates(missing, candidates))
    example = ", ".join(
        f"{_yaml(spec.name)}: "
        f"{_yaml(candidates[spec.name][0].name) if candidates[spec.name] else 'A_FEATURE'}"
        for spec in missing
    )
    others = "" if all(candidates.values()) else f" Features: {listed(map(str, unused))}."
    return (
        f"no feature has the name of {listed(repr(spec.name) for spec in missing)}: {lines}."
        f"{others} Say in the config which feature feeds which input, for example\n"
        f"model: {{inputs: {{{example}}}}}"
    )


def _candidates(
    missing: Sequence[InputSpec], candidates: Mapping[str, Sequence[Feature]]
) -> Iterator[str]:
    for spec in missing:
        fitting = listed(feature.name for feature in candidates[spec.name])
        yield f"{spec.name} ({spec.dtype} {format_shape(spec.shape)}) could take {fitting}"


def _yaml(name: str) -> str:
    """Returns a name as YAML reads it between braces."""
    is_plain = name.replace("_", "").replace(".", "").replace("-", "").isalnum()
    return name if is_plain and not name[0].isdigit() else f'"{name}"'
