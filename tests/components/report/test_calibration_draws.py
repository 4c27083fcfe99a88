"""What the page, the suggestions and the terminal say of draws of calibration examples."""

import io
import json
import math

import numpy as np
import pytest

from tests.components.report.reports import BLESSED, DRAWS, REFUSED, varied
from tests.components.report.test_page import HOSTILE, Document, text_of
from tests.pipelines.cli.results import RESULT
from tfx_tflite.components.quantization.document import Calibration
from tfx_tflite.components.quantization.draws import Draw, DrawsReport
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.report import page
from tfx_tflite.components.report.calibration_draws import draws_shown, figures_in_brief
from tfx_tflite.components.report.next_steps import next_steps
from tfx_tflite.pipelines.cli.console import RunPrinter
from tfx_tflite.pipelines.runs.results import FoundRecipe, TriedDraws

FOUND = DRAWS.draws
DROPS = [draw.drop for draw in FOUND.draws]
ALL_HOLD = varied(FOUND, draws=tuple(varied(draw, holds=True) for draw in FOUND.draws))
NO_RULE = varied(
    FOUND, rule="", bound=math.nan, draws=tuple(Draw(distance=0.1) for _ in FOUND.draws)
)


def test_the_recorded_run_took_the_median_of_draws_of_which_some_hold():
    assert DROPS[FOUND.chosen] == np.median(DROPS) and DRAWS.recipe.draw == FOUND.chosen
    assert FOUND.is_decisive and FOUND.spread == np.ptp(DROPS)
    assert DRAWS.digests["quantized_model"] == FOUND.draws[FOUND.chosen].digest
    assert DRAWS.calibration_sample.size == FOUND.size == 20


@pytest.mark.parametrize(
    ("draws", "first"),
    [
        (FOUND, "The verdict depends on the draw: 3 of 5 draws hold the rules."),
        (ALL_HOLD, "All 5 draws hold the rules."),
        (NO_RULE, "No draw holds the rules."),
    ],
)
def test_the_page_says_first_whether_the_verdict_depends_on_the_draw(
    draws: DrawsReport, first: str
):
    shown = draws_shown(draws)
    assert shown.sentences[0] == first
    text = text_of(varied(DRAWS, draws=draws))
    for sentence in shown.sentences:
        assert sentence in text
    assert f"Draws of calibration examples {first}" in text


def test_the_page_has_a_row_for_each_draw_and_marks_the_one_that_was_taken():
    rows = draws_shown(FOUND).rows
    assert [row.number for row in rows if row.is_chosen] == [FOUND.chosen]
    assert [row.verdict[1] for row in rows] == [
        "holds" if drop <= FOUND.bound else "failed" for drop in DROPS
    ]
    assert page.render(DRAWS).count('Noise of the answers" class') == len(DROPS)


def test_a_report_of_one_draw_has_no_such_section():
    assert draws_shown(None) is None
    assert "Draws of calibration examples" not in text_of(BLESSED)


def test_draws_that_share_examples_say_which_share():
    assert "25% of the calibration examples are in several draws" in " ".join(
        draws_shown(varied(FOUND, shared=0.25)).sentences
    )


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        (NO_RULE, "no rule is on a metric that draws could be ranked by"),
        (
            varied(FOUND, draws=(Draw(drop=0.5), Draw(drop=0.5))),
            "MeanSquaredError drops by 0.5 with each, and 0.01 is allowed",
        ),
        (
            varied(FOUND, draws=(Draw(drop=0.5), Draw(drop=0.25), Draw(problem="no"))),
            "MeanSquaredError drops by 0.25 to 0.5, a spread of 0.25, and 0.01 is allowed",
        ),
    ],
)
def test_the_figures_are_said_in_brief(draws: DrawsReport, said: str):
    assert figures_in_brief(draws).startswith(said)


def test_what_others_named_is_text_on_the_page():
    hostile = varied(
        FOUND, rule=HOSTILE, split=HOSTILE, draws=(Draw(problem=HOSTILE), *FOUND.draws[1:])
    )
    document = Document(page.render(varied(DRAWS, draws=hostile)))
    assert document.text.count(" ".join(HOSTILE.split())) >= 3


def steps(draws: DrawsReport | None, ranges: str = "robust") -> str:
    calibration = Calibration(ranges=ranges)
    return " ".join(next_steps(varied(REFUSED, draws=draws, calibration=calibration)))


def test_a_refusal_that_depends_on_the_draw_asks_for_more_examples_a_draw():
    advice = "3 of 5 draws hold the rules on the tuning examples: take more than 20 examples a draw"
    assert advice in steps(FOUND)
    robust = "set calibration.ranges: robust, or take more than 20 examples a draw"
    assert robust in steps(FOUND, "minmax") and robust not in steps(FOUND)
    assert "draw" not in steps(ALL_HOLD) and "draw" not in steps(None)


def printed(draws: DrawsReport | None) -> list[str]:
    stream = io.StringIO()
    RunPrinter(stream).result(RESULT.model_copy(update={"draws": TriedDraws.of(draws)}))
    lines = stream.getvalue().splitlines()
    start = next((place for place, line in enumerate(lines) if line.startswith("draws ")), None)
    return [] if start is None else lines[start : start + 2]


def test_a_run_says_in_two_lines_what_the_draws_came_to():
    assert printed(None) == []
    assert printed(FOUND) == [
        f"draws     draw 3 is taken of 0 to 4: {figures_in_brief(FOUND)}",
        "          the verdict depends on the draw: 3 of 5 draws hold the rules",
    ]


def test_the_result_of_a_run_has_the_drops_and_their_spread():
    result = RESULT.model_copy(update={"draws": TriedDraws.of(FOUND)})
    found = json.loads(result.to_json())["draws"]
    assert found["drops"] == DROPS and found["spread"] == max(DROPS) - min(DROPS)
    assert (found["chosen"], found["holding"], found["bound"]) == (3, 3, 0.01)
    without = RESULT.model_copy(update={"draws": TriedDraws.of(NO_RULE)})
    found = json.loads(without.to_json())["draws"]
    assert found["drops"] == [None] * 5 and found["spread"] is None


def test_a_scheme_whose_draws_were_tried_is_no_recipe_that_was_given():
    recipe = Recipe(Scheme.INT8, draw=3)
    assert FoundRecipe.of(None, recipe, FOUND) is None
    assert FoundRecipe.of(None, recipe).outcome == "given"
