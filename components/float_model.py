"""The float SavedModel: where it lies, which signatures it has, and how it predicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from tfx_tflite.components.errors import DataError, ModelError, listed
from tfx_tflite.components.model_inputs import (
    RAW_RECORD_COLUMN,
    InputSpec,
    format_shape,
    predict_in_chunks,
    tensors_from_features,
)

_SERVE_TAG = "serve"
# Every SavedModel carries this pseudo-signature for its initialisation.
_INIT_SIGNATURE = "__saved_model_init_op"


@dataclass(frozen=True)
class Signature:
    """A SavedModel signature: its name, its inputs and its outputs, both ordered by name."""

    name: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[InputSpec, ...]


def read_signatures(path: str | Path) -> dict[str, Signature]:
    """Returns the signatures of a SavedModel by name, without loading its graph.

    Raises:
        ModelError: There is no readable SavedModel at `path`.
    """
    file = f"{path}/saved_model.pb"
    try:
        with tf.io.gfile.GFile(file, "rb") as reader:
            proto = saved_model_pb2.SavedModel.FromString(reader.read())
    except tf.errors.OpError as error:
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


def _specs(tensors: Mapping[str, Any]) -> tuple[InputSpec, ...]:
    specs = []
    for name, info in sorted(tensors.items()):
        dims = () if info.tensor_shape.unknown_rank else info.tensor_shape.dim
        shape = tuple(None if dim.size < 0 else int(dim.size) for dim in dims)
        specs.append(
            InputSpec(name, shape, np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype))
        )
    return tuple(specs)


def read_signature(path: str | Path, name: str) -> Signature:
    """Returns one signature of a SavedModel.

    Raises:
        ModelError: The SavedModel is not there or has no such signature (those it has are listed).
    """
    signatures = read_signatures(path)
    if name not in signatures:
        raise ModelError(
            f"the SavedModel at {path} has no signature {name!r}; it has: "
            f"{listed(sorted(signatures))}"
        )
    return signatures[name]


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


# What turns a batch of examples into the tensors that a signature takes.
InputReader = Callable[[pa.RecordBatch], dict[str, np.ndarray]]


def input_reader(
    path: str | Path,
    signature: Signature,
    preprocessing_signature: str | None,
    beside: Sequence[str] = (),
) -> InputReader:
    """Returns how a batch of examples becomes the inputs of `signature`.

    Args:
        path: The SavedModel.
        signature: The signature that is calibrated, converted and evaluated.
        preprocessing_signature: Another signature of the same SavedModel: one string tensor of
            serialized tf.Examples in, the inputs of `signature` out by name. None takes each
            input from the feature of its name.
        beside: Outputs of the preprocessing signature that are given beside the inputs, as they
            are; those that it does not have are left out.

    Raises:
        ModelError: The preprocessing signature is not there or does not give what is needed.
    """
    if preprocessing_signature is None:
        return lambda batch: tensors_from_features(batch, signature.inputs, signature.name)
    return _Preprocessing(path, signature, preprocessing_signature, beside)


class _Preprocessing:
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
        given = {spec.name for spec in preprocessing.outputs}
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

    def __call__(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        serialized = raw_records(batch)
        try:
            outputs = self._function(**{self._argument: tf.constant(serialized)})
        except tf.errors.OpError as error:
            raise DataError(f"the preprocessing signature failed: {error.message}") from error
        found = {spec.name: outputs[spec.name].numpy() for spec in self._inputs}
        for spec in self._inputs:
            self._check(spec, found[spec.name], len(serialized))
        return {**found, **{name: outputs[name].numpy() for name in self._beside}}

    def _check(self, spec: InputSpec, values: np.ndarray, rows: int) -> None:
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


def raw_records(batch: pa.RecordBatch) -> np.ndarray:
    """Returns the serialized examples of a batch as an object array of bytes, shape (batch,)."""
    column = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN))
    return column.flatten().to_numpy(zero_copy_only=False)


class FloatModel:
    """The float model's predictions.

    Args:
        path: The SavedModel.
        signature: The signature to call.
    """

    def __init__(self, path: str | Path, signature: Signature):
        self._model = tf.saved_model.load(str(path))
        self._function = self._model.signatures[signature.name]
        self._fixed_batch_size = signature.inputs[0].shape[0]

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the signature's outputs by name, the batch dimension first."""
        return predict_in_chunks(self._predict_chunk, inputs, self._fixed_batch_size)

    def _predict_chunk(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
