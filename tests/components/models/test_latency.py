"""Latency of two models: what is promised of a ratio, and what of a machine that is busy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tfx_tflite.components.models.latency import Effort, measure_latency, median_interval

# Files of TensorFlow Lite that were recorded with what TensorFlow Lite Micro gives.
RECORDED = Path(__file__).parent / "micro"


def net(name: str) -> bytes:
    content: bytes = np.load(RECORDED / f"{name}.npz")["model"].tobytes()
    return content


@pytest.mark.parametrize(("count", "place"), [(6, 1), (9, 2), (12, 3), (100, 40)])
def test_the_interval_of_a_median_is_between_order_statistics(count: int, place: int):
    """The places are those of printed tables of the sign test at 95 %."""
    values = np.random.default_rng(count).permutation(count).astype(float)
    assert median_interval(values, 0.95) == (place - 1, count - place)


@pytest.mark.parametrize("count", [6, 10, 51, 300])
def test_the_interval_of_a_median_is_the_shortest_that_is_sure_enough(count: int):
    lower, _ = median_interval(np.arange(count, dtype=float), 0.95)
    assert 2 * binom.cdf(lower, count, 0.5) <= 0.05 < 2 * binom.cdf(lower + 1, count, 0.5)


def test_the_interval_misses_the_median_as_rarely_as_it_says_of_any_distribution():
    generator = np.random.default_rng(1)
    draws = generator.lognormal(sigma=2.0, size=(2000, 12))
    ends = np.array([median_interval(draw, 0.95) for draw in draws])
    missed = np.mean((ends[:, 0] > 1) | (ends[:, 1] < 1))
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_too_few_values_have_no_interval():
    with pytest.raises(ValueError, match=r"expected more values .* at 95% confidence, received 5"):
        median_interval(np.arange(5.0), 0.95)


@pytest.mark.slow
def test_a_model_beside_itself_makes_no_difference():
    """Only if models are loaded anew; otherwise one of them is faster in half of the runs."""
    content = net("dense")
    found = [measure_latency(content, content, {}, effort=Effort(0.05, 9)) for _ in range(20)]
    differing = [one for one in found if not one.ratio_interval[0] <= 1 <= one.ratio_interval[1]]
    # At 5 % the chance of more than 5 of 20 is 0.03 %.
    assert len(differing) <= 5


@pytest.mark.slow
def test_a_model_that_is_slower_is_told_from_one_that_is_not():
    fast, slow = net("dense"), net("deep_residual")
    found = measure_latency(fast, slow, {}, effort=Effort(0.1, 6))
    assert found.ratio > 2 and found.ratio_interval[0] > 1
    assert found.float_ms < found.quantized_ms
    turned = measure_latency(slow, fast, {}, effort=Effort(0.1, 6))
    assert turned.ratio < 0.5 and turned.ratio_interval[1] < 1


def test_medians_lie_within_their_intervals_and_all_rounds_are_counted():
    found = measure_latency(net("dense"), net("dense"), {}, effort=Effort(0.02, 6))
    assert found.ratio_interval[0] <= found.ratio <= found.ratio_interval[1]
    assert found.quantized_interval[0] <= found.quantized_ms <= found.quantized_interval[1]
    assert found.sets == 6 and found.rounds >= 12
    assert (found.batch_size, found.threads) == (1, 1)
