"""The TFLiteQuantizer executor: artifacts in, the converted and checked model out."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_files
from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.calibration_inputs import (
    CalibrationInput,
    FloatModelInput,
    SampleInput,
)
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models import float_tflite
from tfx_tflite.components.quantization import fidelity, layer_noise
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion.backends import ConvertedModels, Workshop
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.first_run import check_runs
from tfx_tflite.components.quantization.document import QuantizationReport
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization.summary import summarize
from tfx_tflite.components.quantization.tuning import TuningReport

_COMPONENT = "TFLiteQuantizer"
# On how many batches of calibration examples both models' answers are compared, and on how many
# examples their layers.
_TRIED_BATCHES = 4
_WATCHED_EXAMPLES = 16


class Executor(base_beam_executor.BaseBeamExecutor):
    """Calibrates, converts and checks; the modules beside it say how."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Writes the quantized model, the float32 TFLite model, the ranges and the report.

        Raises:
            ArtifactError: An input is not what it was when it was made.
            ModelError: The float model or the signature is not usable.
            DataError: The calibration examples do not fit the signature, or give NaN or infinity.
            ConversionError: The model does not convert, or not to what the scheme promises.
            ConfigError: The recipe takes a draw of calibration examples that there is not.
        """
        settings = QuantizerSettings.from_property(exec_properties)
        tuned = _Tuned.of(input_dict)
        recipe = settings.recipe if tuned is None else tuned.recipe
        output = artifact_utils.get_single_instance(output_dict["quantized_model"])
        uri = artifact_files.float_model_uri(input_dict["model"])
        needs_sample = recipe.scheme.needs_calibration
        sample = None
        if needs_sample:
            sample = SampleInput.of(input_dict, _COMPONENT).of_draw(recipe.draw or 0)
        with (
            artifact_files.readable(uri) as saved_model,
            tempfile.TemporaryDirectory() as working_directory,
            Converter(Path(working_directory), settings.limits) as converter,
        ):
            schema = sample.source.schema if sample else None
            model = FloatModelInput.of(uri, saved_model, settings, schema)
            calibration = None
            if sample is not None:
                calibration = CalibrationInput(model, sample, output.uri, self._make_beam_pipeline)
            workshop = Workshop(
                converter,
                saved_model,
                model.signature.name,
                recipe.batch_size,
                settings.policy,
                calibration,
            )
            float_model_digest = float_tflite.digest_of(saved_model)
            models = None if tuned is None else tuned.models(float_model_digest, sample)
            models = models or workshop.make(recipe)
            audit.check(models.quantized, recipe)
            examples = calibration.groups(_TRIED_BATCHES) if calibration else ()
            check_runs(models.quantized, examples)
            few = list(_few(examples, _WATCHED_EXAMPLES))
            noise = layer_noise.measure(models.float32, models.quantized, few)
            agreements = (
                fidelity.agreements(models.float32, models.quantized, examples) if examples else ()
            )
        summary = summarize(
            models,
            settings,
            float_model_digest,
            sample.described if sample else None,
            noise,
            agreements,
            recipe,
            None if tuned is None else tuned.report,
            None if tuned is None else tuned.draws,
        )
        with artifact_files.writable(output.uri) as directory:
            _write(directory, models, summary)
        _describe(output, summary)


@dataclass(frozen=True)
class _Tuned:
    """What QuantizationTuner found.

    Attributes:
        artifact: Its output.
        recipe: The recipe.
        report: What was tried; None if the scheme was given.
        draws: What several draws of the calibration examples came to; None of one.
    """

    artifact: types.Artifact
    recipe: Recipe
    report: TuningReport | None
    draws: DrawsReport | None

    @classmethod
    def of(cls, input_dict: Artifacts) -> "_Tuned | None":
        """Returns what is among an executor's inputs; None if there is none."""
        if not input_dict.get("recipe"):
            return None
        artifact = artifact_utils.get_single_instance(input_dict["recipe"])
        with artifact_files.readable(artifact.uri) as directory:
            file = directory / layout.RECIPE_FILE
            tried, drawn = directory / layout.TUNING_FILE, directory / layout.DRAWS_FILE
            recipe = Recipe.parse(file.read_bytes(), str(file))
            report = draws = None
            if tried.exists():
                report = TuningReport.parse(tried.read_bytes(), str(tried))
            if drawn.exists():
                draws = DrawsReport.parse(drawn.read_bytes(), str(drawn))
        return cls(artifact, recipe, report, draws)

    def models(self, float_model: str, sample: SampleInput | None) -> ConvertedModels | None:
        """Returns the models that were tried, so that these very bytes are shipped.

        Args:
            float_model: The digest of the float model.
            sample: The calibration examples.

        Returns:
            None if they were made of others.
        """
        made_of = self.artifact.get_string_custom_property(layout.FLOAT_MODEL_DIGEST)
        with_sample = self.artifact.get_string_custom_property(layout.SAMPLE_DIGEST)
        if made_of != float_model:
            return None
        if sample is not None and with_sample != sample.described.digest:
            return None
        with artifact_files.readable(self.artifact.uri) as directory:
            ranges = directory / layout.RANGES_FILE
            return ConvertedModels(
                (directory / layout.FLOAT_TFLITE_FILE).read_bytes(),
                (directory / layout.QUANTIZED_TFLITE_FILE).read_bytes(),
                TensorRanges.from_json(ranges.read_text(encoding="utf-8"))
                if ranges.exists() and self.recipe.scheme.needs_calibration
                else None,
            )


def _few(groups: Iterable[Tensors], count: int) -> Iterator[Tensors]:
    """Yields the first examples of some groups."""
    for group in groups:
        if count <= 0:
            return
        few = {name: values[:count] for name, values in group.items()}
        yield few
        count -= len(next(iter(few.values())))


def _write(directory: Path, models: ConvertedModels, summary: QuantizationReport) -> None:
    tflite = artifact_files.tflite_file(directory)
    tflite.parent.mkdir(parents=True, exist_ok=True)
    tflite.write_bytes(models.quantized)
    (directory / layout.FLOAT_TFLITE_FILE).write_bytes(models.float32)
    if models.ranges is not None:
        (directory / layout.RANGES_FILE).write_text(models.ranges.to_json(), encoding="utf-8")
    (directory / layout.QUANTIZATION_FILE).write_text(summary.to_json(), encoding="utf-8")


def _describe(output: types.Artifact, summary: QuantizationReport) -> None:
    digests, sizes = summary.digests, summary.size_bytes
    for name, text in {
        layout.SCHEME: summary.scheme,
        layout.MODEL_DIGEST: digests["quantized_model"],
        layout.FLOAT_MODEL_DIGEST: digests["float_model"],
        layout.SAMPLE_DIGEST: digests["calibration_sample"],
    }.items():
        output.set_string_custom_property(name, text or "")
    output.set_int_custom_property(layout.SIZE_BYTES, sizes.quantized)
    output.set_int_custom_property(layout.FLOAT_SIZE_BYTES, sizes.float_model)
