"""The commands on a destination: what was pushed there, what becomes current, and the way back."""

import functools
import getpass
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
# A decision only signs, so that --key can mean nothing else there.
_DECIDING_KEY = click.option(
    "--signing-key",
    "--key",
    "signing_key",
    help="A PEM file with the private key, at a destination that is signed.",
)
_BY = click.option("--by", help="Who decides; by default the user of this machine.")
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
    from tfx_tflite.pipelines.cli.destination_history import decisions_on

    with errors_in_a_line(as_json):
        opened = _opened(destination, timeout, verify_key=key)
        problems = destination_problems(opened, version)
        checked = [version] if version is not None else opened.versions()
        decided = decisions_on(opened, checked)
        if as_json:
            document = {
                "destination": opened.uri,
                "versions": checked,
                "problems": problems,
                "decisions": [decision.to_keys() for decision in decided],
            }
            say(json.dumps(document))
        for problem in problems:
            say(f"error: {problem}", err=True)
        if not problems and not as_json:
            signed = "" if opened.verifier is None else ", signed by the key"
            say(f"{opened.uri}: {_counted(checked)} as pushed{signed}")
            for decision in decided:
                say(f"version {decision.version} was {decision.in_words()}")
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


@examples(
    'tfx-tflite approve mine.yaml 1795724395 --note "tried on twenty phones"',
    "tfx-tflite approve s3://models/mine 1795724395 --signing-key key.pem --by release-team",
)
@click.command(short_help="Make a version that waits the current one.")
@_DESTINATION
@_version(required=True)
@click.option(
    "--force",
    is_flag=True,
    help="Approve it though it is older than the current one, or was compared with another one.",
)
@_BY
@_NOTE
@_DECIDING_KEY
@TIMEOUT
@_JSON
def approve(
    destination: str,
    version: int,
    force: bool,
    by: str | None,
    note: str | None,
    signing_key: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Approve VERSION, which waits at DESTINATION because of push.approval: it becomes current.

    Who, when and why is kept in the history, which is signed at a destination that is signed.
    """
    with errors_in_a_line(as_json):
        who = _who(by)
        opened = _opened(destination, timeout, signing_key=signing_key, to_change=True)
        before, after, said = opened.approve(version, who, note, force)
        if as_json:
            say(json.dumps({"destination": opened.uri, "from": before, "to": after, "by": who}))
        elif before == after:
            say(f"version {after} is the current one already")
        else:
            was = f"it was {before}" if before else "none was before"
            say(f"version {after} is approved by {who} and current at {opened.uri}; {was}")
        if said:
            say(f"note: {said}", err=True)


@examples('tfx-tflite reject mine.yaml 1795724395 --note "too slow on old phones"')
@click.command(short_help="Keep a version that waits from ever becoming current.")
@_DESTINATION
@_version(required=True)
@_BY
@_NOTE
@_DECIDING_KEY
@TIMEOUT
@_JSON
def reject(
    destination: str,
    version: int,
    by: str | None,
    note: str | None,
    signing_key: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Reject VERSION, which waits at DESTINATION because of push.approval.

    A later run that makes the very same model does not push it again.
    """
    with errors_in_a_line(as_json):
        who = _who(by)
        opened = _opened(destination, timeout, signing_key=signing_key, to_change=True)
        opened.reject(version, who, note)
        if as_json:
            say(json.dumps({"destination": opened.uri, "rejected": version, "by": who}))
        else:
            say(f"version {version} is rejected by {who}; it never becomes current")


@examples(
    "tfx-tflite alias mine.yaml shadow 1795724395",
    "tfx-tflite alias mine.yaml shadow --remove",
)
@click.command(short_help="Name a version, or end that.")
@_DESTINATION
@click.argument("name")
@_version(required=False)
@click.option("--remove", is_flag=True, help="Remove the alias.")
@_BY
@_SIGNING_KEY
@TIMEOUT
@_JSON
def alias(
    destination: str,
    name: str,
    version: int | None,
    remove: bool,
    by: str | None,
    signing_key: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Have NAME, such as champion or shadow, stand for VERSION at DESTINATION.

    DESTINATION/aliases/NAME holds the number. Retention never removes a version that has a name.
    `history` lists all aliases.
    """
    if remove == (version is not None):
        raise click.UsageError("give either a VERSION or --remove")
    with errors_in_a_line(as_json):
        who = _who(by)
        opened = _opened(destination, timeout, signing_key=signing_key, to_change=True)
        before = opened.set_alias(name, version, who)
        if as_json:
            keys = {"destination": opened.uri, "alias": name, "from": before, "to": version}
            say(json.dumps(keys))
        elif version is None:
            say(f"{name} is removed; it was version {before}")
        elif before == version:
            say(f"{name} is version {version} already")
        else:
            say(f"{name} is version {version}{f'; it was {before}' if before else ''}")


COMMANDS = (history, verify, approve, reject, rollback, sign_off, alias)


def _who(by: str | None) -> str:
    """Returns who decides, for the history.

    Raises:
        ConfigError: That is not said, and the user has no name.
    """
    if by is not None and by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise ConfigError("this user has no name; say who decides with --by NAME") from error


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
