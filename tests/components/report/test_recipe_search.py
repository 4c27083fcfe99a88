"""What the page, the suggestions and the terminal say of a search for a recipe."""

import io
import json
import re

import pytest

from tests.components.report.reports import AUTO, BLESSED, REFUSED, varied
from tests.components.report.test_page import HOSTILE, Document, text_of
from tests.pipelines.cli.results import RESULT
from tfx_tflite.components.quantization.recipe import CORRECT, EQUALIZE, RangeRule, Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.tuning import Tried, TuningReport
from tfx_tflite.components.report import page
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.report.next_steps import next_steps
from tfx_tflite.components.report.recipe_search import in_brief, in_words, outcome, search_shown
from tfx_tflite.pipelines.cli.console import RunPrinter
from tfx_tflite.pipelines.runs.results import FoundRecipe

TUNING = AUTO.tuning
PLAIN = TUNING.tried[0]
POSSIBLE = "with quantization.auto.integer_only: false the rules would hold: 1 tensor in float"


def tuning(**fields: object) -> TuningReport:
    return varied(TUNING, **fields)


NOT_FOUND = tuning(
    outcome="not found",
    chosen=0,
    tried=(PLAIN, varied(TUNING.choice, is_allowed=False)),
    evaluations=2,
    notes=("no int8 model can hold the rules",),
    possible=POSSIBLE,
)
HOLDS = varied(PLAIN, holds=True)
UNTOUCHED = tuning(outcome="plain", chosen=0, tried=(HOLDS,), evaluations=1, culprits=())
CONFIRMED = varied(UNTOUCHED, outcome="confirmed")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (TUNING, "Plain int8 does not hold: SparseCategoricalAccuracy drops by "),
        (NOT_FOUND, "Nothing that may be chosen holds the rules. "),
        (UNTOUCHED, "Plain int8 holds the rules: nothing had to be repaired."),
        (CONFIRMED, "The recipe that held for the model before holds for this one, too."),
    ],
)
def test_the_page_says_first_what_the_search_came_to(found: TuningReport, sentence: str):
    said = outcome(found)
    assert said[0].startswith(sentence)
    assert said[-1].startswith(f"{found.evaluations} candidate")
    assert "Search for a recipe " + sentence in text_of(varied(AUTO, tuning=found))


def test_what_would_be_possible_is_said():
    assert POSSIBLE.capitalize() not in outcome(TUNING)
    assert f"W{POSSIBLE[1:]}." in outcome(NOT_FOUND)


def test_without_a_search_the_page_has_no_such_section():
    assert search_shown(None) is None
    assert "Search for a recipe" not in text_of(BLESSED)


def test_every_candidate_is_a_row_with_what_became_of_it():
    rows = search_shown(TUNING).rows
    assert [row.number for row in rows] == list(range(1, len(TUNING.tried) + 1))
    assert [row.number - 1 for row in rows if row.is_chosen] == [TUNING.chosen]
    assert rows[TUNING.chosen].verdict == ("blessed", "holds")
    assert rows[0].verdict == ("refused", "failed")
    assert {row.standing for row in search_shown(NOT_FOUND).rows} == {"closest", "not allowed"}


def test_a_candidate_that_cannot_be_made_says_why_and_is_in_no_plot():
    broken = Tried(rung="weights", what="w", problem="no int8 form of ROUND", excess=1e9)
    found = tuning(tried=(*TUNING.tried, broken))
    assert "not possible" in text_of(varied(AUTO, tuning=found))
    assert "no int8 form of ROUND" in text_of(varied(AUTO, tuning=found))
    assert search_shown(found).plots == search_shown(TUNING).plots


def test_candidates_are_plotted_over_all_that_is_known_of_their_costs():
    plots = search_shown(TUNING).plots
    assert [plot.title for plot in plots] == [
        "Drop of SparseCategoricalAccuracy over bytes of the file",
        "Drop of SparseCategoricalAccuracy over latency on this machine",
        "Drop of SparseCategoricalAccuracy over working memory",
    ]
    without = tuple(varied(each, latency_ms=None, arena_bytes=None) for each in TUNING.tried)
    assert search_shown(tuning(tried=without)).plots == plots[:1]


def test_what_is_beyond_the_bound_is_below_its_line_and_the_chosen_one_above():
    plot = search_shown(TUNING).plots[0]
    [chosen] = [mark for mark in plot.marks if mark.is_chosen]
    assert chosen.y < plot.bound and chosen.holds
    assert plot.marks[0].y > plot.bound and not plot.marks[0].holds
    assert f"Chosen is {TUNING.chosen + 1}, with " in plot.label


def test_numbers_of_marks_that_lie_on_each_other_stand_together():
    twice = tuning(tried=(PLAIN, PLAIN, TUNING.choice), chosen=2)
    assert [text for _, _, text in search_shown(twice).plots[0].labels] == ["1, 2", "3"]


@pytest.mark.parametrize(
    ("recipe", "brief"),
    [
        (Recipe(Scheme.INT8), "int8"),
        (Recipe(Scheme.INT8).having(CORRECT), "int8 with bias correction"),
        (
            Recipe(Scheme.INT8, ranges=RangeRule("robust")).having(CORRECT, EQUALIZE),
            "int8 with equalization, bias correction and robust ranges",
        ),
        (
            Recipe(Scheme.INT8_FLOAT_IO, float_edges=("ADD:0", "input:x")),
            "int8_float_io with 2 tensors or layers in float",
        ),
        (
            Recipe(Scheme.INT8, draw=2).having(EQUALIZE),
            "int8 with equalization and draw 2 of the calibration examples",
        ),
    ],
)
def test_a_recipe_is_said_in_brief(recipe: Recipe, brief: str):
    assert in_brief(varied(PLAIN, recipe=recipe)) == brief


