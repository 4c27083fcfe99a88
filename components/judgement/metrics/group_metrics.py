"""Which metrics can be had of the scores of whole groups, such as files.

Nothing but pydantic is imported here, because configs are checked with it.
"""

from collections.abc import Mapping

from tfx_tflite.components.judgement.metrics.catalog import Judging, row_of
from tfx_tflite.components.judgement.metrics.targets import Aggregate

# They compare scores with each other, so that scores may be of any size.
AREAS = ("AUC", "AUCPrecisionRecall")


def is_of_groups(class_name: str, settings: Mapping[str, object], aggregate: Aggregate) -> bool:
    """Returns whether a metric can be had of groups' scores.

    Args:
        class_name: Its class.
        settings: Its arguments.
        aggregate: How the scores come about.
    """
    if settings.get("class_id") is not None or settings.get("top_k") is not None:
        return False
    if class_name in AREAS:
        return True
    is_of_scores = row_of(class_name).judging in (Judging.SCORES, Judging.SHARE)
    return is_of_scores and not aggregate.is_error


def metrics_of_groups(aggregate: Aggregate) -> str:
    """Returns in words which metrics can be had of groups' scores."""
    if aggregate.is_error:
        return f"an error has no threshold, so only {' and '.join(AREAS)} are, without class_id"
    return (
        "those are that TFMA makes of one score, such as AUC, Recall and F1Score, without class_id"
    )
