"""The search for a recipe and a draw, from a float model and its examples to what was found."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam
from absl import logging
from tensorflow_model_analysis.proto import config_pb2

from tfx_tflite.components.digests import records_digest
from tfx_tflite.components.errors import ConfigError, ConversionError, ModelError
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.eval_config import judged_outputs, targets_of
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.prediction import ModelPair
from tfx_tflite.components.models import float_tflite
from tfx_tflite.components.models.float_model import Signature, float_model_digests, matched
from tfx_tflite.components.quantization.conversion.backends import (
    Calibration,
    ConvertedModels,
    Workshop,
)
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.culprit import Culprit
from tfx_tflite.components.quantization.diagnosis import culprits
from tfx_tflite.components.quantization.draws import DrawsReport, middle
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.settings import SearchSettings
from tfx_tflite.components.quantization.tuning import TuningReport
from tfx_tflite.components.quantization_tuner.bench import RecipeBench
from tfx_tflite.components.quantization_tuner.draws import try_draws
from tfx_tflite.components.quantization_tuner.ladder import Climb, Ladder
from tfx_tflite.components.quantization_tuner.memory import Memory
from tfx_tflite.components.quantization_tuner.settings import TunerSettings
from tfx_tflite.components.quantization_tuner.trial import TrialGround, judged_here
from tfx_tflite.components.versions import code_version

# On how many tuning examples a candidate's outputs are looked at first.
_FIRST_EXAMPLES = 32


@dataclass(frozen=True)
class Task:
    """What is searched for.

    Attributes:
        saved_model: The float model's directory on this machine.
        uri: Where workers find it.
        signature: The signature to convert.
        settings: What to convert, how to search, and the rules.
        eval_config: The metrics, as `two_model_config` returns it.
        tuning: The examples that candidates are judged on.
        tuning_digest: Of their records.
        calibration: The calibration examples, of several draws the first.
        calibration_digest: Of the records of all draws.
        directory: Where finished evaluations are kept.
        beam_pipeline: Makes a Beam pipeline.
        draw_size: How many examples a draw has.
        shared: The share of the draws' examples that several have.
        place: As of `TrialGround`.
    """

    saved_model: Path
    uri: str
    signature: Signature
    settings: TunerSettings
    eval_config: config_pb2.EvalConfig
    tuning: SplitFiles
    tuning_digest: str
    calibration: Calibration
    calibration_digest: str
    directory: str
    beam_pipeline: Callable[[], beam.Pipeline]
    draw_size: int = 0
    shared: float = 0.0
    place: str | None = None


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        recipe: The recipe; the best one if none holds.
        models: The models that it makes.
        report: What was tried; None if the scheme was given.
        float_model_digest: Of the float model's files.
        draws: What several draws of the calibration examples came to; None of one.
    """

    recipe: Recipe
    models: ConvertedModels
    report: TuningReport | None
    float_model_digest: str
    draws: DrawsReport | None = None


def search(task: Task) -> Found:
    """Returns the first recipe on the ladder that the rules hold for, or the scheme that is given.

    With several draws of the calibration examples it is made with the one in the middle.

    Args:
        task: What is searched for.

    Raises:
        ModelError: The float model is not usable.
        DataError: The examples do not fit the signature or the metrics.
        ConversionError: The float model does not convert.
        EvaluationError: The config does not fit the model.
    """
    settings = task.settings
    policy = settings.policy
    if policy is None:
        raise ConfigError(
            "calibration.ranges: stock goes neither with quantization.scheme: auto nor with "
            "calibration.seeds"
        )
    float_model_digest = float_tflite.digest_of(task.saved_model)
    with (
        tempfile.TemporaryDirectory() as working_directory,
        Converter(Path(working_directory), settings.limits) as converter,
    ):
        start = settings.plain_recipe
        workshop = Workshop(
            converter,
            task.saved_model,
            task.signature.name,
            start.batch_size,
            policy,
            task.calibration,
        )
        ground = _ground(task)
        rules = judged_here(settings.gate).model_dump_json()
        # Neither the place nor the budget nor rules of others change what an evaluation gives.
        asked = settings.model_dump_json(exclude={"search", "gate"})
        may_choose = settings.search.model_dump_json(exclude={"budget", "memory"})
        bench = RecipeBench(
            workshop,
            ground,
            Memory(
                task.directory,
                question=_key(
                    float_model_digest,
                    task.calibration_digest,
                    task.tuning_digest,
                    rules,
                    asked,
                    str(task.eval_config),
                    code_version(),
                ),
                kind=_key(workshop.structure, rules, asked, may_choose, str(task.eval_config)),
            ),
            settings.search.budget,
            policy,
        )
        climb = None if settings.is_given else _climb(bench, start, settings.search)
        best = start if climb is None else _best(climb)
        draws = _draws(bench, best, task)
        chosen = best if draws is None else replace(best, draw=draws.chosen)
        # Even one that cannot be made is made once more: its error is the run's.
        try:
            models = bench.models(chosen)
        except ConversionError as error:
            possible = "" if climb is None else _possible(climb)
            raise ConversionError(f"{error}; {possible}" if possible else str(error)) from error
        report = None
        if climb is not None:
            chosen = replace(chosen, structure=workshop.structure)
            report = _report(climb, chosen, bench, task)
    if climb is not None and climb.found:
        # Of other examples a draw is another one.
        bench.memory.remember(replace(chosen, draw=None))
    bench.memory.forget_others()
    return Found(chosen, models, report, float_model_digest, draws)


