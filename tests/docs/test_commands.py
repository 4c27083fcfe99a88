"""What README and docs have to be typed: the command line takes it, and links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Yields every call of `tfx-tflite` in a block of a page, with the page's name."""
    for page in PAGES:
        for language, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if language not in ("", "console"):
                continue
            for line in block.replace("\\\n", " ").splitlines():
                call = re.match(r"(?:\$ )?(tfx-tflite .*?)(?: 2>&1)?(?:; .*| +#.*)?$", line)
                if call:
                    yield page.name, call[1]


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_the_command_line_takes_a_command_of_the_docs(tmp_path: Path, monkeypatch, page, line):
    monkeypatch.chdir(tmp_path)
    _, name, *arguments = shlex.split(line)
    for argument in arguments:
        # A command may ask for a file that is there.
        if re.fullmatch(r"[\w./-]+\.(yaml|pem)", argument):
            (tmp_path / argument).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / argument).touch()
    command = main.commands[name]
    with click.Context(main, info_name="tfx-tflite") as parent:
        command.make_context(name, arguments, parent=parent)


def test_links_of_the_readme_lead_to_files():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 10
    assert all((ROOT / link).exists() for link in links if not link.startswith("http"))


def test_the_config_of_the_readme_is_one(tmp_path: Path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [config] = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.yaml").write_text(config)
    assert load_config(tmp_path / "mine.yaml").name == "mine"
