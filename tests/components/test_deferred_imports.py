"""A deferred import is an import, only later."""

import gc
import importlib
import inspect
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfx_tflite.components.deferred_imports import deferred_imports, uncollected_imports

PACKAGE = """
import sys
sys.ran_of_heavy.append(__name__)
from heavy.parts import Part
__version__ = "7"
value = 1
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A package `heavy` that can be imported; returns the names whose code has run."""
    found: list[str] = []
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "heavy" / "parts.py").write_text(
        "import sys\nsys.ran_of_heavy.append(__name__)\nclass Part: pass\n"
    )
    (tmp_path / "broken.py").write_text("raise ImportError('no library')\n")
    monkeypatch.setattr(sys, "ran_of_heavy", found, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield found
    for name in [name for name in sys.modules if name.partition(".")[0] in ("heavy", "broken")]:
        del sys.modules[name]


def deferred(name: str):
    with deferred_imports([name]):
        return importlib.import_module(name)


def test_nothing_runs_before_something_is_asked_for(ran):
    heavy = deferred("heavy")
    assert ran == []
    assert heavy.value == 1 and ran == ["heavy", "heavy.parts"]


def test_runs_once(ran):
    heavy = deferred("heavy")
    assert (heavy.value, heavy.Part.__name__, heavy.__version__) == (1, "Part", "7")
    assert ran == ["heavy", "heavy.parts"]


def test_a_submodule_is_imported_without_the_package(ran):
    with deferred_imports(["heavy"]):
        from heavy import parts  # type: ignore[import-not-found]
    assert ran == ["heavy.parts"]
    assert sys.modules["heavy"].parts is parts


def test_looking_at_all_modules_runs_none(ran):
    heavy = deferred("heavy")
    inspect.getmodule(lambda: None)
    importlib.import_module("heavy")
    assert not hasattr(heavy, "__wrapped__") and ran == []


def test_a_module_that_is_not_there_is_an_import_error_at_once(ran):
    with pytest.raises(ModuleNotFoundError):
        deferred("heavy.missing")


def test_a_module_that_fails_fails_where_it_is_used_and_each_time(ran):
    broken = deferred("broken")
    for _ in range(2):
        with pytest.raises(ImportError, match="no library"):
            _ = broken.name


def test_what_is_missing_is_an_attribute_error(ran):
    heavy = deferred("heavy")
    for _ in range(2):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            _ = heavy.nothing


def test_a_star_import_has_every_name(ran):
    deferred("heavy")
    names: dict[str, object] = {}
    exec("from heavy import *", names)
    assert names["value"] == 1


def test_threads_wait_for_the_whole_module(ran):
    heavy = deferred("heavy")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(heavy.value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 8 and ran == ["heavy", "heavy.parts"]


def test_is_pickled_by_its_name(ran):
    assert pickle.loads(pickle.dumps(deferred("heavy"))) is sys.modules["heavy"]


def test_after_the_block_imports_are_as_they_were(ran):
    with deferred_imports(["heavy"]):
        pass
    assert importlib.import_module("heavy").value == 1 and ran == ["heavy", "heavy.parts"]


def test_other_modules_are_not_deferred(ran):
    with deferred_imports(["broken"]):
        importlib.import_module("heavy")
    assert ran == ["heavy", "heavy.parts"]


def test_what_is_imported_uncollected_is_never_looked_at_by_the_collector(ran):
    with uncollected_imports():
        assert not gc.isenabled()
        heavy = importlib.import_module("heavy")
    assert gc.isenabled()
    assert not any(found is heavy.__dict__ for found in gc.get_objects())
    gc.unfreeze()


def test_a_process_without_a_collector_gets_none(ran):
    gc.disable()
    try:
        with pytest.raises(ImportError), uncollected_imports():
            importlib.import_module("broken")
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
