"""The TFLiteQuantizer executor: artifacts in, the converted and checked model out."""

import itertools
import posixpath
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_files, progress
from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.destinations.manifest import CalibrationSample
from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples.splits import (
    CALIBRATION,
    ReadBatches,
    SplitFiles,
    with_position,
)
from tfx_tflite.components.examples.tensors import Array, FeatureNames, Tensors
from tfx_tflite.components.models import effects, float_tflite
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.float_model import (
    InputReader,
    Signature,
    input_reader,
    matched,
    read_tensor_signature,
)
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.runtime import example_shapes, open_model
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.progress import Step
from tfx_tflite.components.quantization import fidelity, layer_noise
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion.backends import Conversion, ConvertedModels
from tfx_tflite.components.quantization.conversion.calibration_tensors import (
    collect_tensors,
    tensor_groups,
)
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.document import QuantizationReport
from tfx_tflite.components.quantization.ranges import ranges
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization.summary import summarize

_COMPONENT = "TFLiteQuantizer"
# Few enough that a small sample gives every worker some of it.
_BATCH_SIZE = 32
# What free axes beside the batch are tried with.
_FREE_SIZES = (1, 32, 256)
# On how many batches of calibration examples both models' answers are compared, and on how many
# examples their layers.
_TRIED_BATCHES = 4
_WATCHED_EXAMPLES = 16
# Seconds that the converted model may take for its first batch.
_LONGEST_FIRST_RUN = 300.0


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
        """
        settings = QuantizerSettings.from_property(exec_properties)
        recipe = settings.recipe
        output = artifact_utils.get_single_instance(output_dict["quantized_model"])
        uri = artifact_files.float_model_uri(input_dict["model"])
        sample = _Sample.of(input_dict) if recipe.scheme.needs_calibration else None
        with (
            artifact_files.readable(uri) as saved_model,
            tempfile.TemporaryDirectory() as working_directory,
            Converter(Path(working_directory), settings.limits) as converter,
        ):
            if float_tflite.file_in(saved_model) is None:
                effects.check(saved_model, settings.trust)
            signature = read_tensor_signature(saved_model, settings.signature)
            schema = sample.source.schema if sample else None
            features = matched(signature, settings, schema).features
            model = _FloatModel(
                uri, saved_model, signature, settings.preprocessing_signature, features
            )
            calibration = None
            if sample is not None:
                calibration = _Calibration(model, sample, output.uri, self._make_beam_pipeline)
            models = Conversion(
                converter, saved_model, signature.name, recipe, settings.policy, calibration
            ).models()
            audit.check(models.quantized, recipe)
            examples = _first_examples(model, sample)
            _check_runs(models.quantized, examples)
            few = list(_few(examples, _WATCHED_EXAMPLES))
            noise = layer_noise.measure(models.float32, models.quantized, few)
            agreements = (
                fidelity.agreements(models.float32, models.quantized, examples) if examples else ()
            )
            float_model_digest = float_tflite.digest_of(saved_model)
        summary = summarize(
            models,
            settings,
            float_model_digest,
            sample.described if sample else None,
            noise,
            agreements,
        )
        with artifact_files.writable(output.uri) as directory:
            _write(directory, models, summary)
        _describe(output, summary)


@dataclass(frozen=True)
class _FloatModel:
    """The float model: where workers find it, where it lies here, and what is read of it."""

    uri: str
    directory: Path
    signature: Signature
    preprocessing_signature: str | None
    features: FeatureNames

    def reader(self, schema: bytes | None) -> InputReader:
        """Returns how examples become the model's inputs; see `float_model.input_reader`."""
        return input_reader(
            self.directory,
            self.signature,
            self.preprocessing_signature,
            schema,
            features=self.features,
        )


@dataclass(frozen=True)
class _Sample:
    """The calibration examples: their files, and what their artifact says of them."""

    source: SplitFiles
    described: CalibrationSample

    @classmethod
    def of(cls, input_dict: Artifacts) -> "_Sample":
        artifacts = input_dict["calibration_examples"]
        sample = artifact_utils.get_single_instance(artifacts)
        schema = read_schema(input_dict.get("schema"))
        return cls(
            split_files(artifacts, CALIBRATION, schema, _COMPONENT),
            CalibrationSample(
                digest=sample.get_string_custom_property(layout.SAMPLE_DIGEST),
                size=sample.get_int_custom_property(layout.SAMPLE_SIZE),
                requested=sample.get_int_custom_property(layout.SAMPLE_REQUESTED),
            ),
        )


