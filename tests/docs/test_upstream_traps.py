"""The page on upstream traps names code that is there."""

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "upstream-traps.md").read_text(encoding="utf-8")
ROWS = [row for row in PAGE.splitlines() if row.startswith("| ") and not row.startswith("| trap")]


def test_the_page_has_rows():
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS)
def test_a_trap_names_the_files_that_guard_against_it(row: str):
    *_, where = row.strip("| ").split(" | ")
    files = re.findall(r"`([\w/]+\.py)`", where)
    assert files and all((ROOT / file).is_file() for file in files)
