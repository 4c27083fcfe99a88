"""`tfx-tflite clean`: what old runs left goes, where nobody refers to it any more."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.locks import only_one
from tfx_tflite.pipelines.cli.config import CONFIG, SET, TIMEOUT, with_timeout
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line, stoppable
from tfx_tflite.pipelines.cli.text import say
from tfx_tflite.pipelines.runs import RUN_LOCK

if TYPE_CHECKING:
    from tfx_tflite.pipelines.config.config import PipelineConfig
    from tfx_tflite.pipelines.runs.cleaning import Cleaned


@examples(
    "tfx-tflite clean mine.yaml --keep 10 --dry-run",
    "tfx-tflite clean mine.yaml --keep 10",
)
@click.command(short_help="Remove what old runs left and nobody refers to.")
@CONFIG
@SET
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many runs keep what they left.  [default: the config's retention.keep_runs]",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would go, and remove nothing.")
@TIMEOUT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
def clean(
    config: Path,
    overrides: tuple[str, ...],
    keep: int | None,
    is_dry: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Remove artifacts and logs of old runs of CONFIG that nobody refers to any more.

    Exit codes: 0 done, 2 wrong usage or config, 1 failure (call again for
    the rest).
    """
    with stoppable(), errors_in_a_line(as_json):
        from tfx_tflite.pipelines.config.file import load_config

        settings = load_config(config, with_timeout(overrides, timeout))
        keep = keep or _configured(settings)
        root = Path(settings.root)
        if not root.is_dir():
            raise ConfigError(f"root: there is no directory {root}, so no run was here")
        from tfx_tflite.pipelines.runs.cleaning import clean as clean_runs

        with only_one(root / RUN_LOCK, "run"):
            cleaned = clean_runs(settings, keep, is_dry)
        _print(cleaned, as_json)


def _configured(config: "PipelineConfig") -> int:
    if config.retention is None:
        raise ConfigError("--keep or the config's retention.keep_runs says how many runs stay")
    return config.retention.keep_runs


def _print(cleaned: "Cleaned", as_json: bool) -> None:
    if as_json:
        from tfx_tflite.pipelines.cli.console import print_json

        print_json(cleaned.to_keys(), sys.stdout)
        return
    for path in (*cleaned.directories, *cleaned.logs):
        say(f"  {path}")
    for note in cleaned.notes:
        say(f"note: {note}")
    say(summary(cleaned))


def summary(cleaned: "Cleaned") -> str:
    """Returns in a line what was cleaned, or would be."""
    verb = "removed" if cleaned.is_done else "would remove"
    return (
        f"{verb} {len(cleaned.directories)} directories of artifacts and {len(cleaned.logs)} logs "
        f"below {cleaned.root}, {cleaned.size_bytes / 1e6:.1f} MB; the newest stay: {cleaned.runs}"
    )
