"""The QuantizationEvaluator component: what it takes and gives."""

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.artifact_layout import PROVENANCE
from tfx_tflite.components.judgement.eval_config import (
    check_metrics,
    metric_directions,
    two_model_config,
)
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.quantization_evaluator import executor
from tfx_tflite.components.report.document import Provenance
from tfx_tflite.components.report.kubeflow_artifacts import Figures, ReportPage
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.components.versions import code_version


class QuantizationEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `QuantizationEvaluator`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        "eval_config": ExecutionParameter(type=config_pb2.EvalConfig),
        PROPERTY: ExecutionParameter(type=str),
        PROVENANCE: ExecutionParameter(type=str, optional=True),
    }
    # The keys are those of TFX's Evaluator, whose place this component takes.
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = {
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "page": ChannelParameter(type=ReportPage),
        "figures": ChannelParameter(type=Figures),
    }


class QuantizationEvaluator(base_beam_component.BaseBeamComponent):
    """Compares a quantized model with the float model it was made from, and judges it by a gate.

    Component `outputs` contains:
        - `evaluation`: `ModelEvaluation` in TFMA's own format (`tfma.load_eval_result` and
          `tfma.load_validation_result` read it), with `report.json` and `report.html` beside; the
          verdict and the overall figures of the rules are custom properties.
        - `blessing`: `ModelBlessing` with the custom properties of TFX's Evaluator (`blessed`,
          `current_model`, `current_model_id`, …), `model_digest`: a blessing is for those
          bytes alone, and `report_digest`; what a push ships beside the model is in `shipped/`.
        - `page` and `figures`: the report and the rules' figures once more, as the artifact types
          that Kubeflow shows on its own pages; there the containers' command must be
          `python -m tfx_tflite.pipelines.kubeflow.entry_point`.

    Args:
        examples: The `Examples` to evaluate on.
        model: The `Model` with the quantized model.
        baseline_model: The `Model` with the float SavedModel.
        schema: The `Schema` of the examples.
        eval_config: Metrics, slices, and one model spec with the label key. Where several outputs
            are judged, each metrics spec has output_names, and the model spec label_keys by output.
        provenance: Which pipeline, config and command line ask for it, for the report. It decides
            nothing, and the runners of `tfx_tflite.pipelines` keep it out of the cache's keys.
        settings: What is judged, and by which gate.
        **options: The fields of `EvaluatorSettings`, instead of `settings`: `gate`, `split`,
            `signature`, `preprocessing_signature`, `output`, `targets`, `golden_samples`,
            `pushed_destination`, `pushed_version`, `pushed_trust`.

    Raises:
        EvaluationError: TFMA does not have a metric, or the gate does not go with them.
        ConfigError: A rule is against the pushed model and no destination is given.
    """

    SPEC_CLASS = QuantizationEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        eval_config: config_pb2.EvalConfig,
        schema: types.BaseChannel | None = None,
        provenance: Provenance | None = None,
        settings: EvaluatorSettings | None = None,
        **options: object,
    ):
        settings = EvaluatorSettings.given(settings, options)
        compared = two_model_config(eval_config)
        check_metrics(compared)
        metric_directions(compared, settings.gate)
        super().__init__(
            QuantizationEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                eval_config=eval_config,
                settings=settings.to_property(),
                provenance=None if provenance is None else provenance.model_dump_json(),
                versions=code_version(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                page=types.Channel(type=ReportPage),
                figures=types.Channel(type=Figures),
            )
        )
