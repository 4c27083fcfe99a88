"""The verdict: what the rules of a gate say of a quantized model.

Nothing here needs TensorFlow: it is judged on plain numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tfx_tflite.components.documents import Part
from tfx_tflite.components.judgement.gate import (
    Gate,
    LimitRule,
    MetricRule,
    OutputLimit,
    Reference,
    is_within,
)
from tfx_tflite.components.judgement.looks import Look, Looks, RuleTest
from tfx_tflite.components.judgement.metrics.catalog import Direction
from tfx_tflite.components.verdict import OVERALL, MetricValues, RuleResult, Verdict

if TYPE_CHECKING:  # It loads SciPy, which a verdict without a confidence can do without.
    from tfx_tflite.components.judgement.statistics.paired_tests import DropInterval


class GateResult(Part):
    """The verdict of a gate and how it came about.

    Attributes:
        verdict: `blessed` where every rule that was judged holds and enough examples were seen.
        examples: The number of examples that both models were compared on.
        rules: The result of each rule on each of its slices.
        reasons: Why the model was refused, one a line; empty if it was blessed.
        tests: What the tests of the rules with a confidence found, one a rule.
    """

    verdict: Verdict
    examples: int
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]
    tests: tuple[RuleTest, ...] = ()

    @property
    def blessed(self) -> bool:
        """Whether the model may be pushed."""
        return self.verdict is Verdict.BLESSED

    def beside(self, other: "GateResult", note: str) -> "GateResult":
        """Returns this verdict and another one of the same model as one.

        Args:
            other: Of the rules against another reference.
            note: What is said after its reasons.
        """
        reasons = (*self.reasons, *(f"{reason} {note}" for reason in other.reasons))
        noted = (
            rule.model_copy(update={"reason": f"{rule.reason} {note}" if rule.reason else ""})
            for rule in other.rules
        )
        return GateResult(
            verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
            examples=self.examples,
            rules=(*self.rules, *noted),
            reasons=reasons,
            tests=(*self.tests, *other.tests),
        )


@dataclass(frozen=True)
class Measured:
    """A figure of the model as a whole that is another one in each measurement.

    Attributes:
        value: The figure.
        lower: Between what the true one lies.
        upper: The other end.
        confidence: How sure that is.
        method: How the ends were found.
    """

    value: float
    lower: float
    upper: float
    confidence: float
    method: str


# By what the gate calls them; None if one is not known.
ModelFigures = Mapping[str, float | Measured | None]


@dataclass(frozen=True)
class GroupsSeen:
    """The groups that the examples are in.

    Attributes:
        by: The feature whose values they are.
        count: How many there are.
    """

    by: str
    count: int


class Evidence(Protocol):
    """What is known of the two models beyond the metrics' values."""

    def interval(self, rule: MetricRule, value: MetricValues, sign: int) -> "DropInterval":
        """Returns how sure the drop of a metric on a slice is.

        Args:
            rule: A rule with a confidence.
            value: The metric on the slice.
            sign: 1 if higher is better, else -1.
        """

    def has_no_figure(self, value: MetricValues) -> bool:
        """Returns whether the examples of a slice leave a metric undefined for both models."""

    def figure(self, name: str, output: str | None) -> float | Measured | None:
        """Returns a figure of the model as a whole, None if it is not known.

        Args:
            name: The `figure` of a `LimitRule`.
            output: The output that it is of, where it is of outputs and they have names.
        """

    @property
    def output_keys(self) -> Sequence[str | None]:
        """The names of the outputs that are judged; None for one whose name is not said."""


