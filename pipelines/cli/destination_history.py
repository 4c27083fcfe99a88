"""The history of a destination: every version that was pushed, and what became of it."""

from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from tfx_tflite.components.destinations import ledger
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import DestinationError


def history_of(destination: Destination) -> dict[str, Any]:
    """Returns the history, ready for JSON; the oldest version first.

    Args:
        destination: The destination.

    Raises:
        DestinationError: It cannot be read, or nothing was ever pushed there.
    """
    # The pointer first: what it names is there, whatever is pushed meanwhile.
    pointer, current, events = destination.pointer(), destination.current(), destination.events()
    signed, withdrawn = ledger.signed_off(events), ledger.withdrawn(events)
    present = sorted([*destination.versions(), *destination.damaged()])
    versions = [
        {
            **_described(destination, number),
            "state": (
                "current"
                if number == current
                else "rolled back"
                if number in withdrawn
                else "present"
            ),
            "signed_off": number in signed,
        }
        for number in present
    ]
    versions += [
        {
            **_unknown(event.version),
            "pushed_at": event.pushed_at,
            "scheme": event.scheme,
            "digest": event.digest,
            "state": "removed",
            "signed_off": False,
        }
        for event in {event.version: event for event in events if event.kind == "removed"}.values()
        if event.version not in present
    ]
    if not versions:
        raise DestinationError(f"there is no version at {destination.uri}")
    return {
        "destination": destination.uri,
        "latest": pointer,
        "current": current,
        "versions": sorted(versions, key=lambda version: version["version"]),
        "events": [event.model_dump(exclude_none=True) for event in events],
    }


def _described(destination: Destination, number: int) -> dict[str, Any]:
    try:
        manifest = destination.manifest(number)
    except DestinationError as error:
        return {**_unknown(number), "problem": str(error)}
    overall = [rule for rule in manifest.rules if rule.get("slice") == "overall"]
    return {
        "version": number,
        "pushed_at": manifest.pushed_at,
        "scheme": manifest.scheme,
        "verdict": manifest.verdict,
        "digest": manifest.model.digest,
        "size_bytes": manifest.model.size_bytes,
        "rules": [
            {
                key: rule.get(key)
                for key in ("metric", "output", "float", "quantized", "drop", "verdict")
            }
            for rule in overall
        ],
        "problem": None,
    }


def _unknown(number: int) -> dict[str, Any]:
    keys = ("pushed_at", "scheme", "verdict", "digest", "size_bytes", "problem")
    return {"version": number, **dict.fromkeys(keys), "rules": []}


def print_history(history: Mapping[str, Any], stream: IO[str]) -> None:
    """Prints a history as a table, and what was done beside pushes below it.

    Args:
        history: As `history_of` returns it.
        stream: Where to.
    """
    width = None if stream.isatty() else 200
    console = Console(file=stream, highlight=False, emoji=False, markup=False, width=width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("version", "pushed at", "scheme", "bytes", "first rule", "model", "state"):
        table.add_column(name, no_wrap=True, justify="right" if name == "bytes" else "left")
    for version in history["versions"]:
        state = version["state"] + (", signed off" if version["signed_off"] else "")
        table.add_row(
            str(version["version"]),
            version["pushed_at"] or "-",
            version["scheme"] or "-",
            f"{version['size_bytes']:,}" if version["size_bytes"] else "-",
            _first_rule(version["rules"]),
            (version["digest"] or "-").removeprefix("sha256:")[:12],
            "unreadable manifest" if version["problem"] else state,
            style="bold" if version["state"] == "current" else "",
        )
    console.print(table)
    if history["latest"] not in [version["version"] for version in history["versions"]]:
        console.print("LATEST does not name a version; `tfx-tflite rollback DEST VERSION` sets it")
    for event in history["events"]:
        if event["kind"] != "removed":
            console.print(_told(event), soft_wrap=True)
    if history["current"] is None:
        console.print("LATEST does not name a version that is here; roll back to one", style="red")


def _first_rule(rules: list[dict[str, Any]]) -> str:
    if not rules or not isinstance(rules[0]["quantized"], int | float):
        return "-"
    return f"{rules[0]['metric']} {rules[0]['quantized']:.4f}"


def _told(event: Mapping[str, Any]) -> str:
    version = event["version"]
    text = {
        "rolled_back": f"rolled back from {event.get('instead_of')} to {version}",
        "signed_off": f"{version} signed off",
        "sign_off_withdrawn": f"sign-off of {version} withdrawn",
    }[event["kind"]]
    return f"{event['at']}  {text}" + (f": {event['note']}" if event.get("note") else "")
