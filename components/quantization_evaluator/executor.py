"""The QuantizationEvaluator executor: artifacts in, evaluation, verdict and blessing out."""

import dataclasses
import json
import math
import posixpath
from collections.abc import Sequence
from typing import Any

import tensorflow_model_analysis as tfma
from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils, proto_utils

from tfx_tflite.components import artifact_files
from tfx_tflite.components.digests import bytes_digest, directory_digest
from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.case import Case
from tfx_tflite.components.judgement.eval_config import (
    judged_outputs,
    targets_of,
    two_model_config,
)
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import Gate, LatencyLimit
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target, targets_from_json
from tfx_tflite.components.judgement.prediction import ModelPair
from tfx_tflite.components.judgement.pushed_reference import PushedReference
from tfx_tflite.components.judgement.shipped_files import DIRECTORY as SHIPPED
from tfx_tflite.components.judgement.shipped_files import write_shipped_files
from tfx_tflite.components.models import kernel_differences as kernels
from tfx_tflite.components.models.float_model import read_tensor_signature
from tfx_tflite.components.models.tflite_model import TFLiteModel, default_kernels
from tfx_tflite.components.report import build as report
from tfx_tflite.components.report import page
from tfx_tflite.components.report.tfma_validation import write_validation
from tfx_tflite.components.verdict import OVERALL

_COMPONENT = "QuantizationEvaluator"
# On how many examples the default kernels are compared with the reference kernels.
_COMPARED_KERNELS = 200
# For how many seconds latency is measured, with each number of threads.
_JUDGED_LATENCY, _REPORTED_LATENCY = 0.5, 0.1
# What a verdict is tied to: digests of the report, and the blessing's properties for them.
_DIGESTS = {
    "quantized_model": "model_digest",
    "float_model": "float_model_digest",
    "calibration_sample": "sample_digest",
    "eval_split": "eval_split_digest",
    "config": "config_digest",
}


class Executor(tfx_evaluator.Executor):
    """Evaluates and judges; see `evaluation.py` and `gate.py` for how.

    It derives from the executor of TFX's Evaluator because the entry point for Kubeflow fills in
    the model's id in the blessing for that class alone.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes TFMA's result files, the report and the blessing.

        Raises:
            DataError: The split is empty, or its examples do not fit the signature or the metrics.
            EvaluationError: The config does not fit the model.
        """
        eval_config = two_model_config(
            proto_utils.json_to_proto(exec_properties["eval_config"], tfma.EvalConfig())
        )
        gate = Gate.model_validate_json(exec_properties["gate"])
        source = _source(input_dict, exec_properties)
        _check_slices(eval_config, source)
        pair = _model_pair(input_dict, exec_properties, source)
        judged = judged_outputs(pair, eval_config, _targets(exec_properties, eval_config))
        samples = exec_properties["golden_samples"]
        first = _first_examples(source, pair, judged, max(samples, _COMPARED_KERNELS))
        with fileio.open(pair.tflite, "rb") as file:
            content = file.read()
        model = _model_properties(input_dict, content, first, _latency_seconds(gate))
        _check_origin(input_dict, exec_properties, model)
        pair = dataclasses.replace(
            pair,
            input_ranges=report.input_ranges(model.quantization),
            kernels=default_kernels(content, first.take(2)),
        )
        quantized = TFLiteModel(content, pair.kernels)
        first = dataclasses.replace(first, outputs=quantized.predict(first.inputs))
        reference = _reference(gate, exec_properties)
        if reference is not None:
            reference.check(pair.signature, [output.spec.name for output in judged])
        output_path = artifact_utils.get_single_uri(output_dict["evaluation"])
        case = Case(pair, eval_config, gate, judged, source, first, reference, output_path)
        with self._make_beam_pipeline() as pipeline:
            case.compare(pipeline)
        judgement = case.judge(model.ratios)
        result, evaluation = judgement.result, judgement.evaluation
        document = report.build(
            result, evaluation, model, exec_properties, _lineage(input_dict), source
        )
        document["warnings"] += unjudged_outputs(pair, judged)
        document.update(kernels.compare(quantized, first.take(_COMPARED_KERNELS)))
        document.update(_ship(output_dict, quantized, first, samples, source.schema))
        document["pushed_destination"] = (
            exec_properties["pushed_destination"] if gate.against("pushed") else None
        )
        document["pushed_reference"] = reference and {
            "version": reference.number,
            "uri": reference.uri,
            "digest": reference.digest,
        }
        write_validation(
            output_path,
            gate,
            result,
            judgement.directions,
            evaluation.comparison.slices_by_name,
        )
        _write_report(output_dict, document)
        for key in ("evaluation", "figures"):
            _describe(artifact_utils.get_single_instance(output_dict[key]), result)
        _bless(input_dict, output_dict, result, document)


