"""The TFLiteQuantizer executor: artifacts in, the converted and checked model out."""

import itertools
import json
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_files
from tfx_tflite.components.digests import directory_digest
from tfx_tflite.components.errors import ConversionError, telling_line
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples.splits import (
    CALIBRATION,
    ReadBatches,
    SplitFiles,
    with_position,
)
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.float_model import (
    InputReader,
    Signature,
    input_reader,
    read_tensor_signature,
)
from tfx_tflite.components.models.loops_and_state import check_no_loops, check_stateless
from tfx_tflite.components.models.runtime import example_shapes, open_model
from tfx_tflite.components.quantization import fidelity, layer_noise
from tfx_tflite.components.quantization import summary as report
from tfx_tflite.components.quantization.audit import audit
from tfx_tflite.components.quantization.conversion.calibration_tensors import (
    collect_tensors,
    tensor_groups,
)
from tfx_tflite.components.quantization.conversion.converter import (
    FLOAT_TFLITE,
    ConvertedModels,
    Converter,
)
from tfx_tflite.components.quantization.conversion.from_ranges import write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.ranges import ranges
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import QuantizerSettings

_COMPONENT = "TFLiteQuantizer"
# Few enough that a small sample gives every worker some of it.
_BATCH_SIZE = 32
# What free axes beside the batch are tried with.
_FREE_SIZES = (1, 32, 256)
# On how many batches of calibration examples both models' answers are compared, and on how many
# examples their layers.
_TRIED_BATCHES = 4
_WATCHED_EXAMPLES = 16


class Executor(base_beam_executor.BaseBeamExecutor):
    """Calibrates, converts and checks; the modules beside it say how."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the quantized model, the float32 TFLite model, the ranges and the report.

        Raises:
            ModelError: The SavedModel or the signature is not usable.
            DataError: The calibration examples do not fit the signature, or give NaN or infinity.
            ConversionError: The model does not convert, or not to what the scheme promises.
        """
        settings = QuantizerSettings.of(exec_properties)
        output = artifact_utils.get_single_instance(output_dict["quantized_model"])
        uri = artifact_files.float_model_uri(input_dict["model"])
        sample = _Sample.of(input_dict) if settings.quantization.scheme.needs_calibration else None
        with (
            artifact_files.readable(uri) as saved_model,
            tempfile.TemporaryDirectory() as working_directory,
            Converter(Path(working_directory), settings.limits) as converter,
        ):
            signature = read_tensor_signature(saved_model, settings.signature)
            model = _FloatModel(uri, saved_model, signature, settings)
            models, found = self._quantize(converter, model, sample, output.uri)
            audit.check(models.quantized, settings.quantization)
            examples = _first_examples(model, sample)
            _check_runs(models.quantized, examples)
            few = list(_few(examples, _WATCHED_EXAMPLES))
            noise = layer_noise.measure(models.float32, models.quantized, few)
            agreements = (
                fidelity.agreements(models.float32, models.quantized, examples) if examples else ()
            )
            float_model_digest = directory_digest(saved_model)
        summary = report.summarize(
            models,
            settings,
            float_model_digest,
            sample.properties if sample else None,
            found,
            noise,
            agreements,
        )
        with artifact_files.writable(output.uri) as directory:
            _write(directory, models, summary)
        _describe(output, summary)

    def _quantize(
        self,
        converter: Converter,
        model: "_FloatModel",
        sample: "_Sample | None",
        output_uri: str,
    ) -> tuple[ConvertedModels, ranges.TensorRanges | None]:
        """Returns the float32 and the quantized model, and the ranges where we measured them."""
        settings, name = model.settings, model.signature.name
        scheme, found = settings.quantization.scheme, None
        float32 = converter.float32(model.directory, name, settings.quantization.batch_size)
        check_stateless(float32)
        if scheme is Scheme.FLOAT32:
            quantized = float32
        elif sample is None:
            quantized = converter.convert(model.directory, name, settings.quantization)
        elif settings.policy is None:
            # The stock calibrator crashes on loops.
            check_no_loops(float32)
            samples = collect_tensors(
                sample.source.batches(_BATCH_SIZE), model.reader(sample.source.schema)
            )
            quantized = converter.convert(model.directory, name, settings.quantization, samples)
        else:
            float32 = rewritten(float32)
            found = self._collect_ranges(float32, model, sample, output_uri)
            calibrated = write_ranges(float32, found, settings.policy, scheme)
            quantized = converter.quantize(calibrated, settings.quantization)
        return ConvertedModels(float32, quantized), found

    def _collect_ranges(
        self, float32: bytes, model: "_FloatModel", sample: "_Sample", output_uri: str
    ) -> ranges.TensorRanges:
        """Returns the ranges of the float model's activations, measured on Beam's workers."""
        # Workers may be on other machines, so all that they read is where artifacts are.
        tflite = posixpath.join(output_uri, FLOAT_TFLITE)
        result = posixpath.join(output_uri, ranges.FILE_NAME)
        fileio.makedirs(output_uri)
        with fileio.open(tflite, "wb") as file:
            file.write(float32)
        source = ranges.RangeSource(
            tflite,
            model.uri,
            model.signature.name,
            model.settings.preprocessing_signature,
            sample.source.schema,
        )
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "ReadSample" >> ReadBatches(sample.source, _BATCH_SIZE)
                | "Spread" >> beam.Reshuffle()
                | "Position" >> beam.Map(with_position)
                | "Collect" >> ranges.CollectRanges(source)
                | "Write" >> beam.Map(ranges.write, result)
            )
        with fileio.open(result, "r") as file:
            found = ranges.TensorRanges.from_json(file.read())
        logging.info("Ranges of %d tensors from %d examples", len(found.tensors), found.examples)
        return found


