"""What the model that a user points to takes and gives. Importing this loads TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import ConfigError, DataError, ModelError, listed
from tfx_tflite.components.examples.tensors import Array, InputSpec, format_shape
from tfx_tflite.components.models import effects
from tfx_tflite.components.models.float_model import (
    FloatModel,
    Signature,
    input_reader,
    read_signatures,
)
from tfx_tflite.pipelines.first_config.features import Feature, with_records

# Preferred where several signatures would do.
_PREFERRED = ("serving_tensors", "serving_default", "serve")
_TAKEN = {"f": ("float", "int"), "i": ("int",), "u": ("int",), "b": ("int",), "O": ("text",)}


@dataclass(frozen=True)
class Wiring:
    """How examples feed a model.

    Attributes:
        signature: The signature to quantize.
        preprocessing: The signature that makes its inputs of examples; None if features do.
        inputs: Which feature feeds which input, where the names differ.
    """

    signature: Signature
    preprocessing: str | None
    inputs: Mapping[str, str]

    @property
    def used(self) -> frozenset[str]:
        """The features that feed inputs."""
        if self.preprocessing is not None:
            return frozenset(spec.name for spec in self.signature.inputs)
        return frozenset(self.inputs.get(spec.name, spec.name) for spec in self.signature.inputs)


def model_signatures(path: str) -> dict[str, Signature]:
    """Returns the signatures of a model by name.

    Raises:
        ConfigError: The path leads to no model.
        ModelError: The model cannot be read, or does more than compute.
    """
    place = Path(path)
    if not place.exists():
        raise ConfigError(f"--model: there is no {path}")
    if place.is_dir() and not (place / "saved_model.pb").is_file():
        below = sorted(place.glob("*/saved_model.pb"))
        hint = f"; {below[-1].parent} is one" if below else ""
        raise ConfigError(f"--model: {path} is no SavedModel: it has no saved_model.pb{hint}")
    if place.is_file():
        raise ConfigError(
            f"--model: {path} is a file, expected the folder of a SavedModel; write one by "
            "model.export(FOLDER)"
        )
    effects.check(path, trusted=False)
    return read_signatures(path)


def wiring(
    signatures: Mapping[str, Signature], features: Mapping[str, Feature], likely_labels: set[str]
) -> Wiring:
    """Returns the signature to quantize, and what feeds it.

    Args:
        signatures: Those of the model.
        features: Those of the examples.
        likely_labels: Features that are rather labels than inputs.

    Raises:
        ModelError: No signature takes tensors.
        DataError: The features feed none; what would be needed is listed.
    """
    ranked = sorted(signatures.values(), key=_rank)
    taken = [signature for signature in ranked if _takes_tensors(signature)]
    if not taken:
        raise ModelError(
            "each signature of the model takes serialized examples or nothing: "
            f"{listed(signatures)}; export one whose inputs are tensors, such as model.export does"
        )
    for signature in taken:
        if all(_fits(features.get(spec.name), spec) for spec in signature.inputs):
            return Wiring(signature, None, {})
    for signature in taken:
        for other in ranked:
            if _makes_inputs(other, signature):
                return Wiring(signature, other.name, {})
    for signature in taken:
        if (inputs := _matched(signature, features, likely_labels)) is not None:
            return Wiring(signature, None, inputs)
    raise DataError(_unfed(taken[0], features))


def _rank(signature: Signature) -> tuple[int, str]:
    names = [*_PREFERRED, signature.name]
    return names.index(signature.name), signature.name


def _takes_tensors(signature: Signature) -> bool:
    inputs = signature.inputs
    return bool(inputs) and all(spec.dtype != object and spec.shape for spec in inputs)


def _makes_inputs(other: Signature, signature: Signature) -> bool:
    """Returns whether a signature turns serialized examples into the inputs of another."""
    given = {spec.name for spec in other.outputs}
    return (
        len(other.inputs) == 1
        and other.inputs[0].dtype == object
        and given >= {spec.name for spec in signature.inputs}
    )


def _fits(feature: Feature | None, spec: InputSpec) -> bool:
    if feature is None or feature.missing or feature.kind not in _TAKEN.get(spec.dtype.kind, ()):
        return False
    known = int(np.prod([size for size in spec.example_shape if size is not None], dtype=np.int64))
    if None in spec.example_shape:
        return all(len(row) % max(known, 1) == 0 for row in feature.rows)
    return feature.size == known


def _matched(
    signature: Signature, features: Mapping[str, Feature], likely_labels: set[str]
) -> dict[str, str] | None:
    """Returns the one way to feed inputs from features of other names; None if there is not one."""
    named = {spec.name for spec in signature.inputs if _fits(features.get(spec.name), spec)}
    open_inputs = [spec for spec in signature.inputs if spec.name not in named]
    unused = [name for name in features if name not in named | likely_labels]
    if len(open_inputs) > 3 or len(unused) > 20:
        return None
    ways = [
        chosen
        for chosen in permutations(unused, len(open_inputs))
        if all(_fits(features[name], spec) for name, spec in zip(chosen, open_inputs, strict=True))
    ]
    if len(ways) != 1:
        return None
    return {spec.name: name for spec, name in zip(open_inputs, ways[0], strict=True)}


def _unfed(signature: Signature, features: Mapping[str, Feature]) -> str:
    wanted = listed(
        f"{spec.name} ({spec.dtype} {format_shape(spec.shape)})"
        for spec in signature.inputs
        if not _fits(features.get(spec.name), spec)
    )
    there = listed(
        f"{feature.name} ({feature.kind}, {_size(feature)})" for feature in features.values()
    )
    return (
        f"the data do not feed signature {signature.name!r}: nothing fits {wanted}. The data have: "
        f"{there}. Name the features like the inputs, or export a signature that makes the inputs "
        "of serialized tf.Examples"
    )


def _size(feature: Feature) -> str:
    size = feature.size
    return "values missing or varying" if size is None else f"{size} values"


def predicted(path: str, wired: Wiring, batch: pa.RecordBatch) -> dict[str, Array]:
    """Returns what the model says to some examples, by output.

    Raises:
        DataError: The examples do not fit.
    """
    reader = input_reader(path, wired.signature, wired.preprocessing)
    by_feature = {feature: name for name, feature in wired.inputs.items()}
    complete = with_records(batch)
    names = [by_feature.get(name, name) for name in complete.schema.names]
    renamed = pa.RecordBatch.from_arrays(complete.columns, names)
    group = reader.groups(renamed)[0]
    return FloatModel(path, wired.signature).predict(group.tensors)


def preprocessed(path: str, wired: Wiring) -> Sequence[str]:
    """Returns the outputs of the preprocessing signature that are no inputs."""
    if wired.preprocessing is None:
        return ()
    found = read_signatures(path)[wired.preprocessing].outputs
    return tuple(spec.name for spec in found if spec.name not in wired.used)