def judge(
    gate: Gate,
    values: Sequence[MetricValues],
    examples: int,
    directions: Mapping[str, Direction],
    evidence: Evidence,
    against: Reference = "float",
    looks: Looks | None = None,
    groups: GroupsSeen | None = None,
) -> GateResult:
    """Returns whether a quantized model passes the rules of a gate against one reference.

    A model is blessed if all rules hold on all slices that are judged. With a confidence, the
    probability of blessing a model that breaks any of them is at most 1 - confidence however many
    there are, since all must hold at once (an intersection-union test: Berger 1982, Technometrics
    24:295). A slice is called refused, rather than undecided, with Holm's correction for the
    number of slices, so that a good slice is accused with probability at most 1 - confidence.

    Args:
        gate: The rules.
        values: Each metric on each slice.
        examples: The number of examples that both models were compared on.
        directions: Which way each metric is better.
        evidence: What else is known.
        against: What the quantized model was compared with. Whether there are enough examples is
            judged against the float model alone, so that it is said once.
        looks: The judgements of the model that were made before; None judges each rule at its
            confidence, as if there were none and will be none.
        groups: The groups that the examples are in, which then count where examples would; None if
            each example stands for itself.
    """
    results: list[RuleResult] = []
    tests: list[RuleTest] = []
    reasons: list[str] = []
    counted = _Counted(examples) if groups is None else _Counted(groups.count, groups.by)
    if against == "float" and counted.count < gate.min_examples:
        reasons.append(
            f"{counted} {counted.are} too few to judge; gate.min_examples is {gate.min_examples}"
        )
    for rule in gate.against(against):
        if isinstance(rule, MetricRule):
            by = None if groups is None else groups.by
            found = _judge_metric(rule, gate, values, directions, evidence, looks, by)
            reasons += _why_not_at_all(rule, found)
            tests += _tests(rule, found)
        else:
            found = _judge_limit(rule, examples, evidence)
        results += found
        reasons += [result.reason for result in found if result.verdict in _AGAINST]
    return GateResult(
        verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
        examples=examples,
        rules=tuple(results),
        reasons=tuple(reasons),
        tests=tuple(tests),
    )


@dataclass(frozen=True)
class _Counted:
    """So many examples, or groups of them, as messages say it."""

    count: int
    by: str | None = None

    @classmethod
    def of(cls, value: MetricValues, by: str | None) -> "_Counted":
        """Returns what counts on a slice."""
        return cls(value.examples if value.groups is None else value.groups, by)

    def __str__(self) -> str:
        one, of = ("example", "") if self.by is None else ("group", f" of {self.by}")
        return f"{self.count:,} {one}{'' if self.count == 1 else 's'}{of}"

    @property
    def are(self) -> str:
        """The verb that goes with them."""
        return "is" if self.count == 1 else "are"


_AGAINST = (Verdict.REFUSED, Verdict.UNDECIDED)


def _tests(rule: MetricRule, results: Sequence[RuleResult]) -> list[RuleTest]:
    """Returns what the test of a rule found on all slices; nothing if it was not tested."""
    if rule.confidence is None:
        return []
    judged = [result for result in results if result.verdict is not Verdict.NOT_JUDGED]
    # A figure that is no number is no evidence to bless.
    found = [1.0 if result.p_value is None else result.p_value for result in judged]
    return [RuleTest(rule=rule.identity, alpha=rule.alpha, p_value=max(found, default=1.0))]


def _why_not_at_all(rule: MetricRule, results: Sequence[RuleResult]) -> list[str]:
    if any(result.verdict is not Verdict.NOT_JUDGED for result in results):
        return []
    where = "overall" if rule.slices == "overall" else "on any slice with enough examples"
    return [f"{rule.metric}: there is no figure to judge {where}"]


def _judge_limit(rule: LimitRule, examples: int, evidence: Evidence) -> list[RuleResult]:
    """Returns the results of a limit: one, or one an output if it names none of several."""
    if not isinstance(rule, OutputLimit):
        return [_judge_figure(rule, None, examples, evidence)]
    outputs = evidence.output_keys if rule.output is None else [rule.output]
    return [_judge_figure(rule, output, examples, evidence) for output in outputs]


