"""The commands on a destination: what was pushed there, whether it is whole, and the way back."""

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfx_tflite.components.characters import first_command
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.cli.config import TIMEOUT
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import EXIT_FAILED, errors_in_a_line
from tfx_tflite.pipelines.cli.text import say

if TYPE_CHECKING:
    from tfx_tflite.components.destinations.destination import Destination

_DESTINATION = click.argument("destination")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_version = functools.partial(click.argument, "version", type=click.IntRange(min=1))
_KEY = click.option(
    "--key",
    help="A PEM file with the public key that every manifest, LATEST and the history must be "
    "signed by.",
)
_SIGNING_KEY = click.option(
    "--signing-key", help="A PEM file with the private key, at a destination that is signed."
)
_NOTE = click.option("--note", help="Why; it is kept in the history.")


@examples(
    "tfx-tflite history mine.yaml",
    "tfx-tflite history pushed/mine --json",
    "tfx-tflite history s3://models/mine",
)
@click.command(short_help="Show what was pushed, and which is current.")
@_DESTINATION
@_KEY
@TIMEOUT
@_JSON
def history(destination: str, key: str | None, timeout: float | None, as_json: bool) -> None:
    """Show what was pushed to DESTINATION (a path, a URI, or a config), and which is current."""
    from tfx_tflite.pipelines.cli.destination_history import history_of, print_history

    with errors_in_a_line(as_json):
        found = history_of(_opened(destination, timeout, verify_key=key))
        if as_json:
            say(json.dumps(found.to_keys()))
        else:
            print_history(found, sys.stdout)


@examples(
    "tfx-tflite verify mine.yaml",
    "tfx-tflite verify pushed/mine --key public.pem",
)
@click.command(short_help="Check every byte that was pushed.")
@_DESTINATION
@_version(required=False)
@_KEY
@TIMEOUT
@_JSON
def verify(
    destination: str, version: int | None, key: str | None, timeout: float | None, as_json: bool
) -> None:
    """Check every file at DESTINATION, or of one VERSION, against its manifest.

    Exit codes: 0 all is as it was pushed, 1 something is not and is named.
    """
    from tfx_tflite.components.destinations.verification import destination_problems

    with errors_in_a_line(as_json):
        opened = _opened(destination, timeout, verify_key=key)
        problems = destination_problems(opened, version)
        checked = [version] if version is not None else opened.versions()
        if as_json:
            document = {"destination": opened.uri, "versions": checked, "problems": problems}
            say(json.dumps(document))
        for problem in problems:
            say(f"error: {problem}", err=True)
        if not problems and not as_json:
            signed = "" if opened.verifier is None else ", signed by the key"
            say(f"{opened.uri}: {_counted(checked)} as pushed{signed}")
    sys.exit(EXIT_FAILED if problems else 0)


@examples(
    'tfx-tflite rollback mine.yaml --note "slow on old phones"',
    "tfx-tflite rollback pushed/mine 1795724395",
)
@click.command(short_help="Make an earlier version the current one.")
@_DESTINATION
@_version(required=False)
@_NOTE
@_SIGNING_KEY
@TIMEOUT
@_JSON
def rollback(
    destination: str,
    version: int | None,
    note: str | None,
    signing_key: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Make VERSION the current one at DESTINATION; by default the one before the current.

    It must have been current before, so never one that an unfinished push left.

    What was rolled back from is not pushed again by a later run that makes the very same model.
    """
    with errors_in_a_line(as_json):
        opened = _opened(destination, timeout, signing_key=signing_key, to_change=True)
        before, after, said = opened.roll_back(version, note)
        if as_json:
            say(json.dumps({"destination": opened.uri, "from": before, "to": after}))
        elif before == after:
            say(f"version {after} is the current one already")
        elif before is None:
            say(f"version {after} is current at {opened.uri}; LATEST named none")
        else:
            say(f"version {after} is current at {opened.uri}; it was {before}")
        if said:
            say(f"note: {said}", err=True)


@examples(
    'tfx-tflite sign-off mine.yaml 1795724395 --note "shipped with 4.2"',
    "tfx-tflite sign-off mine.yaml 1795724395 --withdraw",
)
@click.command("sign-off", short_help="Keep a version from ever being removed.")
@_DESTINATION
@_version(required=True)
@click.option("--withdraw", is_flag=True, help="Take it back.")
@_NOTE
@_SIGNING_KEY
@TIMEOUT
def sign_off(
    destination: str,
    version: int,
    withdraw: bool,
    note: str | None,
    signing_key: str | None,
    timeout: float | None,
) -> None:
    """Sign VERSION at DESTINATION off: retention never removes it."""
    with errors_in_a_line():
        opened = _opened(destination, timeout, signing_key=signing_key, to_change=True)
        opened.sign_off(version, note, withdraw)
        say(f"version {version} is {'no longer ' if withdraw else ''}signed off")


COMMANDS = (history, verify, rollback, sign_off)


def _opened(
    destination: str,
    timeout: float | None,
    *,
    verify_key: str | None = None,
    signing_key: str | None = None,
    to_change: bool = False,
) -> "Destination":
    """Returns a destination with the keys that a command line or a config names.

    Args:
        destination: A path, a URI, or a config.
        timeout: Seconds until a store that does not answer is given up; None takes the config's.
        verify_key: A file with the public key, in place of the config's.
        signing_key: A file with the private key, in place of the config's.
        to_change: Whether the private key is needed.

    Raises:
        ConfigError: The name or the config is wrong.
    """
    from tfx_tflite.components.destinations.destination import Destination, Trust
    from tfx_tflite.components.destinations.settings import DEFAULT_TIMEOUT, TrustSettings

    if destination.endswith((".yaml", ".yml")):
        from tfx_tflite.pipelines.config.file import load_config
        from tfx_tflite.pipelines.config.trust import open_destination, open_to_read

        config = load_config(destination)
        if verify_key is not None:
            keys = {"verify_key": verify_key, "signing_key": None}
            config = config.model_copy(update={"push": config.push.model_copy(update=keys)})
        if to_change:
            return open_destination(config, signing_key, timeout)
        return open_to_read(config, timeout)
    if character := first_command(destination):
        raise ConfigError(f"no destination's name holds the character {character}")
    if is_local(destination):
        destination = str(Path(destination).absolute())
    settings = TrustSettings(verify_key=verify_key, signing_key=signing_key)
    return Destination.open(destination, timeout or DEFAULT_TIMEOUT, Trust.of(settings))


def _counted(versions: list[int]) -> str:
    return f"version {versions[0]}" if len(versions) == 1 else f"{len(versions)} versions"
