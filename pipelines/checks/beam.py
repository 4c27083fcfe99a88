"""Checks of Beam's options, by their names."""

from collections.abc import Iterator

from tfx_tflite.pipelines.checks import known_names
from tfx_tflite.pipelines.checks.mistake import Mistake
from tfx_tflite.pipelines.checks.subject import Subject
from tfx_tflite.pipelines.config import beam_arguments


def options_are_beams(subject: Subject) -> Iterator[Mistake]:
    """Checks that Beam has each runner and option, because it ignores those that it does not."""
    options = known_names.beam_options()
    if options is None:
        return
    args = subject.config.beam.args
    for problem in beam_arguments.problems(args, options, known_names.beam_runners()):
        yield Mistake("beam.args", problem)
