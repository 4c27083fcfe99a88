"""How long the two TFLite models take, side by side on this machine."""

import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

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
    """

    float_ms: float
    quantized_ms: float
    batch_size: int
    threads: int

    @property
    def ratio(self) -> float:
        """The quantized model's time as a multiple of the float model's."""
        return self.quantized_ms / self.float_ms


def measure_latency(
    float_model: bytes, quantized_model: bytes, threads: int = 1, seconds: float = 0.5
) -> Latency:
    """Returns the latency of two models, run in turn so that both see the same machine.

    A device's may differ: other kernels, other caches.

    Args:
        float_model: The float32 flatbuffer.
        quantized_model: The quantized flatbuffer.
        threads: Threads of the interpreter.
        seconds: About how long to measure.
    """
    runners = [_Runner(content, threads) for content in (float_model, quantized_model)]
    for _ in range(_WARM_UP):
        for runner in runners:
            runner.seconds()
    times: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST_RUNS or (time.perf_counter() < end and len(times) < _MOST_RUNS):
        times.append([runner.seconds() for runner in runners])
    float_ms, quantized_ms = (float(value) for value in 1000 * np.median(times, axis=0))
    return Latency(float_ms, quantized_ms, runners[0].batch_size, threads)


class _Runner:
    """One model with inputs of zeros."""

    def __init__(self, content: bytes, threads: int):
        self._content = content
        self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details()
        for detail in details:
            self._interpreter.set_tensor(
                detail["index"], np.zeros(detail["shape"], detail["dtype"])
            )
        self.batch_size = int(details[0]["shape"][0])

    def seconds(self) -> float:
        start = time.perf_counter()
        self._interpreter.invoke()
        return time.perf_counter() - start
