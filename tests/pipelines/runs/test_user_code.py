"""Which files a user's module is made of, and how a run imports them."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tfx_tflite.pipelines.runs.user_code import importable, module_digest, source_digest

FILES = {
    "trainer.py": "import layers\nfrom nets import small\nimport os, json\n",
    "layers.py": "import losses\nSIZE = 1\n",
    "losses.py": "from nets.parts import deep\nSCALE = 10\n",
    "nets/__init__.py": "NAME = 'nets'\n",
    "nets/small.py": "from . import parts\nfrom .parts.blocks import block\n",
    "nets/unused.py": "",
    # A folder without `__init__.py` is a package, too.
    "nets/parts/blocks.py": "from ..shared import helper\nblock = helper\n",
    "nets/parts/deep.py": "DEEP = 1\n",
    "nets/shared.py": "helper = 'helper'\n",
    "unrelated.py": "",
    "notes.txt": "",
}
IMPORTED = sorted(
    name for name in FILES if name not in ("nets/unused.py", "unrelated.py", "notes.txt")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trainer, the modules that it imports and some that it does not."""
    for name, text in FILES.items():
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_text(text)
    return tmp_path / "code"


def swap(path: Path) -> None:
    """Puts other contents of the same size and time into a file."""
    before = path.stat()
    path.write_text("#" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda path: path.write_text(path.read_text() + "# more\n"),
    "swapped for one of the same size and time": swap,
    "removed": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", [name for name in IMPORTED if name != "trainer.py"])
def test_a_module_that_is_imported_by_way_of_others_is_part_of_it(
    folder: Path, name: str, change: Callable[[Path], object]
):
    before = source_digest(folder / "trainer.py")
    change(folder / name)
    assert source_digest(folder / "trainer.py") != before


@pytest.mark.parametrize("name", ["nets/unused.py", "unrelated.py", "notes.txt"])
def test_what_is_not_imported_is_no_part_of_it(folder: Path, name: str):
    before = source_digest(folder / "trainer.py")
    (folder / name).write_text("other = 1\n")
    assert source_digest(folder / "trainer.py") == before


def test_a_module_that_is_added_and_imported_already_is_part_of_it(folder: Path):
    (folder / "trainer.py").write_text("try:\n    import extra\nexcept ImportError:\n    pass\n")
    before = source_digest(folder / "trainer.py")
    (folder / "extra.py").write_text("")
    assert source_digest(folder / "trainer.py") != before


@pytest.mark.parametrize(
    "text",
    [
        "def run_fn(args):\n    import extra",
        "if True:\n    from extra import *",
        "from wide import *",
        "import trainer, extra",
    ],
    ids=["in a function", "by star", "by the star of a package", "in a circle"],
)
def test_imports_are_seen_wherever_they_stand(folder: Path, text: str):
    (folder / "trainer.py").write_text(text)
    (folder / "wide").mkdir()
    (folder / "wide" / "__init__.py").write_text("__all__ = ['part']\n")
    (folder / "wide" / "part.py").write_text("import extra\n")
    (folder / "extra.py").write_text("")
    before = source_digest(folder / "trainer.py")
    (folder / "extra.py").write_text("other = 1\n")
    assert source_digest(folder / "trainer.py") != before


def test_it_is_the_same_wherever_the_folder_is(folder: Path, tmp_path: Path):
    before = source_digest(folder / "trainer.py")
    folder.rename(tmp_path / "elsewhere")
    assert source_digest(tmp_path / "elsewhere" / "trainer.py") == before


def test_what_is_no_python_is_hashed_and_not_read_into(folder: Path):
    (folder / "layers.py").write_text("def (\n")
    before = source_digest(folder / "trainer.py")
    (folder / "layers.py").write_text("def [\n")
    assert source_digest(folder / "trainer.py") != before


def test_the_module_of_a_metric_is_found_by_name_and_not_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(folder))
    (folder / "nets" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    before = module_digest("nets.small")
    assert before is not None
    (folder / "nets" / "shared.py").write_text("helper = 'other'\n")
    assert module_digest("nets.small") != before
    assert module_digest("no_such_module_here") is None


def test_it_is_looked_for_beside_the_trainer_where_no_path_has_it(folder: Path):
    assert module_digest("layers") is None
    before = module_digest("layers", folder)
    (folder / "losses.py").write_text("")
    assert None is not before != module_digest("layers", folder)


def test_of_an_installed_package_its_file_is_enough():
    assert module_digest("pydantic.main") is not None


# --- How they are imported ---


@pytest.fixture
def imported() -> Iterator[Callable[[str], object]]:
    """Imports modules, and sees to it that nothing of them stays."""
    finders = list(sys.meta_path)
    yield importlib.import_module
    assert not {"trainer", "layers", "losses", "nets", "nets.small"} & set(sys.modules)
    assert sys.meta_path == finders


def test_a_module_finds_what_is_beside_it_and_packages_below(folder: Path, imported):
    with importable(str(folder / "trainer.py")):
        trainer = imported("trainer")
        assert trainer.layers.losses.SCALE == 10
        assert imported("nets.parts.blocks").block == "helper"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("layers")


def test_what_it_is_beside_shadows_no_library(folder: Path, imported):
    (folder / "json.py").write_text("raise RuntimeError('the wrong one')\n")
    (folder / "colorsys.py").write_text("raise RuntimeError('the wrong one')\n")
    sys.modules.pop("colorsys", None)
    with importable(str(folder / "trainer.py")):
        assert imported("trainer").json.dumps(1) == "1"
        assert imported("colorsys").rgb_to_hsv


def test_the_next_run_of_the_process_imports_what_is_there_then(folder: Path, imported):
    for scale in (1, 2):
        (folder / "losses.py").write_text(f"SCALE = {scale}\n")
        with importable(str(folder / "trainer.py")):
            assert scale == imported("layers").losses.SCALE


def test_bytecode_of_other_contents_of_the_same_size_and_time_is_not_taken(folder: Path, imported):
    import py_compile

    for name in ("layers.py", "nets/shared.py"):
        py_compile.compile(str(folder / name))
    before = {name: (folder / name).stat() for name in ("layers.py", "nets/shared.py")}
    (folder / "layers.py").write_text(FILES["layers.py"].replace("1", "2"))
    (folder / "nets/shared.py").write_text(FILES["nets/shared.py"].replace("'helper'", "'swap'  "))
    for name, status in before.items():
        assert (folder / name).stat().st_size == status.st_size
        os.utime(folder / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    with importable(str(folder / "trainer.py")):
        assert imported("layers").SIZE == 2
        assert imported("nets.parts.blocks").block == "swap"
