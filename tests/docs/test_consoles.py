"""What a page shows is what a command prints, but for numbers and what is left out."""

import pytest

from tests.docs.consoles import Command, commands_of, matches


def test_the_commands_of_a_page_are_read_with_their_output(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ one\na\nb\n$ two\n```\n```\n$ no command\n```\n")
    assert commands_of(page) == [Command("one", "a\nb\n"), Command("two", "")]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("took 1.5 s\n", "took 12.25 s\n"),
        ("drop  0.0233\n", "drop  -0.0233\n"),
        ("…\nlast\n", "first\nsecond\nlast\n"),
        ("first\n…\n", "first\n"),
        ("pushed to …/mine/1\n", "pushed to /home/me/mine/1795732326\n"),
        ("a   b\n", "a     b  \n"),
        ("run:\n  one  1 s\n  two  1 s\n", "run:\n  two  1 s\n  one  1 s\n"),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(shown: str, printed: str):
    assert matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("blessed\n", "refused\n"),
        ("one\n", "one\ntwo\n"),
        ("int8-1\n", "int8 1\n"),
        ("…\nlast\n", "last\nanother\n"),
    ],
)
def test_any_other_text_does(shown: str, printed: str):
    assert not matches(shown, printed)
