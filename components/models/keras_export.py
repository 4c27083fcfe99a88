"""A Keras file (`.keras`, or `.h5`) exported as a SavedModel, in a process of its own.

Loading such a file runs what is in it: layers that are Python code, if that is allowed. The process
has no credentials, and a crash or an endless loop ends nothing but itself. Run as `python -m
tfx_tflite.components.models.keras_export FILE DIRECTORY TRUST`, where TRUST is 1 or 0.
"""

import re
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.environment import without_secrets
from tfx_tflite.components.process_end import run_to_the_end

# Seconds that an export may take.
_TIME_LIMIT = 1800.0
_OTHERWISE = (
    "Or export it where it was made, model.export(DIRECTORY), and give the directory as "
    "model.saved_model"
)
_LONGEST_REASON = 200
# Keras before that ran or read what a file named though it was told not to (CVE-2025-9905,
# CVE-2025-12058, CVE-2026-1669).
_FIRST_SAFE_KERAS = (3, 12, 1)


class _Outcome(Part):
    """What the child says: what is wrong, or nothing."""

    kind: str = ""
    problem: str = ""


def made_with() -> str:
    """Returns the versions that an export depends on, beside the file."""
    return ", ".join(f"{name} {_version(name)}" for name in ("keras", "tensorflow"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        # Another distribution of the same package (tensorflow-cpu, say).
        return "unknown"


def export(
    file: Path, directory: Path, is_trusted: bool, named: str, time_limit: float = _TIME_LIMIT
) -> None:
    """Writes the model in a Keras file as a SavedModel.

    Args:
        file: The Keras file.
        directory: Where the SavedModel goes; it does not exist yet.
        is_trusted: Whether the file may hold code, such as Lambda layers.
        named: What to call the file in messages.
        time_limit: Seconds.

    Raises:
        ModelError: It cannot be loaded or exported, or takes too long.
    """
    if not is_trusted:
        _check_keras(named)
    # Google's packages say of older Pythons, at import, that their time ends.
    python = [sys.executable, "-W", "ignore::FutureWarning"]
    command = [*python, "-m", __name__, str(file), str(directory), str(int(is_trusted))]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit,
            cwd=directory.parent,
            env=without_secrets(),
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{named}: exporting it took more than {time_limit:.0f} s") from error
    print(done.stderr, file=sys.stderr, end="")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(f"{named}: the process that exports it died of {name}. {_OTHERWISE}")
    outcome = _outcome_in(done.stdout)
    if outcome is None:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise ModelError(f"{named} cannot be exported: {lines[-1]}. {_OTHERWISE}")
    if outcome.problem:
        raise ModelError(_explained(named, outcome))


def _check_keras(named: str) -> None:
    """Checks that Keras keeps to what it is told of a file that is not trusted.

    Raises:
        ModelError: It is too old for that.
    """
    installed = _version("keras")
    parts = tuple(int(part) for part in re.findall(r"\d+", installed)[:3])
    if parts and parts < _FIRST_SAFE_KERAS:
        needed = ".".join(map(str, _FIRST_SAFE_KERAS))
        raise ModelError(
            f"{named} is not opened by Keras {installed}, which runs or reads what a file names "
            f"though it is told not to: pip install 'keras>={needed}', or set model.trust: true if "
            f"you know who made the file. {_OTHERWISE}"
        )


def _outcome_in(stdout: str) -> _Outcome | None:
    """Returns what the child says in its last line; None if it ended before."""
    lines = stdout.splitlines()
    try:
        return _Outcome.model_validate_json(lines[-1])
    except (IndexError, ValueError):
        return None


def _explained(file: str, outcome: _Outcome) -> str:
    """Returns what a mistake of Keras means, in a line or two."""
    said = outcome.problem
    if "safe_mode" in said or "unsafe" in said.lower():
        return (
            f"{file} holds a layer that is Python code (a Lambda layer), which is not run unless "
            f"model.trust is true. {_OTHERWISE}"
        )
    if found := re.search(r"Could not locate class '([^']+)'|Unknown layer: '?(\w+)", said):
        name = found[1] or found[2]
        return (
            f"{file} needs the class {name!r}, which Keras does not know here. Export it where "
            "the class is known, model.export(DIRECTORY), and give the directory as "
            "model.saved_model"
        )
    hint = (
        ". A .h5 file may be of an older Keras: load it with that (the package tf_keras) and save "
        "a SavedModel"
        if file.endswith((".h5", ".hdf5"))
        else ""
    )
    line = " ".join(said.split())
    shown = line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
    return f"{file} cannot be exported: {outcome.kind}: {shown.rstrip('.')}{hint}. {_OTHERWISE}"


def _export(file: str, directory: str, is_trusted: bool) -> _Outcome:
    import keras

    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=not is_trusted)
        model.export(directory, verbose=False)
    # Whatever Keras, or code in the file, raises: the words are all that is of use.
    except Exception as error:
        return _Outcome(kind=type(error).__name__, problem=str(error) or "it says no more")
    return _Outcome()


def main() -> None:
    """Exports one file; see the module's docstring."""
    file, directory, is_trusted = sys.argv[1:]
    outcome = _export(file, directory, is_trusted == "1")
    print(outcome.model_dump_json())


if __name__ == "__main__":
    run_to_the_end(main)