def _climb(bench: RecipeBench, start: Recipe, settings: SearchSettings) -> Climb:
    return Ladder(bench, start, settings, bench.memory.last_recipe()).run()


def _best(climb: Climb) -> Recipe:
    assert climb.best is not None and climb.best.recipe is not None
    return climb.best.recipe


def _draws(bench: RecipeBench, recipe: Recipe, task: Task) -> DrawsReport | None:
    """Returns what a recipe comes to with several draws; None if there are none to be tried."""
    count = task.settings.seeds
    if count == 1 or not recipe.scheme.needs_calibration:
        return None
    found = try_draws(bench, recipe, count, judged_here(task.settings.gate))
    return DrawsReport(
        split=task.settings.search.tuning_split,
        examples=_rows(task.tuning),
        examples_digest=task.tuning_digest,
        size=task.draw_size,
        shared=task.shared,
        rule="" if found.rule is None else found.rule.title,
        bound=math.nan if found.rule is None else found.rule.bound,
        draws=found.draws,
        chosen=middle(found.draws),
    )


def _rows(split: SplitFiles) -> int:
    return sum(batch.num_rows for batch in split.batches())


def _key(*parts: str) -> str:
    return records_digest(part.encode() for part in parts).partition(":")[2]


def _ground(task: Task) -> TrialGround:
    """Returns what judges candidates on the tuning examples."""
    settings = task.settings
    pair = ModelPair(
        saved_model=task.uri,
        signature=task.signature,
        preprocessing_signature=settings.preprocessing_signature,
        tflite="",
        schema=task.tuning.schema,
        match=matched(task.signature, settings, task.tuning.schema),
        digests=float_model_digests(task.uri),
    )
    targets = settings.targets or targets_of(task.eval_config, settings.output)
    judged = judged_outputs(pair, task.eval_config, targets)
    first = FirstExamples.read(task.tuning, pair, judged, _FIRST_EXAMPLES)
    return TrialGround(
        pair,
        task.eval_config,
        settings.gate,
        judged,
        task.tuning,
        first,
        settings.devices,
        task.beam_pipeline,
        task.place,
    )


def _culprits(climb: Climb, bench: RecipeBench, task: Task) -> tuple[Culprit, ...]:
    """Returns what the plain scheme loses its accuracy by; nothing if the rules hold for it."""
    if climb.outcome in ("plain", "confirmed"):
        return ()
    try:
        return culprits(bench.sensitivity(task.settings.plain_recipe))
    except (ConversionError, ModelError) as error:
        logging.info("What the plain scheme loses by is not known: %s", error)
        return ()


def _possible(climb: Climb) -> str:
    """Returns what would hold if floats were allowed; nothing if none would, or none is needed."""
    if climb.possible is None or climb.found:
        return ""
    return (
        "with quantization.auto.integer_only: false the rules would hold on the tuning examples: "
        f"{climb.possible.what}, {climb.possible.size_bytes:,} bytes"
    )


def _report(climb: Climb, recipe: Recipe, bench: RecipeBench, task: Task) -> TuningReport:
    assert climb.best is not None
    return TuningReport(
        outcome=climb.outcome,
        chosen=climb.tried.index(climb.best),
        split=task.settings.search.tuning_split,
        examples=_rows(task.tuning),
        examples_digest=task.tuning_digest,
        tried=tuple(
            each.model_copy(update={"recipe": recipe}) if each is climb.best else each
            for each in climb.tried
        ),
        culprits=_culprits(climb, bench, task),
        evaluations=bench.evaluations,
        notes=tuple(climb.notes),
        possible=_possible(climb),
    )
