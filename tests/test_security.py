"""docs/security.md says nothing that no test shows."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def statements() -> Iterator[tuple[str, str]]:
    """The rows of all tables that name tests: what is stated, and the cell with the tests."""
    named = False
    for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            named = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[-1] == "test":
            named = True
        elif named and set(cells[-1]) != {"-"}:
            yield cells[0], cells[-1]


@functools.cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_no_row_stands_outside_of_its_table() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
        if _TEST.search(line)
    ]
    assert len(rows) == len(list(statements()))


@pytest.mark.parametrize(("statement", "tests"), statements())
def test_each_statement_has_a_test(statement: str, tests: str) -> None:
    named = _TEST.findall(tests)
    assert named, f"no test is named for: {statement}"
    for file, name in named:
        assert name.startswith("test_") and name in functions_of(ROOT / file), f"{file}::{name}"
