"""The QuantizationEvaluator executor: artifacts in, evaluation, verdict and blessing out."""

import dataclasses
import functools
import json
import math
import posixpath
from collections.abc import Sequence

from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils, proto_utils

from tfx_tflite.components import artifact_files, progress
from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.ledger import JudgedModel, judgements, utc_now
from tfx_tflite.components.destinations.manifest import Evaluated
from tfx_tflite.components.destinations.trust import Trust
from tfx_tflite.components.digests import bytes_digest, records_digest
from tfx_tflite.components.errors import ArtifactError, EvaluationError, listed
from tfx_tflite.components.example_artifacts import read_schema, split_files
from tfx_tflite.components.examples.lowest_digests import Workers
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.candidate import candidates_on
from tfx_tflite.components.judgement.case import AGAINST_PUSHED, Case
from tfx_tflite.components.judgement.copies import CopyFinder
from tfx_tflite.components.judgement.eval_config import judged_outputs, targets_of, two_model_config
from tfx_tflite.components.judgement.evaluation import Evaluation
from tfx_tflite.components.judgement.first_examples import FirstExamples
from tfx_tflite.components.judgement.gate import Gate, LatencyLimit, LatencyMsLimit
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.judgement.looks import Looks, Question
from tfx_tflite.components.judgement.metrics.targets import Target as EvalTarget
from tfx_tflite.components.judgement.prediction import CHOSEN, ModelPair
from tfx_tflite.components.judgement.pushed_reference import REMEDY, Looked, PushedReference, look
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.judgement.shipped_files import ShippedFiles, write_shipped_files
from tfx_tflite.components.models import effects, float_tflite, latency
from tfx_tflite.components.models import kernel_differences as kernels
from tfx_tflite.components.models.facts import facts_of
from tfx_tflite.components.models.first_run import check_first_run, check_target_run
from tfx_tflite.components.models.float_model import (
    float_model_digests,
    matched,
    read_tensor_signature,
)
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.tflite_model import TFLiteModel, default_kernels
from tfx_tflite.components.progress import Step
from tfx_tflite.components.report import page
from tfx_tflite.components.report.build import (
    Findings,
    ModelProperties,
    Request,
    build,
    figures_on,
    with_shown_examples,
)
from tfx_tflite.components.report.document import Provenance, Report
from tfx_tflite.components.report.tfma_validation import write_validation
from tfx_tflite.components.report.version_trend import with_history
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.components.verdict import OVERALL
from tfx_tflite.components.versions import Runtime

_COMPONENT = "QuantizationEvaluator"
# On how many examples the default kernels are compared with the reference kernels.
_COMPARED_KERNELS = 200
# What a verdict is tied to: digests of the report, and the blessing's properties for them.
_DIGESTS = {
    "quantized_model": layout.MODEL_DIGEST,
    "float_model": layout.FLOAT_MODEL_DIGEST,
    "calibration_sample": layout.SAMPLE_DIGEST,
    "eval_split": layout.EVAL_SPLIT_DIGEST,
    "config": layout.CONFIG_DIGEST,
}


