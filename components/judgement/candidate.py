"""The quantized model on a target: which kernels run it, and which rules that decides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfx_tflite.components.judgement.gate import (
    AcceleratedLimit,
    ArenaBytesLimit,
    Gate,
    GateRule,
    LatencyMsLimit,
    MetricRule,
    OutputLimit,
)
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.judgement.looks import merged
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Target
from tfx_tflite.components.verdict import RuleResult, Verdict
from tfx_tflite.components.versions import Kernels

# What a rule has whose figures would be those of other kernels than the target's; these are not.
_OF_NO_ANSWERS = {each.figure for each in (ArenaBytesLimit, LatencyMsLimit, AcceleratedLimit)}
_NO_FIGURES = {
    "quantized_value": math.nan,
    "drop": math.nan,
    **dict.fromkeys(("lower", "upper", "method", "more_examples")),
}
# What depends on the target; limits of other figures are judged once.
_OF_A_TARGET = (MetricRule, OutputLimit, ArenaBytesLimit, LatencyMsLimit, AcceleratedLimit)


@dataclass(frozen=True)
class Candidate:
    """The quantized model with the kernels of one target.

    Attributes:
        place: The target's place among the targets.
        name: The target's name; empty if the config names none.
        kernels: Those that run it; None for those that LiteRT takes by itself.
        is_accelerated: Whether the target has an accelerator.
        problem: Why the target does not run the model; empty if it does. The answers are those of
            this machine's default kernels then, and no rule is judged by them.
    """

    place: int = 0
    name: str = ""
    kernels: Kernels | None = None
    is_accelerated: bool = False
    problem: str = ""

    def key(self, model: str) -> str:
        """Returns what a model's predictions on this target are called: `quantized`, for example.

        Args:
            model: What they are called on the first target.
        """
        return f"{model} (on {self.name})" if self.place else model

    def gate(self, gate: Gate) -> Gate:
        """Returns the part of a gate that is judged on this target; it may have no rules."""
        rules = tuple(rule for rule in gate.rules if self._decides(rule))
        # That there are too few examples is said once.
        few = {"min_examples": 1} if self.place else {}
        return gate.model_copy(update={"rules": rules, **few})

    def _decides(self, rule: GateRule) -> bool:
        if isinstance(rule, AcceleratedLimit):
            return self.is_accelerated
        return self.place == 0 or isinstance(rule, _OF_A_TARGET)

    def result(self, gate: Gate, found: GateResult) -> GateResult:
        """Returns a verdict as one of this target.

        Args:
            gate: The part of the gate that was judged; see `gate`.
            found: The verdict.
        """
        if not self.name:
            return found
        own = {_figure(rule) for rule in gate.rules if isinstance(rule, _OF_A_TARGET)}
        rules = tuple(self._named(rule) if rule.metric in own else rule for rule in found.rules)
        if not self.problem:
            return found.model_copy(update={"rules": rules})
        judged_by_others = {rule.reason for rule in found.rules if rule.metric in own}
        others = (reason for reason in found.reasons if reason not in judged_by_others)
        return GateResult(
            verdict=Verdict.REFUSED,
            examples=found.examples,
            rules=rules,
            reasons=(self.problem, *others),
            tests=found.tests,
        )

    def _named(self, rule: RuleResult) -> RuleResult:
        named = rule.model_copy(update={"target": self.name})
        if not self.problem:
            return named
        reason = f"{self.name} does not run the model"
        figures = {} if rule.metric in _OF_NO_ANSWERS else _NO_FIGURES
        return named.model_copy(update={**figures, "verdict": Verdict.NOT_JUDGED, "reason": reason})


# Where the config names no target.
FIRST = Candidate()


def candidates_on(
    devices: Sequence[Target], default: Kernels, problems: Sequence[str]
) -> tuple[Candidate, ...]:
    """Returns the quantized model on each target, with the kernels that run it there.

    Args:
        devices: The targets.
        default: This machine's default kernels, which also stand in for those of a target that does
            not run the model.
        problems: Why each does not run the model; empty if it does.
    """
    is_named = tuple(devices) != DEFAULT_TARGETS
    return tuple(
        Candidate(
            place=place,
            name=device.name if is_named else "",
            kernels=default if problem else device.judging_kernels or default,
            is_accelerated=device.accelerator is not None,
            problem=problem if is_named else "",
        )
        for place, (device, problem) in enumerate(zip(devices, problems, strict=True))
    )


def _figure(rule: GateRule) -> str:
    return rule.metric if isinstance(rule, MetricRule) else rule.figure


def together(results: Sequence[tuple[Candidate, GateResult]]) -> GateResult:
    """Returns the verdict of all targets: each rule must hold on each.

    Args:
        results: The verdict on each target.
    """
    reasons: list[str] = []
    for candidate, result in results:
        note = f" (on {candidate.name})" if len(results) > 1 and candidate.name else ""
        of_target = {rule.reason for rule in result.rules if rule.target is not None}
        for reason in result.reasons:
            reasons.append(f"{reason}{note}" if reason in of_target else reason)
    return GateResult(
        verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
        examples=results[0][1].examples,
        rules=tuple(rule for _, result in results for rule in result.rules),
        reasons=tuple(reasons),
        tests=merged(test for _, result in results for test in result.tests),
    )