def _judge_figure(
    rule: LimitRule, output: str | None, examples: int, evidence: Evidence
) -> RuleResult:
    """Returns the result of a limit on one figure, as a drop from what the float model has."""
    figure = evidence.figure(rule.figure, output)
    measured = figure if isinstance(figure, Measured) else None
    found = figure.value if isinstance(figure, Measured) else figure
    verdict, reason = _why_limit_fails(rule, found, measured)
    if reason and output is not None:
        reason = f"output {output}: {reason}"
    # If the float model has no figure, the limit itself is what a drop counts from.
    reference = rule.limit if rule.float_value is None else rule.float_value
    sign = 1 if rule.side == "at least" else -1
    quantized_release, limit_release = rule.releases(found)
    bounds = _drop_bounds(measured, reference, sign)
    return RuleResult(
        metric=rule.figure,
        output=output,
        slice=OVERALL,
        examples=examples,
        float_value=math.nan if rule.float_value is None else rule.float_value,
        quantized_value=math.nan if found is None else found,
        # Plus zero, because JSON would have -0.0 for no difference.
        drop=math.nan if found is None else sign * (reference - found) + 0.0,
        bound=sign * (reference - rule.limit) + 0.0,
        limit=rule.limit,
        side=rule.side,
        quantized_release=quantized_release,
        limit_release=limit_release,
        confidence=measured.confidence if measured else None,
        lower=bounds[0],
        upper=bounds[1],
        method=measured.method if measured else None,
        verdict=verdict,
        reason=reason,
    )


def _drop_bounds(
    measured: Measured | None, reference: float, sign: int
) -> tuple[float, float] | tuple[None, None]:
    """Returns the ends of a measured figure as drops from a reference; None twice without one."""
    if measured is None:
        return None, None
    ends = sorted(sign * (reference - end) for end in (measured.lower, measured.upper))
    return ends[0], ends[1]


def _why_limit_fails(
    rule: LimitRule, found: float | None, measured: Measured | None
) -> tuple[Verdict, str]:
    """Returns the verdict of a limit, and the reason if it does not hold.

    What was measured holds if both ends of its interval do, and is refused if neither does.
    """
    if found is None:
        return Verdict.REFUSED, f"{rule.figure} is not known, so it cannot be judged"
    ends = (measured.lower, measured.upper) if measured else (found, found)
    holding = sum(map(rule.holds, ends))
    if holding == 2:
        return Verdict.BLESSED, ""
    if measured is None:
        return Verdict.REFUSED, rule.why_not(found)
    if not holding:
        return Verdict.REFUSED, f"{rule.why_not(found)}, as measured on this machine"
    return Verdict.UNDECIDED, (
        f"{rule.figure} is undecided: it is {found:.3g}, from {ends[0]:.3g} to {ends[1]:.3g} at "
        f"{measured.confidence:.0%} confidence, and {rule.side} {rule.limit:g} is allowed; measure "
        "again on a quiet machine, or allow more"
    )


def _judge_metric(
    rule: MetricRule,
    gate: Gate,
    values: Sequence[MetricValues],
    directions: Mapping[str, Direction],
    evidence: Evidence,
    looks: Looks | None,
    by: str | None,
) -> list[RuleResult]:
    sign = rule.sign(directions)
    wanted = [
        value
        for value in values
        if value.metric == rule.metric
        and rule.output in (None, value.output)
        and (value.slice == OVERALL) == (rule.slices == "overall")
    ]
    left_out = {v.slice: _why_not_judged(v, gate, evidence, by) for v in wanted}
    judged = [value for value in wanted if not left_out[value.slice]]
    found = {v.slice: _no_number(rule, v, sign) for v in judged if not _is_finite(rule, v)}
    judged = [value for value in judged if value.slice not in found]
    if rule.confidence is None:
        found |= {value.slice: _compare(rule, value, sign) for value in judged}
    else:
        look = Look.only(rule) if looks is None else looks.at(rule)
        found |= _test(rule, judged, sign, evidence, look, gate.min_class_examples, by)
    return [
        found.get(value.slice)
        or _result(rule, value, sign, Verdict.NOT_JUDGED, left_out[value.slice])
        for value in wanted
    ]


def _why_not_judged(value: MetricValues, gate: Gate, evidence: Evidence, by: str | None) -> str:
    """Returns why a slice is only reported; empty if it is judged."""
    if value.slice == OVERALL:
        return ""
    counted = _Counted.of(value, by)
    if counted.count < gate.min_slice_examples:
        return f"{counted}, fewer than gate.min_slice_examples"
    if evidence.has_no_figure(value):
        return f"none of the {value.examples} examples are of a class that {value.metric} needs"
    return ""


