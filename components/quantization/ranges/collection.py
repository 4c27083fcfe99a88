"""Running a float TensorFlow Lite model to see what values its activations take.

The stock calibrator reads the inputs of operators after they ran, when kernels that work in place
have overwritten them (tensorflow issue 127842), and runs without XNNPACK. Here every activation is
made an output of the model, so that the runtime keeps it, with all kernels as they are on a device.

Every example is run by itself. The extremes of a tensor are then those of the example, wherever
the batch axis is (a transposed or folded one cannot be told from the shape); the float results do
not depend on which examples share a batch, as the last bits of some kernels do; and no more memory
is used than the activations of one example take.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.utils import shared
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.models.flatbuffer import text
from tfx_tflite.components.models.float_model import (
    InputReader,
    input_reader,
    read_tensor_signature,
)
from tfx_tflite.components.models.loops_and_state import check_no_loops
from tfx_tflite.components.quantization.ranges.ranges import (
    ActivationTensor,
    BatchExtremes,
    CombineExtremes,
    RangeSource,
    TensorRanges,
)

_TYPES = flatbuffer_utils.schema_fb.TensorType


def read_tflite(source: RangeSource) -> bytes:
    """Returns the bytes of the float flatbuffer that `source` names."""
    with tf.io.gfile.GFile(source.tflite, "rb") as file:
        return file.read()


def model_digest(content: bytes) -> str:
    """Returns the digest by which ranges know the flatbuffer that they belong to."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def activation_tensors(float_tflite: bytes) -> tuple[ActivationTensor, ...]:
    """Returns the tensors that need a range: all float32 ones that are not constants.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: The model has control flow or keeps a state.
    """
    check_no_loops(float_tflite)
    return _activations(flatbuffer_utils.convert_bytearray_to_object(bytearray(float_tflite)))


def _activations(model: Any) -> tuple[ActivationTensor, ...]:
    _check_calibratable(model)
    graph = model.subgraphs[0]
    inputs = {int(spec.tensorIndex): text(spec.name) for spec in model.signatureDefs[0].inputs}
    computed = [index for operator in graph.operators for index in _indices(operator.outputs)]
    return tuple(
        ActivationTensor(
            index, inputs.get(index) or text(graph.tensors[index].name), index in inputs
        )
        for index in (*inputs, *computed)
        if graph.tensors[index].type == _TYPES.FLOAT32
    )


def _check_calibratable(model: Any) -> None:
    if not model.signatureDefs or len(model.signatureDefs) > 1:
        raise ConversionError(
            f"the float model has {len(model.signatureDefs or ())} signatures, expected one"
        )
    graph = model.subgraphs[0]
    for operator in graph.operators:
        name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
        indices = (*_indices(operator.inputs), *_indices(operator.outputs))
        tensors = [graph.tensors[index] for index in indices]
        if any(tensor.isVariable or tensor.type == _TYPES.RESOURCE for tensor in tensors):
            raise ConversionError(
                f"operator {name} keeps a state from one run to the next, so its ranges would "
                "depend on the order of the examples; write the recurrence out (unroll=True) "
                "or set calibration.ranges: stock"
            )


def _indices(tensors: Any) -> list[int]:
    """Returns which tensors an operator lists; one that is left out is -1, an empty list None."""
    return [] if tensors is None else [int(index) for index in tensors if index >= 0]


