"""What a search tells of itself while it goes on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.components.report.reports import AUTO
from tfx_tflite.components.progress import CANDIDATES, VARIABLE, Step
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.settings import SearchBudget
from tfx_tflite.components.quantization_tuner.bench import RecipeBench
from tfx_tflite.components.quantization_tuner.memory import Memory

TRIED = [each for each in AUTO.tuning.tried if each.recipe is not None]


def told(directory: Path, minutes: float) -> list[Step | None]:
    """Returns what is told of a search whose candidates were all judged before."""
    bench = RecipeBench(
        workshop=SimpleNamespace(),
        ground=SimpleNamespace(),
        memory=Memory(str(directory), "question", "kind"),
        budget=SearchBudget(minutes=minutes),
        policy=RangePolicy("robust"),
    )
    for each in TRIED:
        bench.memory.keep(each.recipe.to_json(), each)
        bench.try_recipe(each.rung, each.what, each.recipe, each.is_allowed)
    return [Step.parse(line) for line in (directory / "progress").read_bytes().splitlines()]


@pytest.fixture(autouse=True)
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "progress").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "progress"))


def test_each_candidate_is_told_with_the_best_so_far(tmp_path: Path):
    steps = told(tmp_path, 20.0)
    assert [step.more for step in steps] == list(range(len(TRIED)))
    assert {(step.what, step.of) for step in steps} == {(CANDIDATES, 40)}
    rule = TRIED[0].worst_rule
    best = f"best so far: plain, drop {rule.drop:.3g} of {rule.bound:.3g}"
    assert [step.note for step in steps[:2]] == ["plain", f"weights ({best})"]


def test_the_most_candidates_are_those_that_the_time_allows(tmp_path: Path):
    assert told(tmp_path, 0.9)[-1].of < 40
