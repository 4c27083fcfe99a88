"""The float model: which signatures it has, what feeds it, and how it predicts.

It is a SavedModel, or a float TensorFlow Lite file; `float_tflite.py` says which is where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.digests import bytes_digest, directory_digest
from tfx_tflite.components.errors import DataError, ModelError, listed
from tfx_tflite.components.examples.matching import FeatureMatch, features_of, match_features
from tfx_tflite.components.examples.tensors import (
    RAW_RECORD_COLUMN,
    Array,
    FeatureNames,
    FeatureShapes,
    InputGroup,
    InputSpec,
    Tensors,
    format_shape,
    input_groups,
    predict_in_chunks,
)
from tfx_tflite.components.models import float_tflite
from tfx_tflite.components.models.settings import FedSignatureSettings
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.object_stores import any_place

_SERVE_TAG = "serve"
# Every SavedModel carries this pseudo-signature for its initialisation.
_INIT_SIGNATURE = "__saved_model_init_op"
# What TensorFlow says of a feature that is there without a value, and what is said to that.
_NO_VALUE = "Values size: 0 but output shape"
_EMPTY_CELL = (
    "; the feature has no value in an example, as an empty cell of CSV becomes, and "
    "tf.io.FixedLenFeature fills in only what is not there: read it by tf.io.VarLenFeature"
)


@dataclass(frozen=True)
class Signature:
    """A float model's signature: its name, its inputs and its outputs, both ordered by name."""

    name: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[InputSpec, ...]


def read_signatures(path: str | Path) -> dict[str, Signature]:
    """Returns the signatures of a float model by name, without loading its graph.

    Args:
        path: The SavedModel, the TensorFlow Lite file, or the directory that the file is in.

    Raises:
        ModelError: There is no readable model at `path`, or a TensorFlow Lite file is no float one.
    """
    tflite = float_tflite.file_in(path)
    if tflite is not None:
        content = float_tflite.read(tflite)
        inputs, outputs = (tuple(float_tflite.specs_of(content, side)) for side in (False, True))
        name = float_tflite.signature_name(content)
        return {name: Signature(name, inputs, outputs)}
    file = f"{path}/saved_model.pb"
    try:
        proto = saved_model_pb2.SavedModel.FromString(any_place.read(file))
    except (tf.errors.OpError, FileNotFoundError) as error:
        raise ModelError(f"no SavedModel at {path}: saved_model.pb cannot be read") from error
    except DecodeError as error:
        raise ModelError(f"{file} is not a SavedModel: {error}") from error
    for graph in proto.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return {
                name: Signature(name, _specs(definition.inputs), _specs(definition.outputs))
                for name, definition in graph.signature_def.items()
                if name != _INIT_SIGNATURE
            }
    raise ModelError(f"{file} has no graph tagged {_SERVE_TAG!r}")


def _specs(tensors: Mapping[str, TensorInfo]) -> tuple[InputSpec, ...]:
    specs = []
    for name, info in sorted(tensors.items()):
        dims = () if info.tensor_shape.unknown_rank else info.tensor_shape.dim
        shape = tuple(None if dim.size < 0 else int(dim.size) for dim in dims)
        specs.append(
            InputSpec(name, shape, np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype))
        )
    return tuple(specs)


def read_signature(path: str | Path, name: str) -> Signature:
    """Returns one signature of a float model.

    Raises:
        ModelError: The model is not there or has no such signature (those it has are listed).
    """
    signatures = read_signatures(path)
    if name not in signatures:
        raise ModelError(
            f"the {_kind(path)} at {path} has no signature {name!r}; it has: "
            f"{listed(sorted(signatures))}"
        )
    return signatures[name]


def _kind(path: str | Path) -> str:
    return "SavedModel" if float_tflite.file_in(path) is None else "TensorFlow Lite file"


def read_tensor_signature(path: str | Path, name: str) -> Signature:
    """Returns a signature that TensorFlow Lite can take: tensors in, batch dimension first.

    Raises:
        ModelError: As `read_signature`, or the signature takes strings (serialized examples,
            usually) or an input without a batch dimension.
    """
    signature = read_signature(path, name)
    for spec in signature.inputs:
        if spec.dtype == object:
            raise ModelError(
                f"input {spec.name!r} of signature {name!r} takes strings (serialized "
                "tf.Examples?), which TensorFlow Lite cannot parse; name a signature whose inputs "
                "are tensors"
            )
        if not spec.shape:
            raise ModelError(
                f"input {spec.name!r} of signature {name!r} has no batch dimension; its shape is "
                f"{format_shape(spec.shape)}, expected [?, …]"
            )
    if not signature.inputs:
        raise ModelError(f"signature {name!r} takes no inputs; nothing could be calibrated or run")
    return signature


