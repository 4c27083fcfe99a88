"""Float against quantized model through TFMA: the same batches, metrics, slices, result files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import metrics_for_slice_pb2
from tfx_bsl.tfxio import tfxio

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.quantization_evaluator.gate import (
    OVERALL,
    Direction,
    Gate,
    MetricValues,
    direction_of,
)
from tfx_tflite.components.quantization_evaluator.labels import LabelCheck
from tfx_tflite.components.quantization_evaluator.prediction import (
    FLOAT,
    QUANTIZED,
    ModelPair,
    PredictExtractor,
)

_EXAMPLE_COUNT = "example_count"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        examples: How many examples both models predicted.
        values: Each metric with one number, on each slice.
    """

    examples: int
    values: tuple[MetricValues, ...]


def two_model_config(eval_config: tfma.EvalConfig) -> tfma.EvalConfig:
    """Returns the config for float and quantized model from one for a single model.

    Every metric is named (by its class where its config gives no name), so that gate rules can
    name it; examples are counted; the overall slice is always there.

    Args:
        eval_config: With one model spec (label key, example weight key) or none.

    Raises:
        EvaluationError: There is more than one model spec, or two metrics have one name.
    """
    if len(eval_config.model_specs) > 1:
        raise EvaluationError(
            f"eval_config has {len(eval_config.model_specs)} model_specs, expected at most one"
        )
    config = tfma.EvalConfig()
    config.CopyFrom(eval_config)
    common = eval_config.model_specs[0] if eval_config.model_specs else tfma.ModelSpec()
    del config.model_specs[:]
    for name in (FLOAT, QUANTIZED):
        spec = config.model_specs.add()
        spec.CopyFrom(common)
        spec.name, spec.model_type, spec.is_baseline = name, tfma.TF_GENERIC, name == FLOAT
    _name_metrics(config)
    config.metrics_specs.add().metrics.add(class_name="ExampleCount")
    if not any(not s.feature_keys and not s.feature_values for s in config.slicing_specs):
        config.slicing_specs.insert(0, tfma.SlicingSpec())
    return config


def _name_metrics(config: tfma.EvalConfig) -> None:
    names: set[str] = set()
    for metric in _metrics(config):
        settings = json.loads(metric.config or "{}")
        name = settings.setdefault("name", metric.class_name)
        metric.config = json.dumps(settings)
        if name in names:
            raise EvaluationError(f"two metrics are named {name!r}; give one a config.name")
        names.add(name)


def _metrics(config: tfma.EvalConfig) -> Iterator[tfma.MetricConfig]:
    for spec in config.metrics_specs:
        yield from spec.metrics


def metric_directions(eval_config: tfma.EvalConfig, gate: Gate) -> dict[str, Direction]:
    """Returns which way the metric of each rule is better.

    Args:
        eval_config: As `two_model_config` returns it.
        gate: The rules.

    Raises:
        EvaluationError: A rule's metric is not evaluated, or its direction is not known.
    """
    classes = {
        json.loads(m.config)["name"]: m.class_name for m in _metrics(eval_config) if m.config
    }
    directions: dict[str, Direction] = {}
    for rule in gate.rules:
        if rule.metric not in classes:
            raise EvaluationError(
                f"gate rule names metric {rule.metric!r}, which is not evaluated; evaluated are: "
                f"{listed(classes)}"
            )
        direction = rule.direction or direction_of(classes[rule.metric])
        if direction is None:
            raise EvaluationError(
                f"gate rule for {rule.metric!r}: give its direction, higher_is_better or "
                "lower_is_better"
            )
        directions[rule.metric] = direction
    return directions


def check_metrics(eval_config: tfma.EvalConfig) -> None:
    """Checks that TFMA has every metric and takes its config.

    Args:
        eval_config: As `two_model_config` returns it.

    Raises:
        EvaluationError: It does not.
    """
    for metric in _metrics(eval_config):
        spec = tfma.MetricsSpec(metrics=[metric], model_names=[FLOAT])
        try:
            metric_specs.to_computations([spec], eval_config=eval_config)
        except Exception as error:  # TFMA and Keras raise nearly anything here.
            reason = str(error).splitlines()[0].split(". ")[0]
            raise EvaluationError(
                f"evaluation.metrics: TFMA cannot make {metric.class_name!r} with config "
                f"{metric.config}: {reason}"
            ) from error


