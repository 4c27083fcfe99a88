"""What the model that a user points to takes and gives. Importing this loads TensorFlow."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa

from tfx_tflite.components.errors import ConfigError, DataError, ModelError, listed
from tfx_tflite.components.examples.tensors import Array, InputSpec, format_shape
from tfx_tflite.components.models import effects, keras_export
from tfx_tflite.components.models.float_model import (
    Signature,
    input_reader,
    open_float_model,
)
from tfx_tflite.pipelines.first_config.features import Feature, with_records

_TFLITE, _HDF5 = b"TFL3", b"\x89HDF\r\n\x1a\n"
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


@dataclass(frozen=True)
class ModelPlace:
    """A model that a user points to.

    Attributes:
        key: What a config calls it: `saved_model`, `keras` or `tflite`.
        path: Where it is.
        opened: What is opened: a Keras file was exported to there.
    """

    key: str
    path: Path
    opened: str


@contextmanager
def found_model(path: str) -> Iterator[ModelPlace]:
    """Finds out what a model is, and keeps what was made of it while the block runs.

    Raises:
        ConfigError: The path leads to no model.
        ModelError: The model cannot be read, or does more than compute.
    """
    place = Path(path)
    key = _kind_of(place)
    if key != "keras":
        if key == "saved_model":
            effects.check(path, trusted=False)
        yield ModelPlace(key, place, path)
        return
    with tempfile.TemporaryDirectory(prefix="tfx-tflite-init-") as made:
        exported = Path(made) / "model"
        keras_export.export(place.resolve(), exported, is_trusted=False, named=path)
        yield ModelPlace(key, place, str(exported))


def _kind_of(place: Path) -> str:
    """Returns what a config calls a model.

    Raises:
        ConfigError: It is none.
    """
    if not place.exists():
        raise ConfigError(f"--model: there is no file or folder {place}")
    if place.is_file():
        with place.open("rb") as stream:
            begin = stream.read(len(_HDF5))
        if begin[4:] == _TFLITE:
            return "tflite"
        if begin.startswith(b"PK") or begin == _HDF5:
            return "keras"
        raise ConfigError(
            f"--model: {place} is neither a Keras file nor a TensorFlow Lite file; name one, or "
            "the folder of a SavedModel"
        )
    if not (place / "saved_model.pb").is_file():
        below = sorted(place.glob("*/saved_model.pb"))
        hint = f"; {below[-1].parent} is one" if below else ""
        raise ConfigError(f"--model: {place} is no SavedModel: it has no saved_model.pb{hint}")
    return "saved_model"


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
            f"no signature of the model takes batches of numbers: {listed(signatures)}; strings, "
            "such as serialized examples, cannot be quantized. Export one whose inputs are numeric "
            "tensors, as model.export does"
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
    reader = input_reader(path, wired.signature, wired.preprocessing, features=wired.inputs)
    group = reader.groups(with_records(batch))[0]
    return open_float_model(path, wired.signature).predict(group.tensors)