def matched(
    signature: Signature, settings: FedSignatureSettings, schema: bytes | None
) -> FeatureMatch:
    """Returns which feature feeds each input of a signature.

    Args:
        signature: The signature.
        settings: What the config says of it.
        schema: The schema of the examples, serialized; without one an input that the config does
            not name is fed by the feature of its name.

    Raises:
        ModelError: The config names an input that the signature does not have.
        DataError: The config names a feature that the examples do not have, or none can be told.
    """
    if settings.preprocessing_signature is not None:
        return FeatureMatch()
    features = () if schema is None else features_of(schema)
    return match_features(signature.inputs, settings.inputs, features, settings.not_inputs)


class InputReader:
    """What turns a batch of examples into the tensors that a signature takes."""

    def groups(self, batch: pa.RecordBatch) -> list[InputGroup]:
        """Returns the tensors of a batch, those of one shape together.

        Raises:
            DataError: The examples do not fit the signature.
        """
        raise NotImplementedError

    def __call__(self, batch: pa.RecordBatch) -> dict[str, Array]:
        """Returns the tensors of a batch whose examples are of one shape, by input name.

        Raises:
            DataError: The examples do not fit the signature, or are of several shapes.
        """
        groups = self.groups(batch)
        if len(groups) > 1:
            shapes = listed(
                format_shape(values.shape[1:])
                for group in groups
                for values in group.tensors.values()
            )
            raise DataError(f"examples of several shapes cannot be taken together here: {shapes}")
        return groups[0].tensors


def input_reader(
    path: str | Path,
    signature: Signature,
    preprocessing_signature: str | None,
    schema: bytes | None = None,
    beside: Sequence[str] = (),
    features: FeatureNames | None = None,
    digest: str | None = None,
) -> InputReader:
    """Returns how a batch of examples becomes the inputs of `signature`.

    Args:
        path: The float model.
        signature: The signature that is calibrated, converted and evaluated.
        preprocessing_signature: Another signature of the same SavedModel: one string tensor of
            serialized tf.Examples in, the inputs of `signature` out by name. None takes each
            input from the feature of its name.
        schema: The schema of the examples, serialized, which tells the shape of a feature for an
            input with several free axes.
        beside: Outputs of the preprocessing signature that are given beside the inputs, as they
            are; those that it does not have are left out.
        features: Which feature feeds which input if it is not the feature of its name.
        digest: Of the SavedModel, if it is in an object store and must be what was checked.

    Raises:
        ArtifactError: It is not.
        ModelError: The preprocessing signature is not there or does not give what is needed.
    """
    if preprocessing_signature is None:
        return _Features(signature, _feature_shapes(schema), features or {})
    if float_tflite.file_in(path) is not None:
        raise ModelError(
            "a TensorFlow Lite file has no preprocessing_signature; let model.inputs name features "
            "that hold what its inputs take"
        )
    with any_place.local_copy(str(path), digest) as here:
        return _Preprocessing(here, signature, preprocessing_signature, beside)


def _feature_shapes(schema: bytes | None) -> FeatureShapes:
    features = schema_pb2.Schema.FromString(schema).feature if schema else ()
    return {
        feature.name: tuple(int(dim.size) for dim in feature.shape.dim)
        for feature in features
        if feature.HasField("shape")
    }


class _Features(InputReader):
    """Takes each input from the feature that feeds it."""

    def __init__(self, signature: Signature, shapes: FeatureShapes, features: FeatureNames):
        self._signature = signature
        self._shapes = shapes
        self._features = features

    def groups(self, batch: pa.RecordBatch) -> list[InputGroup]:
        signature = self._signature
        return input_groups(batch, signature.inputs, signature.name, self._shapes, self._features)


