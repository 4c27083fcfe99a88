"""The CalibrationSampler executor: artifacts in, the sample's file and properties out."""

import json

import apache_beam as beam
from absl import logging
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples import sample_file
from tfx_tflite.components.examples.sample_file import SampleSummary
from tfx_tflite.components.examples.sampling import DrawCalibrationSample
from tfx_tflite.components.examples.settings import SamplePlan
from tfx_tflite.components.examples.splits import CALIBRATION, ReadBatches

_COMPONENT = "CalibrationSampler"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Draws a calibration sample; see `sampling.py` for how."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Writes the sample and records its digest, size and strata.

        Raises:
            ArtifactError: An input is not what it was when it was made.
            DataError: The split is not there, is empty, lacks the stratifying feature, or has too
                few examples for draws that differ.
        """
        plan = SamplePlan.from_property(exec_properties)
        output = artifact_utils.get_single_instance(output_dict["calibration_examples"])
        source = split_files(
            input_dict["examples"],
            plan.split,
            read_schema(input_dict.get("schema")),
            _COMPONENT,
            features=[plan.stratify_by] if plan.stratify_by else [],
        )
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "ReadSplit" >> ReadBatches(source)
                | "Draw" >> DrawCalibrationSample(plan)
                | "Write" >> beam.Map(sample_file.write_sample, output.uri, CALIBRATION)
            )
        _describe(output, _read_summary(output.uri, plan), plan)


def _read_summary(uri: str, plan: SamplePlan) -> SampleSummary:
    with fileio.open(sample_file.summary_path(uri), "r") as file:
        summary = SampleSummary.model_validate_json(file.read())
    if not summary.size:
        raise DataError(f"split {plan.split!r} holds no examples; nothing to calibrate with")
    if plan.seeds > 1 and summary.size == sum(each.seen for each in summary.strata.values()):
        raise DataError(
            f"split {plan.split!r} holds {summary.size} examples, all of which "
            f"calibration.samples: {plan.samples} takes, so that the {plan.seeds} draws of "
            "calibration.seeds would be the same; take fewer samples, or leave seeds out"
        )
    return summary


def _describe(output: types.Artifact, summary: SampleSummary, plan: SamplePlan) -> None:
    if summary.size < plan.samples:
        logging.warning(
            "Only %d examples to calibrate with, %d were asked for.", summary.size, plan.samples
        )
    if summary.shared:
        logging.warning(
            "%.0f %% of the calibration examples are in several draws, as there are too few for "
            "%d draws of %d: the draws differ less than they would with more.",
            100 * summary.shared,
            plan.seeds,
            summary.size,
        )
    output.split_names = artifact_utils.encode_split_names(
        [sample_file.split_of_draw(CALIBRATION, draw) for draw in range(plan.seeds)]
    )
    if summary.draws:
        output.set_string_custom_property(layout.SAMPLE_DRAWS, json.dumps(summary.draws))
        output.set_string_custom_property(layout.SAMPLE_SHARED, str(summary.shared))
    examples_utils.set_payload_format(output, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(output, "tfrecords_gzip")
    output.set_string_custom_property(layout.SAMPLE_DIGEST, summary.digest)
    output.set_int_custom_property(layout.SAMPLE_SIZE, summary.size)
    output.set_int_custom_property(layout.SAMPLE_REQUESTED, plan.samples)
    output.set_int_custom_property(layout.SAMPLE_SEED, plan.seed)
    output.set_string_custom_property(
        layout.SAMPLE_STRATA, json.dumps(summary.model_dump()["strata"])
    )
