"""The QuantizationEvaluator component: what it takes and gives."""

from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.judgement.eval_config import (
    check_metrics,
    metric_directions,
    two_model_config,
)
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.judgement.metrics.targets import Target, targets_to_json
from tfx_tflite.components.quantization_evaluator import executor
from tfx_tflite.components.report.kubeflow_artifacts import Figures, ReportPage
from tfx_tflite.components.versions import code_version


class QuantizationEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `QuantizationEvaluator`."""

    PARAMETERS = {
        "versions": ExecutionParameter(type=str),
        "eval_config": ExecutionParameter(type=tfma.EvalConfig),
        "gate": ExecutionParameter(type=str),
        "split": ExecutionParameter(type=str),
        "signature": ExecutionParameter(type=str),
        "preprocessing_signature": ExecutionParameter(type=str, optional=True),
        "output": ExecutionParameter(type=str, optional=True),
        "targets": ExecutionParameter(type=str, optional=True),
        "golden_samples": ExecutionParameter(type=int),
        "pushed_destination": ExecutionParameter(type=str, optional=True),
        "pushed_version": ExecutionParameter(type=int, optional=True),
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
        gate: The rules that the quantized model must satisfy.
        split: The split to evaluate on.
        signature: The signature that was converted.
        preprocessing_signature: As given to TFLiteQuantizer.
        output: Which output to evaluate; None where there is one, or where `targets` name it.
        targets: What each output is compared with, where a model spec cannot say it: a label that
            is a model input, or strings with a vocabulary. None takes what the model spec says.
        golden_samples: How many examples of the split a push ships beside the model, with the
            outputs that the model gave for them.
        pushed_destination: Where the model was pushed to that rules with `against: pushed` compare
            with; its current version is read when the component runs.
        pushed_version: Which version that must be, 0 for none; None takes whichever it is. It is
            part of what TFX's cache goes by, so that an evaluation against another version is not
            taken for this one.

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
        eval_config: tfma.EvalConfig,
        gate: Gate,
        schema: types.BaseChannel | None = None,
        split: str = "eval",
        signature: str = "serving_default",
        preprocessing_signature: str | None = None,
        output: str | None = None,
        targets: Sequence[Target] | None = None,
        golden_samples: int = 8,
        pushed_destination: str | None = None,
        pushed_version: int | None = None,
    ):
        if gate.against("pushed") and pushed_destination is None:
            raise ConfigError("a rule is against: pushed, which needs pushed_destination")
        compared = two_model_config(eval_config)
        check_metrics(compared)
        metric_directions(compared, gate)
        super().__init__(
            QuantizationEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                eval_config=eval_config,
                gate=gate.model_dump_json(),
                split=split,
                signature=signature,
                preprocessing_signature=preprocessing_signature,
                output=output,
                targets=None if targets is None else targets_to_json(targets),
                golden_samples=golden_samples,
                pushed_destination=pushed_destination,
                pushed_version=pushed_version,
                versions=code_version(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                page=types.Channel(type=ReportPage),
                figures=types.Channel(type=Figures),
            )
        )
