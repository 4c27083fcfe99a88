"""`tfx-tflite doctor`: whether what a run needs is here and runs."""

import sys
from collections.abc import Mapping

import click

from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import EXIT_FAILED, errors_in_a_line, stoppable
from tfx_tflite.pipelines.cli.text import say


@examples(
    "tfx-tflite doctor",
    "tfx-tflite doctor --json",
)
@click.command(short_help="Say what is installed, and whether it runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=300,
    show_default=True,
    help="After how long a trial is ended.",
)
def doctor(as_json: bool, time_limit: float) -> None:
    """Say which versions are here, what each feature lacks, and whether what runs need runs.

    The converter, the interpreters, ML Metadata and Beam's workers are tried with something small,
    each in a process of its own, and if they are installed TensorFlow Lite Micro and Arm's Vela
    too. That takes about a minute.

    Exit codes: 0 if all of it runs, 1 if something does not. A feature that lacks something is no
    failure.
    """
    with stoppable(), errors_in_a_line(as_json):
        is_well = _diagnose(as_json, time_limit)
    if not is_well:
        sys.exit(EXIT_FAILED)


def _diagnose(as_json: bool, time_limit: float) -> bool:
    from tfx_tflite.pipelines.cli.console import print_json
    from tfx_tflite.pipelines.doctor import installed
    from tfx_tflite.pipelines.doctor.document import Diagnosis, Feature, Trial
    from tfx_tflite.pipelines.doctor.trials import trials

    def show_trial(trial: Trial) -> Trial:
        after = f"  {trial.seconds:.1f} s" if trial.state == "runs" else f": {trial.problem}"
        say(f"  {trial.name}: {trial.state}{after}", err=as_json)
        return trial

    def show_feature(feature: Feature) -> None:
        state = "here" if feature.is_here else f"lacks {'; '.join(feature.lacks)}"
        say(f"  {feature.name}: {state}", err=as_json)

    generation, versions = installed.generation(), installed.versions()
    is_supported = generation in installed.GENERATIONS
    say(_told(generation, is_supported, installed.GENERATIONS), err=as_json)
    say(f"  {_listed(versions)}", err=as_json)
    say("features", err=as_json)
    features = installed.features()
    for feature in features:
        show_feature(feature)
    say("trials", err=as_json)
    ended = tuple(show_trial(trial) for trial in trials(time_limit))
    failed = [trial for trial in ended if trial.state != "runs"]
    is_well = is_supported and not failed
    found = Diagnosis(
        generation=generation,
        is_supported=is_supported,
        versions=versions,
        features=features,
        trials=ended,
        is_well=is_well,
    )
    if as_json:
        print_json(found.to_keys(), sys.stdout)
    elif is_well:
        say("all that was tried runs here")
    elif failed:
        say(f"{len(failed)} of {len(ended)} trials do not run here")
    return is_well


def _told(generation: str | None, is_supported: bool, supported: tuple[str, ...]) -> str:
    if generation is None:
        return "TFX is not installed; see README.md for how to set it up"
    made_for = " and ".join(supported)
    note = "" if is_supported else f", but this package is tested with TFX {made_for}"
    return f"generation TFX {generation}{note}"


def _listed(versions: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {number or '(none)'}" for name, number in versions.items())
