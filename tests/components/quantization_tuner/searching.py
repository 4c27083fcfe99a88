"""Searches for recipes of the bed's nets, without artifacts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from tests.components.quantization_tuner.bed import quantized, records
from tests.components.quantization_tuner.bed.cases import LABEL, Case
from tests.components.quantization_tuner.bed.data import Array, Examples
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.eval_config import two_model_config
from tfx_tflite.components.models.float_model import read_tensor_signature
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization_tuner.search import Task
from tfx_tflite.components.quantization_tuner.settings import TunerSettings


@dataclass(frozen=True)
class Sample:
    """Calibration examples that are in memory."""

    examples: Examples

    def tensors(self) -> Mapping[str, Array]:
        """Returns all of them, by input name."""
        return self.examples.inputs

    def groups(self) -> Sequence[Mapping[str, Array]]:
        """Returns them in groups of one shape."""
        return [self.examples.inputs]

    def ranges(self, float32: bytes) -> TensorRanges:
        """Returns what the activations of a float32 TensorFlow Lite model take over them."""
        return quantized.ranges(float32, self.examples.inputs)


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
        calibration=Sample(case.calibration),
        calibration_digest=case.name,
        directory=str(directory / "kept"),
        beam_pipeline=_pipeline,
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
