"""A search that is interrupted, once or often, goes on where it was."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tfx.dsl.io import fileio

from tests.components.quantization.workshops import InThisProcess
from tests.components.quantization_tuner.bed.cases import CASES
from tests.components.quantization_tuner.searching import task
from tfx_tflite.components.quantization.conversion.backends import ConvertedModels, Workshop
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization_tuner import search as search_module
from tfx_tflite.components.quantization_tuner.search import Found, search
from tfx_tflite.components.quantization_tuner.trial import Judged, TrialGround

# Its search takes four evaluations.
NET = CASES["rescaled_mobile_net"]
# What a clock says is not the same twice.
MEASURED = {"seconds": 0, "latency_ms": None}


class Interruption(BaseException):
    """As when the process is told to end."""


class Judging:
    """Counts the candidates that are judged, and interrupts searches.

    That is where a candidate is going to be made, judged, or kept.

    Attributes:
        finished: The candidates that were judged to the end, in order.
        interrupted: How often a search was interrupted.
    """

    def __init__(self, patch: pytest.MonkeyPatch):
        self.finished: list[bytes] = []
        self.interrupted = 0
        self._counts: Iterator[int] = iter(())
        self._left: int | None = None
        judge, make, rename = TrialGround.judge, Workshop.make, fileio.rename

        def judging(ground: TrialGround, content: bytes, *sizes: int | None) -> Judged:
            self._pass_by()
            found = judge(ground, content, *sizes)
            self.finished.append(content)
            return found

        def making(workshop: Workshop, recipe: Recipe) -> ConvertedModels:
            self._pass_by()
            return make(workshop, recipe)

        def renaming(source: str, target: str, overwrite: bool = False) -> None:
            self._pass_by()
            rename(source, target, overwrite)

        patch.setattr(TrialGround, "judge", judging)
        patch.setattr(Workshop, "make", making)
        patch.setattr(fileio, "rename", renaming)

    def interrupt_after(self, *counts: int) -> None:
        """Interrupts after so many steps, then after so many more, and so on."""
        self._counts = iter(counts)
        self._left = next(self._counts)

    def _pass_by(self) -> None:
        if self._left == 0:
            self._left = next(self._counts, None)
            self.interrupted += 1
            raise Interruption
        if self._left is not None:
            self._left -= 1


@pytest.fixture
def judging(quantizes_here, monkeypatch: pytest.MonkeyPatch) -> Judging:
    return Judging(monkeypatch)


@contextmanager
def quantizing_here() -> Iterator[None]:
    """Has searches quantize in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "Converter", lambda *_: InThisProcess())
        yield


def search_until_it_ends(directory: Path) -> Found:
    while True:
        try:
            return search(task(NET, directory))
        except Interruption:
            continue


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    with quantizing_here():
        yield search(task(NET, tmp_path_factory.mktemp("undisturbed")))


def same(found: Found, other: Found) -> bool:
    """Returns whether two searches found and tried the same; they may have taken longer."""
    tried = [
        [each.model_copy(update=MEASURED) for each in search.report.tried]
        for search in (found, other)
    ]
    is_same_model = found.models.quantized == other.models.quantized
    return is_same_model and found.recipe == other.recipe and tried[0] == tried[1]


@pytest.mark.slow
def test_interrupted_20_times_it_ends_the_same_and_judges_no_candidate_again_that_was_kept(
    undisturbed: Found, judging: Judging, tmp_path: Path, record_property
):
    # Within three steps a candidate is kept, so that twice it comes further.
    steps = [0] * 6 + [1] * 6 + [2] * 6 + [3] * 2
    judging.interrupt_after(*np.random.default_rng(1).permutation(steps))
    found = search_until_it_ends(tmp_path)
    assert judging.interrupted == 20
    assert found.models.quantized == undisturbed.models.quantized
    assert found.recipe == undisturbed.recipe
    # What was judged again was interrupted before it was kept.
    again = len(judging.finished) - len(set(judging.finished))
    assert again < judging.interrupted
    record_property("summary", f"{len(judging.finished)} evaluations, of which {again} again")


def test_interrupted_after_each_evaluation_it_judges_none_twice(
    undisturbed: Found, judging: Judging, tmp_path: Path
):
    # One is made, judged and kept in three steps; the float model with rounded inputs is not made.
    judging.interrupt_after(3, 3, 2)
    found = search_until_it_ends(tmp_path)
    assert judging.interrupted == 3
    assert same(found, undisturbed)
    assert len(judging.finished) == undisturbed.report.evaluations == 4
    assert len(set(judging.finished)) == 4


def test_the_same_question_again_is_answered_from_what_is_kept(
    undisturbed: Found, judging: Judging, tmp_path: Path
):
    first = search(task(NET, tmp_path))
    again = search(task(NET, tmp_path))
    assert same(first, undisturbed)
    assert len(judging.finished) == 4 + 1
    # What it found is now the recipe of before.
    assert again.report.outcome == "confirmed" and again.report.evaluations == 1
    assert again.models.quantized == first.models.quantized


def test_a_larger_budget_goes_on_from_what_a_smaller_one_has_paid_for(
    undisturbed: Found, judging: Judging, tmp_path: Path
):
    small = search(task(NET, tmp_path, budget={"evaluations": 2}))
    assert small.report.outcome == "not found" and "budget" in small.report.notes[-1]
    assert same(search(task(NET, tmp_path)), undisturbed)
    assert len(judging.finished) == 4


def files_in(directory: Path) -> int:
    """Returns how many files a search has kept."""
    return len(list(directory.rglob("*.json")))


def search_here(directory: Path) -> None:
    """Searches in a process that is there for nothing else."""
    with quantizing_here():
        search(task(NET, directory))


@pytest.mark.slow
def test_killed_it_ends_with_the_same_recipe(
    undisturbed: Found, judging: Judging, tmp_path: Path, record_property
):
    # What a search loads is loaded once, by the process that those to be killed are forked from.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    task(NET, tmp_path)
    kept: list[int] = []
    for seconds in np.random.default_rng(5).uniform(0, 0.5, size=3):
        process = processes.Process(target=search_here, args=(tmp_path,))
        process.start()
        while process.is_alive() and files_in(tmp_path / "kept") <= len(kept):
            process.join(0.05)
        process.join(seconds)
        process.kill()
        process.join()
        kept.append(files_in(tmp_path / "kept"))
    found = search(task(NET, tmp_path))
    assert found.recipe == undisturbed.recipe
    assert found.models.quantized == undisturbed.models.quantized
    # None was lost again.
    assert kept == sorted(kept)
    record_property("summary", f"evaluations kept after each kill: {kept}")