class _FloatModel:
    """The float model: where workers find it, where it lies here, and what is asked of it."""

    def __init__(
        self, uri: str, directory: Path, signature: Signature, settings: QuantizerSettings
    ):
        self.uri = uri
        self.directory = directory
        self.signature = signature
        self.settings = settings

    def reader(self, schema: bytes | None) -> InputReader:
        """Returns how examples become the model's inputs; see `float_model.input_reader`."""
        return input_reader(
            self.directory, self.signature, self.settings.preprocessing_signature, schema
        )


class _Sample:
    """The calibration examples: their files, and what their artifact says of them."""

    def __init__(self, source: SplitFiles, properties: dict[str, Any]):
        self.source = source
        self.properties = properties

    @classmethod
    def of(cls, input_dict: dict[str, list[types.Artifact]]) -> "_Sample":
        artifacts = input_dict["calibration_examples"]
        sample = artifact_utils.get_single_instance(artifacts)
        return cls(
            split_files(
                artifacts,
                CALIBRATION,
                read_schema(input_dict.get("schema")),
                _COMPONENT,
            ),
            {
                "digest": sample.get_string_custom_property("sample_digest"),
                "size": sample.get_int_custom_property("sample_size"),
                "requested": sample.get_int_custom_property("sample_requested"),
            },
        )


# Examples of one shape, by input name, each of shape (examples, *example_shape).
_Examples = Mapping[str, np.ndarray]


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


def _write(directory: Path, models: ConvertedModels, summary: dict[str, Any]) -> None:
    tflite = artifact_files.tflite_file(directory)
    tflite.parent.mkdir(parents=True, exist_ok=True)
    tflite.write_bytes(models.quantized)
    (directory / FLOAT_TFLITE).write_bytes(models.float32)
    text = json.dumps(summary, indent=1, allow_nan=False)
    (directory / report.FILE_NAME).write_text(text, encoding="utf-8")


def _describe(output: types.Artifact, summary: dict[str, Any]) -> None:
    output.set_string_custom_property("scheme", summary["scheme"])
    output.set_string_custom_property("model_digest", summary["digests"]["quantized_model"])
    output.set_string_custom_property("float_model_digest", summary["digests"]["float_model"])
    output.set_string_custom_property(
        "sample_digest", summary["digests"]["calibration_sample"] or ""
    )
    output.set_int_custom_property("size_bytes", summary["size_bytes"]["quantized"])
    output.set_int_custom_property("float_size_bytes", summary["size_bytes"]["float"])
