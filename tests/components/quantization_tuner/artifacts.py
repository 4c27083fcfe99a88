"""QuantizationTuner and TFLiteQuantizer run on artifacts, by their executors."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import apache_beam as beam
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from tests.components.quantization_tuner.bed import records
from tests.components.quantization_tuner.bed.data import Array
from tests.components.quantization_tuner.searching import eval_config
from tfx_tflite.components.calibration_sampler.executor import Executor as SamplerExecutor
from tfx_tflite.components.examples.sample_file import split_of_draw
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.examples.splits import CALIBRATION
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization_tuner.executor import Executor as TunerExecutor
from tfx_tflite.components.quantization_tuner.settings import TunerSettings
from tfx_tflite.components.tflite_quantizer.executor import Executor as QuantizerExecutor

Artifacts = Mapping[str, list[Artifact]]
ACCURACY = "SparseCategoricalAccuracy"
GATE = {"rules": [{"metric": ACCURACY, "max_drop": 0.02}]}


def examples(directory: Path, **splits: Sequence[Mapping[str, Array]]) -> Artifact:
    """Returns examples, each split in one file."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(directory)
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    for name, parts in splits.items():
        records.write_features(directory / f"Split-{name}" / "data_tfrecord-00000-of-00001", parts)
    return artifact


def drawn(whole: Artifact, directory: Path, **options: object) -> Artifact:
    """Returns what CalibrationSampler gives.

    Args:
        whole: The examples.
        directory: Where its output goes.
        **options: Of `SamplePlan`.
    """
    output = standard_artifacts.Examples()
    output.uri = str(directory)
    plan = SamplePlan.given(None, options)
    SamplerExecutor(_context()).Do(
        {"examples": [whole]}, {"calibration_examples": [output]}, {"settings": plan.to_property()}
    )
    return output


def draw_alone(sample: Artifact, draw: int, directory: Path) -> Artifact:
    """Returns one draw of calibration examples as if it were all that there is."""
    alone = standard_artifacts.Examples()
    alone.uri = str(directory)
    alone.split_names = artifact_utils.encode_split_names([CALIBRATION])
    split = split_of_draw(CALIBRATION, draw)
    shutil.copytree(Path(sample.uri) / f"Split-{split}", directory / f"Split-{CALIBRATION}")
    return alone


def float_model(directory: Path, content: bytes) -> Artifact:
    """Returns a float model that is a TensorFlow Lite file."""
    directory.mkdir(parents=True)
    (directory / "float.tflite").write_bytes(content)
    artifact = standard_artifacts.Model()
    artifact.uri = str(directory)
    return artifact


def tuned(inputs: Artifacts, directory: Path, **options: object) -> Artifact:
    """Returns what QuantizationTuner gives.

    Args:
        inputs: Its inputs.
        directory: Where its output goes.
        **options: Of `TunerSettings`.
    """
    output = standard_artifacts.HyperParameters()
    output.uri = str(directory)
    settings = TunerSettings.given(None, {"gate": GATE, "scheme": "auto", **options})
    properties = {
        "settings": settings.to_property(),
        "eval_config": proto_utils.proto_to_json(eval_config({None: ACCURACY})),
    }
    TunerExecutor(_context()).Do(dict(inputs), {"recipe": [output]}, properties)
    return output


def quantized(inputs: Artifacts, directory: Path, **options: object) -> Path:
    """Returns where TFLiteQuantizer's output is.

    Args:
        inputs: Its inputs.
        directory: Where its output goes.
        **options: Of `QuantizerSettings`.
    """
    output = standard_artifacts.Model()
    output.uri = str(directory)
    settings = QuantizerSettings.given(None, options)
    taken = {key: inputs[key] for key in inputs if key != "examples"}
    QuantizerExecutor(_context()).Do(
        taken, {"quantized_model": [output]}, {"settings": settings.to_property()}
    )
    return directory


def _context() -> BaseBeamExecutor.Context:
    # With arguments instead, TFX would pack itself for workers.
    return BaseBeamExecutor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=["--runner=FnApiRunner"])
    )
