"""The documentation's site, built strictly as `make docs` does, and its generated pages."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a link that leads nowhere, or any other warning, fails the build."""
    path = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return path


@pytest.fixture(scope="session")
def text_of(site: Path):
    """Returns the text of a page of the site, without markup."""

    def text(address: str) -> str:
        page = (site / address).read_text(encoding="utf-8")
        return html.unescape(re.sub(r"<[^>]+>", "", page))

    return text


def test_every_page_of_the_docs_is_in_the_site(site: Path):
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages and all((site / page).is_file() for page in pages)


def test_every_page_can_be_reached_from_the_first_one(site: Path):
    first = (site / "index.html").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in re.findall(r'href="([\w./-]+\.html)', first)}
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")} - {"404.html"}
    assert pages <= linked | {"index.html"}


def test_nothing_is_fetched_from_elsewhere_for_the_look_of_the_site(site: Path):
    for page in site.rglob("*.html"):
        source = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:link|script|img)\b[^>]*(?:href|src)="(https?://[^"]+)"', source)
        assert not fetched, page


def test_the_programs_that_write_the_pages_are_not_in_the_site(site: Path):
    assert not list(site.rglob("*.py"))


def test_every_command_and_option_is_on_its_page(text_of):
    import click

    from tfx_tflite.pipelines.cli.main import main

    page = text_of("reference/cli.html")
    for name, command in main.commands.items():
        assert f"tfx-tflite {name}" in page
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in page, (name, option.opts)


@pytest.mark.parametrize(
    "row",
    [
        ("name", "text", "needed"),
        ("calibration.samples", "whole number, at least 1, at most 10^9", "200"),
        ("quantization.scheme", "float32 or dynamic_range", '"int8"'),
        ("gate.rules[].max_drop", "number, at least 0", "none"),
        ("kubeflow.resources.NAME.cpu", "number, above 0", "none"),
    ],
)
def test_a_key_of_the_config_has_its_type_and_default(text_of, row: tuple[str, ...]):
    [line] = re.findall(
        rf"^{re.escape(row[0])}\n(.*)\n(.*)$", text_of("reference/config.html"), re.M
    )
    assert line[0].startswith(row[1]) and line[1] == row[2]


@pytest.mark.parametrize("name", ["report", "quantization", "manifest"])
def test_a_document_has_every_key_of_its_schema(text_of, name: str):
    import json

    page = text_of(f"reference/{name}.html")
    schema = json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))
    for part in (schema, *schema["$defs"].values()):
        assert all(f"\n{key}\n" in page for key in part.get("properties", ()))


def test_a_component_has_its_outputs_arguments_and_settings(text_of):
    page = text_of("reference/components.html")
    for text in ("quantized_model", "baseline_model", "signing_key", "max_relative_drop"):
        assert text in page


@pytest.mark.parametrize("name", ["Gate", "GateRule", "MetricRule"])
def test_what_a_gate_is_made_of_is_imported_with_the_components(name: str):
    from tfx_tflite import components

    assert name in components.__all__ and getattr(components, name)
