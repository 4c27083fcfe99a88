"""The search for a recipe, from a float model and its examples to what was found."""

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
from tfx_tflite.components.models.float_model import Signature, matched
from tfx_tflite.components.quantization.conversion.backends import (
    Calibration,
    ConvertedModels,
    Workshop,
)
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.culprit import Culprit
from tfx_tflite.components.quantization.diagnosis import culprits
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.tuning import TuningReport
from tfx_tflite.components.quantization_tuner.bench import RecipeBench
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
        calibration: The calibration examples.
        calibration_digest: Of their records.
        directory: Where finished evaluations are kept.
        beam_pipeline: Makes a Beam pipeline.
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


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        recipe: The recipe; the best one if none holds.
        models: The models that it makes.
        report: What was tried.
        float_model_digest: Of the float model's files.
    """

    recipe: Recipe
    models: ConvertedModels
    report: TuningReport
    float_model_digest: str


def search(task: Task) -> Found:
    """Returns the first recipe on the ladder that the rules hold for.

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
        raise ConfigError("calibration.ranges: stock does not go with quantization.scheme: auto")
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
        last = bench.memory.last_recipe()
        climb = Ladder(bench, start, settings.search, last).run()
        assert climb.best is not None and climb.best.recipe is not None
        # Even one that cannot be made is made once more: its error is the run's.
        try:
            models = bench.models(climb.best.recipe)
        except ConversionError as error:
            possible = _possible(climb)
            raise ConversionError(f"{error}; {possible}" if possible else str(error)) from error
        recipe = replace(climb.best.recipe, structure=workshop.structure)
        report = _report(climb, recipe, bench, task)
    if climb.found:
        bench.memory.remember(recipe)
    bench.memory.forget_others()
    return Found(recipe, models, report, float_model_digest)


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
        examples=sum(batch.num_rows for batch in task.tuning.batches()),
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