def _result(
    rule: MetricRule, value: MetricValues, sign: int, verdict: Verdict, reason: str
) -> RuleResult:
    return RuleResult(
        **dict(value),
        drop=_drop(rule, value, sign),
        bound=rule.allowed_drop(value.float_value),
        limit=rule.limit,
        side=rule.side,
        verdict=verdict,
        reason=reason,
        confidence=rule.confidence,
        against=rule.against,
    )


def _drop(rule: MetricRule, value: MetricValues, sign: int) -> float:
    return sign * (rule.reference(value.float_value) - value.quantized_value)


def _is_finite(rule: MetricRule, value: MetricValues) -> bool:
    """Returns whether there are the figures that a rule compares."""
    is_alone = rule.limit is not None
    return math.isfinite(value.quantized_value) and (is_alone or math.isfinite(value.float_value))


def _no_number(rule: MetricRule, value: MetricValues, sign: int) -> RuleResult:
    """Returns what any rule says of a figure that is no finite number."""
    is_float = rule.limit is None and not math.isfinite(value.float_value)
    reason = (
        f"{_where(value)} of the {'float' if is_float else 'quantized'} model is not a finite "
        f"number, so {'no drop can' if rule.limit is None else 'it cannot'} be judged"
    )
    return _result(rule, value, sign, Verdict.REFUSED, reason)


def _compare(rule: MetricRule, value: MetricValues, sign: int) -> RuleResult:
    """Returns what a rule without confidence says: the figures are compared as they are."""
    drop, bound = _drop(rule, value, sign), rule.allowed_drop(value.float_value)
    compared = (drop, bound)
    if rule.limit is not None:
        # Differences from the float model's value would have its rounding, too.
        found = value.quantized_value
        compared = (rule.limit, found) if rule.side == "at least" else (found, rule.limit)
    reason = "" if is_within(*compared) else _how_far(rule, value, drop, bound)
    return _result(rule, value, sign, Verdict.REFUSED if reason else Verdict.BLESSED, reason)


def _how_far(rule: MetricRule, value: MetricValues, drop: float, bound: float) -> str:
    """Returns by how much a rule does not hold."""
    if rule.limit is None:
        return f"{_where(value)} is worse by {drop:.4g}, more than {bound:.4g}"
    than = "less" if rule.side == "at least" else "more"
    found, limit = _apart(value.quantized_value, rule.limit)
    return f"{_where(value)} is {found}, {than} than {limit}"


def _apart(found: float, limit: float) -> tuple[str, str]:
    """Returns two figures to as many digits as tell them apart, at least 4 if they have so many."""
    for digits in range(4, 17):
        texts = f"{found:.{digits}g}", f"{limit:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _where(value: MetricValues) -> str:
    return f"{value.name} ({value.slice})"


def _test(
    rule: MetricRule,
    values: Sequence[MetricValues],
    sign: int,
    evidence: Evidence,
    look: Look,
    min_class_examples: int,
    by: str | None,
) -> dict[str, RuleResult]:
    """Returns what a rule with a confidence says of each slice."""
    from tfx_tflite.components.judgement.statistics.paired_tests import holm

    at_level = rule.model_copy(update={"confidence": look.confidence})
    intervals = [evidence.interval(at_level, value, sign) for value in values]
    accused = holm([interval.p_refused for interval in intervals], look.level)
    results = {}
    for value, interval, is_accused in zip(values, intervals, accused, strict=True):
        verdict, reason, more = _too_few_of_a_class(value, interval, min_class_examples) or _weigh(
            rule, value, interval, bool(is_accused), look, by
        )
        found = {
            "lower": interval.lower,
            "upper": interval.upper,
            "method": interval.method,
            "p_value": interval.p_blessed,
            "deviation": interval.deviation,
            "changed": interval.changed,
            "carried_by": interval.carried_by if is_carried_by_few(interval.carried_by) else None,
            "look": look.number,
            "level": None if look.number is None else look.level,
            "more_examples": more,
        }
        result = _result(rule, value, sign, verdict, reason)
        results[value.slice] = result.model_copy(update=found)
    return results