class CompareModels(beam.PTransform):
    """Evaluates both models on a PCollection of RecordBatches and writes TFMA's result files.

    Args:
        pair: The models.
        eval_config: As `two_model_config` returns it.
        source: Where the batches are from, for the features' tensor representations.
        has_schema: Whether `source` was made with a schema.
        output_path: The directory of the result files.
    """

    def __init__(
        self,
        pair: ModelPair,
        eval_config: tfma.EvalConfig,
        source: tfxio.TFXIO,
        has_schema: bool,
        output_path: str,
    ):
        super().__init__()
        self._pair = replace(pair, output=pair.resolve_output())
        self._config = eval_config
        self._representations = source.TensorRepresentations() if has_schema else None
        self._output_path = output_path

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Builds the transform."""
        label = self._config.model_specs[0].label_key
        check = LabelCheck.for_metrics(label, (m.class_name for m in _metrics(self._config)))
        extractors = [
            PredictExtractor(self._pair, check),
            tfma.extractors.FeaturesExtractor(
                self._config, tensor_representations=self._representations
            ),
            tfma.extractors.LabelsExtractor(self._config),
            tfma.extractors.ExampleWeightsExtractor(self._config),
            tfma.extractors.UnbatchExtractor(),
            tfma.extractors.SliceKeyExtractor(eval_config=self._config),
        ]
        return batches | tfma.ExtractEvaluateAndWriteResults(
            eval_config=self._config,
            eval_shared_model=[
                _shared_model(FLOAT, self._pair.saved_model),
                _shared_model(QUANTIZED, self._pair.tflite),
            ],
            extractors=extractors,
            output_path=self._output_path,
        )


def _shared_model(name: str, path: str) -> tfma.types.EvalSharedModel:
    # Only a description: the predict extractor loads the models. Without it TFMA would not know
    # that there is a baseline.
    return tfma.types.EvalSharedModel(
        model_path=path, model_name=name, model_type=tfma.TF_GENERIC, is_baseline=name == FLOAT
    )


def load_evaluation(output_path: str) -> Evaluation:
    """Returns the figures in TFMA's result files.

    Args:
        output_path: The directory that `CompareModels` wrote to.
    """
    values: list[MetricValues] = []
    overall = 0
    for record in tfma.load_metrics(output_path):
        name = _slice_name(record.slice_key)
        numbers, examples = _numbers(record)
        overall = examples if name == OVERALL else overall
        for metric in sorted({metric for metric, _ in numbers}):
            pair = [numbers.get((metric, model)) for model in (FLOAT, QUANTIZED)]
            if pair[0] is not None and pair[1] is not None:
                values.append(
                    MetricValues(
                        metric=metric,
                        slice=name,
                        examples=examples,
                        float_value=pair[0],
                        quantized_value=pair[1],
                    )
                )
    return Evaluation(overall, tuple(sorted(values, key=_overall_first)))


def _overall_first(value: MetricValues) -> tuple[bool, str, str]:
    return value.slice != OVERALL, value.slice, value.metric


def _slice_name(key: metrics_for_slice_pb2.SliceKey) -> str:
    parts = []
    for single in key.single_slice_keys:
        value = getattr(single, single.WhichOneof("kind"))
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        parts.append(f"{single.column}:{text}")
    return ", ".join(parts) or OVERALL


def _numbers(
    record: metrics_for_slice_pb2.MetricsForSlice,
) -> tuple[dict[tuple[str, str], float], int]:
    """Returns the single numbers by (metric, model), and how many examples the slice has."""
    numbers: dict[tuple[str, str], float] = {}
    examples = 0
    for item in record.metric_keys_and_values:
        if item.key.is_diff or item.value.WhichOneof("type") != "double_value":
            continue
        value = item.value.double_value.value
        if item.key.name == _EXAMPLE_COUNT:
            examples = int(value)
        elif not item.key.HasField("sub_key"):
            numbers[item.key.name, item.key.model_name] = value
    return numbers, examples
