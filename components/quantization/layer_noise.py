"""How far each layer of a quantized model is from the same layer of the float model.

The quantizer keeps the names of the tensors, so a layer of one model is found by its output's name
in the other. Both models are run as they are, byte for byte, by TensorFlow's builtin kernels
without a delegate, which can be asked to keep every tensor. With every activation made an output it
would be another model, of which delegates take other parts. The reference kernels are not used,
because they end the process on some models (a softmax of a very small scale).

Examples are run one at a time, so that no more memory is used than the activations of one take.

A layer's noise is what it inherits and what it adds. What its output loses to rounding alone is
found on the way: the float model's values, rounded as the quantized tensor has numbers for them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import Tensor, read_graph
from tfx_tflite.components.models.input_normalization import normalizations_of
from tfx_tflite.components.models.runtime import open_observable
from tfx_tflite.components.models.tflite_model import InputQuantizer
from tfx_tflite.components.quantization.ranges.masks import MASK
from tfx_tflite.components.quantization.rounding import Rounding
from tfx_tflite.components.versions import Kernels

# The share of values other than zero, and the root mean square, from which there is a signal.
_LEAST_ACTIVE, _LEAST_RMS = 0.01, 1e-6
_COMPARABLE = frozenset({"FLOAT32", "INT8", "UINT8", "INT16"})


@dataclass(frozen=True, eq=False)
class ChannelNoise:
    """The channels of a layer's output, which are its last axis; float64 of shape (channels,).

    What is constant carries nothing, so that the signal of a channel is its variance.

    Attributes:
        lowest: The lowest float value.
        highest: The highest.
        mean: The mean of the float values.
        power: The mean of their squares.
        noise: The mean of the squares of the differences between both models.
        rounding: The same of the float values and what the quantized tensor has for them; zeros if
            it is not quantized.
    """

    lowest: Array
    highest: Array
    mean: Array
    power: Array
    noise: Array
    rounding: Array

    @property
    def variance(self) -> Array:
        """The variance of the float values."""
        found: Array = np.maximum(self.power - np.square(self.mean), 0)
        return found

    @property
    def varies(self) -> Array:
        """Which channels are not constant but for what is left of numbers that cancelled out."""
        found: Array = self.highest - self.lowest > _LEAST_RMS
        return found

    def below(self, decibels: float, noise: Array) -> float:
        """Returns the share of the channels with less signal to noise, of those that vary.

        Args:
            decibels: The ratio.
            noise: Of each channel: `noise`, `rounding` or another.
        """
        is_low = self.is_below(decibels, noise)
        return float(is_low[self.varies].mean()) if self.varies.any() else 0.0

    def is_below(self, decibels: float, noise: Array) -> Array:
        """Returns which channels have less signal to noise; see `below`."""
        found: Array = self.variance < noise * 10 ** (decibels / 10)
        return found


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
        channels: The same by channel; None if their number differs between examples.
    """

    sqnr_db: float | None
    saturated: float | None
    has_signal: bool = True
    channels: ChannelNoise | None = field(default=None, compare=False, repr=False)


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
                found = sums.setdefault(name, _Sums(_Numbers.of(models[1].tensors[name])))
                found.add(before[name], after[name])
    except (RuntimeError, ValueError):  # Some int16x8 models do not even allocate.
        return {}
    return {name: found.result() for name, found in sums.items()}


def _single_examples(groups: Iterable[Tensors]) -> Iterator[Tensors]:
    for inputs in groups:
        for row in range(len(next(iter(inputs.values())))):
            yield {name: values[row : row + 1] for name, values in inputs.items()}


def rounding_noise(
    groups: Iterable[Tensors], roundings: Mapping[str, Rounding]
) -> dict[str, LayerNoise]:
    """Returns the noise of inputs that are rounded to 8 bits, by their names.

    Args:
        groups: Examples of one shape, by input name.
        roundings: How, by input name.
    """
    sums = {name: _Sums(_Numbers.of_rounding(how)) for name, how in roundings.items()}
    for inputs in groups:
        for name, how in roundings.items():
            sums[name].add(inputs[name], how(inputs[name].astype(np.float64)))
    return {name: found.result() for name, found in sums.items()}


