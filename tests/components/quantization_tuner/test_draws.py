"""Several draws of calibration examples: made, judged, ranked, and one of them taken."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.components.quantization.workshops import Sample
from tests.components.quantization_tuner.bed import quantized
from tests.components.quantization_tuner.bed.cases import CASES
from tests.components.quantization_tuner.bed.data import Array
from tests.components.quantization_tuner.searching import task
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.quantization.recipe import CORRECT, EQUALIZE, FOLD, Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.tuning import Tried
from tfx_tflite.components.quantization_tuner.draws import ranking_result, try_draws
from tfx_tflite.components.quantization_tuner.search import Found, Task, search
from tfx_tflite.components.quantization_tuner.settings import TunerSettings
from tfx_tflite.components.verdict import RuleResult, Verdict

GATE = Gate.model_validate({"rules": [{"metric": "AUC", "max_drop": 0.01}]})
PLAIN = Recipe(Scheme.INT8)


def result(drop: float, **fields: object) -> RuleResult:
    named = {
        "metric": "AUC",
        "slice": "overall",
        "examples": 100,
        "float": 0.9,
        "quantized": 0.9 - drop,
        "drop": drop,
        "bound": 0.01,
        "verdict": Verdict.BLESSED,
    }
    return RuleResult.model_validate({**named, **fields})


@dataclass
class FalseBench:
    """Says of each draw what it is told to."""

    tried: Sequence[Tried]
    observed: int = 0

    def observe_draws(self, recipe: Recipe, draws: int) -> None:
        self.observed = draws

    def try_draw(self, recipe: Recipe, draw: int, of: int) -> Tried:
        assert recipe.draw is None and of == self.observed == len(self.tried)
        return self.tried[draw]


def tried(drop: float | None, **fields: object) -> Tried:
    rules = () if drop is None else (result(drop),)
    named = {"rung": "draw", "what": "a draw", "rules": rules, "distance": 0.5}
    return Tried.model_validate({**named, **fields})


def test_each_draw_is_tried_once_and_has_the_drop_of_the_first_rule():
    found = try_draws(FalseBench([tried(0.1), tried(0.3, holds=True)]), PLAIN, 2, GATE)
    assert [(draw.drop, draw.distance, draw.holds) for draw in found.draws] == [
        (0.1, 0.5, False),
        (0.3, 0.5, True),
    ]
    assert found.rule == result(0.1)


def test_a_draw_that_cannot_be_made_has_a_problem_and_no_figures():
    broken = tried(None, problem="no kernel", distance=1e9)
    first, second = try_draws(FalseBench([broken, tried(0.1)]), PLAIN, 2, GATE).draws
    assert first.problem == "no kernel" and math.isnan(first.drop) and math.isnan(first.distance)
    assert second.drop == 0.1


@pytest.mark.parametrize(
    ("rules", "results", "drop"),
    [
        # The first on a metric is what ranks, whatever stands before it.
        (
            [{"max_size_ratio": 0.5}, {"metric": "AUC", "max_drop": 0.01}],
            [result(0.4, metric="size_ratio"), result(0.1)],
            0.1,
        ),
        (
            [{"metric": "AUC", "max_drop": 0.01}, {"metric": "Recall", "max_drop": 0.1}],
            [result(0.1), result(0.2, metric="Recall")],
            0.1,
        ),
        # What is compared with a pushed model is not judged on tuning examples.
        (
            [
                {"metric": "Recall", "max_drop": 0.1, "against": "pushed"},
                {"metric": "AUC", "max_drop": 0.01},
            ],
            [result(0.1)],
            0.1,
        ),
        # On slices and on several targets: overall, on the first target.
        (
            [{"metric": "AUC", "max_drop": 0.01, "slices": "each"}],
            [result(0.1), result(0.7, slice="label:1")],
            0.1,
        ),
        (
            [{"metric": "AUC", "max_drop": 0.01}],
            [result(0.1, target="first"), result(0.7, target="second")],
            0.1,
        ),
        # A slice with too few examples has no say.
        (
            [{"metric": "AUC", "max_drop": 0.01, "slices": "each"}],
            [
                result(0.1, verdict=Verdict.NOT_JUDGED),
                result(math.nan, slice="label:0"),
                result(0.2, slice="label:1"),
            ],
            0.2,
        ),
        # Of several outputs the one that the rule names.
        (
            [{"metric": "AUC", "max_drop": 0.01, "output": "risk"}],
            [result(0.5, output="price"), result(0.1, output="risk")],
            0.1,
        ),
        # A value that is limited counts as a drop, too.
        ([{"metric": "AUC", "min_value": 0.8}], [result(0.1, limit=0.8, side="at least")], 0.1),
        ([{"min_agreement": 0.9}], [result(0.1, metric="agreement")], None),
        ([{"metric": "AUC", "max_drop": 0.01}], [], None),
    ],
)
def test_draws_are_ranked_by_the_first_rule_on_a_metric(
    rules: list[Mapping[str, object]], results: list[RuleResult], drop: float | None
):
    found = ranking_result(Gate.model_validate({"rules": rules}), results)
    assert (None if found is None else found.drop) == drop


# --- A net of the bed -----------------------------------------------------------------------------

NET = CASES["regression"]
DRAWS, SIZE = 5, 20


def parts() -> list[Mapping[str, Array]]:
    return [NET.calibration.part(at * SIZE, (at + 1) * SIZE).inputs for at in range(DRAWS)]


def draws_task(directory: Path, seeds: int = DRAWS, **settings: object) -> Task:
    """Returns a task with several draws of the bed's net, whose verdict depends on the draw."""
    given = task(NET, directory, tuning_split="tuning")
    keys = given.settings.model_dump(exclude_unset=True)
    first, *others = parts()[:seeds]
    return replace(
        given,
        settings=TunerSettings.model_validate({**keys, "seeds": seeds, **settings}),
        calibration=Sample([first], [[other] for other in others]),
        draw_size=SIZE,
    )


