"""How long the two TFLite models take, side by side on this machine."""

import time
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models.runtime import example_shapes, open_model, run_on_zeros
from tfx_tflite.components.models.tensor_info import Shapes
from tfx_tflite.components.versions import Runtime

_WARM_UP = 3
_LEAST_RUNS = 10
_MOST_RUNS = 1000


@dataclass(frozen=True)
class Latency:
    """Medians of one inference.

    Attributes:
        float_ms: The float32 TFLite model, in milliseconds.
        quantized_ms: The quantized model, in milliseconds.
        batch_size: Examples an inference.
        threads: Threads of the interpreter.
        float_runtime: What ran the float32 model.
        quantized_runtime: What ran the quantized model.
        ratio_quartiles: Between what the middle half of the rounds lies, in each of which both
            models ran once: the quantized model's time as a multiple of the float model's.
        rounds: How many rounds there were.
    """

    float_ms: float
    quantized_ms: float
    batch_size: int
    threads: int
    float_runtime: Runtime
    quantized_runtime: Runtime
    ratio_quartiles: tuple[float, float]
    rounds: int

    @property
    def ratio(self) -> float:
        """The quantized model's time as a multiple of the float model's."""
        return self.quantized_ms / self.float_ms


def measure_latency(
    float_model: bytes,
    quantized_model: bytes,
    shapes: Shapes,
    threads: int = 1,
    seconds: float = 0.5,
) -> Latency:
    """Returns the latency of two models, run in turn so that both see the same machine.

    A device's may differ: other kernels, other caches.

    Args:
        float_model: The float32 flatbuffer.
        quantized_model: The quantized flatbuffer.
        shapes: Of an example by input name, for free axes; see `runtime.example_shapes`.
        threads: Threads of the interpreter.
        seconds: About how long to measure.
    """
    models = [open_model(content, threads=threads) for content in (float_model, quantized_model)]
    for model in models:
        run_on_zeros(model, shapes)
    for _ in range(_WARM_UP):
        for model in models:
            model.seconds()
    times: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST_RUNS or (time.perf_counter() < end and len(times) < _MOST_RUNS):
        times.append([model.seconds() for model in models])
    float_ms, quantized_ms = (float(value) for value in 1000 * np.median(times, axis=0))
    lower, upper = np.quantile(_ratios(np.array(times)), (0.25, 0.75))
    [batch_size, *_] = next(iter(example_shapes(models[0], shapes).values()))
    float_runtime, quantized_runtime = (Runtime.of(model.kernels) for model in models)
    return Latency(
        float_ms,
        quantized_ms,
        batch_size,
        threads,
        float_runtime,
        quantized_runtime,
        ratio_quartiles=(float(lower), float(upper)),
        rounds=len(times),
    )


def _ratios(times: Array) -> Array:
    """Returns each round's ratio of the two times.

    Args:
        times: Seconds, shape (rounds, 2), none of them negative.
    """
    # A coarse clock may give 0 for a tiny model.
    before, after = np.maximum(times, np.finfo(float).tiny).T
    ratios: Array = after / before
    return ratios
