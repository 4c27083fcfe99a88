"""The search: rungs that are climbed until the rules hold, each standing on the best so far.

A rung is left out if it would change nothing. What it gives is kept only if it is better on the
tuning examples, because every repair can also do harm. The search is deterministic: the same model,
examples and rules give the same candidates in the same order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from tfx_tflite.components.quantization.recipe import (
    CORRECT,
    EQUALIZE,
    EXPLICIT,
    FOLD,
    MOVE,
    RangeRule,
    Recipe,
    Repair,
    WeightRule,
)
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import SearchSettings
from tfx_tflite.components.quantization.tuning import Outcome, Rung, Tried


class BudgetSpentError(Exception):
    """No more candidates may be evaluated."""


class Bench(Protocol):
    """What makes candidates and judges them on the tuning examples."""

    def try_recipe(self, rung: Rung, what: str, recipe: Recipe, is_allowed: bool = True) -> Tried:
        """Returns what the rules say of a model that is made to a recipe.

        Args:
            rung: The rung that it is of.
            what: What is done, in words.
            recipe: How it is made.
            is_allowed: Whether the search may choose it.

        Raises:
            BudgetSpentError: The budget does not allow another one.
        """

    def try_rounded_inputs(self, recipe: Recipe) -> Tried | None:
        """Returns what the rules say of the float model with its inputs rounded to 8 bits.

        None if no input is float.

        Args:
            recipe: Whose repairs the float model has.
        """

    def changes(self, repair: Repair, recipe: Recipe) -> bool:
        """Returns whether a repair changes the float model that a recipe gives."""

    def weight_rules(self, recipe: Recipe) -> Mapping[str, WeightRule]:
        """Returns the weights that can be stored better than the converter does."""

    def blamed_input(self, recipe: Recipe) -> str:
        """Returns a sentence on which input 8 bits are too few for, and why.

        Args:
            recipe: How the model is made that has the input.
        """

    def is_robust(self) -> bool:
        """Returns whether ranges are `robust` without a recipe saying so."""

    def fewest_edges(self, recipe: Recipe, attempt: Callable[[Recipe], bool]) -> None:
        """Tries sets of tensors in float for the smallest one that is enough.

        Args:
            recipe: What it is built on; its scheme allows floats.
            attempt: Tries a recipe and returns whether it is enough.
        """


@dataclass
class Climb:
    """How far a search has come.

    Attributes:
        tried: The candidates in order.
        best: The best that may be chosen; None before the first.
        notes: What else is to be said.
        possible: The first that would hold and may not be chosen.
        outcome: What came of it.
    """

    tried: list[Tried] = field(default_factory=list)
    best: Tried | None = None
    notes: list[str] = field(default_factory=list)
    possible: Tried | None = None
    outcome: Outcome = "not found"

    @property
    def found(self) -> bool:
        """Whether the best holds."""
        return self.best is not None and self.best.holds

    @property
    def is_over(self) -> bool:
        """Whether the best need not be bettered."""
        return self.best is not None and is_enough(self.best)


# What was not chosen among several on the same examples.
_FIRST = ("plain", "last recipe")


def is_enough(tried: Tried) -> bool:
    """Returns whether a candidate ends the search."""
    return tried.is_sure or (tried.holds and tried.rung in _FIRST)


_Order = tuple[bool, bool, bool, float, float]


def order(tried: Tried) -> _Order:
    """Returns a key by which better candidates come first."""
    return (
        bool(tried.problem),
        not tried.holds,
        not is_enough(tried),
        tried.excess,
        tried.distance,
    )


def _is_better(found: Tried, best: Tried) -> bool:
    """Returns whether a candidate is to be taken instead of the best so far.

    Of sets of tensors in float that are enough, each that is tried is smaller than those before.
    """
    if found.rung == best.rung == "float edges" and is_enough(best):
        return is_enough(found)
    return order(found) < order(best)


class Ladder:
    """The rungs over one model.

    Args:
        bench: What makes and judges candidates.
        start: The plain recipe that it begins with.
        search: What may be done.
        last: The recipe that the last search found for such a model.
    """

    def __init__(
        self, bench: Bench, start: Recipe, search: SearchSettings, last: Recipe | None = None
    ):
        self._bench = bench
        self._start = start
        self._search = search
        self._last = last
        self._can_be_int8 = True
        # The best of the scheme that it begins with.
        self._base: Recipe = start
        self._base_order: _Order | None = None
        self.climb = Climb()

    def run(self) -> Climb:
        """Climbs until the rules hold, nothing is left to be tried, or the budget is spent."""
        climb = self.climb
        rungs = (
            self._last_recipe,
            self._plain,
            self._weights,
            self._ranges,
            self._rounded_inputs,
            self._equalization,
            self._bias_correction,
            self._moved_normalization,
            self._sixteen_bits,
            self._float_edges,
            self._float_activations,
        )
        try:
            for rung in rungs:
                if climb.is_over or climb.possible is not None or self._is_enough_before(rung):
                    break
                rung()
        except BudgetSpentError:
            climb.notes.append(
                "the budget of the search was spent before all was tried; raise "
                "quantization.auto.budget to go on"
            )
        if climb.best is None:
            # The budget was spent on the recipe of before.
            climb.best = min((each for each in climb.tried if each.is_allowed), key=order)
        if climb.found and climb.outcome == "not found":
            assert climb.best is not None
            climb.outcome = "plain" if climb.best.rung == "plain" else "rescued"
        return climb

    def _is_enough_before(self, rung: Callable[[], None]) -> bool:
        """Returns whether a rung is not worth climbing: floats, if integers hold, if barely."""
        return rung in (self._float_edges, self._float_activations) and self.climb.found

    def _last_recipe(self) -> None:
        if self._last is None or replace(self._last, structure=None) == self._start:
            return
        if is_enough(self._try("last recipe", "what held for the model before", self._last)):
            self.climb.outcome = "confirmed"
        else:
            # What it stood on was another model.
            self.climb.best = None

    def _plain(self) -> None:
        self._try("plain", f"plain {self._start.scheme.value}", self._start)

    def _weights(self) -> None:
        base = self._base
        recipe, done = base, []
        if self._bench.changes(FOLD, base):
            recipe = recipe.having(FOLD)
            done.append("BatchNormalization folded into the next layer")
        if weights := self._bench.weight_rules(recipe):
            recipe = replace(recipe, weights=weights)
            done.append("a scale for each output channel of dense weights")
        if done:
            self._try("weights", "; ".join(done), recipe)

    def _ranges(self) -> None:
        if not self._bench.is_robust():
            recipe = replace(self._base, ranges=RangeRule("robust"))
            self._try("ranges", "ranges without outliers", recipe)

    def _rounded_inputs(self) -> None:
        found = self._bench.try_rounded_inputs(self._base)
        if found is None:
            return
        self.climb.tried.append(found)
        if not found.holds and not found.problem:
            self._can_be_int8 = False
            self.climb.notes.append(
                "no int8 model can hold the rules: the float model with nothing but its inputs "
                f"rounded to 8 bits does not. {self._bench.blamed_input(self._base)}".rstrip()
            )

    def _equalization(self) -> None:
        base = self._base
        if self._can_be_int8 and self._bench.changes(EQUALIZE, base):
            recipe = base.having(EQUALIZE)
            # A scale for all channels would undo it, and worse.
            weights = self._bench.weight_rules(recipe)
            self._try(
                "equalization",
                "channels scaled to use the same range",
                replace(recipe, weights={**recipe.weights, **weights}),
            )

    def _bias_correction(self) -> None:
        if self._can_be_int8:
            base = self._base
            self._try(
                "bias correction", "mean errors taken out of the biases", base.having(CORRECT)
            )

    def _moved_normalization(self) -> None:
        base = self._base
        if MOVE in self._search.allow and self._bench.changes(MOVE, base):
            recipe = base.having(MOVE)
            weights = {**recipe.weights, **self._bench.weight_rules(recipe)}
            self._try(
                "normalization",
                "inputs are normalized by the caller",
                replace(recipe, weights=weights),
            )

    def _sixteen_bits(self) -> None:
        if self._start.io_type in ("int8", "uint8"):
            self.climb.notes.append(
                f"16-bit activations were not tried, because io_type {self._start.io_type} is "
                "asked for"
            )
            return
        base = self._base
        integer = replace(
            base,
            scheme=Scheme.INT16X8,
            io_type="int16" if self._search.integer_only else None,
            repairs=tuple(each for each in base.repairs if each == FOLD),
            float_fallback="refuse",
        )
        if self._bench.changes(EXPLICIT, integer):
            explicit = integer.having(EXPLICIT)
            weights = {**explicit.weights, **self._bench.weight_rules(explicit)}
            what = "activations of 16 bits, normalization as operators of its own"
            explicit = replace(explicit, weights=weights)
            if is_enough(self._try("16-bit activations", what, explicit)):
                return
            what += ", mean errors taken out of the biases"
            if is_enough(self._try("16-bit activations", what, explicit.having(CORRECT))):
                return
        self._try("16-bit activations", "activations of 16 bits", integer)

    def _float_edges(self) -> None:
        is_allowed = not self._search.integer_only
        base = self._base
        recipe = replace(
            base,
            scheme=Scheme.INT8_FLOAT_IO,
            io_type=None,
            repairs=tuple(each for each in base.repairs if each in (FOLD, EQUALIZE)),
            float_fallback="refuse",
        )

        if self._base_order is not None and self._base_order[0]:
            # An operator has no integer form.
            what = "operators without an integer form in float"
            falling_back = replace(recipe, float_fallback="allow")
            if is_enough(self._try("float edges", what, falling_back, is_allowed)):
                return
            recipe = falling_back

        def attempt(candidate: Recipe) -> bool:
            count = len(candidate.float_edges)
            what = f"{count} tensor{'s' if count > 1 else ''} in float"
            return is_enough(self._try("float edges", what, candidate, is_allowed))

        self._bench.fewest_edges(recipe, attempt)

    def _float_activations(self) -> None:
        is_allowed = not self._search.integer_only
        rungs: tuple[tuple[Rung, Scheme, str], ...] = (
            ("dynamic range", Scheme.DYNAMIC_RANGE, "weights of 8 bits, activations in float"),
            ("float16", Scheme.FLOAT16, "weights of 16 bits, activations in float"),
        )
        for rung, scheme, what in rungs:
            recipe = Recipe(scheme, batch_size=self._start.batch_size)
            if is_enough(self._try(rung, what, recipe, is_allowed)):
                return

    def _try(self, rung: Rung, what: str, recipe: Recipe, is_allowed: bool = True) -> Tried:
        climb = self.climb
        found = self._bench.try_recipe(rung, what, recipe, is_allowed)
        is_better = is_allowed and (climb.best is None or _is_better(found, climb.best))
        found = found.model_copy(update={"is_kept": is_better})
        climb.tried.append(found)
        if recipe.scheme is self._start.scheme and rung != "last recipe":
            self._stand_on(recipe, found)
        if is_better:
            climb.best = found
        elif not is_allowed and is_enough(found) and climb.possible is None:
            climb.possible = found
        return found

    def _stand_on(self, recipe: Recipe, found: Tried) -> None:
        """Makes a recipe what the next rung stands on if it is better than what there was."""
        if self._base_order is None or order(found) < self._base_order:
            self._base, self._base_order = recipe, order(found)
