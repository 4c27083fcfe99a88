"""The gate's verdict in TFMA's own words, so that `tfma.load_validation_result` reads it."""

import posixpath
from collections.abc import Mapping

import tensorflow as tf
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from tfx_tflite.components.judgement.case import Case, Judgement
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.judgement.metrics.catalog import Direction
from tfx_tflite.components.judgement.prediction import QUANTIZED
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict

# Where TFMA's own writer puts the record.
FILE_NAME = "validations-00000-of-00001.tfrecord"


def write_validation(case: Case, judgement: Judgement) -> None:
    """Writes the verdict among an evaluation's result files.

    Args:
        case: What was judged.
        judgement: The verdict.
    """
    result, slices = judgement.result, judgement.evaluation.comparison.slices_by_name
    found = validation_result_pb2.ValidationResult(validation_ok=result.blessed)
    failed: dict[str, list[validation_result_pb2.ValidationFailure]] = {}
    groups = judgement.evaluation.groups
    known = result.examples if groups is None else groups.count
    if known < case.gate.min_examples:
        what = "examples" if groups is None else f"groups of {groups.by}"
        failed[OVERALL] = [_too_few(case.gate, known, what)]
    for rule in result.rules:
        if rule.verdict in (Verdict.REFUSED, Verdict.UNDECIDED):
            failed.setdefault(rule.slice, []).append(_failure(rule, judgement.directions))
    for name, failures in failed.items():
        found.metric_validations_per_slice.add(
            slice_key=slicer_lib.serialize_slice_key(slices.get(name, ())), failures=failures
        )
    path = posixpath.join(case.output_path, FILE_NAME)
    with any_place.written_file(path) as here, tf.io.TFRecordWriter(here) as writer:
        writer.write(found.SerializeToString(deterministic=True))


def _too_few(gate: Gate, known: int, what: str) -> validation_result_pb2.ValidationFailure:
    return validation_result_pb2.ValidationFailure(
        metric_key=metrics_for_slice_pb2.MetricKey(name="example_count", model_name=QUANTIZED),
        metric_value=_number(known),
        metric_threshold=config_pb2.MetricThreshold(
            value_threshold=config_pb2.GenericValueThreshold(
                lower_bound={"value": gate.min_examples}
            )
        ),
        message=f"{known} {what} are too few to judge",
    )


def _failure(
    rule: RuleResult, directions: Mapping[str, Direction]
) -> validation_result_pb2.ValidationFailure:
    is_change = rule.limit is None
    value = rule.quantized_value - (rule.float_value if is_change else 0)
    threshold = (
        _change_threshold(rule, directions[rule.metric]) if is_change else _value_threshold(rule)
    )
    return validation_result_pb2.ValidationFailure(
        metric_key=metrics_for_slice_pb2.MetricKey(
            name=rule.metric,
            model_name=QUANTIZED,
            output_name=rule.output or "",
            is_diff=is_change,
        ),
        metric_value=_number(value),
        metric_threshold=threshold,
        message=rule.reason,
    )


def _number(value: float) -> metrics_for_slice_pb2.MetricValue:
    return metrics_for_slice_pb2.MetricValue(double_value={"value": value})


def _change_threshold(rule: RuleResult, direction: Direction) -> config_pb2.MetricThreshold:
    # A change is quantized less float, a drop how much worse that is.
    change, name = (
        (-rule.bound, "HIGHER_IS_BETTER")
        if direction == "higher_is_better"
        else (rule.bound, "LOWER_IS_BETTER")
    )
    return config_pb2.MetricThreshold(
        change_threshold=config_pb2.GenericChangeThreshold(
            absolute={"value": change}, direction=config_pb2.MetricDirection.Value(name)
        )
    )


def _value_threshold(rule: RuleResult) -> config_pb2.MetricThreshold:
    bound = "lower_bound" if rule.side == "at least" else "upper_bound"
    return config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(**{bound: {"value": rule.limit}})
    )
