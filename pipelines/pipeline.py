"""The chain of components for one config."""

import json
import os
from pathlib import Path

from tensorflow_model_analysis.proto import config_pb2
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.example_gen.import_example_gen.component import ImportExampleGen
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2, pusher_pb2, trainer_pb2
from tfx.types import BaseChannel, standard_artifacts

from tfx_tflite.components import artifact_digests
from tfx_tflite.components.artifact_files import STORED_AT
from tfx_tflite.components.artifact_layout import CONTENT_DIGESTS
from tfx_tflite.components.calibration_sampler.component import CalibrationSampler
from tfx_tflite.components.destinations.settings import (
    DEFAULT_TIMEOUT,
    PusherSettings,
    TrustSettings,
)
from tfx_tflite.components.digests import bytes_digest, directory_digest, file_digest
from tfx_tflite.components.errors import ConfigError, EvaluationError
from tfx_tflite.components.examples.settings import RollingSettings, StatisticsSettings
from tfx_tflite.components.judgement.metrics.targets import Target
from tfx_tflite.components.judgement.settings import (
    EvaluationConfig,
    EvaluatorSettings,
    MetricConfig,
)
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.private_files import make_private_directory
from tfx_tflite.components.pusher.component import TFLitePusher
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization_evaluator.component import QuantizationEvaluator
from tfx_tflite.components.quantization_tuner.component import QuantizationTuner
from tfx_tflite.components.quantization_tuner.settings import TunerSettings
from tfx_tflite.components.record_example_gen.component import RecordExampleGen
from tfx_tflite.components.rolling_example_gen.component import (
    RollingCsvExampleGen,
    RollingImportExampleGen,
    RollingNpzExampleGen,
    RollingParquetExampleGen,
    RollingRecordExampleGen,
)
from tfx_tflite.components.sampled_statistics_gen.component import SampledStatisticsGen
from tfx_tflite.components.table_example_gen.component import NpzExampleGen, ParquetExampleGen
from tfx_tflite.components.tflite_quantizer.component import TFLiteQuantizer
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.recipe import given_recipe
from tfx_tflite.pipelines.config.trust import trust_settings
from tfx_tflite.pipelines.config.vocabulary import vocabulary_of
from tfx_tflite.pipelines.metadata.store import connection_config
from tfx_tflite.pipelines.tfx.schema_import import SchemaImport

# What reads one span of a format, and what reads several.
_EXAMPLE_GENS = {
    "tfrecord": (ImportExampleGen, RollingImportExampleGen),
    "csv": (CsvExampleGen, RollingCsvExampleGen),
    "parquet": (ParquetExampleGen, RollingParquetExampleGen),
    "npz": (NpzExampleGen, RollingNpzExampleGen),
}


def create_pipeline(
    config: PipelineConfig,
    input_base: str,
    force: bool = False,
    pushed_version: int | None = None,
    model_copy: str | None = None,
    takes_from_cache: bool = True,
    is_model_known: bool = True,
) -> Pipeline:
    """Returns the TFX pipeline of a config.

    Args:
        config: The config.
        input_base: Where the examples are: `data.input_base`, or where builtin data was written.
        force: Whether to push a model that is at the destination already.
        pushed_version: Which version is current there, 0 if none is, if the gate compares with
            it; an evaluation against another one is not taken from TFX's cache. None if that is
            not known.
        model_copy: Where a copy of the model at `model.path` is that nobody else changes, as
            `runs.model_copy.own_copy` makes it. None takes the model from where the config
            says; if it is replaced before it is read, the run fails.
        takes_from_cache: Whether stages of which nothing has changed are taken from TFX's cache.
        is_model_known: Whether the model at `model.path` must be what it is now when it is read,
            which it need not be on another machine.

    Raises:
        ConfigError: A metric is none that TFMA has, or the gate does not go with the metrics.
    """
    example_gen = _example_gen(config, input_base)
    examples = example_gen.outputs["examples"]
    schema_nodes = _schema_nodes(config, examples)
    schema = schema_nodes[-1].outputs["schema"]
    float_model = (
        _imported_model(config.model.path, model_copy, is_model_known)
        if config.model.path is not None
        else _trainer(config, examples, schema)
    )
    model = float_model.outputs["model"]
    sampler = CalibrationSampler(
        examples=examples,
        schema=schema,
        settings=config.calibration.plan,
    )
    needs_calibration = config.quantization.needs_calibration
    tuner = None
    if config.is_tuned:
        tuner = _tuner(config, examples, model, sampler, schema)
    quantizer = TFLiteQuantizer(
        model=model,
        calibration_examples=(
            sampler.outputs["calibration_examples"] if needs_calibration else None
        ),
        schema=schema,
        recipe=None if tuner is None else tuner.outputs["recipe"],
        settings=_quantizer_settings(config),
    )
    pushed_destination = config.push.destination if config.gate.against("pushed") else None
    counted_at = config.push.destination if config.gate.is_counted else None
    looks_there = pushed_destination is not None or counted_at is not None
    try:
        evaluator = QuantizationEvaluator(
            examples=examples,
            model=quantizer.outputs["quantized_model"],
            baseline_model=model,
            schema=schema,
            eval_config=_eval_config(config),
            provenance=config.provenance,
            settings=EvaluatorSettings.of(
                config.model,
                config.push,
                not_inputs=config.features_of_other_use(),
                gate=config.gate,
                split=config.evaluation.split,
                show_examples=config.evaluation.show_examples,
                devices=config.devices,
                model_name=config.name if "c_array" in config.push.extras else "model",
                targets=_targets(config.evaluation),
                pushed_destination=pushed_destination,
                pushed_version=pushed_version,
                counted_at=counted_at,
                pushed_trust=_reader_of(config) if looks_there else TrustSettings(),
                pushed_timeout=config.push.timeout if looks_there else DEFAULT_TIMEOUT,
            ),
        )
    except EvaluationError as error:
        # A metric that TFMA does not have, or that the gate cannot judge.
        raise ConfigError(str(error)) from error
    pusher = TFLitePusher(
        model=quantizer.outputs["quantized_model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=config.push.destination)
        ),
        settings=PusherSettings.of(
            config.push, trust_settings(config), keep=config.push.keep, force=force
        ),
    ).with_id("Pusher")
    nodes: list[BaseNode] = [example_gen, *schema_nodes, float_model]
    # A scheme without calibration needs no sample.
    nodes += [sampler] if needs_calibration else []
    nodes += [tuner] if tuner is not None else []
    nodes += [quantizer, evaluator, pusher]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=config.artifacts_path,
        components=nodes,
        enable_cache=takes_from_cache,
        metadata_connection_config=connection_config(config),
        beam_pipeline_args=list(config.beam.arguments),
    )


