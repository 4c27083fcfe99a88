"""Which rungs are climbed, in which order, and when it ends; on a bench that is made up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tfx_tflite.components.quantization.recipe import (
    CORRECT,
    EQUALIZE,
    EXPLICIT,
    FOLD,
    MOVE,
    PER_CHANNEL,
    RangeRule,
    Recipe,
    Repair,
    WeightRule,
)
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import SearchSettings
from tfx_tflite.components.quantization.tuning import Rung, Tried
from tfx_tflite.components.quantization_tuner.ladder import BudgetSpentError, Climb, Ladder

PLAIN = Recipe(Scheme.INT8)
DENSE = "FULLY_CONNECTED:0"
SURE, BY_LUCK = "sure", "by luck"
# All that a bench can be asked for that changes something.
ALL_REPAIRS = frozenset({FOLD, EXPLICIT, MOVE, EQUALIZE})


@dataclass
class Bench:
    """A bench that knows what comes of each rung.

    Attributes:
        results: By rung: how far above the bound, or that it holds.
        changing: The repairs that change the model.
        dense: Whether there are dense layers to be stored better.
        edges: How many float edges are tried.
        evaluations: How many candidates may be evaluated.
        asked: The rungs and recipes that were tried.
    """

    results: Mapping[str, float | str] = field(default_factory=dict)
    changing: frozenset[Repair] = ALL_REPAIRS
    dense: bool = True
    robust: bool = False
    edges: int = 1
    evaluations: int = 100
    asked: list[tuple[Rung, Recipe | None]] = field(default_factory=list)

    def _result(self, rung: Rung, what: str, recipe: Recipe | None, is_allowed: bool) -> Tried:
        if len(self.asked) >= self.evaluations:
            raise BudgetSpentError
        self.asked.append((rung, recipe))
        result = self.results.get(rung, 9.0)
        found = Tried(rung=rung, what=what, recipe=recipe, is_allowed=is_allowed, distance=0.1)
        if result == "impossible":
            worst = {"problem": "no integer form", "excess": 1e9, "distance": 1e9}
            return found.model_copy(update=worst)
        if isinstance(result, str):
            holds = {"holds": True, "is_sure": result == SURE, "excess": -0.5}
            return found.model_copy(update=holds)
        return found.model_copy(update={"excess": result})

    def try_recipe(self, rung: Rung, what: str, recipe: Recipe, is_allowed: bool = True) -> Tried:
        return self._result(rung, what, recipe, is_allowed)

    def try_rounded_inputs(self, recipe: Recipe) -> Tried:
        return self._result("rounded inputs", "inputs rounded", None, False)

    def changes(self, repair: Repair, recipe: Recipe) -> bool:
        return repair in self.changing

    def weight_rules(self, recipe: Recipe) -> Mapping[str, WeightRule]:
        return {DENSE: PER_CHANNEL} if self.dense else {}

    def blamed_input(self, recipe: Recipe) -> str:
        return "input 'x' needs more."

    def is_robust(self) -> bool:
        return self.robust

    def fewest_edges(self, recipe: Recipe, attempt: Callable[[Recipe], bool]) -> None:
        for count in range(self.edges):
            keys = tuple(f"CONV_2D:{place}" for place in range(count + 1))
            if attempt(Recipe(recipe.scheme, float_edges=keys)):
                return

    @property
    def rungs(self) -> list[str]:
        return [rung for rung, _ in self.asked]

    def recipe(self, rung: str) -> Recipe:
        """Returns the last recipe that was tried on a rung."""
        [*_, found] = (recipe for each, recipe in self.asked if each == rung)
        assert found is not None
        return found


def climb(bench: Bench, last: Recipe | None = None, start: Recipe = PLAIN, **search) -> Climb:
    return Ladder(bench, start, SearchSettings(**search), last).run()


INT8_RUNGS = ["plain", "weights", "ranges", "rounded inputs", "equalization", "bias correction"]
SIXTEEN = ["16-bit activations"] * 3
FLOAT_RUNGS = ["float edges", "dynamic range", "float16"]


def test_a_model_that_quantizes_well_is_done_after_one_evaluation():
    bench = Bench({"plain": BY_LUCK})
    found = climb(bench)
    assert bench.rungs == ["plain"]
    assert found.outcome == "plain" and found.best.recipe == PLAIN


def test_climbs_all_rungs_in_order_if_nothing_holds():
    bench = Bench({"rounded inputs": SURE})
    found = climb(bench)
    assert bench.rungs == [*INT8_RUNGS, *SIXTEEN, *FLOAT_RUNGS]
    assert found.outcome == "not found" and found.best.rung == "plain"


@pytest.mark.parametrize("rung", ["weights", "ranges", "equalization", "bias correction"])
def test_ends_with_the_first_repair_that_holds_with_confidence(rung: str):
    bench = Bench({"rounded inputs": SURE, rung: SURE})
    found = climb(bench)
    assert bench.rungs == INT8_RUNGS[: INT8_RUNGS.index(rung) + 1]
    assert found.outcome == "rescued" and found.best.rung == rung


def test_a_repair_that_holds_by_luck_does_not_end_the_search_and_is_taken_if_nothing_is_better():
    bench = Bench({"rounded inputs": SURE, "weights": BY_LUCK})
    found = climb(bench)
    assert bench.rungs == [*INT8_RUNGS, *SIXTEEN]
    assert found.outcome == "rescued" and found.best.rung == "weights"


def test_a_rung_stands_on_what_helped_and_not_on_what_did_not():
    bench = Bench({"rounded inputs": SURE, "weights": 5.0, "ranges": 7.0, "equalization": 3.0})
    found = climb(bench)
    weights = bench.recipe("weights")
    assert weights == Recipe(Scheme.INT8, repairs=(FOLD,), weights={DENSE: PER_CHANNEL})
    assert bench.recipe("ranges").ranges == RangeRule("robust")
    # Ranges did not help.
    assert bench.recipe("equalization") == weights.having(EQUALIZE)
    assert bench.recipe("bias correction") == weights.having(EQUALIZE, CORRECT)
    kept = [tried.rung for tried in found.tried if tried.is_kept]
    assert kept == ["plain", "weights", "equalization"]


def test_equalization_is_never_without_scales_for_dense_channels():
    bench = Bench({"rounded inputs": SURE, "weights": 12.0})
    climb(bench)
    equalized = bench.recipe("equalization")
    assert equalized.weights == {DENSE: PER_CHANNEL} and equalized.repairs == (EQUALIZE,)


def test_a_rung_that_would_change_nothing_is_left_out():
    bench = Bench({"rounded inputs": SURE}, changing=frozenset(), dense=False, robust=True)
    climb(bench)
    assert bench.rungs == [
        "plain",
        "rounded inputs",
        "bias correction",
        "16-bit activations",
        *FLOAT_RUNGS,
    ]


def test_where_8_bits_cannot_hold_the_inputs_no_int8_repair_is_tried_and_the_input_is_named():
    bench = Bench({"rounded inputs": 4.0, "16-bit activations": SURE})
    found = climb(bench)
    assert bench.rungs == [*INT8_RUNGS[:4], "16-bit activations"]
    assert bench.recipe("16-bit activations").scheme is Scheme.INT16X8
    assert bench.recipe("16-bit activations").io_type == "int16"
    [note] = found.notes
    assert note.startswith("no int8 model can hold the rules") and note.endswith("needs more.")


def test_the_normalization_is_moved_to_the_caller_only_if_that_is_allowed():
    bench = Bench({"rounded inputs": 4.0, "normalization": SURE})
    found = climb(bench, allow=("move_normalization",))
    assert found.best.recipe.repairs == (MOVE,) and found.best.recipe.scheme is Scheme.INT8
    assert "normalization" not in climb(Bench({"rounded inputs": 4.0})).tried[-1].rung


@pytest.mark.parametrize("io_type", ["int8", "uint8"])
def test_sixteen_bits_are_not_tried_where_8_are_asked_for(io_type: str):
    bench = Bench({"rounded inputs": SURE})
    found = climb(bench, start=Recipe(Scheme.INT8, io_type))
    assert "16-bit activations" not in bench.rungs
    assert any(f"io_type {io_type}" in note for note in found.notes)


@pytest.mark.parametrize("rung", FLOAT_RUNGS)
def test_what_is_not_integer_is_only_shown_where_all_must_be(rung: str):
    bench = Bench({"rounded inputs": SURE, rung: SURE})
    found = climb(bench)
    assert bench.rungs[-1] == rung
    assert found.outcome == "not found" and found.best.rung == "plain"
    assert found.possible is not None and found.possible.rung == rung
    assert not found.possible.is_allowed and not found.possible.is_kept


@pytest.mark.parametrize("rung", FLOAT_RUNGS)
def test_what_is_not_integer_is_taken_where_floats_are_allowed(rung: str):
    bench = Bench({"rounded inputs": SURE, rung: SURE})
    found = climb(bench, integer_only=False)
    assert found.outcome == "rescued" and found.best.rung == rung
    assert found.possible is None


def test_of_sets_of_edges_that_are_enough_the_last_one_is_taken_which_is_smallest():
    bench = Bench({"rounded inputs": SURE, "float edges": SURE})
    ladder = Ladder(bench, PLAIN, SearchSettings(integer_only=False))
    many, few = (Recipe(Scheme.INT8_FLOAT_IO, float_edges=("a", "b")[:n]) for n in (2, 1))
    for recipe in (many, few):
        ladder._try("float edges", "tensors in float", recipe)
    assert ladder.climb.best.recipe == few


def test_more_edges_are_tried_until_it_is_enough():
    bench = Bench({"rounded inputs": SURE}, edges=3)
    climb(bench, integer_only=False)
    assert bench.rungs.count("float edges") == 3


def test_operators_without_an_integer_form_may_be_float_where_floats_are_allowed():
    impossible = dict.fromkeys((*INT8_RUNGS, *SIXTEEN), "impossible")
    bench = Bench({**impossible, "rounded inputs": SURE, "float edges": SURE})
    found = climb(bench, integer_only=False)
    assert found.best.recipe == Recipe(Scheme.INT8_FLOAT_IO, float_fallback="allow")
    assert bench.rungs.count("float edges") == 1


def test_a_model_that_cannot_be_int8_at_all_is_still_said_what_would_be_possible():
    impossible = dict.fromkeys((*INT8_RUNGS, *SIXTEEN, "float edges"), "impossible")
    found = climb(Bench({**impossible, "rounded inputs": SURE, "dynamic range": SURE}))
    assert found.outcome == "not found" and found.best.problem
    assert found.possible.rung == "dynamic range"


@pytest.mark.parametrize("evaluations", [1, 2, 5, 9])
def test_a_spent_budget_leaves_the_best_so_far_and_is_said(evaluations: int):
    bench = Bench({"rounded inputs": SURE, "weights": 5.0}, evaluations=evaluations)
    found = climb(bench)
    assert len(found.tried) == evaluations
    assert found.best.rung == ("plain" if evaluations == 1 else "weights")
    assert "budget" in found.notes[-1]


REPAIRED = Recipe(Scheme.INT8, repairs=(EQUALIZE,), structure="sha256:1")


def test_a_recipe_of_before_that_holds_is_confirmed_with_one_evaluation():
    bench = Bench({"last recipe": BY_LUCK})
    found = climb(bench, REPAIRED)
    assert bench.asked == [("last recipe", REPAIRED)]
    assert found.outcome == "confirmed" and found.best.recipe == REPAIRED


def test_a_recipe_of_before_that_no_longer_holds_is_dropped_for_a_whole_search():
    bench = Bench({"last recipe": 0.1, "rounded inputs": SURE, "equalization": SURE})
    found = climb(bench, REPAIRED)
    assert bench.rungs == ["last recipe", *INT8_RUNGS[:5]]
    assert found.outcome == "rescued" and found.best.rung == "equalization"
    # Nothing stands on it, although it was better than all but the last.
    assert bench.recipe("ranges").repairs == ()


def test_a_recipe_of_before_is_what_is_left_if_there_is_budget_for_nothing_else():
    found = climb(Bench({"last recipe": 0.1}, evaluations=1), REPAIRED)
    assert found.outcome == "not found" and found.best.rung == "last recipe"


def test_a_plain_recipe_of_before_is_no_recipe_of_before():
    bench = Bench({"plain": BY_LUCK})
    found = climb(bench, Recipe(Scheme.INT8, structure="sha256:1"))
    assert bench.rungs == ["plain"] and found.outcome == "plain"