@dataclass(frozen=True)
class _Numbers:
    """The numbers that a quantized tensor has.

    Attributes:
        scale: What a step is worth.
        lowest: The lowest real.
        highest: The highest.
    """

    scale: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, tensor: Tensor) -> "_Numbers | None":
        """Returns those of a tensor, None if it is not quantized."""
        scale, _ = tensor.quantization
        limits = tensor.representable
        if scale is None or limits is None:
            return None
        return cls(scale, limits[0] + scale / 2, limits[1] - scale / 2)

    @classmethod
    def of_rounding(cls, rounding: Rounding) -> "_Numbers":
        """Returns those of 8 bits."""
        lowest, highest = rounding.limits
        return cls(rounding.scale, lowest, highest)

    def nearest(self, reals: Array) -> Array:
        """Returns the number that stands for each real."""
        found: Array = np.clip(np.rint(reals / self.scale) * self.scale, self.lowest, self.highest)
        return found


class _Sums:
    """Sums over the examples, by channel."""

    def __init__(self, numbers: _Numbers | None):
        self._numbers = numbers
        self._values = self._active = self._outside = 0
        self._signal = self._noise = 0.0
        # A row for each sum. There is none before the first example, nor if numbers differ.
        self._channels: Array | None = None
        self._has_channels = True

    def add(self, before: Array, after: Array) -> None:
        """Takes in some values of the float model, and those of the quantized one."""
        reals = self._unmasked(before.astype(np.float64))
        noise = np.square(reals - after)
        self._signal += float(np.square(reals).sum())
        self._noise += float(noise.sum())
        self._values += reals.size
        self._active += int(np.count_nonzero(reals))
        rounding = np.zeros_like(reals)
        if self._numbers is not None:
            half = self._numbers.scale / 2
            lowest, highest = self._numbers.lowest - half, self._numbers.highest + half
            self._outside += int(np.count_nonzero((reals < lowest) | (reals > highest)))
            rounding = np.square(reals - self._numbers.nearest(reals))
        if self._has_channels and reals.size:
            self._add_channels(*(_rows(each) for each in (reals, noise, rounding)))

    def _add_channels(self, reals: Array, noise: Array, rounding: Array) -> None:
        found = np.array(
            [
                reals.min(axis=0),
                -reals.max(axis=0),
                np.full(reals.shape[1], len(reals)),
                reals.sum(axis=0),
                np.square(reals).sum(axis=0),
                noise.sum(axis=0),
                rounding.sum(axis=0),
            ]
        )
        if self._channels is None:
            self._channels = found
        elif self._channels.shape == found.shape:
            self._channels[:2] = np.minimum(self._channels[:2], found[:2])
            self._channels[2:] += found[2:]
        else:
            self._has_channels, self._channels = False, None

    def _unmasked(self, reals: Array) -> Array:
        """Returns values with masks no lower than the quantized tensor has them; see `masks.py`."""
        if self._numbers is None:
            return reals
        lowest = self._numbers.lowest - self._numbers.scale / 2
        return np.where(reals < MASK, np.maximum(reals, lowest), reals)

    def result(self) -> LayerNoise:
        """Returns what the sums come to."""
        is_known = self._noise > 0 and self._signal > 0
        return LayerNoise(
            10 * math.log10(self._signal / self._noise) if is_known else None,
            None if self._numbers is None else self._outside / max(self._values, 1),
            self._has_signal(),
            self._by_channel(),
        )

    def _by_channel(self) -> ChannelNoise | None:
        if self._channels is None:
            return None
        lowest, negated, count, *sums = self._channels
        return ChannelNoise(lowest, -negated, *(each / count for each in sums))

    def _has_signal(self) -> bool:
        values = max(self._values, 1)
        power = self._signal / values
        return self._active / values >= _LEAST_ACTIVE and power >= _LEAST_RMS**2


def _rows(values: Array) -> Array:
    """Returns values with a column for each channel."""
    found: Array = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    return found


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
