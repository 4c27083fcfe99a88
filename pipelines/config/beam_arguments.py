"""What is wrong with `beam.args`, given what Beam knows. Nothing here loads Beam."""

import difflib
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from tfx_tflite.components.errors import listed

# Their job servers have options of their own, which Beam asks them for when a job is submitted.
RUNNERS_WITH_JOB_SERVER = ("PortableRunner", "FlinkRunner", "SparkRunner")
_HELP = ("-h", "--help")
_RUNNER = "--runner"
# How alike an option of a job server and one of Beam's must be to be taken for a misspelling.
_MISSPELLED = 0.85


def problems(
    args: Sequence[str],
    options: Sequence[str],
    runners: Sequence[str],
    implied: Sequence[str] = (),
) -> Iterator[str]:
    """Yields what is wrong with arguments: Beam ignores those that it does not know.

    Args:
        args: As in the config's `beam.args`.
        options: The options that Beam has.
        runners: The names of its runners.
        implied: The arguments that stand before these, which the other keys of `beam` stand for.
    """
    before = ""
    for number, argument in enumerate(args, start=1):
        name, equals, _ = argument.partition("=")
        if argument in _HELP:
            # It would print them all and end the process, with the exit code of a push.
            yield f"{argument} is for a command line; see docs/beam.md"
        elif not argument.startswith("-") and not before:
            # It may be a secret that has lost its option, so it is not repeated.
            yield f"entry {number} is no option, which Beam would ignore; write --OPTION=VALUE"
        before = name if argument.startswith("-") and not equals else ""
    runner = runner_in((*implied, *args))
    full_name = runner_named(runner, runners)
    if full_name is None:
        close = difflib.get_close_matches(runner.lower(), {n.lower(): n for n in runners}, 1)
        known = {name.lower(): name for name in runners}
        hint = f"did you mean {known[close[0]]}?" if close else f"it has: {listed(runners, 20)}"
        yield f"Beam has no runner {runner!r}; {hint}"
    is_served = (full_name or "").endswith(RUNNERS_WITH_JOB_SERVER)
    for name in (argument.partition("=")[0] for argument in args if argument.startswith("-")):
        if name in options or name in _HELP:
            continue
        close = difflib.get_close_matches(name, options, 1, _MISSPELLED if is_served else 0.6)
        if close or not is_served:
            hint = f"did you mean {close[0]}?" if close else "see docs/beam.md"
            yield f"Beam has no option {name}; {hint}"


def runner_in(args: Sequence[str]) -> str:
    """Returns the runner that arguments name, the last one; empty if they name none."""
    return value_in(args, _RUNNER)


def value_in(args: Sequence[str], option: str) -> str:
    """Returns the value that arguments give an option, the last one; empty if they give none.

    Args:
        args: As in the config's `beam.args`.
        option: With its hyphens.
    """
    found = ""
    for argument, following in zip_longest(args, args[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name == option:
            found = value if equals else following
    return found


def runner_named(name: str, runners: Sequence[str]) -> str | None:
    """Returns a runner's name as Beam writes it, which takes it without `Runner`, in any case.

    Args:
        name: As it was given; a class of one's own is named by its path.
        runners: The names of Beam's runners.

    Returns:
        None if Beam has no such runner.
    """
    known = {runner.lower(): runner for runner in runners}
    for spelling in (name.lower(), f"{name.lower()}runner"):
        if spelling in known:
            return known[spelling]
    return name if not name or "." in name else None
