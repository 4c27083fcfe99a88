"""The configs on the pages are configs: what people copy loads and keeps to the schema."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tfx_tflite.pipelines.config.file import load_config

FENCE = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])


def configs() -> Iterator[tuple[str, str]]:
    """Yields the whole configs on the pages, with where they are."""
    for page in PAGES:
        for index, text in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            if re.search(r"^name:", text, re.MULTILINE) and re.search(
                r"^push:", text, re.MULTILINE
            ):
                yield f"{page.name}, block {index}", text
    for file in sorted((ROOT / "examples").rglob("*.yaml")):
        yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")


CONFIGS = dict(configs())


def test_there_are_some():
    assert CONFIGS


@pytest.mark.parametrize("place", CONFIGS)
def test_a_config_on_a_page_is_one(place: str, tmp_path: Path):
    (tmp_path / "c.yaml").write_text(CONFIGS[place], encoding="utf-8")
    load_config(tmp_path / "c.yaml")
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    document = YAML(typ="safe").load(CONFIGS[place])
    jsonschema.validate(json.loads(json.dumps(document, default=str)), schema)
