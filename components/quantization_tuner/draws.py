"""One recipe made with several draws of the calibration examples, of which the middle one is taken.

All are judged on the same tuning examples, beside the same float model. The search has judged the
first already, so that it costs nothing again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tfx_tflite.components.judgement.gate import Gate, MetricRule
from tfx_tflite.components.quantization.draws import Draw
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.tuning import Tried
from tfx_tflite.components.verdict import RuleResult, Verdict


class DrawBench(Protocol):
    """What makes a recipe's model with a draw, and judges it on the tuning examples."""

    def observe_draws(self, recipe: Recipe, draws: int) -> None:
        """Measures the ranges of so many draws, in one pass if they have one float model."""

    def try_draw(self, recipe: Recipe, draw: int, of: int) -> Tried:
        """Returns what the rules say of a recipe with a draw.

        Args:
            recipe: The recipe, without a draw.
            draw: Which draw, from 0.
            of: How many draws there are.
        """


@dataclass(frozen=True)
class TriedDraws:
    """What several draws came to.

    Attributes:
        draws: Each of them.
        rule: What the first rule on a metric says of the first draw that it was judged on.
    """

    draws: tuple[Draw, ...]
    rule: RuleResult | None


def try_draws(bench: DrawBench, recipe: Recipe, count: int, gate: Gate) -> TriedDraws:
    """Returns what a recipe comes to with each of several draws.

    Args:
        bench: What makes and judges them.
        recipe: The recipe, without a draw.
        count: How many draws.
        gate: The rules.
    """
    bench.observe_draws(recipe, count)
    tried = [bench.try_draw(recipe, draw, count) for draw in range(count)]
    results = [ranking_result(gate, each.rules) for each in tried]
    draws = tuple(
        Draw(
            digest=each.digest,
            problem=each.problem,
            drop=math.nan if result is None else result.drop,
            distance=math.nan if each.problem else each.distance,
            holds=each.holds,
        )
        for each, result in zip(tried, results, strict=True)
    )
    return TriedDraws(draws, next(filter(None, results), None))


def ranking_result(gate: Gate, results: Sequence[RuleResult]) -> RuleResult | None:
    """Returns the result that draws are ranked by; None if there is none with a figure.

    That is the first result of the gate's first rule on a metric that is judged against the float
    model: overall, if the rule is judged overall, and on the first target. The slices and targets
    are the same for all draws, so that this is the same question of each.

    Args:
        gate: The rules.
        results: What they say of a model.
    """
    rules = (rule for rule in gate.rules if isinstance(rule, MetricRule))
    first = next((rule for rule in rules if rule.against == "float"), None)
    if first is None:
        return None
    judged = (
        result
        for result in results
        if result.metric == first.metric
        and first.output in (None, result.output)
        and result.verdict is not Verdict.NOT_JUDGED
        and math.isfinite(result.drop)
    )
    return next(judged, None)