class Executor(tfx_evaluator.Executor):
    """Evaluates and judges; see `evaluation.py` and `gate.py` for how.

    It derives from the executor of TFX's Evaluator because the entry point for Kubeflow fills in
    the model's id in the blessing for that class alone.
    """

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Writes TFMA's result files, the report and the blessing.

        Raises:
            ArtifactError: An input is not what it was when it was made.
            DataError: The split is empty, or its examples do not fit the signature or the metrics.
            EvaluationError: The config does not fit the model.
        """
        eval_config = two_model_config(
            proto_utils.json_to_proto(exec_properties["eval_config"], config_pb2.EvalConfig())
        )
        settings = EvaluatorSettings.from_property(exec_properties)
        gate = settings.gate
        source = _source(input_dict, settings)
        targets = settings.targets or targets_of(eval_config, settings.output)
        _check_features(eval_config, targets, source)
        pair = _model_pair(input_dict, settings, source)
        judged = judged_outputs(pair, eval_config, targets)
        samples = settings.golden_samples
        output_path = artifact_utils.get_single_uri(output_dict["evaluation"])
        workers = Workers(self._make_beam_pipeline, output_path)
        first = FirstExamples.read(source, pair, judged, max(samples, _COMPARED_KERNELS), workers)
        float_digests = _checked_float_file(pair, first)
        with fileio.open(pair.tflite, "rb") as file:
            content = file.read()
        name = pair.tflite_stored_at or pair.tflite
        check_first_run(content, name, first.take(2))
        facts = [facts_of(content, device, first.shapes) for device in settings.devices]
        # Before Beam's workers predict, and after all other stages that are not the Pusher: a
        # machine that does something else says little of latency.
        effort = _latency_effort(gate, settings.devices)
        model = _model_properties(input_dict, content, first, effort)
        float_digest = _check_origin(input_dict, settings, model)
        identity = _float_identity(input_dict) or float_digest
        host = default_kernels(content, first.take(2))
        candidates = candidates_on(settings.devices, host, [found.problem for found in facts])
        chosen = [each for each in CHOSEN if each in {one.kernels for one in candidates}]
        for each in chosen:
            check_target_run(content, name, first.take(2), each)
        groups_are_known = any(target.group_by for target in targets)
        pair = dataclasses.replace(
            pair,
            input_ranges=model.input_ranges,
            digests={pair.tflite: bytes_digest(content), **float_digests},
            candidates=candidates,
            copy_finder=None if groups_are_known else CopyFinder.of(first.inputs),
            host=host if any(each.kernels is not host for each in candidates) else None,
        )
        quantized = TFLiteModel(content, pair.candidates[0].kernels)
        first = dataclasses.replace(first, outputs=quantized.predict(first.inputs))
        past = _past_judgements(settings)
        looked = _looked(settings)
        if isinstance(looked, PushedReference):
            check_first_run(looked.content, looked.name, first.take(2))
            names = [output.spec.name for output in judged]
            looked.check(pair.signature, names, chosen)
            for each in chosen:
                check_target_run(looked.content, looked.name, first.take(2), each, REMEDY)
            path = _copied(looked, output_path)
            digests = {**pair.digests, path: bytes_digest(looked.content)}
            pair = dataclasses.replace(pair, reference=path, digests=digests)
        case = Case(pair, eval_config, gate, judged, source, first, looked, output_path)
        progress.tell(Step(progress.PREDICTED, split=settings.split, is_first=True))
        with self._make_beam_pipeline() as pipeline:
            case.compare(pipeline)
        judgement = case.judge(
            [figures_on(model, found) for found in facts],
            looks=None
            if past is None
            else functools.partial(_looks, past, identity, model, settings),
        )
        document = build(
            Findings(
                case=case,
                judgement=judgement,
                model=model,
                runtime=Runtime.of(quantized.kernels),
                kernels=kernels.compare(quantized, first.inputs, first.outputs, _COMPARED_KERNELS),
                shipped=_ship(output_dict, quantized, first, settings, case, model),
                facts=tuple(facts),
                lineage=_lineage(input_dict),
            ),
            self._request(settings, exec_properties),
        )
        if settings.show_examples:
            document = with_shown_examples(document, case, judgement.evaluation)
        if isinstance(looked, PushedReference):
            document = with_history(document, _destination(settings))
        write_validation(case, judgement)
        _write_report(output_dict, document)
        for key in ("evaluation", "figures"):
            _describe(artifact_utils.get_single_instance(output_dict[key]), judgement.result)
        if document.pushed_problem is not None:
            evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
            evaluation.set_int_custom_property(layout.REFERENCE_NOT_KNOWN, 1)
        _bless(input_dict, output_dict, judgement.result, document)

    def _request(self, settings: EvaluatorSettings, properties: dict[str, object]) -> Request:
        """Returns what was asked for."""
        provenance = properties.get(layout.PROVENANCE)
        return Request(
            evaluated=Evaluated(
                split=settings.split, signature=settings.signature, output=settings.output
            ),
            config_digest=_config_digest(properties),
            pushed_destination=settings.compared_destination,
            counted_at=settings.counted_at if settings.gate.is_counted else None,
            provenance=Provenance.model_validate_json(str(provenance)) if provenance else None,
            run=self._context.pipeline_run_id if self._context else None,
            evaluated_at=utc_now(),
        )


def _looked(settings: EvaluatorSettings) -> Looked | None:
    """Returns what a look for the pushed model comes to if a rule is against it."""
    destination = settings.compared_destination
    if destination is None:
        return None
    trust = Trust.of(settings.pushed_trust)
    return look(destination, settings.pushed_version, trust, settings.pushed_timeout)


def _past_judgements(settings: EvaluatorSettings) -> tuple[JudgedModel, ...] | None:
    """Returns what the ledger at the destination has; None if nothing is counted there.

    Raises:
        DestinationError: It is damaged, or not what was signed.
        NotKnownError: It cannot be read.
    """
    if settings.counted_at is None or not settings.gate.is_counted:
        return None
    return judgements(_opened(settings.counted_at, settings).events())


def _float_identity(input_dict: Artifacts) -> str | None:
    """Returns the digest of the float32 TensorFlow Lite model that was quantized.

    Of the same weights it is the same file each time, where every export of a SavedModel has other
    bytes. None if it is not beside the quantized model.
    """
    model = artifact_utils.get_single_instance(input_dict["model"])
    path = posixpath.join(model.uri, layout.FLOAT_TFLITE_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as file:
        return bytes_digest(file.read())


def _looks(
    past: tuple[JudgedModel, ...],
    float_model: str,
    model: ModelProperties,
    settings: EvaluatorSettings,
    evaluation: Evaluation,
) -> Looks:
    """Returns the looks at a model."""
    # The same examples by another label, or in other groups, are another test.
    asked = settings.model_dump_json(include={"targets", "output"}).encode()
    examples = f"{evaluation.digest}, {bytes_digest(asked).partition(':')[2][:12]}"
    return Looks(Question(float_model, model.digest, examples), past, settings.gate.budget)


def _destination(settings: EvaluatorSettings) -> Destination:
    """Returns where the pushed model is that a rule is against."""
    return _opened(str(settings.compared_destination), settings)


def _opened(destination: str, settings: EvaluatorSettings) -> Destination:
    trust = Trust.of(settings.pushed_trust)
    return Destination.open(destination, settings.pushed_timeout, trust)


def _copied(reference: PushedReference, output_path: str) -> str:
    """Returns where every worker can read the pushed model."""
    directory = posixpath.join(output_path, AGAINST_PUSHED)
    path = posixpath.join(directory, "reference.tflite")
    fileio.makedirs(directory)
    with fileio.open(path, "wb") as file:
        file.write(reference.content)
    return path


def _source(input_dict: Artifacts, settings: EvaluatorSettings) -> SplitFiles:
    schema = read_schema(input_dict.get("schema"))
    return split_files(input_dict["examples"], settings.split, schema, _COMPONENT)


def _check_features(
    eval_config: config_pb2.EvalConfig, targets: Sequence[EvalTarget], source: SplitFiles
) -> None:
    """Checks that slices and groups are by features that there are.

    A slice by another would have no examples.
    """
    if source.schema is None:
        return
    known = {feature.name for feature in schema_pb2.Schema.FromString(source.schema).feature}
    named = [
        ("evaluation.slices", name)
        for spec in eval_config.slicing_specs
        for name in (*spec.feature_keys, *spec.feature_values)
    ]
    for target in targets:
        key = "evaluation.group_by" if target.aggregate is None else "evaluation.aggregate.by"
        named += [(key, target.group_by)] if target.group_by else []
    for key, name in named:
        if name not in known:
            raise EvaluationError(
                f"{key}: there is no feature {name!r}; the schema has: {listed(sorted(known))}"
            )


def _model_pair(
    input_dict: Artifacts, settings: EvaluatorSettings, source: SplitFiles
) -> ModelPair:
    saved_model = artifact_files.float_model_uri(input_dict["baseline_model"])
    [float_artifact], [quantized_artifact] = input_dict["baseline_model"], input_dict["model"]
    tflite = posixpath.join(path_utils.serving_model_dir(quantized_artifact.uri), "tflite")
    if float_tflite.file_in(saved_model) is None:
        effects.check(saved_model, settings.trust)
    signature = read_tensor_signature(saved_model, settings.signature)
    match = matched(signature, settings, source.schema)
    for note in match.notes:
        logging.info("%s", note)
    return ModelPair(
        saved_model=saved_model,
        signature=signature,
        preprocessing_signature=settings.preprocessing_signature,
        tflite=tflite,
        schema=source.schema,
        match=match,
        saved_model_stored_at=artifact_files.stored_path(float_artifact, saved_model),
        tflite_stored_at=artifact_files.stored_path(quantized_artifact, tflite),
    )


def _checked_float_file(pair: ModelPair, first: FirstExamples) -> dict[str, str]:
    """Returns the digest of the float model by its place, of a file after a first run.

    Of a SavedModel only if workers fetch it.
    """
    file = float_tflite.file_in(pair.saved_model)
    if file is None:
        return float_model_digests(pair.saved_model)
    content = float_tflite.read(file)
    check_first_run(content, pair.saved_model_stored_at or file, first.take(2))
    return {pair.saved_model: bytes_digest(content)}


def _ship(
    output_dict: Artifacts,
    model: TFLiteModel,
    first: FirstExamples,
    settings: EvaluatorSettings,
    case: Case,
    properties: ModelProperties,
) -> ShippedFiles:
    """Writes what a push ships beside the model, and returns what the report says of it."""
    blessing = artifact_utils.get_single_uri(output_dict["blessing"])
    uri = posixpath.join(blessing, layout.SHIPPED_DIRECTORY)
    recipe = properties.quantization.shipped_recipe
    with artifact_files.writable(uri) as directory:
        return write_shipped_files(
            directory,
            model,
            first,
            settings,
            case.source.schema,
            case.pair.candidates,
            None if recipe is None else recipe.to_json(),
        )


def _latency_effort(gate: Gate, devices: Sequence[Target]) -> latency.Effort | None:
    """Returns how thoroughly latency is measured on this machine; None if it is not.

    It is if a rule limits it, unless that is about an accelerator, whose compiler estimates it. The
    report alone asks for it if this machine is like one of the devices.
    """
    has_processor = any(device.accelerator is None for device in devices)
    is_judged = any(
        isinstance(rule, LatencyLimit) or (isinstance(rule, LatencyMsLimit) and has_processor)
        for rule in gate.rules
    )
    if is_judged:
        return latency.JUDGED
    return latency.REPORTED if any(device.is_this_machine for device in devices) else None


def _model_properties(
    input_dict: Artifacts, content: bytes, first: FirstExamples, effort: latency.Effort | None
) -> ModelProperties:
    model = artifact_utils.get_single_instance(input_dict["model"])
    with artifact_files.readable(model.uri) as directory:
        return ModelProperties.read(directory, content, first.shapes, effort)


def _check_origin(
    input_dict: Artifacts, settings: EvaluatorSettings, model: ModelProperties
) -> str:
    """Checks that the model is the one that was made, from this very float model and signature.

    Returns:
        The float model's digest.
    """
    with artifact_files.readable(
        artifact_files.float_model_uri(input_dict["baseline_model"])
    ) as directory:
        found = {
            "float model": float_tflite.digest_of(directory),
            "signature": settings.signature,
        }
    made = model.quantization.digests.get("quantized_model")
    if made not in (None, model.digest):
        artifact = artifact_utils.get_single_instance(input_dict["model"])
        raise ArtifactError(
            f"the quantized model at {artifact_files.stored_at(artifact)} is {model.digest}, but "
            f"{layout.QUANTIZATION_FILE} beside it is of {made}; quantize the model again"
        )
    made_from = {
        "float model": model.quantization.digests.get("float_model"),
        "signature": model.quantization.signature,
    }
    for name, value in made_from.items():
        if value is not None and value != found[name]:
            raise EvaluationError(
                f"the quantized model was made from {name} {value}, but is to be compared with "
                f"{found[name]}; did the float model change in between?"
            )
    return found["float model"]


def _lineage(input_dict: Artifacts) -> dict[str, str]:
    """Returns where what was compared lies, by what it is."""
    names = {"float_model": "baseline_model", "quantized_model": "model", "examples": "examples"}
    return {
        name: artifact_files.stored_at(artifact_utils.get_single_instance(input_dict[key]))
        for name, key in names.items()
    }


def _config_digest(properties: dict[str, object]) -> str:
    """Returns a digest of all that decides the verdict, which images in the report do not."""
    settings = json.loads(str(properties[PROPERTY]))
    settings.pop("show_examples", None)
    deciding = {**properties, PROPERTY: json.dumps(settings, sort_keys=True)}
    names = sorted(deciding.keys() - {layout.PROVENANCE})
    return records_digest(f"{name}={deciding[name]}".encode() for name in names)


def _write_report(output_dict: Artifacts, document: Report) -> None:
    text = document.to_json()
    digest = bytes_digest(text.encode("utf-8"))
    for key in ("evaluation", "blessing"):
        artifact = artifact_utils.get_single_instance(output_dict[key])
        # So that the Pusher knows the report, and by it every file that is shipped, to be this
        # one's, and the command line that it shows what was found.
        artifact.set_string_custom_property(layout.REPORT_DIGEST, digest)
        io_utils.write_string_file(posixpath.join(artifact.uri, layout.REPORT_FILE), text)
    evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
    # Of what was written, in which no figure is infinite.
    html = page.render(Report.parse(text, layout.REPORT_FILE))
    io_utils.write_string_file(posixpath.join(evaluation, layout.PAGE_FILE), html)
    artifact_utils.get_single_instance(output_dict["page"]).write(html)


def _describe(artifact: types.Artifact, result: GateResult) -> None:
    """Records the figures where ML Metadata's and Kubeflow's lists of artifacts show them."""
    artifact.set_string_custom_property(layout.VERDICT, result.verdict.value)
    artifact.set_int_custom_property(layout.EXAMPLES, result.examples)
    # Of several targets it is the first that has the figure, as elsewhere in the report.
    shown: dict[tuple[str, str | None], str | None] = {}
    for rule in result.rules:
        if shown.setdefault((rule.metric, rule.output), rule.target) != rule.target:
            continue
        if rule.slice == OVERALL and rule.against == "float":
            figures = {"float": rule.float_value, "quantized": rule.quantized_value}
            of = "" if rule.output is None else f"{rule.output}_"
            if rule.quantized_release is not None:
                name = f"{rule.metric}_quantized"
                artifact.set_string_custom_property(name, rule.quantized_release)
                continue
            for name, figure in {**figures, "drop": rule.drop}.items():
                if math.isfinite(figure):
                    artifact.set_float_custom_property(f"{of}{rule.metric}_{name}", figure)


def _bless(
    input_dict: Artifacts, output_dict: Artifacts, result: GateResult, document: Report
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
        blessing.set_string_custom_property(property_name, document.digests.get(name) or "")
    name, value = (
        (constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE)
        if result.blessed
        else (constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE)
    )
    io_utils.write_string_file(posixpath.join(blessing.uri, name), "")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    logging.info("The quantized model is %s. %s", result.verdict.value, " ".join(document.reasons))
