"""Whether a quantized model's numbers are those of the float model, on the calibration examples.

The audit proves how a model is stored; a model can be stored as promised and be wrong. Here what it
computes is compared: each layer's output, and the answers that the outputs give. What is found is a
warning, because the gate judges the model on data that it was not calibrated with.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import Graph, Operator, read_graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.layer_noise import LayerNoise

# Below this many decibels the noise of a layer is a third of its signal.
LEAST_DECIBELS = 10.0
LEAST_AGREEMENT = 0.9
# Of so few answers one that differs says nothing.
_FEWEST_ANSWERS = 20
# Reals that are this close are no other answers, whichever of them is the largest.
_CLOSE_DECIBELS = 20.0
_SHOWN = 3

_RANDOM = frozenset({"RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "MULTINOMIAL"})
_SHAPES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE", "QUANTIZE"})


@dataclass(frozen=True)
class Agreement:
    """On how many of its answers the quantized model agrees with the float one.

    Attributes:
        output: The output's name in the signature.
        answers: How many there are: one an example, a pixel or a label, as the output has it.
        same: On how many both agree.
        sqnr_db: The output's signal-to-quantization-noise ratio in dB; infinite without noise.
        is_decision: Whether the output is made to be decided by: a softmax, a logistic or an index.
    """

    output: str
    answers: int
    same: int
    sqnr_db: float
    is_decision: bool

    @property
    def share(self) -> float:
        """The share of the answers on which both agree."""
        return self.same / self.answers if self.answers else 1.0

    @property
    def is_low(self) -> bool:
        """Whether the quantized model gives other answers."""
        is_close = not self.is_decision and self.sqnr_db >= _CLOSE_DECIBELS
        return self.answers >= _FEWEST_ANSWERS and self.share < LEAST_AGREEMENT and not is_close


def agreements(
    float32: bytes, quantized: bytes, batches: Iterable[Tensors]
) -> tuple[Agreement, ...]:
    """Returns how far both models agree on each output, predicting as the evaluation does.

    Args:
        float32: The float flatbuffer.
        quantized: The quantized flatbuffer, made from it.
        batches: Examples by input name, each of shape (batch, *example_shape).
    """
    graph = read_graph(float32)
    if _is_random(graph):
        return ()
    models = [TFLiteModel(content) for content in (float32, quantized)]
    kinds = graph.output_kinds(_SHAPES)
    counts: dict[str, _Count] = {}
    for inputs in batches:
        before, after = (model.predict(inputs) for model in models)
        for name, kind in kinds.items():
            counts.setdefault(name, _Count(kind)).add(before[name], after[name])
    return tuple(count.result(name) for name, count in counts.items())


def _is_random(graph: Graph) -> bool:
    return not _RANDOM.isdisjoint(operator.name for operator in graph.operators)


class _Count:
    """Answers of one output, summed up batch by batch."""

    def __init__(self, kind: str):
        self._kind = kind
        self._answers = self._same = 0
        self._signal = self._noise = 0.0

    def add(self, before: Array, after: Array) -> None:
        same = self._decide(before) == self._decide(after)
        self._answers += same.size
        self._same += int(np.count_nonzero(same))
        reals = before.astype(np.float64)
        self._signal += float(np.square(reals).sum())
        self._noise += float(np.square(reals - after).sum())

    def _decide(self, values: Array) -> Array:
        if values.dtype.kind != "f":
            return values
        if self._kind == "LOGISTIC":
            return values > 0.5
        return values.argmax(axis=-1) if values.ndim > 1 and values.shape[-1] > 1 else values > 0

    def result(self, name: str) -> Agreement:
        decibels = math.inf
        if self._noise:
            ratio = max(self._signal, sys.float_info.min) / self._noise
            decibels = 10 * math.log10(ratio)
        is_decision = self._kind in ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "ARG_MAX", "ARG_MIN")
        return Agreement(name, self._answers, self._same, decibels, is_decision)


def warnings(
    quantized: bytes, noise: Mapping[str, LayerNoise], found: Iterable[Agreement]
) -> tuple[str, ...]:
    """Returns a sentence on the layers that are noise, and one on each output that differs.

    Args:
        quantized: The quantized flatbuffer.
        noise: How far layers are from the float model's, by the name of what they write.
        found: How far the outputs agree.
    """
    return (
        *_layer_warning(list(_noisy_layers(read_graph(quantized), noise))),
        *(
            f"the answers of output {each.output!r} agree with the float model's on "
            f"{each.share:.1%} of {each.answers} on the calibration examples, less than "
            f"{LEAST_AGREEMENT:.0%}"
            for each in found
            if each.is_low
        ),
    )


def _noisy_layers(
    graph: Graph, noise: Mapping[str, LayerNoise]
) -> Iterator[tuple[Operator, float]]:
    if _is_random(graph):
        return
    for operator in graph.operators:
        found = noise.get(operator.outputs[0].name) if operator.outputs else None
        if operator.name in spec.CONVERSIONS or found is None or found.sqnr_db is None:
            continue
        if found.sqnr_db < LEAST_DECIBELS and found.has_signal:
            yield operator, found.sqnr_db


def _layer_warning(layers: list[tuple[Operator, float]]) -> Iterator[str]:
    if not layers:
        return
    names = "; ".join(
        f"{operator.name} {operator.outputs[0].short_name} {decibels:.1f} dB"
        for operator, decibels in layers[:_SHOWN]
    )
    rest = f"; and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    yield (
        f"layers of the quantized model are under {LEAST_DECIBELS:g} dB of signal to noise beside "
        f"the float model's: {names}{rest}"
    )