def _quantizer_settings(config: PipelineConfig) -> QuantizerSettings:
    recipe = given_recipe(config.quantization.recipe)
    return QuantizerSettings.of(
        config.model,
        config.converted,
        config.calibration,
        not_inputs=config.features_of_other_use(),
        given_recipe=recipe,
        # What the config says of a scheme beside a recipe is not what is made.
        **({} if recipe is None else {"scheme": recipe.scheme}),
    )


def _tuner(
    config: PipelineConfig,
    examples: BaseChannel,
    model: BaseChannel,
    sampler: CalibrationSampler,
    schema: BaseChannel,
) -> QuantizationTuner:
    """Returns the node that looks for a recipe and tries draws."""
    try:
        return QuantizationTuner(
            examples=examples,
            model=model,
            calibration_examples=sampler.outputs["calibration_examples"],
            schema=schema,
            eval_config=_eval_config(config),
            settings=TunerSettings.of(
                config.model,
                config.converted,
                config.calibration,
                not_inputs=config.features_of_other_use(),
                search=config.quantization.auto,
                gate=config.gate,
                evaluation_split=config.evaluation.split,
                devices=config.devices,
                targets=_targets(config.evaluation),
            ),
        )
    except EvaluationError as error:
        raise ConfigError(str(error)) from error


def _reader_of(config: PipelineConfig) -> TrustSettings:
    """Returns what the evaluator opens the destination with; it signs nothing."""
    settings = trust_settings(config)
    if settings.verify_key is None:
        return settings
    return settings.model_copy(update={"signing_key": None})


def _example_gen(config: PipelineConfig, input_base: str) -> BaseNode:
    splits = [
        example_gen_pb2.Input.Split(name=name, pattern=pattern)
        for name, pattern in config.data.splits.items()
    ]
    input_config = example_gen_pb2.Input(splits=splits)
    buckets = [
        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=count)
        for name, count in (config.data.hash_buckets or {}).items()
    ]
    # Without it TFX would divide a single split into two on its own account.
    output_config = example_gen_pb2.Output(
        split_config=example_gen_pb2.SplitConfig(splits=buckets) if buckets else None
    )
    component, rolling = _EXAMPLE_GENS[config.data.format]
    # One name for the stage, however many spans it takes, and however it takes them.
    name = config.data.example_gen
    if config.data.are_records_copied:
        if config.data.spans == 1:
            return RecordExampleGen(input_base, input_config).with_id(name)
        rolling = RollingRecordExampleGen
    if config.data.spans > 1:
        settings = RollingSettings.of(config.data, rolled_splits=config.rolled_splits)
        return rolling(input_base, input_config, settings, output_config).with_id(name)
    return component(
        input_base=input_base, input_config=input_config, output_config=output_config
    ).with_id(name)


