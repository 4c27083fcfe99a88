"""What a search keeps, and what it makes of files that are damaged or of others."""

import shutil
from pathlib import Path

import pytest

from tfx_tflite.components.quantization.recipe import EQUALIZE, Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.tuning import Tried
from tfx_tflite.components.quantization_tuner.memory import Memory

RECIPE = Recipe(Scheme.INT8, repairs=(EQUALIZE,), structure="sha256:1")
TRIED = Tried(rung="plain", what="plain int8", recipe=RECIPE, holds=True, excess=-0.5, distance=0.1)


def memory(directory: Path, question: str = "q", kind: str = "k") -> Memory:
    return Memory(str(directory), question, kind)


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_a_finished_evaluation_is_found_again_by_whoever_asks_the_same(tmp_path: Path):
    memory(tmp_path).keep("a recipe", TRIED)
    assert memory(tmp_path).tried("a recipe") == TRIED
    assert memory(tmp_path).tried("another recipe") is None
    assert memory(tmp_path, question="another").tried("a recipe") is None


def test_the_last_recipe_is_one_a_kind(tmp_path: Path):
    assert memory(tmp_path).last_recipe() is None
    memory(tmp_path).remember(RECIPE)
    assert memory(tmp_path, question="another").last_recipe() == RECIPE
    assert memory(tmp_path, kind="another").last_recipe() is None


def test_files_are_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tfx.dsl.io import fileio

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fileio, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        memory(tmp_path).keep("a recipe", TRIED)
    assert memory(tmp_path).tried("a recipe") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"tried": {"rung": "?"}}'])
def test_a_damaged_file_is_as_good_as_none_and_is_written_anew(tmp_path: Path, content: str):
    kept = memory(tmp_path)
    kept.keep("a recipe", TRIED)
    kept.remember(RECIPE)
    for file in files(tmp_path):
        file.write_text(content)
    assert kept.tried("a recipe") is None and kept.last_recipe() is None
    kept.keep("a recipe", TRIED)
    assert kept.tried("a recipe") == TRIED


def test_what_others_asked_is_forgotten_and_the_last_recipes_are_not(tmp_path: Path):
    memory(tmp_path, question="old", kind="old").keep("a recipe", TRIED)
    memory(tmp_path, question="old", kind="old").remember(RECIPE)
    kept = memory(tmp_path)
    kept.keep("a recipe", TRIED)
    kept.forget_others()
    assert memory(tmp_path, question="old").tried("a recipe") is None
    assert memory(tmp_path, kind="old").last_recipe() == RECIPE
    assert kept.tried("a recipe") == TRIED


def test_a_place_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path):
    (tmp_path / "kept").write_text("a file")
    kept = memory(tmp_path / "kept")
    kept.keep("a recipe", TRIED)
    kept.remember(RECIPE)
    kept.forget_others()
    assert kept.tried("a recipe") is None and kept.last_recipe() is None
    shutil.rmtree(tmp_path)
    assert kept.tried("a recipe") is None
