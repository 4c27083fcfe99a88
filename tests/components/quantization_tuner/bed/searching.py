"""The search for a recipe for a net of the bed, as QuantizationTuner does it, without TFX."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from tests.components.quantization_tuner.bed import quantized, records
from tests.components.quantization_tuner.bed.cases import LABEL, Case
from tests.components.quantization_tuner.bed.data import TUNING, Array
from tfx_tflite.components.artifact_layout import FLOAT_MODEL_FILE
from tfx_tflite.components.digests import bytes_digest, file_digest
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.eval_config import two_model_config
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.float_model import read_tensor_signature
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.settings import SearchSettings
from tfx_tflite.components.quantization_tuner.search import Found, Task, search
from tfx_tflite.components.quantization_tuner.settings import TunerSettings

DEFAULT = SearchSettings()


@dataclass(frozen=True)
class CalibrationExamples:
    """Calibration examples that are there already, as what converts asks for them.

    Attributes:
        inputs: By input name.
    """

    inputs: Mapping[str, Array]

    def tensors(self) -> Mapping[str, Array]:
        return self.inputs

    def groups(self, batches: int | None = None) -> tuple[Mapping[str, Array], ...]:
        return (self.inputs,)

    def ranges(self, float32: bytes) -> TensorRanges:
        return quantized.ranges(float32, self.inputs)


def searched(
    case: Case, directory: Path, settings: SearchSettings = DEFAULT, content: bytes | None = None
) -> Found:
    """Returns what the search finds for a net.

    Args:
        case: The net.
        directory: Where files go, and what the search keeps; given again, it goes on there.
        settings: How it searches; the tuning split is always the bed's.
        content: The float model; None takes that of the bed.
    """
    float_tflite = case.float_tflite if content is None else content
    model = directory / "model"
    model.mkdir(exist_ok=True)
    (model / FLOAT_MODEL_FILE).write_bytes(float_tflite)
    tuning = directory / TUNING / "data.tfrecord"
    if not tuning.exists():
        records.write(case, directory)
    signature = read_tensor_signature(model, read_graph(float_tflite).signatures[0].name)
    rule = dict(case.rule)
    task = Task(
        saved_model=model,
        uri=str(model),
        signature=signature,
        settings=TunerSettings(
            signature=signature.name,
            ranges=case.ranges,
            search=settings.model_copy(update={"tuning_split": TUNING}),
            gate=Gate(rules=(rule,)),
        ),
        eval_config=_eval_config(str(rule["metric"])),
        tuning=SplitFiles(TUNING, (str(tuning),), _schema(case), "bed"),
        tuning_digest=file_digest(tuning),
        calibration=CalibrationExamples(case.calibration.inputs),
        calibration_digest=bytes_digest(
            b"".join(values.tobytes() for values in case.calibration.inputs.values())
        ),
        directory=str(directory / "kept"),
        beam_pipeline=lambda: beam.Pipeline("FnApiRunner"),
    )
    return search(task)


def _eval_config(metric: str) -> config_pb2.EvalConfig:
    return two_model_config(
        config_pb2.EvalConfig(
            model_specs=[config_pb2.ModelSpec(label_key=LABEL)],
            metrics_specs=[
                config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name=metric)])
            ],
        )
    )


def _schema(case: Case) -> bytes:
    schema = schema_pb2.Schema()
    examples = case.splits().tuning
    for name, values in {**examples.inputs, LABEL: examples.labels}.items():
        kind = schema_pb2.INT if values.dtype.kind == "i" else schema_pb2.FLOAT
        feature = schema.feature.add(name=name, type=kind)
        for size in values.shape[1:] or (1,):
            feature.shape.dim.add(size=size)
        feature.presence.min_fraction = 1
    return schema.SerializeToString()
