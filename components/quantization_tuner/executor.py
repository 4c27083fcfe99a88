"""The QuantizationTuner executor: artifacts in, the recipe and what was tried out."""

import posixpath
from pathlib import Path

import apache_beam as beam
from absl import logging
from tensorflow_model_analysis.proto import config_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from tfx_tflite.components import artifact_files
from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.calibration_inputs import (
    CalibrationInput,
    FloatModelInput,
    SampleInput,
)
from tfx_tflite.components.digests import bytes_digest, stream_digest
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples import sample_file
from tfx_tflite.components.examples.sample_file import SampleSummary
from tfx_tflite.components.examples.sampling import DrawCalibrationSample
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.examples.splits import ReadBatches, SplitFiles
from tfx_tflite.components.judgement.eval_config import two_model_config
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.quantization_tuner.search import Found, Task, search
from tfx_tflite.components.quantization_tuner.settings import TunerSettings

_COMPONENT = "QuantizationTuner"
_TUNING = "tuning"
# Another draw than that of the calibration examples, whatever its seed is likely to be.
_SEED = 1_000_003


class Executor(base_beam_executor.BaseBeamExecutor):
    """Searches; see `ladder.py` for what is tried and when."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Writes the recipe, the models that it makes, and what was tried.

        Raises:
            ArtifactError: An input is not what it was when it was made.
            ModelError: The float model or the signature is not usable.
            DataError: The tuning split is empty or has files of the split that the gate judges on,
                or its examples do not fit the signature or the metrics.
            ConversionError: The float model does not convert.
            ConfigError: There are fewer draws of calibration examples than were asked for.
            EvaluationError: The config does not fit the model.
        """
        settings = TunerSettings.from_property(exec_properties)
        eval_config = two_model_config(
            proto_utils.json_to_proto(exec_properties["eval_config"], config_pb2.EvalConfig())
        )
        output = artifact_utils.get_single_instance(output_dict["recipe"])
        _check_apart(input_dict, settings)
        tuning, digest = self._draw(input_dict, settings, output.uri)
        sample = SampleInput.of(input_dict, _COMPONENT)
        uri = artifact_files.float_model_uri(input_dict["model"])
        with artifact_files.readable(uri) as saved_model:
            model = FloatModelInput.of(uri, saved_model, settings, sample.source.schema)
            found = search(
                Task(
                    saved_model=saved_model,
                    uri=uri,
                    signature=model.signature,
                    settings=settings,
                    eval_config=eval_config,
                    tuning=tuning,
                    tuning_digest=digest,
                    calibration=CalibrationInput(
                        model, sample, output.uri, self._make_beam_pipeline
                    ),
                    calibration_digest=sample.digest,
                    directory=settings.search.memory or _beside(output.uri),
                    beam_pipeline=self._make_beam_pipeline,
                    draw_size=sample.described.size or 0,
                    shared=sample.shared,
                    place=output.uri if any_place.is_served(output.uri) else None,
                )
            )
        with artifact_files.writable(output.uri) as directory:
            _write(directory, found)
        for name, text in {
            layout.SCHEME: found.recipe.scheme.value,
            layout.MODEL_DIGEST: bytes_digest(found.models.quantized),
            layout.FLOAT_MODEL_DIGEST: found.float_model_digest,
            layout.SAMPLE_DIGEST: sample.of_draw(found.recipe.draw or 0).described.digest or "",
        }.items():
            output.set_string_custom_property(name, text)
        if found.report is not None:
            logging.info("The search ended: %s, %s", found.report.outcome, found.report.choice.what)
        if found.draws is not None:
            logging.info("Draw %d is taken; %s", found.draws.chosen, found.draws.verdict)

    def _draw(
        self, input_dict: Artifacts, settings: TunerSettings, uri: str
    ) -> tuple[SplitFiles, str]:
        """Draws the tuning examples, and returns their files and a digest of their records."""
        schema = read_schema(input_dict.get("schema"))
        split = settings.search.tuning_split
        source = split_files(input_dict["examples"], split, schema, _COMPONENT)
        plan = SamplePlan(split=split, samples=settings.search.tuning_samples, seed=_SEED)
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "ReadSplit" >> ReadBatches(source)
                | "Draw" >> DrawCalibrationSample(plan)
                | "Write" >> beam.Map(sample_file.write_sample, uri, _TUNING)
            )
        with fileio.open(sample_file.summary_path(uri), "r") as file:
            summary = SampleSummary.model_validate_json(file.read())
        if not summary.size:
            raise DataError(f"split {split!r} holds no examples; nothing to tune on")
        path = sample_file.sample_path(uri, _TUNING)
        return SplitFiles(_TUNING, (path,), source.schema, _COMPONENT), summary.digest


def _beside(uri: str) -> str:
    """Returns a directory beside the folders of an output's artifacts, which cleaning passes by."""
    return posixpath.join(posixpath.dirname(posixpath.dirname(uri.rstrip("/"))), ".kept")


def _check_apart(input_dict: Artifacts, settings: TunerSettings) -> None:
    """Checks that no file of the tuning split is one of the split that the gate judges on."""
    splits = settings.search.tuning_split, settings.evaluation_split
    tuning, judged = (
        {
            _digest(file): file
            for file in split_files(input_dict["examples"], split, None, _COMPONENT, ()).files
        }
        for split in splits
    )
    if both := sorted(tuning.keys() & judged.keys()):
        raise DataError(
            f"{tuning[both[0]]} of split {splits[0]!r} and {judged[both[0]]} of split "
            f"{splits[1]!r} hold the same; a search must not see what the gate judges on, so "
            "give quantization.auto.tuning_split examples of its own"
        )


def _digest(path: str) -> str:
    with fileio.open(path, "rb") as file:
        return stream_digest(file)


def _write(directory: Path, found: Found) -> None:
    (directory / layout.RECIPE_FILE).write_text(found.recipe.to_json(), encoding="utf-8")
    for name, report in ((layout.TUNING_FILE, found.report), (layout.DRAWS_FILE, found.draws)):
        if report is not None:
            (directory / name).write_text(report.to_json(), encoding="utf-8")
    (directory / layout.QUANTIZED_TFLITE_FILE).write_bytes(found.models.quantized)
    (directory / layout.FLOAT_TFLITE_FILE).write_bytes(found.models.float32)
    if found.models.ranges is not None:
        (directory / layout.RANGES_FILE).write_text(found.models.ranges.to_json(), encoding="utf-8")
