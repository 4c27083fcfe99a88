"""Which of several draws is taken, and what is said of them."""

import math

import numpy as np
import pytest

from tfx_tflite.components.quantization.draws import Draw, DrawsReport, middle


def draws(*drops: float, bound: float = 0.01) -> tuple[Draw, ...]:
    return tuple(
        Draw(digest=f"sha256:{drop}", drop=drop, distance=0.1, holds=drop <= bound)
        for drop in drops
    )


def report(*found: Draw, bound: float = 0.01, **fields: object) -> DrawsReport:
    return DrawsReport(
        split="tuning",
        examples=1000,
        size=200,
        rule="AUC",
        bound=bound,
        draws=found,
        chosen=middle(found),
        **fields,
    )


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("seed", range(5))
def test_the_draw_of_the_median_drop_is_taken_of_an_even_number_the_lower_one(
    count: int, seed: int
):
    drops = np.random.default_rng(seed).normal(size=count)
    expected = np.quantile(drops, 0.5, method="lower")
    assert drops[middle(draws(*drops))] == expected
    if count % 2:
        assert expected == np.median(drops)


def test_draws_of_equal_drops_are_in_the_order_of_their_noise():
    found = [Draw(drop=0.0, distance=distance, holds=True) for distance in (0.3, 0.1, 0.2)]
    assert middle(found) == 2


@pytest.mark.parametrize("place", range(3))
def test_draws_without_a_rule_on_a_metric_are_in_the_order_of_their_noise(place: int):
    distances = np.roll([0.2, 0.1, 0.3], place)
    assert middle([Draw(distance=distance) for distance in distances]) == place


def test_the_first_is_taken_of_draws_that_are_all_the_same():
    assert middle(draws(0.0)) == middle(draws(0.0, 0.0)) == 0


def test_a_draw_that_could_not_be_made_comes_last():
    broken = Draw(problem="an operator")
    assert middle([broken, *draws(0.0, 0.1)]) == 2
    # Most could not: their error is the run's.
    assert middle([*draws(0.1), broken, broken]) == 1


def test_the_spread_is_from_the_smallest_drop_to_the_largest():
    found = report(*draws(0.002, 0.014, 0.007))
    assert found.drops == (0.002, 0.007, 0.014) and found.spread == 0.014 - 0.002
    assert report(Draw(), Draw()).spread is None and report(Draw(), Draw()).drops == ()


@pytest.mark.parametrize(
    ("drops", "verdict"),
    [
        ((0.0, 0.001), "all 2 draws hold the rules"),
        ((0.002, 0.014, 0.007), "the verdict depends on the draw: 2 of 3 draws hold the rules"),
        ((0.02, 0.03), "no draw holds the rules"),
    ],
)
def test_the_verdict_says_whether_it_depends_on_the_draw(drops: tuple[float, ...], verdict: str):
    found = report(*draws(*drops))
    assert found.verdict == verdict and found.is_decisive == ("depends" in verdict)


def test_a_report_of_draws_is_itself_again_after_it_was_written():
    found = report(*draws(0.1, 0.2), shared=0.25)
    assert DrawsReport.parse(found.to_json(), "draws.json") == found
    unknown = DrawsReport.parse(report(Draw(), bound=math.nan).to_json(), "draws.json")
    assert math.isnan(unknown.draws[0].drop) and math.isnan(unknown.bound)