def _too_few_of_a_class(
    value: MetricValues, interval: "DropInterval", least: int
) -> tuple[Verdict, str, int] | None:
    """Returns why a metric of two classes is undecided however it looks; None if it is not."""
    if interval.rarer is None or interval.rarer[1] >= least:
        return None
    label, count = interval.rarer
    # So many more have as many of the class as are missing, if its share stays what it is.
    more = math.ceil((least - count) * interval.examples / max(count, 1))
    are = f"{count:,.0f} {interval.unit} are" if count != 1 else f"1 {interval.unit[:-1]} is"
    reason = (
        f"{_where(value)} is undecided: {are} of class {label}, fewer than "
        f"gate.min_class_examples, which is {least}; some {more:,} more {interval.unit} would do"
    )
    return Verdict.UNDECIDED, reason, more


def is_carried_by_few(carried_by: float | None) -> bool:
    """Returns whether so few examples carry a drop that a person should know."""
    return carried_by is not None and carried_by < FEW


# With fewer examples that carry a drop, its test has less than ten degrees of freedom.
FEW = 20


def _weigh(
    rule: MetricRule,
    value: MetricValues,
    interval: "DropInterval",
    is_accused: bool,
    look: Look,
    by: str | None,
) -> tuple[Verdict, str, int | None]:
    """Returns verdict, reason, and how many more examples would settle it."""
    from tfx_tflite.components.judgement.statistics.paired_tests import examples_to_settle

    bound = rule.allowed_drop(value.float_value)
    if interval.p_blessed < look.level:
        return Verdict.BLESSED, "", None
    if is_accused:
        reason = _how_far(rule, value, interval.drop, bound)
        return Verdict.REFUSED, f"{reason} {at_confidence(look)}", None
    # One alone says nothing of how much they differ.
    is_known = interval.examples > 1
    more = examples_to_settle(interval, bound, 1 - look.following) if is_known else None
    counted = _Counted(interval.examples, by)
    reason = (
        f"{_where(value)} is undecided: {_how_sure(rule, value, interval, bound, look)}; "
        f"{counted} {counted.are} too few"
    )
    return (
        Verdict.UNDECIDED,
        reason + (f", some {more:,} more would settle it" if more else ""),
        more,
    )


def at_confidence(look: Look) -> str:
    """Returns how sure a verdict is, and by which look that is asked for."""
    text = f"at {as_percentage(look.confidence, look.level)} confidence"
    return text if look.number is None else f"{text} (look {look.number} at this model)"


def as_percentage(share: float, level: float) -> str:
    """Returns a share to two digits of what it lacks, or has: 95%, 99.17%, 0.83%.

    Args:
        share: The share.
        level: What tells how many digits it takes: the share itself, or one minus it.
    """
    decimals = max(0, 1 - math.floor(math.log10(100 * level)))
    text = f"{100 * share:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if decimals else text) + "%"


def _how_sure(
    rule: MetricRule, value: MetricValues, interval: "DropInterval", bound: float, look: Look
) -> str:
    """Returns what an undecided rule asks for, and what is known."""
    at = at_confidence(look)
    no_bound = "" if math.isfinite(interval.upper) else f"without any bound {at}"
    if rule.limit is None:
        most = no_bound or f"at most {interval.upper:.4g} {at}"
        return f"the drop is {interval.drop:.4g}, {most}, and {bound:.4g} is allowed"
    if no_bound:
        asked = f"{rule.side} {rule.limit:g}"
        return f"it is {value.quantized_value:.4g}, {no_bound}, and {asked} is asked for"
    reference = rule.reference(value.float_value)
    worst = reference - interval.upper if rule.side == "at least" else reference + interval.upper
    sure, limit = _apart(worst, rule.limit)
    return (
        f"it is {value.quantized_value:.4g}, {rule.side} {sure} {at}, and {rule.side} {limit} is "
        "asked for"
    )
