import pytest

from tfx_tflite.components.characters import escaped, first_command

# A kind each: C0, ends of line, DEL, C1, Unicode's ends of line, direction, bytes that are no text.
COMMANDS = {
    "\x00": r"\x00",
    "\x1b": r"\x1b",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\x7f": r"\x7f",
    "\x85": r"\x85",
    "\x9b": r"\x9b",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    "\u200f": r"\u200f",
    "\u202e": r"\u202e",
    "\u2066": r"\u2066",
    "\udcff": r"\udcff",
}


@pytest.mark.parametrize(("character", "shown"), COMMANDS.items(), ids=COMMANDS.values())
def test_what_is_no_text_is_found_and_shown_escaped(character: str, shown: str):
    text = f"before{character}after"
    assert first_command(text) == shown
    assert escaped(text) == f"before{shown}after"
    assert escaped(text, kept=character) == text and first_command(text, character) is None


@pytest.mark.parametrize("text", ["", "plain", "Zürich", "東京", "שלום", "مرحبا", "👩‍🔬", r"\x1b"])
def test_texts_of_all_languages_are_as_they_were(text: str):
    assert first_command(text) is None and escaped(text) == text