class ActivationObserver:
    """Runs a float TFLite model example by example and gives the extremes of its activations.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: The model cannot be calibrated.
    """

    def __init__(self, float_tflite: bytes):
        check_no_loops(float_tflite)
        model = flatbuffer_utils.convert_bytearray_to_object(bytearray(float_tflite))
        self.tensors = _activations(model)
        exposed = [tensor.index for tensor in self.tensors if not tensor.is_input]
        model.subgraphs[0].outputs = list(dict.fromkeys([*model.subgraphs[0].outputs, *exposed]))
        # The interpreter refers to the bytes without a copy.
        self._content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
        self._interpreter = tf.lite.Interpreter(model_content=self._content, num_threads=1)
        runner = self._interpreter.get_signature_runner()
        self._inputs: dict[str, dict[str, Any]] = runner.get_input_details()
        self._shapes: list[tuple[int, ...]] | None = None

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        position: int = 0,
        places: np.ndarray | None = None,
    ) -> BatchExtremes:
        """Returns the extremes of every tensor in each example.

        Args:
            inputs: By name, each of shape (batch, *example_shape).
            position: The place of the first example of the batch among all, for messages.
            places: Where in that batch each example is, for messages; one after another if None.

        Raises:
            ConversionError: The runtime refuses the model or an example.
        """
        rows = len(next(iter(inputs.values())))
        places = np.arange(rows) if places is None else places
        minima = np.empty((rows, len(self.tensors)), np.float32)
        maxima = np.empty_like(minima)
        for row in range(rows):
            try:
                given = self._run({name: values[row : row + 1] for name, values in inputs.items()})
            except (RuntimeError, ValueError) as error:
                raise ConversionError(
                    "the float TensorFlow Lite model does not run on calibration example "
                    f"{position + int(places[row])}: {telling_line(str(error))}"
                ) from error
            self._reduce(given, minima[row], maxima[row])
        return BatchExtremes(position, minima, maxima)

    def _run(self, example: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """Runs the model on one example and returns its inputs by index."""
        given = {
            int(detail["index"]): self._fitted(example[name], detail)
            for name, detail in self._inputs.items()
        }
        shapes = [values.shape for values in given.values()]
        if shapes != self._shapes:
            for index, values in given.items():
                self._interpreter.resize_tensor_input(index, values.shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for index, values in given.items():
            self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        return given

    def _fitted(self, values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
        """Returns an example as the model takes it: a batch size built in is filled with copies.

        Integers become floats for an input that was rewritten to take them.
        """
        size = int(detail["shape_signature"][0])
        is_rewritten = detail["dtype"] == np.float32 and values.dtype.kind in "iub"
        taken = values.astype(np.float32) if is_rewritten else values
        return taken if size in (-1, 1) else np.repeat(taken, size, axis=0)

    def _reduce(
        self, given: Mapping[int, np.ndarray], minima: np.ndarray, maxima: np.ndarray
    ) -> None:
        for column, tensor in enumerate(self.tensors):
            # A view, given up before the interpreter runs again.
            values = (
                given[tensor.index] if tensor.is_input else self._interpreter.tensor(tensor.index)()
            )
            # Every quantized range holds zero, so that a tensor without values has no say.
            minima[column] = values.min() if values.size else 0
            maxima[column] = values.max() if values.size else 0


@dataclass
class _Reader:
    """How examples become the model's inputs, as an object that threads can share."""

    read: InputReader

    @classmethod
    def load(cls, source: RangeSource) -> "_Reader":
        signature = read_tensor_signature(source.saved_model, source.signature)
        return cls(
            input_reader(
                source.saved_model, signature, source.preprocessing_signature, source.schema
            )
        )


@dataclass(frozen=True)
class ExampleObserver:
    """Observes examples as they are read: their tensors are made, then the model is run."""

    reader: InputReader
    observer: ActivationObserver

    @classmethod
    def load(cls, source: RangeSource, handle: shared.Shared) -> "ExampleObserver":
        """Loads what `source` names: the reader once a process, the interpreter for each thread.

        Args:
            source: The model, and how examples become its inputs.
            handle: What the threads of a process share the reader by.
        """
        reader = handle.acquire(lambda: _Reader.load(source))
        return cls(reader.read, ActivationObserver(read_tflite(source)))

    def __call__(self, position: int, batch: pa.RecordBatch) -> BatchExtremes:
        """Returns the extremes in each example of a batch."""
        groups = self.reader.groups(batch)
        parts = [self.observer(group.tensors, position, group.rows) for group in groups]
        if len(parts) == 1:
            return parts[0]
        order = np.argsort(np.concatenate([group.rows for group in groups]))
        return BatchExtremes(
            position,
            np.concatenate([part.minima for part in parts])[order],
            np.concatenate([part.maxima for part in parts])[order],
        )


def collect_ranges(
    float_tflite: bytes, batches: Iterable[Mapping[str, np.ndarray]]
) -> TensorRanges:
    """Returns the ranges of a model's activations, in this process and one pass.

    Args:
        float_tflite: The float flatbuffer.
        batches: The calibration tensors by input name, each of shape (batch, *example_shape), in
            the order of the examples.

    Raises:
        ConversionError: The model cannot be calibrated.
        DataError: There are no examples, or one gives NaN or infinity; its position is named.
    """
    observer = ActivationObserver(float_tflite)
    combine = CombineExtremes()
    extremes = combine.create_accumulator()
    position = 0
    for batch in batches:
        extremes = combine.add_input(extremes, observer(batch, position))
        position += len(next(iter(batch.values())))
    return extremes.ranges(model_digest(float_tflite), observer.tensors)
