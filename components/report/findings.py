"""Operators that a target does not run, put together if they have one reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from tfx_tflite.components.models.target_facts import OperatorFinding
from tfx_tflite.components.report.wording import clip, count

# So many operators of one reason are named.
_MOST_NAMED = 6


@dataclass(frozen=True)
class Reason:
    """Why a target does not run some operators.

    Attributes:
        operators: Which, as text; empty if it is none of them.
        reason: Why.
        advice: What to change; empty if that is not known.
    """

    operators: str
    reason: str
    advice: str


def by_reason(findings: Sequence[OperatorFinding]) -> list[Reason]:
    """Returns the reasons in the order in which they first occur, each once.

    Args:
        findings: The operators.
    """
    named: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        named.setdefault((finding.reason, finding.advice), []).append(_name(finding))
    return [
        Reason(_together(list(filter(None, names))), reason, advice)
        for (reason, advice), names in named.items()
    ]


def _name(finding: OperatorFinding) -> str:
    number = f" {finding.operator}" if finding.operator is not None else ""
    layer = f" ({clip(finding.layer, 60)})" if finding.layer else ""
    return f"{finding.name}{number}{layer}" if finding.name else ""


def _together(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {count(more)} more" if more > 0 else "")