def _schema_nodes(config: PipelineConfig, examples: BaseChannel) -> list[BaseNode]:
    """Returns the nodes up to the one that gives the schema; only inferring it takes statistics."""
    if config.data.schema_file is not None:
        # One name for the stage, however the schema comes about.
        return [SchemaImport(schema_file=_schema_by_digest(config)).with_id("SchemaGen")]
    statistics_gen = _statistics_gen(config, examples)
    statistics = statistics_gen.outputs["statistics"]
    return [statistics_gen, SchemaGen(statistics=statistics, infer_feature_shape=True)]


def _statistics_gen(config: PipelineConfig, examples: BaseChannel) -> BaseNode:
    if not isinstance(config.data.statistics, int):
        return StatisticsGen(examples=examples)
    # One name for the stage, however many examples it takes.
    settings = StatisticsSettings(sample=config.data.statistics)
    return SampledStatisticsGen(examples=examples, settings=settings).with_id("StatisticsGen")


def _schema_by_digest(config: PipelineConfig) -> str:
    """Returns a copy of the schema at a path of its own, as TFX's cache goes by the path alone."""
    assert config.data.schema_file is not None
    content = Path(config.data.schema_file).read_bytes()
    digest = bytes_digest(content)
    copy = Path(config.root) / "schemas" / digest.partition(":")[2] / "schema.pbtxt"
    if not copy.exists() or file_digest(copy) != digest:
        # `compile` may be the first that makes the root.
        make_private_directory(copy.parent)
        unfinished = copy.with_suffix(f".unfinished-{os.getpid()}")
        unfinished.write_bytes(content)
        unfinished.replace(copy)
    return str(copy)


def _imported_model(model: str, copy: str | None, is_known: bool) -> BaseNode:
    """Returns the node that takes a trained model as it is.

    Args:
        model: Where the config says that it is.
        copy: Where it is read; there too, if that is None.
        is_known: Whether those who read it compare it with what is there now.
    """
    place = copy or model
    # A model that changed in place is another artifact, not a cache hit.
    properties: dict[str, str | int] = {"digest": _digest(place)}
    if is_known:
        properties |= {STORED_AT: model, CONTENT_DIGESTS: artifact_digests.described(place)}
    return Importer(
        source_uri=place,
        artifact_type=standard_artifacts.Model,
        custom_properties=properties,
        output_key="model",
    ).with_id("FloatModel")


def _digest(model: str) -> str:
    with any_place.local_copy(model) as here:
        return directory_digest(here) if Path(here).is_dir() else file_digest(here)


def _trainer(config: PipelineConfig, examples: BaseChannel, schema: BaseChannel) -> BaseNode:
    trainer = config.model.trainer
    assert trainer is not None
    return Trainer(
        module_file=trainer.module_file,
        examples=examples,
        schema=schema,
        train_args=trainer_pb2.TrainArgs(num_steps=trainer.train_steps),
        eval_args=trainer_pb2.EvalArgs(num_steps=trainer.eval_steps),
        custom_config=trainer.custom_config,
    )


def _eval_config(config: PipelineConfig) -> config_pb2.EvalConfig:
    return config_pb2.EvalConfig(
        model_specs=[_model_spec(config.evaluation)],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[_metric(metric) for metric in judged.metrics],
                # TFMA's files name outputs where there may be several.
                output_names=[] if config.evaluation.outputs is None else [judged.output],
            )
            for judged in config.evaluation.judged
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(feature_keys=list(features))
            for features in ((), *config.evaluation.slices)
        ],
    )


def _metric(metric: MetricConfig) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(
        class_name=metric.class_name,
        module=metric.module or "",
        config=json.dumps({**metric.config, "name": metric.name}),
    )


def _model_spec(evaluation: EvaluationConfig) -> config_pb2.ModelSpec:
    """Returns what TFMA knows of labels and weights: where they are."""
    targets = _targets(evaluation)
    if evaluation.outputs is None:
        [target] = targets
        return config_pb2.ModelSpec(
            label_key=target.label_name, example_weight_key=target.example_weight or ""
        )
    return config_pb2.ModelSpec(
        label_keys={str(target.output): target.label_name for target in targets},
        example_weight_keys={
            str(target.output): target.example_weight
            for target in targets
            if target.example_weight is not None
        },
    )


def _targets(evaluation: EvaluationConfig) -> tuple[Target, ...]:
    return tuple(
        Target(
            output=judged.output,
            label=judged.label if isinstance(judged.label, str) else None,
            label_input=None if isinstance(judged.label, str) else judged.label.input,
            vocabulary=vocabulary_of(judged),
            example_weight=judged.example_weight,
            group_by=evaluation.aggregate.by if evaluation.aggregate else evaluation.group_by,
            aggregate=evaluation.aggregate,
        )
        for judged in evaluation.judged
    )