def test_a_recipe_in_words_names_the_first_layers():
    weights = {f"FULLY_CONNECTED:{place}": "per_channel" for place in range(5)}
    first, second = in_words(Recipe(Scheme.INT8, weights=weights))
    assert first == "scheme int8, inputs and outputs int8"
    assert second.endswith("FULLY_CONNECTED:0, FULLY_CONNECTED:1, FULLY_CONNECTED:2 and 2 more")
    assert "5 layers have weights with a scale for each output channel" in second


def test_the_recipe_is_there_as_the_document_that_a_config_takes():
    source = page.render(AUTO)
    [document] = re.findall(r"<pre><code>(\{.*?\n\})\n", source, re.DOTALL)
    assert Recipe.parse(document.replace("&#34;", '"'), "page") == TUNING.choice.recipe


def test_the_worst_culprits_are_named_with_what_to_change():
    first = TUNING.culprits[0]
    text = text_of(AUTO)
    assert f"{first.name} ({first.operator}, {first.part}): {first.reason}." in text
    assert first.remedy in text


def test_names_of_a_search_are_escaped():
    hostile = {"what": HOSTILE, "problem": HOSTILE}
    culprit = varied(TUNING.culprits[0], name=HOSTILE, meaning=HOSTILE, remedy=HOSTILE)
    recipe = Recipe(Scheme.INT8_FLOAT_IO, float_edges=(HOSTILE, "\u202eADD:0"))
    found = tuning(
        tried=(varied(PLAIN, **hostile), varied(TUNING.choice, recipe=recipe, what=HOSTILE)),
        chosen=1,
        culprits=(culprit,),
        notes=(HOSTILE,),
        possible=HOSTILE,
        split=HOSTILE,
    )
    source = page.render(varied(AUTO, tuning=found))
    assert not {"script", "img"} & {tag for tag, _, _ in Document(source).elements}
    assert "\u202e" not in source


def test_many_candidates_keep_the_page_small():
    found = tuning(tried=TUNING.tried * 400, culprits=TUNING.culprits * 100)
    source = page.render(varied(AUTO, tuning=found))
    assert len(source) < 500_000 and "more candidates are in report.json" in source


# --- What to try next -----------------------------------------------------------------------------

STEP = "Try quantization.scheme: auto"
ENOUGH = varied(AUTO.calibration_sample, size=200, requested=200)


def steps(**fields: object) -> tuple[str, ...]:
    return next_steps(varied(REFUSED, calibration_sample=ENOUGH, saturation=(), **fields))


def test_a_search_is_what_to_try_first_if_int8_loses_too_much():
    assert any(step.startswith(STEP) for step in steps())
    assert not any(step.startswith(STEP) for step in steps(scheme="float16"))


def test_a_search_is_no_remedy_for_a_lack_of_calibration_examples():
    assert not any(step.startswith(STEP) for step in next_steps(REFUSED))


def test_after_a_search_its_result_says_what_to_try():
    # Before anything else that may be done about the rule.
    assert steps(tuning=NOT_FOUND)[0] == f"W{POSSIBLE[1:]}."
    assert "quantization.auto.tuning_split" in steps(tuning=TUNING)[0]
    assert not any(step.startswith(STEP) for step in steps(tuning=TUNING))


# --- The terminal ---------------------------------------------------------------------------------


def printed(found: TuningReport) -> list[str]:
    stream = io.StringIO()
    RunPrinter(stream).result(RESULT.model_copy(update={"recipe": FoundRecipe.of(found, None)}))
    lines = stream.getvalue().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("recipe "))
    return lines[start : start + 3]


def test_a_run_says_in_a_line_what_the_search_came_to():
    tried = f"{TUNING.evaluations} candidates tried"
    assert printed(TUNING)[0] == f"recipe    {in_brief(TUNING.choice)}, {tried}"
    assert printed(UNTOUCHED)[0] == "recipe    plain int8 holds, 1 candidate tried"
    assert printed(CONFIRMED)[0] == "recipe    int8, as for the model before, 1 candidate tried"


def test_a_run_that_found_nothing_says_why_and_what_would_be_possible():
    assert printed(NOT_FOUND) == [
        "recipe    no recipe holds, 2 candidates tried; closest: int8",
        "          no int8 model can hold the rules",
        f"          {POSSIBLE}",
    ]


def test_json_has_the_recipe_as_an_object():
    keys = RESULT.model_copy(update={"recipe": FoundRecipe.of(NOT_FOUND, None)}).to_keys()
    assert keys["recipe"] == {
        "scheme": "int8",
        "outcome": "not found",
        "evaluations": 2,
        "what": "int8",
        "possible": POSSIBLE,
        "notes": ["no int8 model can hold the rules"],
    }
    assert RESULT.to_keys()["recipe"] is None


def test_a_report_has_the_search_that_the_model_was_made_by():
    again = Report.parse(AUTO.to_json(), "again")
    assert again.tuning == TUNING and json.loads(AUTO.to_json())["recipe"]["scheme"] == "int8"


def test_a_recipe_that_was_given_is_said_as_well():
    given = Recipe(Scheme.INT8, repairs=("equalize",))
    found = FoundRecipe.of(None, given)
    assert found is not None and found.to_lines() == ("int8 with equalization",)
    assert FoundRecipe.of(None, Recipe(Scheme.INT8)) is None