@pytest.fixture(scope="module")
def of_scheme(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Found]:
    from tests.components.quantization.workshops import InThisProcess
    from tfx_tflite.components.quantization_tuner import search as searching

    given = draws_task(tmp_path_factory.mktemp("draws"), scheme="int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "Converter", lambda *_: InThisProcess())
        return given, search(given)


def losses() -> list[float]:
    """Returns what each draw costs on the tuning examples, by an interpreter and NumPy alone."""
    import tensorflow as tf

    examples = NET.splits().tuning

    def error(content: bytes) -> float:
        interpreter = tf.lite.Interpreter(model_content=content)
        [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
        x, answers = examples.inputs["x"], []
        scale, zero = taken["quantization"]
        if scale:
            x = np.clip(np.rint(x / scale) + zero, -128, 127).astype(taken["dtype"])
        interpreter.allocate_tensors()
        for row in x:
            interpreter.set_tensor(taken["index"], row[None])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(given["index"])[0])
        found = np.asarray(answers, np.float64)
        scale, zero = given["quantization"]
        found = (found - zero) * scale if scale else found
        return float(np.square(found - examples.labels.reshape(found.shape)).mean())

    before = error(NET.float_tflite)
    return [error(quantized.plain(NET.float_tflite, inputs)) - before for inputs in parts()]


@pytest.mark.slow
def test_the_draw_that_is_taken_is_the_median_of_drops_that_a_bare_interpreter_gives(of_scheme):
    _, found = of_scheme
    drops = losses()
    assert [draw.drop for draw in found.draws.draws] == pytest.approx(drops, rel=1e-3, abs=1e-5)
    assert drops[found.draws.chosen] == np.median(drops) and found.recipe.draw == found.draws.chosen
    assert found.draws.spread == pytest.approx(np.ptp(drops), rel=1e-3)
    assert [draw.holds for draw in found.draws.draws] == [
        drop <= found.draws.bound for drop in drops
    ]
    assert found.draws.is_decisive and found.report is None


@pytest.mark.slow
def test_each_draw_is_the_model_that_its_examples_alone_make(of_scheme):
    from tfx_tflite.components.digests import bytes_digest

    given, found = of_scheme
    made = [quantized.plain(NET.float_tflite, inputs) for inputs in parts()]
    assert [draw.digest for draw in found.draws.draws] == list(map(bytes_digest, made))
    assert found.models.quantized == made[found.draws.chosen]
    assert given.calibration.passes == [tuple(range(DRAWS))]


@pytest.mark.slow
def test_draws_that_were_judged_before_are_not_judged_again(
    of_scheme, quantizes_here, monkeypatch: pytest.MonkeyPatch
):
    from tfx_tflite.components.quantization_tuner.trial import TrialGround

    given, found = of_scheme
    monkeypatch.setattr(TrialGround, "judge", None)
    assert search(given).draws == found.draws


@pytest.mark.slow
def test_a_search_finds_the_recipe_with_the_first_draw_and_then_takes_the_middle_one(
    tmp_path: Path, quantizes_here
):
    rules = [{**NET.rule, "max_drop": 0.06}]
    given = draws_task(tmp_path, seeds=3, scheme="auto", gate={"rules": rules})
    found = search(given)
    assert found.report.outcome == "plain" and len(found.draws.draws) == 3
    assert found.report.evaluations == len(found.report.tried)
    assert found.recipe.draw == found.draws.chosen and found.report.choice.recipe == found.recipe
    # The search has measured and judged the first.
    assert given.calibration.passes == [(1, 2)]
    assert found.draws.draws[0].digest == found.report.choice.digest
    # The next search begins with the recipe, and not with a draw of these examples.
    [last] = (tmp_path / "kept" / "last").iterdir()
    assert Recipe.parse(last.read_bytes(), "last") == replace(found.recipe, draw=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "repairs"),
    [
        ("int8_float_io", ()),
        ("int16x8", (FOLD,)),
        ("int8", (EQUALIZE,)),
        ("int8", (EQUALIZE, CORRECT)),
    ],
)
def test_repairs_that_look_at_the_examples_look_at_those_of_the_draw(
    tmp_path: Path, scheme: str, repairs: tuple[str, ...]
):
    from tests.components.quantization.workshops import InThisProcess
    from tfx_tflite.components.quantization.conversion.backends import Workshop
    from tfx_tflite.components.quantization.ranges.policy import RangePolicy

    net = CASES["rescaled_residual"]
    (tmp_path / "float.tflite").write_bytes(net.float_tflite)
    first, second = (net.calibration.part(at, at + 60).inputs for at in (0, 60))

    def workshop(sample: Sample) -> Workshop:
        made_by = InThisProcess()
        policy = RangePolicy("robust")
        return Workshop(made_by, tmp_path, "serving_default", policy=policy, calibration=sample)

    recipe = Recipe(Scheme(scheme), repairs=repairs)
    both = workshop(Sample([first], [[second]]))
    both.observe_draws(recipe, range(2))
    alone = workshop(Sample([second])).make(recipe)
    found = both.make(replace(recipe, draw=1))
    assert (found.float32, found.quantized) == (alone.float32, alone.quantized)
    assert both.make(recipe).quantized == both.make(replace(recipe, draw=0)).quantized
    assert both.make(recipe).quantized != found.quantized
