"""`--version`: what is installed, without importing any of it."""

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from tfx_tflite.pipelines.cli.text import say

# What figures and files depend on, by the name that people know it by.
_BESIDE = {
    "TFX": ("tfx",),
    "TensorFlow": ("tensorflow", "tensorflow-cpu"),
    "LiteRT": ("ai-edge-litert",),
    "Apache Beam": ("apache-beam",),
}


def print_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    """Prints the versions and ends the command if they are asked for, as click calls it."""
    if is_asked and not context.resilient_parsing:
        for line in version_lines():
            say(line)
        context.exit()


def version_lines() -> list[str]:
    """Returns our version, and a line for each package that figures depend on, and for Python."""
    return [
        f"tfx-tflite, version {version('tfx-tflite')}",
        *(f"{name} {_version_of(packages)}" for name, packages in _BESIDE.items()),
        f"Python {platform.python_version()}",
    ]


def _version_of(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            pass
    return "is not installed"


VERSION = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=print_version,
    help="Show the versions of tfx-tflite, TFX, TensorFlow, LiteRT, Beam and Python, and exit.",
)
