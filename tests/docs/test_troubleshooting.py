"""Each message that the page on troubleshooting quotes is one that the code can print."""

import ast
import functools
import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^> `(.+)`$", PAGE, flags=re.MULTILINE)


@functools.cache
def texts_of_the_code() -> tuple[str, ...]:
    """Every text in the code, with `…` in place of the values that an f-string fills in."""
    return tuple(
        text
        for folder in ("components", "pipelines")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (text := text_of(node)) is not None
    )


def text_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "…" for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def test_the_page_has_messages():
    assert len(QUOTED) >= 30 and len(set(QUOTED)) == len(QUOTED)


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_one_of_the_code(message: str):
    wanted = message.rstrip("…").rstrip()
    assert any(wanted in re.sub("…+", "…", text) for text in texts_of_the_code())


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_followed_by_what_to_do(message: str):
    after = PAGE.split(f"> `{message}`\n\n")[1].partition("\n\n")[0]
    assert len(after) > 40 and not after.startswith((">", "#"))
