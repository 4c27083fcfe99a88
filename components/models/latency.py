"""How long the two TFLite models take, side by side on this machine.

The models run in turn, in rounds: in each both run once, in every other round the quantized one
first, so that a machine that slows down slows down both. Rounds come in sets, for each of which
both models are loaded anew. That matters: where a model happens to lie in memory makes it some per
cent faster or slower for as long as it is loaded, so the rounds of one set are alike, and a model
beside itself would be faster, or slower, in half of all measurements. Measured with sets it is in 0
to 5 %, on a busy machine too, which is what the intervals promise.
"""

import time
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models.runtime import (
    RunnableModel,
    example_shapes,
    open_model,
    run_on_zeros,
)
from tfx_tflite.components.models.tensor_info import Shapes
from tfx_tflite.components.versions import Runtime

_LEAST_ROUNDS = 2  # Of a set, so that each model runs first once.
_MOST_ROUNDS = 200
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Effort:
    """How thoroughly latency is measured.

    Attributes:
        seconds: About how long with each number of threads, beside what it takes to load models.
        sets: How many times models are loaded anew; from 6 on the medians are known at 95 %.
    """

    seconds: float
    sets: int


# For the report alone, and if a rule limits it.
REPORTED, JUDGED = Effort(0.1, 6), Effort(0.5, 12)


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
        ratio: The quantized model's time as a multiple of the float model's: the median of the
            sets, of each of which it is the median of the rounds.
        ratio_interval: Between what that median lies at 95 % confidence.
        ratio_quartiles: Between what the middle half of the rounds lies.
        quantized_interval: Between what the median of the quantized model's time lies at 95 %
            confidence, in milliseconds.
        sets: How many sets of rounds there were.
        rounds: How many rounds there were in all.
    """

    float_ms: float
    quantized_ms: float
    batch_size: int
    threads: int
    float_runtime: Runtime
    quantized_runtime: Runtime
    ratio: float
    ratio_interval: tuple[float, float]
    ratio_quartiles: tuple[float, float]
    quantized_interval: tuple[float, float]
    sets: int
    rounds: int

    @property
    def method(self) -> str:
        """How the intervals were found."""
        return f"order statistics of {self.sets} sets of rounds (David and Nagaraja 2003)"


def measure_latency(
    float_model: bytes,
    quantized_model: bytes,
    shapes: Shapes,
    threads: int = 1,
    effort: Effort = JUDGED,
) -> Latency:
    """Returns the latency of two models, run in turn so that both see the same machine.

    A device's may differ: other kernels, other caches.

    Args:
        float_model: The float32 flatbuffer.
        quantized_model: The quantized flatbuffer.
        shapes: Of an example by input name, for free axes; see `runtime.example_shapes`.
        threads: Threads of the interpreter.
        effort: How thoroughly.
    """
    contents = (float_model, quantized_model)
    sets = [
        _set_of_rounds(contents, shapes, threads, number, effort) for number in range(effort.sets)
    ]
    milliseconds = [1000 * times for _, times in sets]
    medians = np.array([np.median(times, axis=0) for times in milliseconds])
    ratios = np.array([np.median(_ratios(times)) for times in milliseconds])
    lower, upper = np.quantile(np.concatenate(list(map(_ratios, milliseconds))), (0.25, 0.75))
    models = sets[0][0]
    [batch_size, *_] = next(iter(example_shapes(models[0], shapes).values()))
    float_runtime, quantized_runtime = (Runtime.of(model.kernels) for model in models)
    float_ms, quantized_ms = (float(value) for value in np.median(medians, axis=0))
    return Latency(
        float_ms,
        quantized_ms,
        batch_size,
        threads,
        float_runtime,
        quantized_runtime,
        ratio=float(np.median(ratios)),
        ratio_interval=median_interval(ratios, CONFIDENCE),
        ratio_quartiles=(float(lower), float(upper)),
        quantized_interval=median_interval(medians[:, 1], CONFIDENCE),
        sets=len(sets),
        rounds=sum(map(len, milliseconds)),
    )


def _set_of_rounds(
    contents: tuple[bytes, bytes], shapes: Shapes, threads: int, number: int, effort: Effort
) -> tuple[list[RunnableModel], Array]:
    """Returns the models of a set, loaded anew, and their seconds, shape (rounds, 2).

    Which of them is loaded first, and runs first, changes with the set's number and with each
    round.
    """
    order = (0, 1) if number % 2 == 0 else (1, 0)
    loaded: dict[int, RunnableModel] = {}
    for place in order:
        loaded[place] = open_model(contents[place], threads=threads)
        run_on_zeros(loaded[place], shapes)
    times: list[list[float]] = []
    end = time.perf_counter() + effort.seconds / effort.sets
    while len(times) < _LEAST_ROUNDS or (time.perf_counter() < end and len(times) < _MOST_ROUNDS):
        seconds = {place: loaded[place].seconds() for place in order}
        times.append([seconds[0], seconds[1]])
        order = order[::-1]
    return [loaded[0], loaded[1]], np.array(times)


def median_interval(values: Array, confidence: float) -> tuple[float, float]:
    """Returns between what the true median lies, whatever the distribution.

    The number of values below the median is binomial with one half, so the interval is from the
    k-th smallest to the k-th largest with the greatest k whose two tails have at most
    1 - confidence (David and Nagaraja 2003, Order Statistics, 3rd edition, section 7.1).

    Args:
        values: Independent of each other, shape (n,).
        confidence: Of the interval, above 0 and below 1.

    Raises:
        ValueError: No two of so few values are so sure; 6 are needed for 95 %.
    """
    ordered = np.sort(values)
    # For k from 1: the chance of fewer than k values on one side of the median, or on the other.
    tails = 2 * bdtr(np.arange(len(ordered) // 2), len(ordered), 0.5)
    count = int(np.count_nonzero(tails <= 1 - confidence))
    if not count:
        raise ValueError(
            f"expected more values for a median at {confidence:.0%} confidence, received "
            f"{len(ordered)}"
        )
    return float(ordered[count - 1]), float(ordered[-count])


def _ratios(times: Array) -> Array:
    """Returns each round's ratio of the two times.

    Args:
        times: In any unit, shape (rounds, 2), none of them negative.
    """
    # A coarse clock may give 0 for a tiny model.
    before, after = np.maximum(times, np.finfo(float).tiny).T
    ratios: Array = after / before
    return ratios
