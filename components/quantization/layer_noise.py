"""How far each layer of a quantized model is from the same layer of the float model.

The quantizer keeps the names of the tensors, so a layer of one model is found by its output's name
in the other. Both models are run as they are, byte for byte, by TensorFlow's builtin kernels
without a delegate, which can be asked to keep every tensor. With every activation made an output it
would be another model, of which delegates take other parts. The reference kernels are not used,
because they end the process on some models (a softmax of a very small scale).

Examples are run one at a time, so that no more memory is used than the activations of one take.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import Tensor, read_graph
from tfx_tflite.components.models.input_normalization import normalizations_of
from tfx_tflite.components.models.runtime import open_observable
from tfx_tflite.components.models.tflite_model import InputQuantizer
from tfx_tflite.components.quantization.ranges.masks import MASK
from tfx_tflite.components.versions import Kernels

# The share of values other than zero, and the root mean square, from which there is a signal.
_LEAST_ACTIVE, _LEAST_RMS = 0.01, 1e-6
_COMPARABLE = frozenset({"FLOAT32", "INT8", "UINT8", "INT16"})


@dataclass(frozen=True)
class LayerNoise:
    """A layer's output in both models.

    Attributes:
        sqnr_db: The signal-to-quantization-noise ratio, 10 log10(sum of squares of the float values
            over sum of squares of the differences), in dB; None if there is no noise or no
            signal.
        saturated: The share of the float values that the quantized tensor has no number for,
            because they are outside its range; None if it is not quantized.
        has_signal: Whether the float values are more than a few beside zeros, and more than what is
            left of numbers that cancelled out.
    """

    sqnr_db: float | None
    saturated: float | None
    has_signal: bool = True


def measure(float32: bytes, quantized: bytes, groups: Iterable[Tensors]) -> dict[str, LayerNoise]:
    """Returns the noise of every layer that both models have, by its output's name.

    Args:
        float32: The float flatbuffer.
        quantized: The quantized flatbuffer, made from it.
        groups: Examples of one shape, by input name, each of shape (examples, *example_shape).

    Returns:
        Nothing if the runtime refuses to run one of the models.
    """
    try:
        models = [_WatchedModel(content) for content in (float32, quantized)]
        sums: dict[str, _Sums] = {}
        for example in _single_examples(groups):
            before, after = (model.run(example) for model in models)
            for name in before.keys() & after.keys():
                if before[name].shape != after[name].shape:
                    continue
                found = sums.setdefault(name, _Sums(models[1].tensors[name].representable))
                found.add(before[name], after[name])
    except (RuntimeError, ValueError):  # Some int16x8 models do not even allocate.
        return {}
    return {name: found.result() for name, found in sums.items()}


def _single_examples(groups: Iterable[Tensors]) -> Iterator[Tensors]:
    for inputs in groups:
        for row in range(len(next(iter(inputs.values())))):
            yield {name: values[row : row + 1] for name, values in inputs.items()}


@dataclass
class _Sums:
    representable: tuple[float, float] | None
    signal: float = 0.0
    noise: float = 0.0
    values: int = 0
    active: int = 0
    outside: int = 0

    def add(self, before: Array, after: Array) -> None:
        reals = self._unmasked(before.astype(np.float64))
        self.signal += float(np.square(reals).sum())
        self.noise += float(np.square(reals - after).sum())
        self.values += reals.size
        self.active += int(np.count_nonzero(reals))
        if self.representable is not None:
            lowest, highest = self.representable
            self.outside += int(np.count_nonzero((reals < lowest) | (reals > highest)))

    def _unmasked(self, reals: Array) -> Array:
        """Returns values with masks no lower than the quantized tensor has them; see `masks.py`."""
        if self.representable is None:
            return reals
        return np.where(reals < MASK, np.maximum(reals, self.representable[0]), reals)

    def result(self) -> LayerNoise:
        is_known = self.noise > 0 and self.signal > 0
        return LayerNoise(
            10 * math.log10(self.signal / self.noise) if is_known else None,
            None if self.representable is None else self.outside / max(self.values, 1),
            self._has_signal(),
        )

    def _has_signal(self) -> bool:
        values = max(self.values, 1)
        power = self.signal / values
        return self.active / values >= _LEAST_ACTIVE and power >= _LEAST_RMS**2


class _WatchedModel:
    """A TFLite model that keeps every activation of its main graph.

    Attributes:
        tensors: The activations that can be compared, by names that no other has.
    """

    def __init__(self, content: bytes):
        graph = read_graph(content)
        written = [tensor for operator in graph.main.operators for tensor in operator.outputs]
        often = Counter(tensor.name for tensor in written)
        self.tensors: dict[str, Tensor] = {
            tensor.name: tensor
            for tensor in written
            if often[tensor.name] == 1 and tensor.type in _COMPARABLE
        }
        self._model = open_observable(content, Kernels.BUILTIN)
        self._quantizer = InputQuantizer(
            self._model.inputs, Kernels.BUILTIN, normalizations_of(content)
        )
        self._details = self._model.tensors()

    def run(self, example: Tensors) -> dict[str, Array]:
        """Returns the real values of each activation on one example."""
        inputs = self._model.inputs
        self._model.run(
            self._quantizer({name: inputs[name].filled(given) for name, given in example.items()})
        )
        return {
            name: self._details[tensor.index].reals(self._model.activation(tensor.index).copy())
            for name, tensor in self.tensors.items()
        }
