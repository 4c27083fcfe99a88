"""The float model and its calibration examples, as executors are given them."""

import itertools
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from absl import logging
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components import progress
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.destinations.manifest import CalibrationSample
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples.splits import (
    CALIBRATION,
    ReadBatches,
    SplitFiles,
    with_position,
)
from tfx_tflite.components.examples.tensors import Array, FeatureNames, Tensors
from tfx_tflite.components.models import effects, float_tflite
from tfx_tflite.components.models.float_model import (
    InputReader,
    Signature,
    input_reader,
    matched,
    read_tensor_signature,
)
from tfx_tflite.components.models.settings import FedSignatureSettings
from tfx_tflite.components.progress import Step
from tfx_tflite.components.quantization.conversion.calibration_tensors import (
    collect_tensors,
    tensor_groups,
)
from tfx_tflite.components.quantization.ranges import ranges

# Few enough that a small sample gives every worker some of it.
_BATCH_SIZE = 32


@dataclass(frozen=True)
class FloatModelInput:
    """The float model: where workers find it, where it lies here, and what is read of it."""

    uri: str
    directory: Path
    signature: Signature
    preprocessing_signature: str | None
    features: FeatureNames

    @classmethod
    def of(
        cls, uri: str, directory: Path, settings: FedSignatureSettings, schema: bytes | None
    ) -> "FloatModelInput":
        """Returns what a float model is, after checking that it does nothing but compute.

        Args:
            uri: Where workers find it.
            directory: Where it lies here.
            settings: What of it is converted.
            schema: The schema of the examples, serialized.

        Raises:
            ModelError: It does more, or the signature is not usable.
            DataError: The features do not fit the signature.
        """
        if float_tflite.file_in(directory) is None:
            effects.check(directory, settings.trust)
        signature = read_tensor_signature(directory, settings.signature)
        features = matched(signature, settings, schema).features
        return cls(uri, directory, signature, settings.preprocessing_signature, features)

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
class SampleInput:
    """The calibration examples: their files, and what their artifact says of them."""

    source: SplitFiles
    described: CalibrationSample

    @classmethod
    def of(cls, input_dict: Artifacts, component: str) -> "SampleInput":
        """Returns the calibration examples among an executor's inputs.

        Args:
            input_dict: The inputs.
            component: Who reads.
        """
        artifacts = input_dict["calibration_examples"]
        sample = artifact_utils.get_single_instance(artifacts)
        schema = read_schema(input_dict.get("schema"))
        return cls(
            split_files(artifacts, CALIBRATION, schema, component),
            CalibrationSample(
                digest=sample.get_string_custom_property(layout.SAMPLE_DIGEST),
                size=sample.get_int_custom_property(layout.SAMPLE_SIZE),
                requested=sample.get_int_custom_property(layout.SAMPLE_REQUESTED),
            ),
        )


@dataclass(frozen=True)
class CalibrationInput:
    """The calibration examples as what converts asks for them.

    Attributes:
        model: The float model.
        sample: The examples.
        output_uri: Where the ranges go. Workers may be on other machines, so all that they read is
            where artifacts are.
        beam_pipeline: Makes a Beam pipeline.
    """

    model: FloatModelInput
    sample: SampleInput
    output_uri: str
    beam_pipeline: Callable[[], beam.Pipeline]

    def tensors(self) -> Mapping[str, Array]:
        """Returns all of them, by input name."""
        source = self.sample.source
        return collect_tensors(source.batches(_BATCH_SIZE), self.model.reader(source.schema))

    def groups(self, batches: int | None = None) -> tuple[Tensors, ...]:
        """Returns them in batches of one shape, by input name.

        Args:
            batches: How many batches are read; all of them by default.
        """
        source = self.sample.source
        read = itertools.islice(source.batches(_BATCH_SIZE), batches)
        return tuple(tensor_groups(read, self.model.reader(source.schema)))

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
