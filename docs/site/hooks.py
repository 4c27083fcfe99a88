"""Adds the reference pages to the site, generated at each build, so that they match the code."""

from collections.abc import Callable

import commands
import component_classes
import config_keys
import schemas
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# The address of a page below `docs/`, and what writes its Markdown.
PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": commands.page,
    "reference/components.md": component_classes.page,
    "reference/config.md": config_keys.page,
    "reference/report.md": lambda: schemas.document_page("report", "report.json"),
    "reference/quantization.md": lambda: schemas.document_page("quantization", "quantization.json"),
    "reference/manifest.md": lambda: schemas.document_page("manifest", "manifest.json"),
    "reference/doctor.md": lambda: schemas.document_page("doctor", "tfx-tflite doctor --json"),
    "reference/inspection.md": lambda: schemas.document_page(
        "inspection", "tfx-tflite inspect --json"
    ),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to the files that MkDocs found in `docs/`."""
    for address, write in PAGES.items():
        files.append(File.generated(config, address, content=write()))
    return files