@dataclass(frozen=True)
class _Calibration:
    """The calibration examples as backends ask for them.

    Attributes:
        model: The float model.
        sample: The examples.
        output_uri: Where the ranges go. Workers may be on other machines, so all that they read is
            where artifacts are.
        beam_pipeline: Makes a Beam pipeline.
    """

    model: _FloatModel
    sample: _Sample
    output_uri: str
    beam_pipeline: Callable[[], beam.Pipeline]

    def tensors(self) -> dict[str, Array]:
        """Returns all of them, by input name."""
        source = self.sample.source
        return collect_tensors(source.batches(_BATCH_SIZE), self.model.reader(source.schema))

    def ranges(self, float32: bytes) -> ranges.TensorRanges:
        """Returns the ranges of the float model's activations, measured on Beam's workers."""
        tflite = posixpath.join(self.output_uri, layout.FLOAT_TFLITE_FILE)
        result = posixpath.join(self.output_uri, layout.RANGES_FILE)
        fileio.makedirs(self.output_uri)
        with fileio.open(tflite, "wb") as file:
            file.write(float32)
        source = ranges.RangeSource(
            tflite,
            self.model.uri,
            self.model.signature.name,
            self.model.preprocessing_signature,
            self.sample.source.schema,
            self.model.features,
        )
        progress.tell(Step(progress.CALIBRATED, of=self.sample.described.size, is_first=True))
        with self.beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "ReadSample" >> ReadBatches(self.sample.source, _BATCH_SIZE)
                | "Spread" >> beam.Reshuffle()
                | "Position" >> beam.Map(with_position)
                | "Collect" >> ranges.CollectRanges(source)
                | "Write" >> beam.Map(ranges.write, result)
            )
        with fileio.open(result, "r") as file:
            found = ranges.TensorRanges.from_json(file.read())
        logging.info("Ranges of %d tensors from %d examples", len(found.tensors), found.examples)
        return found


# Examples of one shape, by input name, each of shape (examples, *example_shape).
_Examples = Tensors


def _first_examples(model: _FloatModel, sample: _Sample | None) -> list[_Examples]:
    """Returns the calibration examples that a quantized model is tried on; none without any."""
    if sample is None:
        return []
    batches = itertools.islice(sample.source.batches(_BATCH_SIZE), _TRIED_BATCHES)
    return list(tensor_groups(batches, model.reader(sample.source.schema)))


def _few(groups: Iterable[_Examples], count: int) -> Iterator[_Examples]:
    """Yields the first examples of some groups."""
    for group in groups:
        if count <= 0:
            return
        few = {name: values[:count] for name, values in group.items()}
        yield few
        count -= len(next(iter(few.values())))


def _check_runs(quantized: bytes, examples: Sequence[_Examples]) -> None:
    """Checks that the runtime takes the model, which it does not take all that converts.

    Args:
        quantized: The flatbuffer.
        examples: Whose shape is tried.

    Raises:
        ConversionError: It does not.
    """
    ended = in_a_copy(lambda: _run_first(quantized, examples), _LONGEST_FIRST_RUN)
    if ended.killed_by or not ended.in_time:
        what = f"crashes ({ended.killed_by})" if ended.killed_by else "does not come to an end"
        raise ConversionError(
            f"TensorFlow Lite's runtime {what} on the converted model; choose another "
            "quantization.scheme"
        )
    problem: Exception | None = None
    for shapes in _shapes_to_try(quantized, examples):
        try:
            model = open_model(quantized)
            model.allocate(example_shapes(model, shapes))
            return
        except (RuntimeError, ValueError) as error:
            problem = problem or error
    raise ConversionError(
        f"TensorFlow Lite's runtime refuses the converted model: {telling_line(str(problem))}; "
        "choose another quantization.scheme"
    ) from problem


def _run_first(quantized: bytes, examples: Sequence[_Examples]) -> None:
    """Loads the model as it is loaded later, and runs it on the first examples if there are any."""
    open_model(quantized)
    if examples:
        TFLiteModel(quantized).predict(examples[0])


def _shapes_to_try(
    quantized: bytes, examples: Sequence[_Examples]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yields shapes of an example by input name, the batch dimension first.

    Without an example a free axis has no size of its own, and 1 is too small for a convolution with
    valid padding, so larger ones are tried too.
    """
    if examples:
        yield {name: (1, *values.shape[1:]) for name, values in examples[0].items()}
        return
    signatures = read_graph(quantized).signatures
    inputs = {name: found for each in signatures for name, found in each.inputs.items()}
    for size in _FREE_SIZES:
        yield {
            name: (1, *(size if axis == -1 else axis for axis in tensor.signature_shape[1:]))
            for name, tensor in inputs.items()
        }


def _write(directory: Path, models: ConvertedModels, summary: QuantizationReport) -> None:
    tflite = artifact_files.tflite_file(directory)
    tflite.parent.mkdir(parents=True, exist_ok=True)
    tflite.write_bytes(models.quantized)
    (directory / layout.FLOAT_TFLITE_FILE).write_bytes(models.float32)
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
