"""What the schema says of labels, checked before the first example is read."""

import math
from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.judgement.metrics.catalog import LabelKind
from tfx_tflite.components.judgement.metrics.label_kinds import unknown
from tfx_tflite.components.judgement.metrics.labels import LabelCheck


def check_schema(checks: Sequence[LabelCheck], schema: bytes | None) -> None:
    """Checks labels against outputs as far as schema and signature know their shapes.

    What they do not know, the first batch shows.

    Args:
        checks: The outputs that are judged, and how their labels are used.
        schema: The serialized schema of the examples; None if there is none.

    Raises:
        EvaluationError: A label does not fit its output for a metric, or holds strings for which
            there is no vocabulary.
    """
    known = schema_pb2.Schema.FromString(schema or b"").feature
    features = {feature.name: feature for feature in known}
    for check in checks:
        _check_vocabulary(check)
        feature = features.get(check.judged.target.label or "")
        if feature is not None:
            _check_feature(check, feature)


def _check_vocabulary(check: LabelCheck) -> None:
    entries, shape = check.judged.target.vocabulary, check.judged.example_shape
    if not entries or not shape or shape[-1] in (None, 1):
        return
    classes = int(shape[-1] or 0)
    takes_indices = any(
        metric.label in (LabelKind.CLASS_INDEX, LabelKind.ONE_CLASS) for metric in check.metrics
    )
    if takes_indices and len(entries) != classes:
        raise EvaluationError(
            f"evaluation.vocabulary has {len(entries)} entries, but output "
            f"{check.judged.spec.name!r} has {classes} classes; list one a class, in their order"
        )


def _check_feature(check: LabelCheck, feature: schema_pb2.Feature) -> None:
    target = check.judged.target
    if feature.type == schema_pb2.BYTES and not target.vocabulary:
        raise EvaluationError(
            f"label {target.label!r} holds strings, expected numbers; list the strings in the "
            "order of the classes as evaluation.vocabulary"
        )
    shape, count = check.judged.example_shape, _count(feature)
    if count is not None and shape is not None and not unknown(shape):
        check.of_shapes(count, tuple(int(size or 0) for size in shape))


def _count(feature: schema_pb2.Feature) -> int | None:
    """Returns how many values a feature has in each example; None if that is not said."""
    if feature.HasField("shape"):
        return math.prod(dimension.size for dimension in feature.shape.dim)
    known = feature.value_count
    return int(known.min) if known.min and known.min == known.max else None
