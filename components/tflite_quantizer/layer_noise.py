"""How far each layer of a quantized model is from the same layer of the float model.

The quantizer keeps the names of the tensors, so a layer of one model is found by its output's name
in the other. Both models are run with every activation as an output, one example at a time: no more
memory is used than the activations of one example take. They run on the runtime's builtin kernels,
as a delegate keeps activations to itself.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from tensorflow.lite.tools import flatbuffer_utils

from tfx_tflite.components.runtime import Kernels, open_interpreter
from tfx_tflite.components.tflite_model import InputQuantizer, dequantize
from tfx_tflite.components.tflite_quantizer.flatbuffer import representable, tensor_name

_COMPARABLE = frozenset({"FLOAT32", "INT8", "UINT8", "INT16"})


@dataclass(frozen=True)
class LayerNoise:
    """A layer's output in both models.

    Attributes:
        sqnr_db: The signal-to-quantization-noise ratio, 10 log10(sum of squares of the float values
            over sum of squares of the differences), in dB; None where there is no noise or no
            signal.
        saturated: The share of the float values that the quantized tensor has no number for,
            because they are outside its range; None where it is not quantized.
    """

    sqnr_db: float | None
    saturated: float | None


def measure(
    float32: bytes, quantized: bytes, groups: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, LayerNoise]:
    """Returns the noise of every layer that both models have, by its output's name.

    Args:
        float32: The float flatbuffer.
        quantized: The quantized flatbuffer, made from it.
        groups: Examples of one shape, by input name, each of shape (examples, *example_shape).

    Returns:
        Nothing where the runtime refuses to run one of the models.
    """
    try:
        models = [_ExposedModel(content) for content in (float32, quantized)]
        sums: dict[str, _Sums] = {}
        for example in _single_examples(groups):
            before, after = (model.run(example) for model in models)
            for name in before.keys() & after.keys():
                found = sums.setdefault(name, _Sums(models[1].representable(name)))
                found.add(before[name], after[name])
    except (RuntimeError, ValueError):  # Some int16x8 models do not even allocate.
        return {}
    return {name: found.result() for name, found in sums.items()}


def _single_examples(
    groups: Iterable[Mapping[str, np.ndarray]],
) -> Iterator[dict[str, np.ndarray]]:
    for inputs in groups:
        for row in range(len(next(iter(inputs.values())))):
            yield {name: values[row : row + 1] for name, values in inputs.items()}


@dataclass
class _Sums:
    representable: tuple[float, float] | None
    signal: float = 0.0
    noise: float = 0.0
    values: int = 0
    outside: int = 0

    def add(self, before: np.ndarray, after: np.ndarray) -> None:
        reals = before.astype(np.float64)
        self.signal += float(np.square(reals).sum())
        self.noise += float(np.square(reals - after).sum())
        self.values += reals.size
        if self.representable is not None:
            lowest, highest = self.representable
            self.outside += int(np.count_nonzero((reals < lowest) | (reals > highest)))

    def result(self) -> LayerNoise:
        is_known = self.noise > 0 and self.signal > 0
        return LayerNoise(
            10 * math.log10(self.signal / self.noise) if is_known else None,
            None if self.representable is None else self.outside / max(self.values, 1),
        )


class _ExposedModel:
    """A TFLite model with every activation of its main graph as an output."""

    def __init__(self, content: bytes):
        model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
        graph = model.subgraphs[0]
        written = [int(index) for operator in graph.operators for index in operator.outputs]
        names = {index: tensor_name(graph.tensors[index]) for index in written}
        often = Counter(names.values())
        self._representable = {
            name: representable(graph.tensors[index]) for index, name in names.items()
        }
        self._tensors = {
            index: name
            for index, name in names.items()
            if often[name] == 1
            and flatbuffer_utils.type_to_name(graph.tensors[index].type) in _COMPARABLE
        }
        graph.outputs = list(dict.fromkeys([*graph.outputs, *self._tensors]))
        # The interpreter refers to the bytes without a copy.
        self._content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
        self._interpreter = open_interpreter(self._content, Kernels.BUILTIN)
        self._inputs = self._interpreter.get_signature_runner().get_input_details()
        self._quantizer = InputQuantizer(self._inputs, Kernels.BUILTIN)
        self._details = {d["index"]: d for d in self._interpreter.get_tensor_details()}
        self._shapes: list[tuple[int, ...]] | None = None

    def representable(self, name: str) -> tuple[float, float] | None:
        """Returns what an activation can represent; see `flatbuffer.representable`."""
        return self._representable[name]

    def run(self, example: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the real values of each activation on one example."""
        given = {name: self._fitted(name, values) for name, values in example.items()}
        quantized = self._quantizer(given)
        shapes = [values.shape for values in quantized.values()]
        if shapes != self._shapes:
            for name, values in quantized.items():
                self._interpreter.resize_tensor_input(self._inputs[name]["index"], values.shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for name, values in quantized.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], values)
        self._interpreter.invoke()
        return {
            name: dequantize(self._interpreter.get_tensor(index), self._details[index])
            for index, name in self._tensors.items()
        }

    def _fitted(self, name: str, values: np.ndarray) -> np.ndarray:
        size = int(self._inputs[name]["shape_signature"][0])
        return values if size in (-1, 1) else np.repeat(values, size, axis=0)
