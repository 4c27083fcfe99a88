"""Running a float TensorFlow Lite model to see what values its activations take.

The stock calibrator reads the inputs of operators after they ran, when kernels that work in place
have overwritten them (tensorflow issue 127842), and runs without XNNPACK. Here every activation is
made an output of the model, so that the runtime keeps it, with all kernels as they are on a device.

Every example is run by itself. The extremes of a tensor are then those of the example, wherever
the batch axis is (a transposed or folded one cannot be told from the shape); the float results do
not depend on which examples share a batch, as the last bits of some kernels do; and no more memory
is used than the activations of one example take.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from apache_beam.utils import shared

from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import Graph, read_graph
from tfx_tflite.components.models.float_model import (
    InputReader,
    input_reader,
    read_tensor_signature,
)
from tfx_tflite.components.models.input_normalization import normalizations_of, normalized
from tfx_tflite.components.models.loops_and_state import check_no_loops
from tfx_tflite.components.models.runtime import open_observable
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.quantization.ranges.following import following, not_negative
from tfx_tflite.components.quantization.ranges.ranges import BatchExtremes, RangeSource
from tfx_tflite.components.quantization.ranges.tensor_range import ActivationTensor

# Among so many values of a ReLU there is a zero, but for odd layers.
_FIRST_VALUES = 4096


def read_tflite(source: RangeSource) -> bytes:
    """Returns the bytes of the float flatbuffer that `source` names."""
    return any_place.read(source.tflite)


def activation_tensors(float_tflite: bytes) -> tuple[ActivationTensor, ...]:
    """Returns the tensors that need a range: all float32 ones that are not constants.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: The model has control flow or keeps a state.
    """
    check_no_loops(float_tflite)
    graph = read_graph(float_tflite)
    _check_calibratable(graph)
    inputs = {tensor: name for name, tensor in graph.signatures[0].inputs.items()}
    computed = [tensor for operator in graph.main.operators for tensor in operator.outputs]
    return tuple(
        ActivationTensor(tensor.index, inputs.get(tensor) or tensor.name, tensor in inputs)
        for tensor in (*inputs, *computed)
        if tensor.type == "FLOAT32"
    )


def _check_calibratable(graph: Graph) -> None:
    if len(graph.signatures) != 1:
        raise ConversionError(
            f"the float model has {len(graph.signatures)} signatures, expected one"
        )
    for operator in graph.main.operators:
        if any(tensor.is_variable or tensor.type == "RESOURCE" for tensor in operator.tensors):
            raise ConversionError(
                f"operator {operator.name} keeps a state from one run to the next, so its ranges "
                "would depend on the order of the examples; write the recurrence out (unroll=True) "
                "or set calibration.ranges: stock"
            )


class ActivationObserver:
    """Runs a float TFLite model example by example and gives the extremes of its activations.

    Args:
        float_tflite: The float flatbuffer.

    Raises:
        ConversionError: The model cannot be calibrated.
    """

    def __init__(self, float_tflite: bytes):
        self.tensors = activation_tensors(float_tflite)
        graph = read_graph(float_tflite)
        columns = {each.index: column for column, each in enumerate(self.tensors)}
        follows = following(graph, columns)
        # The column of each such tensor, that of the one it follows from, and whether it has zeros.
        self._following = [
            (columns[index], columns[found.source], found.has_zeros)
            for index, found in follows.items()
        ]
        self._observed = [
            (columns[each.index], each) for each in self.tensors if each.index not in follows
        ]
        self._not_negative = not_negative(graph)
        exposed = [
            graph.main.tensors[each.index] for _, each in self._observed if not each.is_input
        ]
        self._model = open_observable(graph.with_outputs(exposed))
        self._normalizations = normalizations_of(float_tflite)

    def __call__(self, inputs: Tensors, position: int, places: Array) -> BatchExtremes:
        """Returns the extremes of every tensor in each example.

        Args:
            inputs: By name, each of shape (batch, *example_shape).
            position: The place of the first example of the batch among all, for messages.
            places: Where in that batch each example is, for messages.

        Raises:
            ConversionError: The runtime refuses the model or an example.
        """
        minima = np.empty((len(places), len(self.tensors)), np.float32)
        maxima = np.empty_like(minima)
        for row, place in enumerate(places):
            try:
                given = self._run({name: values[row : row + 1] for name, values in inputs.items()})
            except (RuntimeError, ValueError) as error:
                raise ConversionError(
                    "the float TensorFlow Lite model does not run on calibration example "
                    f"{position + int(place)}: {telling_line(str(error))}"
                ) from error
            self._reduce(given, minima[row], maxima[row])
        return BatchExtremes(position, minima, maxima)

    def _run(self, example: Tensors) -> dict[str, Array]:
        """Runs the model on one example and returns its inputs by name."""
        inputs = self._model.inputs
        example = normalized(example, self._normalizations)
        given = {name: info.taken(example[name]) for name, info in inputs.items()}
        self._model.run(given)
        return given

    def _reduce(self, given: Tensors, minima: Array, maxima: Array) -> None:
        for column, tensor in self._observed:
            # A view, given up before the interpreter runs again.
            values = given[tensor.name] if tensor.is_input else self._model.activation(tensor.index)
            minima[column], maxima[column] = self._extremes(values, tensor.index)
        for column, source, has_zeros in self._following:
            minima[column], maxima[column] = minima[source], maxima[source]
            if has_zeros:
                # What is not a number stays so.
                minima[column] = np.minimum(minima[column], 0)
                maxima[column] = np.maximum(maxima[column], 0)

    def _extremes(self, values: Array, index: int) -> tuple[float, float]:
        """Returns the smallest and the largest value of a tensor."""
        if not values.size:
            # Every quantized range holds zero, so that a tensor without values has no say.
            return 0, 0
        largest = values.max()
        # Where nothing is negative, a zero among the first values tells without the others.
        is_bounded = index in self._not_negative and not np.isnan(largest)
        if is_bounded and values.reshape(-1)[:_FIRST_VALUES].min() == 0:
            return 0, largest
        return values.min(), largest


def _reader(source: RangeSource) -> InputReader:
    """Returns how examples become the model's inputs."""
    signature = read_tensor_signature(source.saved_model, source.signature)
    return input_reader(
        source.saved_model,
        signature,
        source.preprocessing_signature,
        source.schema,
        features=source.features,
        digest=source.digest,
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
        return cls(handle.acquire(lambda: _reader(source)), ActivationObserver(read_tflite(source)))

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