def _reference(gate: Gate, exec_properties: dict[str, Any]) -> PushedReference | None:
    """Returns the pushed model if a rule is against it."""
    if not gate.against("pushed"):
        return None
    return PushedReference.at(
        exec_properties["pushed_destination"], exec_properties.get("pushed_version")
    )


def _targets(exec_properties: dict[str, Any], eval_config: tfma.EvalConfig) -> tuple[Target, ...]:
    text = exec_properties.get("targets")
    if text:
        return targets_from_json(text)
    return targets_of(eval_config, exec_properties.get("output"))


def unjudged_outputs(pair: ModelPair, judged: Sequence[JudgedOutput]) -> list[str]:
    """Returns a warning for each output of the signature that nothing is judged by."""
    known = {output.spec.name for output in judged}
    return [
        f"output {name!r} of signature {pair.signature.name!r} is not judged: nothing here says "
        "whether it is still right; add it to evaluation.outputs"
        for name in pair.outputs
        if name not in known
    ]


def _source(
    input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
) -> SplitFiles:
    schema = read_schema(input_dict.get("schema"))
    return split_files(input_dict["examples"], exec_properties["split"], schema, _COMPONENT)


def _check_slices(eval_config: tfma.EvalConfig, source: SplitFiles) -> None:
    """Checks that slices are by features that there are; others would have no examples."""
    if source.schema is None:
        return
    known = {feature.name for feature in schema_pb2.Schema.FromString(source.schema).feature}
    for spec in eval_config.slicing_specs:
        for name in (*spec.feature_keys, *spec.feature_values):
            if name not in known:
                raise EvaluationError(
                    f"evaluation.slices: there is no feature {name!r}; the schema has: "
                    f"{listed(sorted(known))}"
                )


def _model_pair(
    input_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    source: SplitFiles,
) -> ModelPair:
    saved_model = artifact_files.float_model_uri(input_dict["baseline_model"])
    tflite = _tflite_uri(input_dict)
    [float_artifact], [quantized_artifact] = input_dict["baseline_model"], input_dict["model"]
    return ModelPair(
        saved_model=saved_model,
        signature=read_tensor_signature(saved_model, exec_properties["signature"]),
        preprocessing_signature=exec_properties.get("preprocessing_signature"),
        tflite=tflite,
        output=exec_properties.get("output"),
        schema=source.schema,
        saved_model_stored_at=artifact_files.stored_path(float_artifact, saved_model),
        tflite_stored_at=artifact_files.stored_path(quantized_artifact, tflite),
    )


def _first_examples(
    source: SplitFiles, pair: ModelPair, judged: Sequence[JudgedOutput], count: int
) -> FirstExamples:
    labels = [output.target.label_name for output in judged]
    inputs = [spec.name for spec in pair.signature.inputs]
    return FirstExamples.read(source, pair.reader(labels), inputs, count)


def _ship(
    output_dict: dict[str, list[types.Artifact]],
    model: TFLiteModel,
    first: FirstExamples,
    samples: int,
    schema: bytes | None,
) -> dict[str, Any]:
    """Writes what a push ships beside the model, and returns what the report says of it."""
    uri = posixpath.join(artifact_utils.get_single_uri(output_dict["blessing"]), SHIPPED)
    with artifact_files.writable(uri) as directory:
        return write_shipped_files(directory, model, first, samples, schema)


def _tflite_uri(input_dict: dict[str, list[types.Artifact]]) -> str:
    uri = artifact_utils.get_single_uri(input_dict["model"])
    return posixpath.join(path_utils.serving_model_dir(uri), "tflite")


