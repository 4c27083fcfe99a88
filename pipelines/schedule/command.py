"""The command that every clock runs at a tick."""

import sys
from collections.abc import Sequence
from pathlib import Path


def run_command(config: Path, overrides: Sequence[str]) -> list[str]:
    """Returns the command of one run, which works from any directory.

    Args:
        config: The config's file.
        overrides: What `--set` was given.
    """
    settings = [part for override in overrides for part in ("--set", override)]
    # A virtual environment's interpreter is a link that must not be followed.
    return [
        sys.executable,
        "-m",
        "tfx_tflite.pipelines",
        "run",
        str(config.resolve()),
        *settings,
        "--json",
    ]
