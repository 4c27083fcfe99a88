"""The float model and its calibration examples, as executors are given them."""

import itertools
import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam
from absl import logging
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components import progress
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.destinations.manifest import CalibrationSample
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples.sample_file import split_of_draw
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
    float_model_digests,
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
from tfx_tflite.components.quantization.ranges.ranges import (
    CollectRanges,
    CollectRangesOfDraws,
    RangeSource,
    TensorRanges,
    write,
    write_all,
)

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
    """The calibration examples: their files, and what their artifact says of them.

    Attributes:
        source: The files of one draw.
        described: What is said of that draw.
        draws: All draws; none if there is one.
        shared: The share of the draws' examples that several have.
        digest: Of the records of all draws.
    """

    source: SplitFiles
    described: CalibrationSample
    draws: tuple["SampleInput", ...] = ()
    shared: float = 0.0
    digest: str = ""

    @classmethod
    def of(cls, input_dict: Artifacts, component: str) -> "SampleInput":
        """Returns the calibration examples among an executor's inputs, of several draws the first.

        Args:
            input_dict: The inputs.
            component: Who reads.
        """
        artifacts = input_dict["calibration_examples"]
        sample = artifact_utils.get_single_instance(artifacts)
        schema = read_schema(input_dict.get("schema"))
        digest = sample.get_string_custom_property(layout.SAMPLE_DIGEST)
        # One draw is the whole sample.
        digests = json.loads(sample.get_string_custom_property(layout.SAMPLE_DRAWS) or "[]")
        shared = float(sample.get_string_custom_property(layout.SAMPLE_SHARED) or 0.0)
        parts = tuple(
            cls(
                split_files(artifacts, split_of_draw(CALIBRATION, draw), schema, component),
                CalibrationSample(
                    digest=of_draw,
                    size=sample.get_int_custom_property(layout.SAMPLE_SIZE),
                    requested=sample.get_int_custom_property(layout.SAMPLE_REQUESTED),
                ),
                shared=shared,
                digest=digest,
            )
            for draw, of_draw in enumerate(digests or [digest])
        )
        return replace(parts[0], draws=parts if digests else ())

    def of_draw(self, draw: int) -> "SampleInput":
        """Returns one draw of the calibration examples.

        Args:
            draw: Which draw, from 0.

        Raises:
            ConfigError: There is no such draw.
        """
        draws = self.draws or (self,)
        if draw >= len(draws):
            raise ConfigError(
                f"the recipe takes draw {draw} of the calibration examples, and calibration.seeds: "
                f"{len(draws)} makes draws 0 to {len(draws) - 1}; set calibration.seeds: {draw + 1}"
            )
        return replace(draws[draw], draws=self.draws)


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

    def ranges(self, float32: bytes) -> TensorRanges:
        """Returns the ranges of the float model's activations, measured on Beam's workers."""
        result = posixpath.join(self.output_uri, layout.RANGES_FILE)
        progress.tell(Step(progress.CALIBRATED, of=self.sample.described.size, is_first=True))
        with self.beam_pipeline() as pipeline:
            _ = (
                _batches(pipeline, self.sample.source)
                | "Collect" >> CollectRanges(self._observed(float32))
                | "Write" >> beam.Map(write, result)
            )
        return _read_ranges(result)

    def of_draw(self, draw: int) -> "CalibrationInput":
        """Returns one draw of them.

        Raises:
            ConfigError: There is no such draw.
        """
        return replace(self, sample=self.sample.of_draw(draw))

    def ranges_of_draws(self, float32: bytes, draws: Sequence[int]) -> tuple[TensorRanges, ...]:
        """Returns what `ranges` returns of each of several draws, from one pass over them all."""
        samples = [self.sample.of_draw(draw) for draw in draws]
        # The sampler writes one file a draw.
        files = tuple(file for sample in samples for file in sample.source.files)
        results = [posixpath.join(self.output_uri, f"ranges-{draw}.json") for draw in draws]
        size = sum(sample.described.size or 0 for sample in samples)
        progress.tell(Step(progress.CALIBRATED, of=size, is_first=True))
        source = self._observed(float32)
        with self.beam_pipeline() as pipeline:
            _ = (
                _batches(pipeline, replace(self.sample.source, files=files))
                | "Collect" >> CollectRangesOfDraws(source, draws)
                | "Write" >> beam.Map(write_all, results)
            )
        found = tuple(map(_read_ranges, results))
        # Of those, the artifact keeps what its model was made from.
        for result in results:
            fileio.remove(result)
        return found

    def _observed(self, float32: bytes) -> RangeSource:
        """Writes a model where workers find it, and returns how they run it."""
        tflite = posixpath.join(self.output_uri, layout.FLOAT_TFLITE_FILE)
        fileio.makedirs(self.output_uri)
        with fileio.open(tflite, "wb") as file:
            file.write(float32)
        return RangeSource(
            tflite,
            self.model.uri,
            self.model.signature.name,
            self.model.preprocessing_signature,
            self.sample.source.schema,
            self.model.features,
            float_model_digests(self.model.uri).get(self.model.uri),
        )


def _batches(pipeline: beam.Pipeline, source: SplitFiles) -> beam.PCollection:
    """Returns the batches of calibration examples with their positions, spread over workers."""
    return (
        pipeline
        | "ReadSample" >> ReadBatches(source, _BATCH_SIZE)
        | "Spread" >> beam.Reshuffle()
        | "Position" >> beam.Map(with_position)
    )


def _read_ranges(path: str) -> TensorRanges:
    with fileio.open(path, "r") as file:
        found = TensorRanges.from_json(file.read())
    logging.info("Ranges of %d tensors from %d examples", len(found.tensors), found.examples)
    return found
