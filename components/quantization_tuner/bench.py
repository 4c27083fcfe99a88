"""Candidates made to recipes, loaded, run and judged on the tuning examples."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from absl import logging

from tfx_tflite.components import progress
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import ConversionError, EvaluationError, ModelError
from tfx_tflite.components.progress import Step
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion.backends import ConvertedModels, Workshop
from tfx_tflite.components.quantization.conversion.first_run import check_runs
from tfx_tflite.components.quantization.fewest_edges import Trial, fewest_edges
from tfx_tflite.components.quantization.ranges.policy import ROBUST, RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe, Repair, WeightRule
from tfx_tflite.components.quantization.repairs.input_rounding import (
    float_input_ranges,
    input_steps,
    with_rounded_inputs,
)
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.sensitivity import Sensitivity, observe, ranked_edges
from tfx_tflite.components.quantization.settings import SearchBudget
from tfx_tflite.components.quantization.tuning import Rung, Tried
from tfx_tflite.components.quantization_tuner.costs import costs
from tfx_tflite.components.quantization_tuner.ladder import BudgetSpentError, order
from tfx_tflite.components.quantization_tuner.memory import Memory
from tfx_tflite.components.quantization_tuner.trial import TrialGround

_SECONDS_A_MINUTE = 60
# On how many groups of calibration examples a candidate is run first.
_FIRST_GROUPS = 1
# Of the float model with rounded inputs, which no recipe makes.
_ROUNDED = "rounded inputs of "


@dataclass
class RecipeBench:
    """Makes candidates of one float model and judges them; finished ones are kept.

    Attributes:
        workshop: What makes models.
        ground: What judges them.
        memory: What keeps them.
        budget: When it ends.
        policy: How ranges follow from the calibration examples without a recipe saying so.
        evaluations: How many candidates were judged, those of a killed search among them.
        seconds: How long that took.
    """

    workshop: Workshop
    ground: TrialGround
    memory: Memory
    budget: SearchBudget
    policy: RangePolicy
    evaluations: int = 0
    seconds: float = 0.0
    _best: Tried | None = None
    _made: dict[str, ConvertedModels] = field(default_factory=dict)

    def try_recipe(self, rung: Rung, what: str, recipe: Recipe, is_allowed: bool = True) -> Tried:
        """Returns what the rules say of a model that is made to a recipe."""
        named = {"rung": rung, "what": what, "recipe": recipe, "is_allowed": is_allowed}
        return self._tried(
            recipe.to_json(), Tried.model_validate(named), lambda: self.models(recipe).quantized
        )

    def try_rounded_inputs(self, recipe: Recipe) -> Tried | None:
        """Returns what the rules say of the float model with its inputs rounded to 8 bits."""
        float32 = self.workshop.repaired(recipe)
        content = with_rounded_inputs(float32, self._input_ranges(recipe))
        if content is float32:
            return None
        named = {
            "rung": "rounded inputs",
            "what": "the float model with its inputs rounded to 8 bits",
            "is_allowed": False,
        }
        return self._tried(
            _ROUNDED + recipe.to_json(), Tried.model_validate(named), lambda: content
        )

    def observe_draws(self, recipe: Recipe, draws: int) -> None:
        """Measures the ranges of so many draws, in one pass if they have one float model."""
        self.workshop.observe_draws(recipe, range(draws))

    def try_draw(self, recipe: Recipe, draw: int, of: int) -> Tried:
        """Returns what the rules say of a recipe with a draw of the calibration examples.

        The budget is that of a search: so many draws are what was asked for.

        Args:
            recipe: The recipe, without a draw.
            draw: Which draw, from 0.
            of: How many draws there are.
        """
        candidate = replace(recipe, draw=draw)
        what = f"draw {draw} of the calibration examples"
        progress.tell(Step(progress.DRAWS, draw, of=of, note=what))
        named = Tried.model_validate({"rung": "draw", "what": what, "recipe": candidate})
        # Without a draw the first one is taken, so that a search has judged it.
        key = (candidate if draw else recipe).to_json()
        return self._kept_or_judged(key, named, lambda: self.models(candidate).quantized)

    def changes(self, repair: Repair, recipe: Recipe) -> bool:
        """Returns whether a repair changes the float model that a recipe gives."""
        before = self.workshop.repaired(recipe)
        return self.workshop.repaired(recipe.having(repair)) is not before

    def weight_rules(self, recipe: Recipe) -> Mapping[str, WeightRule]:
        """Returns the weights that can be stored better than the converter does."""
        return self.workshop.weight_rules(recipe)

    def blamed_input(self, recipe: Recipe) -> str:
        """Returns a sentence on which input 8 bits are too few for, and why."""
        found = input_steps(self.workshop.samples, self._input_ranges(recipe))
        return found[0].sentence() if found else ""

    def _input_ranges(self, recipe: Recipe) -> dict[str, tuple[float, float]]:
        policy = recipe.policy(self.policy)
        assert policy is not None
        ranges = self.workshop.ranges_of(self.workshop.repaired(recipe))
        return float_input_ranges(ranges, policy)

    def is_robust(self) -> bool:
        """Returns whether ranges are `robust` without a recipe saying so."""
        return self.policy.kind == ROBUST

    def fewest_edges(self, recipe: Recipe, attempt: Callable[[Recipe], bool]) -> None:
        """Tries sets of tensors in float for the smallest one that is enough."""
        try:
            edges = ranked_edges(self.sensitivity(recipe))
        except (ConversionError, ModelError) as error:
            logging.info("Float edges cannot be ranked: %s", error)
            return
        others = (Scheme.DYNAMIC_RANGE, Scheme.FLOAT16)
        sizes = [self._size(Recipe(each, batch_size=recipe.batch_size)) for each in others]
        limit = min((size for size in sizes if size is not None), default=None)
        search = fewest_edges(edges)
        trial: Trial | None = None
        while True:
            try:
                proposed = search.send(trial) if trial is not None else next(search)
            except StopIteration:
                return
            keys = sorted({key for edge in proposed for key in edge.keys})
            candidate = replace(recipe, float_edges=tuple(keys))
            size = self._size(candidate)
            if limit is not None and size is not None and size >= limit:
                trial = Trial.TOO_LARGE
            else:
                trial = Trial.GOOD if attempt(candidate) else Trial.TOO_FEW

    def sensitivity(self, recipe: Recipe) -> Sensitivity:
        """Returns what 8 bits cost a model, tensor by tensor and layer by layer.

        Args:
            recipe: How it is made.

        Raises:
            ConversionError: It cannot be made.
        """
        policy = recipe.policy(self.policy)
        assert policy is not None
        models = self.models(recipe)
        assert models.ranges is not None
        return observe(
            models.float32, models.quantized, models.ranges, self.workshop.samples, policy
        )

    def _size(self, recipe: Recipe) -> int | None:
        """Returns how large a model is, None if it cannot be made."""
        try:
            return len(self.models(recipe).quantized)
        except ConversionError:
            return None

    def models(self, recipe: Recipe) -> ConvertedModels:
        """Returns the models of a recipe, checked to be what its scheme promises and to run.

        Raises:
            ConversionError: They are not, or do not.
        """
        key = recipe.to_json()
        if key not in self._made:
            models = self.workshop.make(recipe)
            _check_smaller(models, recipe)
            audit.check(models.quantized, recipe)
            check_runs(models.quantized, self.workshop.samples[:_FIRST_GROUPS])
            self._made = {key: models}
        return self._made[key]

    def _tried(self, key: str, named: Tried, make: Callable[[], bytes]) -> Tried:
        """Returns what was kept of a candidate, or judges it."""
        if (
            self.evaluations >= self.budget.evaluations
            or self.seconds >= self.budget.minutes * _SECONDS_A_MINUTE
        ):
            raise BudgetSpentError
        self._tell(named)
        self.evaluations += 1
        found = self._kept_or_judged(key, named, make)
        self.seconds += found.seconds
        if found.is_allowed and (self._best is None or order(found) < order(self._best)):
            self._best = found
        return found

    def _kept_or_judged(self, key: str, named: Tried, make: Callable[[], bytes]) -> Tried:
        """Returns what was kept of a candidate; judges it, and keeps that, if there is nothing."""
        found = self.memory.tried(key)
        if found is None:
            found = self._judged(named, make)
            if not found.problem:
                self.memory.keep(key, found)
        return found.model_copy(
            update={name: getattr(named, name) for name in ("rung", "what", "recipe", "is_allowed")}
        )

    def _tell(self, next_one: Tried) -> None:
        """Tells which candidate is tried next, and which was the best so far."""
        note: str = next_one.rung
        if self._best is not None:
            rule = self._best.worst_rule
            figure = "" if rule is None else f", drop {rule.drop:.3g} of {rule.bound:.3g}"
            note = f"{note} (best so far: {self._best.rung}{figure})"
        progress.tell(
            Step(progress.CANDIDATES, self.evaluations, of=self._most_evaluations(), note=note)
        )

    def _most_evaluations(self) -> int:
        """Returns how many evaluations the budget allows if they go on taking as long as so far."""
        if not self.seconds:
            return self.budget.evaluations
        in_time = self.budget.minutes * _SECONDS_A_MINUTE * self.evaluations / self.seconds
        return min(self.budget.evaluations, math.ceil(in_time))

    def _judged(self, named: Tried, make: Callable[[], bytes]) -> Tried:
        start = time.monotonic()
        try:
            content = make()
            # The float model with rounded inputs stands for an int8 model of any size.
            size = 0 if named.recipe is None else None
            judged = self.ground.judge(content, len(self.workshop.rewritten), size)
        except (ConversionError, ModelError, EvaluationError) as error:
            seconds = time.monotonic() - start
            logging.info("Candidate %s: %s", named.what, error)
            return named.model_copy(
                update={"problem": str(error), "excess": 1e9, "distance": 1e9, "seconds": seconds}
            )
        cost = None
        # What a model costs does not depend on the draw.
        if named.recipe is not None and named.rung != "draw":
            shapes = self.ground.first.shapes
            cost = costs(self.workshop.rewritten, content, shapes, self.ground.devices)
        logging.info("Candidate %s: rules %s, excess %.3f", named.what, judged.holds, judged.excess)
        return named.model_copy(
            update={
                "digest": bytes_digest(content),
                "size_bytes": len(content),
                "holds": judged.holds,
                "is_sure": judged.is_sure,
                "excess": judged.excess,
                "distance": judged.distance,
                "rules": judged.rules,
                "latency_ms": cost and cost.latency_ms,
                "arena_bytes": cost and cost.arena_bytes,
                "seconds": round(time.monotonic() - start, 3),
            }
        )


def _check_smaller(models: ConvertedModels, recipe: Recipe) -> None:
    """Checks that weights were stored in fewer bits; small ones are left as they are.

    Raises:
        ConversionError: None was.
    """
    if not recipe.scheme.needs_calibration and len(models.quantized) >= len(models.float32):
        raise ConversionError(
            f"{recipe.scheme.value} makes the model no smaller, because its weights are too small "
            "to be stored otherwise"
        )
