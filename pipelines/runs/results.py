"""What `tfx-tflite run --json` prints where a run came to no verdict."""

from collections.abc import Iterable
from typing import Any


def result_without_verdict(
    status: str, scheme: str | None, reasons: Iterable[str] = ()
) -> dict[str, Any]:
    """Returns the keys that a result with a verdict has, without what only an evaluation gives.

    Args:
        status: `failed` or `nothing_new`.
        scheme: The config's; None where there is no config.
        reasons: Why.
    """
    return {
        "status": status,
        "scheme": scheme,
        "examples": None,
        "rules": [],
        "reasons": list(reasons),
        "size_bytes": {"float": None, "quantized": None},
        "pushed_to": None,
        "report": None,
        "page": None,
        "warnings": [],
    }


class FailedAfterVerdict(Exception):
    """A run that failed when its model was judged already: the push failed.

    Args:
        failure: Why.
        result: What the verdict was, with the keys of a run's result and the status `failed`.
    """

    def __init__(self, failure: Exception, result: dict[str, Any]):
        super().__init__(str(failure))
        self.failure = failure
        self.result = result