class _Preprocessing(InputReader):
    """Runs serialized examples through a preprocessing signature of the SavedModel."""

    def __init__(
        self, path: str | Path, signature: Signature, name: str, beside: Sequence[str] = ()
    ):
        preprocessing = read_signature(path, name)
        if len(preprocessing.inputs) != 1 or preprocessing.inputs[0].dtype != object:
            raise ModelError(
                f"preprocessing_signature {name!r} takes "
                f"{listed(spec.name for spec in preprocessing.inputs)}, expected one string input "
                "of serialized tf.Examples"
            )
        given = {spec.name: spec for spec in preprocessing.outputs}
        missing = [spec.name for spec in signature.inputs if spec.name not in given]
        if missing:
            raise ModelError(
                f"preprocessing_signature {name!r} does not give {listed(missing)}, which "
                f"signature {signature.name!r} needs; it gives: {listed(sorted(given))}"
            )
        self._inputs = signature.inputs
        self._beside = [name for name in beside if name in given]
        self._name, self._signature = name, signature.name
        self._argument = preprocessing.inputs[0].name
        self._model = tf.saved_model.load(str(path))
        self._function = self._model.signatures[name]
        # A signature that gives tensors of any size would fill up the examples of a batch to the
        # largest of them, and an example would look different in other company.
        self._singly = any(None in given[spec.name].example_shape for spec in signature.inputs)

    def groups(self, batch: pa.RecordBatch) -> list[InputGroup]:
        serialized = raw_records(batch)
        if not self._singly:
            return [InputGroup(np.arange(len(serialized)), self._run(serialized))]
        rows_by_shape: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        singles = [self._run(serialized[row : row + 1]) for row in range(len(serialized))]
        for row, tensors in enumerate(singles):
            shapes = tuple(values.shape for values in tensors.values())
            rows_by_shape.setdefault(shapes, []).append(row)
        return [
            InputGroup(
                np.array(rows),
                {
                    name: np.concatenate([singles[row][name] for row in rows])
                    for name in singles[rows[0]]
                },
            )
            for _, rows in sorted(rows_by_shape.items())
        ]

    def _run(self, serialized: Array) -> dict[str, Array]:
        try:
            outputs = self._function(**{self._argument: tf.constant(serialized)})
        except tf.errors.OpError as error:
            raise DataError(
                f"preprocessing_signature {self._name!r} failed: {_reason(error.message)}"
                + _EMPTY_CELL * (_NO_VALUE in error.message)
            ) from error
        found = {spec.name: outputs[spec.name].numpy() for spec in self._inputs}
        for spec in self._inputs:
            self._check(spec, found[spec.name], len(serialized))
        return {**found, **{name: outputs[name].numpy() for name in self._beside}}

    def _check(self, spec: InputSpec, values: Array, rows: int) -> None:
        wanted = (rows, *spec.example_shape)
        fits = values.ndim == len(wanted) and all(
            size is None or size == found for size, found in zip(wanted, values.shape, strict=True)
        )
        if not fits or values.dtype != spec.dtype:
            raise DataError(
                f"preprocessing_signature {self._name!r} gives {spec.name!r} as {values.dtype} of "
                f"shape {format_shape(values.shape)} for {rows} examples, but signature "
                f"{self._signature!r} takes {spec.dtype} of shape {format_shape(spec.shape)}"
            )


def _reason(message: str) -> str:
    """Returns what a failed graph says, without where in it that was."""
    lines = [line.split("[[{{")[0].strip() for line in message.splitlines()]
    framing = ("Graph execution error", "Detected at node", "<stack traces unavailable>")
    return next((line for line in lines if line and not line.startswith(framing)), lines[0])


def raw_records(batch: pa.RecordBatch) -> Array:
    """Returns the serialized examples of a batch as an object array of bytes, shape (batch,)."""
    column = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN))
    records: Array = column.flatten().to_numpy(zero_copy_only=False)
    return records


def float_model_digests(path: str) -> dict[str, str]:
    """Returns the digest of a SavedModel in an object store by its URI, for those who fetch it.

    Of one that is not fetched there is none.
    """
    if not any_place.is_served(path):
        return {}
    with any_place.local_copy(path) as here:
        return {path: directory_digest(here)}


def runs_in_threads(path: str | Path) -> bool:
    """Returns whether several threads may share one float model, as no interpreter can be."""
    return float_tflite.file_in(path) is None


def open_float_model(
    path: str | Path, signature: Signature, digest: str | None = None
) -> "FloatModel | TFLiteModel":
    """Returns the float model, which predicts.

    Args:
        path: The SavedModel, the TensorFlow Lite file, or the directory that the file is in.
        signature: The signature to call.
        digest: Of the TensorFlow Lite file as it was checked, or of a SavedModel that is in an
            object store.

    Raises:
        ArtifactError, ModelError: It is another one by now.
    """
    file = float_tflite.file_in(path)
    if file is None:
        with any_place.local_copy(str(path), digest) as here:
            return FloatModel(here, signature)
    content = float_tflite.read(file)
    if digest not in (None, bytes_digest(content)):
        raise ModelError(f"{file} was changed while it was being evaluated; run again")
    return TFLiteModel(content)


class FloatModel:
    """The predictions of a float SavedModel.

    Args:
        path: The SavedModel.
        signature: The signature to call.
    """

    def __init__(self, path: str | Path, signature: Signature):
        self._model = tf.saved_model.load(str(path))
        self._function = self._model.signatures[signature.name]
        self._fixed_batch_size = signature.inputs[0].shape[0]

    def predict(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the signature's outputs by name, the batch dimension first."""
        return predict_in_chunks(self._predict_chunk, inputs, self._fixed_batch_size)

    def _predict_chunk(self, inputs: Tensors) -> dict[str, Array]:
        outputs = self._function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
