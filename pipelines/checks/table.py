"""All checks of a config before a run, in a table: to check another key, add a row.

A check yields mistakes: the key, what is wrong, what to do. It is asked only if nothing was found
wrong with the sections of the config that it goes by, so that one mistake is said once.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tfx_tflite.components.errors import ConfigError, NotKnownError
from tfx_tflite.pipelines.checks import beam, data, evaluation, model, targets, trainer
from tfx_tflite.pipelines.checks.files import keyed
from tfx_tflite.pipelines.checks.mistake import Mistake, error_of, line_of
from tfx_tflite.pipelines.checks.places import PLACES
from tfx_tflite.pipelines.checks.subject import Subject
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.file import ConfigFile
from tfx_tflite.pipelines.config.preflight import Preflight, with_data

_METRICS = re.compile(r"evaluation\.(outputs\.\d+\.)?metrics\.")
_METRIC_OF_RULE = re.compile(r"gate\.rules\.\d+\.metric$")


@dataclass(frozen=True)
class Check:
    """A check of what a config names.

    Attributes:
        mistakes: Yields what is wrong.
        sections: What of the config it goes by.
    """

    mistakes: Callable[[Subject], Iterable[Mistake]]
    sections: tuple[str, ...]


CHECKS = (
    Check(data.files_can_be_read, ("data",)),
    Check(data.splits_are_apart, ("data", "evaluation")),
    Check(model.saved_model_can_be_read, ("model",)),
    Check(model.signature_takes_tensors, ("model",)),
    Check(model.preprocessing_gives_the_inputs, ("model",)),
    Check(model.fed_inputs_are_the_signatures, ("model",)),
    Check(model.features_fit_the_inputs, ("model", "data", "evaluation", "calibration")),
    Check(trainer.trainer_can_be_imported, ("model",)),
    Check(data.stratum_is_a_feature, ("data", "calibration")),
    Check(evaluation.outputs_are_the_models, ("model", "evaluation")),
    Check(evaluation.labels_are_there, ("model", "data", "evaluation")),
    Check(evaluation.weights_are_there, ("data", "evaluation")),
    Check(evaluation.slices_are_by_features, ("data", "evaluation")),
    Check(evaluation.groups_are_by_a_feature, ("data", "evaluation")),
    Check(evaluation.targets_of_scores_are_there, ("model", "data", "evaluation")),
    Check(evaluation.metrics_are_known, ("evaluation", "model")),
    Check(targets.packages_are_installed, ("target", "targets", "kubeflow")),
    Check(targets.schemes_are_run, ("quantization", "target", "targets")),
    Check(targets.shapes_are_fixed, ("model", "quantization", "target", "targets")),
    Check(beam.options_are_beams, ("beam",)),
    Check(beam.engine_can_be_started, ("beam",)),
)


def checked(file: ConfigFile) -> Preflight:
    """Returns what a config names, after checking all of it.

    Raises:
        ConfigError: Something is wrong; a line for each mistake, with its place in the file.
        DataError: Nothing is, but data are damaged.
        NotKnownError: Nothing is, but a place cannot be read.
    """
    reading = file.reading()
    found: Preflight | None = None
    mistakes = list(reading.mistakes)
    if reading.config is not None:
        found, of_files = _looked_at(reading.config, reading.wrong_sections)
        mistakes += of_files
    mistakes = list(_without_consequences(mistakes))
    mistakes.sort(key=lambda mistake: file.line(mistake.key) or 0)
    errors = [mistake for mistake in mistakes if not mistake.is_warning]
    if errors or found is None:
        raise error_of(errors, file.place)
    return replace(found, warnings=tuple(line_of(mistake, file.place) for mistake in mistakes))


def _without_consequences(mistakes: Sequence[Mistake]) -> Iterator[Mistake]:
    """Yields mistakes but for rules on metrics that only are not there because of a misspelling."""
    is_metric_wrong = any(_METRICS.match(mistake.key) for mistake in mistakes)
    for mistake in mistakes:
        if not (is_metric_wrong and _METRIC_OF_RULE.match(mistake.key)):
            yield mistake


def _looked_at(
    config: PipelineConfig, wrong: frozenset[str]
) -> tuple[Preflight, Iterable[Mistake]]:
    """Returns what a config names, and what is wrong with that.

    Args:
        config: The config.
        wrong: Its sections that are not to be looked at.
    """
    mistakes = [
        mistake
        for check in PLACES
        for mistake in check(config)
        if mistake.key.partition(".")[0] not in wrong
    ]
    found = Preflight(config, config.data.input_base, (), ())
    if not wrong & {"data", "evaluation", "model"}:
        try:
            found = with_data(config)
        except (ConfigError, NotKnownError) as error:
            mistake = keyed(error)
            # A place that was found wrong already holds no data, either.
            if mistake.key not in {told.key for told in mistakes}:
                mistakes.append(mistake)
    subject, told = Subject(found), {mistake.key for mistake in mistakes}
    mistakes += [
        mistake
        for check in CHECKS
        if not wrong & set(check.sections)
        for mistake in check.mistakes(subject)
        if mistake.key not in told
    ]
    return found, mistakes
