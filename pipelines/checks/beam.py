"""Checks of what does the work inside the stages: the engine, and Beam's options by their names."""

from collections.abc import Iterator
from dataclasses import replace

from tfx_tflite.components.errors import ConfigError, EngineError
from tfx_tflite.pipelines.checks import known_names
from tfx_tflite.pipelines.checks.files import keyed
from tfx_tflite.pipelines.checks.mistake import Mistake
from tfx_tflite.pipelines.checks.subject import Subject
from tfx_tflite.pipelines.config import beam_arguments
from tfx_tflite.pipelines.engines.engine import Engine, why_java_will_not_do
from tfx_tflite.pipelines.engines.job_server import check_master


def engine_can_be_started(subject: Subject) -> Iterator[Mistake]:
    """Checks that this machine has what starts a job server, and that the engine's master answers.

    A cluster may be away now and there when the pipeline runs.
    """
    try:
        engine = Engine.of(subject.config.beam)
        if engine is None:
            return
        engine.jar()
    except ConfigError as error:
        yield keyed(error)
        return
    if (problem := why_java_will_not_do(engine.java)) is not None:
        yield Mistake("beam.engine", problem)
    try:
        check_master(engine)
    except EngineError as error:
        yield replace(keyed(error), is_warning=True)


def options_are_beams(subject: Subject) -> Iterator[Mistake]:
    """Checks that Beam has each runner and option, because it ignores those that it does not."""
    options = known_names.beam_options()
    if options is None:
        return
    beam = subject.config.beam
    runners = known_names.beam_runners()
    for problem in beam_arguments.problems(beam.args, options, runners, beam.implied):
        yield Mistake("beam.args", problem)
