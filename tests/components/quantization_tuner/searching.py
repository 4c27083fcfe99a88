"""Searches for recipes of the bed's nets, and of others, without artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import apache_beam as beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from tests.components.quantization.workshops import Sample
from tests.components.quantization_tuner.bed import records
from tests.components.quantization_tuner.bed.cases import LABEL, Case
from tests.components.quantization_tuner.bed.data import Array, Examples
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.eval_config import two_model_config
from tfx_tflite.components.models.float_model import read_tensor_signature
from tfx_tflite.components.quantization_tuner.search import Task
from tfx_tflite.components.quantization_tuner.settings import TunerSettings


def task(case: Case, directory: Path, content: bytes | None = None, **search: object) -> Task:
    """Returns the search for a recipe of a net of the bed.

    Args:
        case: The net.
        directory: Where its files go, and what the search keeps.
        content: The float model, if it is not the bed's.
        **search: Of `SearchSettings`.
    """
    model = directory / "model"
    if not model.exists():
        model.mkdir(parents=True)
        (model / "float.tflite").write_bytes(case.float_tflite if content is None else content)
        records.write(case, directory / "examples")
    signature = read_tensor_signature(model, "serving_default")
    return Task(
        saved_model=model,
        uri=str(model),
        signature=signature,
        settings=TunerSettings(ranges=case.ranges, gate={"rules": [case.rule]}, search={**search}),
        eval_config=two_model_config(
            config_pb2.EvalConfig(
                model_specs=[config_pb2.ModelSpec(label_key=LABEL)],
                metrics_specs=[
                    config_pb2.MetricsSpec(
                        metrics=[config_pb2.MetricConfig(class_name=str(case.rule["metric"]))]
                    )
                ],
            )
        ),
        tuning=SplitFiles(
            "tuning",
            (str(directory / "examples" / "tuning" / "data.tfrecord"),),
            _schema(case.splits().tuning),
            "QuantizationTuner",
        ),
        tuning_digest=case.name,
        calibration=Sample([case.calibration.inputs]),
        calibration_digest=case.name,
        directory=str(directory / "kept"),
        beam_pipeline=_pipeline,
    )


def made_task(
    directory: Path,
    model: bytes | Path,
    parts: Sequence[Mapping[str, Array]],
    eval_config: config_pb2.EvalConfig,
    rules: Sequence[Mapping[str, object]],
    taken: Sequence[str] = ("x",),
    **settings: object,
) -> Task:
    """Returns the search for a recipe of a net that is not of the bed.

    Args:
        directory: Where its files go, and what the search keeps.
        model: The float TensorFlow Lite file, or where the SavedModel is.
        parts: The tuning examples in groups of one shape, by feature; the net is calibrated with
            the first of each.
        eval_config: The metrics.
        rules: Of the gate.
        taken: The inputs.
        **settings: Of `TunerSettings`.
    """
    saved_model = directory / "model" if isinstance(model, bytes) else model
    if isinstance(model, bytes):
        saved_model.mkdir(parents=True)
        (saved_model / "float.tflite").write_bytes(model)
    file = directory / "examples" / "data.tfrecord"
    records.write_features(file, parts)
    chosen = TunerSettings(gate={"rules": rules}, **settings)
    return Task(
        saved_model=saved_model,
        uri=str(saved_model),
        signature=read_tensor_signature(saved_model, chosen.signature),
        settings=chosen,
        eval_config=two_model_config(eval_config),
        tuning=SplitFiles("tuning", (str(file),), None, "QuantizationTuner"),
        tuning_digest="tuning",
        calibration=Sample([{name: part[name][:100] for name in taken} for part in parts]),
        calibration_digest="calibration",
        directory=str(directory / "kept"),
        beam_pipeline=_pipeline,
    )


def eval_config(
    metrics: Mapping[str | None, str], slices: Sequence[str] = (), weight: str = ""
) -> config_pb2.EvalConfig:
    """Returns a metric for each output, whose label is `label` or called like the output.

    Args:
        metrics: The metric by output; None is the only output.
        slices: Features by whose values examples are also judged.
        weight: The feature with the examples' weights.
    """
    is_one = None in metrics
    labels = {output: output for output in metrics if output is not None}
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                label_key=LABEL if is_one else "", label_keys=labels, example_weight_key=weight
            )
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                output_names=[output] if output else [],
                metrics=[config_pb2.MetricConfig(class_name=metric)],
            )
            for output, metric in metrics.items()
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[feature]) for feature in slices),
        ],
    )


def _pipeline() -> beam.Pipeline:
    return beam.Pipeline(argv=["--runner=FnApiRunner"])


def _schema(examples: Examples) -> bytes:
    schema = schema_pb2.Schema()
    for name, values in {**examples.inputs, LABEL: examples.labels}.items():
        kind = schema_pb2.INT if values.dtype.kind == "i" else schema_pb2.FLOAT
        feature = schema.feature.add(name=name, type=kind)
        for size in values.shape[1:] or (1,):
            feature.shape.dim.add(size=size)
        feature.presence.min_fraction = 1.0
    return schema.SerializeToString(deterministic=True)