def _latency_seconds(gate: Gate) -> float:
    """Returns how long to measure latency: thoroughly if a rule limits it, else for the report."""
    is_judged = any(isinstance(rule, LatencyLimit) for rule in gate.rules)
    return _JUDGED_LATENCY if is_judged else _REPORTED_LATENCY


def _model_properties(
    input_dict: dict[str, list[types.Artifact]],
    content: bytes,
    first: FirstExamples,
    latency_seconds: float,
) -> report.ModelProperties:
    model = artifact_utils.get_single_instance(input_dict["model"])
    with artifact_files.readable(model.uri) as directory:
        return report.ModelProperties.read(directory, content, first.shapes, latency_seconds)


def _check_origin(
    input_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    model: report.ModelProperties,
) -> None:
    """Checks that the quantized model was made from this very float model and signature."""
    with artifact_files.readable(
        artifact_files.float_model_uri(input_dict["baseline_model"])
    ) as directory:
        found = {
            "float model": directory_digest(directory),
            "signature": exec_properties["signature"],
        }
    made_from = {
        "float model": model.quantization.get("digests", {}).get("float_model"),
        "signature": model.quantization.get("signature"),
    }
    for name, value in made_from.items():
        if value is not None and value != found[name]:
            raise EvaluationError(
                f"the quantized model was made from {name} {value}, but is to be compared with "
                f"{found[name]}; did the float model change in between?"
            )


def _lineage(input_dict: dict[str, list[types.Artifact]]) -> dict[str, str]:
    """Returns where what was compared lies, by what it is."""
    names = {"float_model": "baseline_model", "quantized_model": "model", "examples": "examples"}
    return {
        name: artifact_files.stored_at(artifact_utils.get_single_instance(input_dict[key]))
        for name, key in names.items()
    }


def _write_report(output_dict: dict[str, list[types.Artifact]], document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1, allow_nan=False)
    # So that the Pusher knows the report, and by it every file that is shipped, to be this one's.
    artifact_utils.get_single_instance(output_dict["blessing"]).set_string_custom_property(
        "report_digest", bytes_digest(text.encode("utf-8"))
    )
    for key in ("evaluation", "blessing"):
        uri = artifact_utils.get_single_uri(output_dict[key])
        io_utils.write_string_file(posixpath.join(uri, report.FILE_NAME), text)
    evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
    html = page.render(document)
    io_utils.write_string_file(posixpath.join(evaluation, report.PAGE_NAME), html)
    artifact_utils.get_single_instance(output_dict["page"]).write(html)


def _describe(artifact: types.Artifact, result: GateResult) -> None:
    """Records the figures where ML Metadata's and Kubeflow's lists of artifacts show them."""
    artifact.set_string_custom_property("verdict", result.verdict.value)
    artifact.set_int_custom_property("examples", result.examples)
    for rule in result.rules:
        if rule.slice == OVERALL and rule.against == "float":
            figures = {"float": rule.float_value, "quantized": rule.quantized_value}
            of = "" if rule.output is None else f"{rule.output}_"
            for name, figure in {**figures, "drop": rule.drop}.items():
                if math.isfinite(figure):
                    artifact.set_float_custom_property(f"{of}{rule.metric}_{name}", figure)


def _bless(
    input_dict: dict[str, list[types.Artifact]],
    output_dict: dict[str, list[types.Artifact]],
    result: GateResult,
    document: dict[str, Any],
) -> None:
    blessing = artifact_utils.get_single_instance(output_dict["blessing"])
    for key, uri_key, id_key in (
        (
            "model",
            constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY,
            constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
        ),
        (
            "baseline_model",
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY,
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY,
        ),
    ):
        model = artifact_utils.get_single_instance(input_dict[key])
        blessing.set_string_custom_property(uri_key, artifact_files.stored_at(model))
        blessing.set_int_custom_property(id_key, model.id)
    for name, property_name in _DIGESTS.items():
        blessing.set_string_custom_property(property_name, document["digests"].get(name) or "")
    name, value = (
        (constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE)
        if result.blessed
        else (constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE)
    )
    io_utils.write_string_file(posixpath.join(blessing.uri, name), "")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    logging.info("The quantized model is %s. %s", result.verdict.value, " ".join(result.reasons))
