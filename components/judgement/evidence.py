"""How sure the drops of an evaluation are: the gate's questions, answered from the sums."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tfx_tflite.components.judgement.evaluation import Evaluation
from tfx_tflite.components.judgement.gate import MetricRule
from tfx_tflite.components.judgement.judging import Measured, ModelFigures
from tfx_tflite.components.judgement.metrics.batched_metrics import MeanMetric
from tfx_tflite.components.judgement.metrics.groups import GroupTotals
from tfx_tflite.components.judgement.metrics.metric_sums import MetricSums, WeightedSums
from tfx_tflite.components.judgement.metrics.score_metrics import ScoreMetric
from tfx_tflite.components.judgement.metrics.slices import SliceKey
from tfx_tflite.components.judgement.statistics import group_tests, value_tests
from tfx_tflite.components.judgement.statistics.group_tests import GroupSums
from tfx_tflite.components.judgement.statistics.paired_tests import (
    DropInterval,
    area_grain,
    binary_interval,
    bootstrap_interval,
    mean_interval,
)
from tfx_tflite.components.judgement.statistics.resampling import ScoreEvidence
from tfx_tflite.components.verdict import MetricValues


@dataclass(frozen=True)
class ComparisonEvidence:
    """What a comparison says beyond the metrics' values.

    Attributes:
        evaluation: The figures and the sums behind them.
        of_model: Figures that belong to the model and not to its answers, by what the gate calls
            them: what it costs as a multiple of the float model, and which runtime it needs. None
            if one is not known.
    """

    evaluation: Evaluation
    of_model: ModelFigures

    def figure(self, name: str, output: str | None) -> float | Measured | None:
        """Returns a figure of the model as a whole; see `judging.Evidence`."""
        if name in self.of_model:
            return self.of_model[name]
        outputs = self.evaluation.output(output).comparison.outputs
        has_no_noise = outputs.examples and not outputs.noise
        figures = {
            "agreement": outputs.agreement,
            "kl_divergence": outputs.kl_divergence,
            "mean_absolute_difference": outputs.mean_absolute_difference,
            "sqnr_db": math.inf if has_no_noise else outputs.sqnr_db,
        }
        return figures[name]

    @property
    def output_keys(self) -> Sequence[str | None]:
        """The names of the outputs that are judged; see `judging.Evidence`."""
        return [output.key for output in self.evaluation.outputs]

    def has_no_figure(self, value: MetricValues) -> bool:
        """Returns whether a slice lacks what a metric counts; see `judging.Evidence`."""
        output = self.evaluation.output(value.output)
        # Of counts only the lack of a class makes no number, or that of any weight.
        counted = isinstance(output.batched.get(value.metric), ScoreMetric)
        key = self._slices[value.slice]
        lacks = counted or not output.comparison.weight_of(key, value.metric)
        return lacks and math.isnan(value.float_value) and math.isnan(value.quantized_value)

    def interval(self, rule: MetricRule, value: MetricValues, sign: int) -> DropInterval:
        """Returns how sure the drop of a metric on a slice is; see `judging.Evidence`."""
        assert rule.confidence is not None
        if rule.limit is not None:
            return self._of_value(rule, value, sign).less(-sign * rule.reference(value.float_value))
        output = self.evaluation.output(value.output)
        metric = output.batched[value.metric]
        margin = rule.allowed_drop(value.float_value)
        if isinstance(metric, ScoreMetric):
            return self._of_scores(metric, rule, value, sign, margin)
        key = self._slices[value.slice]
        sums = output.comparison.sums(key, value.metric)
        if self.evaluation.groups is not None:
            totals = output.comparison.group_totals[key, value.metric]
            return _of_groups(metric, sums, totals, rule, sign, margin)
        if metric.is_correctness and isinstance(sums, MetricSums) and sums.counts_changes:
            changes = (sums.worse, sums.better)
            return _of_share(sums.examples, changes, sign, margin, rule.confidence)
        moments = sums.moments(sign)
        relative = rule.max_relative_drop
        moments = moments.of_roots() if metric.is_root else moments
        # Of an example that is right in parts, what is missing to 1 is its loss.
        best = 1.0 if metric.is_share and not metric.is_correctness and sign > 0 else 0.0
        return mean_interval(
            moments,
            0.0 if relative is not None else margin,
            rule.confidence,
            relative,
            typical=moments.typical(best) or None,
        )

    @cached_property
    def _slices(self) -> dict[str, SliceKey]:
        return self.evaluation.comparison.slices_by_name

    def _of_value(self, rule: MetricRule, value: MetricValues, sign: int) -> DropInterval:
        """Returns how sure the quantized model's own value is, as a drop from 0."""
        assert rule.confidence is not None and rule.limit is not None
        limit, confidence = rule.limit, rule.confidence
        output = self.evaluation.output(value.output)
        metric = output.batched[value.metric]
        if isinstance(metric, ScoreMetric):
            evidence = output.score_evidence[value.metric, value.slice]
            if evidence.by_group is not None and output.plan.has_weights:
                groups = _group_sums(evidence.by_group)
                return group_tests.own_mean_interval(groups, sign, limit, confidence, best=1.0)
            return _of_own_scores(metric, evidence, value, rule, sign)
        key = self._slices[value.slice]
        sums = output.comparison.sums(key, value.metric)
        if self.evaluation.groups is not None:
            totals = output.comparison.group_totals[key, value.metric]
            return _of_own_groups(metric, sums, totals, rule, sign)
        if metric.is_correctness and isinstance(sums, MetricSums) and sums.counts_successes:
            return _of_own_share(sums.examples, int(sums.q), sign, limit, confidence)
        moments = sums.own_moments()
        if metric.is_share:
            return value_tests.mean_of_shares_interval(
                moments, sums.effective, sign, _share(limit), confidence, metric.is_correctness
            )
        return value_tests.mean_interval(moments, sign, limit, confidence, metric.is_root)

    def _of_scores(
        self, metric: ScoreMetric, rule: MetricRule, value: MetricValues, sign: int, margin: float
    ) -> DropInterval:
        assert rule.confidence is not None
        output = self.evaluation.output(value.output)
        evidence = output.score_evidence[value.metric, value.slice]
        if evidence.share is not None:
            examples, lost, won = evidence.share
            if evidence.by_group is not None:
                changes = None if output.plan.has_weights else (lost, won)
                return _of_group_share(_group_sums(evidence.by_group), changes, rule, sign, margin)
            return _of_share(examples, (lost, won), sign, margin, rule.confidence)
        before, after = evidence.replicates
        rarer = _rarer(evidence)
        step = 0.0 if metric.area is None else area_grain(value.quantized_value, rarer[1])
        found = bootstrap_interval(
            sign * (value.float_value - value.quantized_value),
            sign * (before - after),
            0.0 if rule.max_drop is None else rule.max_drop,
            rule.confidence,
            examples=value.examples if evidence.groups is None else evidence.groups,
            relative=rule.max_relative_drop,
            float_value=value.float_value,
            float_replicates=before,
            grain=max(evidence.grain, step),
            units=rarer[1],
        )
        return _of_whole_groups(replace(found, rarer=rarer), evidence)


def _of_whole_groups(found: DropInterval, evidence: ScoreEvidence) -> DropInterval:
    """Returns an interval that says what its replicates drew."""
    if evidence.groups is None:
        return found
    return replace(found, unit="groups", method=f"{found.method}, of whole groups")


def _group_sums(totals: GroupTotals) -> GroupSums:
    return GroupSums(totals.sizes, totals.f, totals.q)


def _have_places(totals: GroupTotals) -> bool:
    """Returns whether no value was too large for the sums of groups; see `FixedPoint`."""
    return bool(np.isfinite([totals.sizes, totals.f, totals.q]).all())


def _of_groups(
    metric: MeanMetric,
    sums: MetricSums | WeightedSums,
    totals: GroupTotals,
    rule: MetricRule,
    sign: int,
    margin: float,
) -> DropInterval:
    """Returns how sure the drop of a mean over examples in groups is.

    Args:
        metric: The metric.
        sums: Over all examples.
        totals: Over those of each group.
        rule: The rule.
        sign: 1 if higher is better, else -1.
        margin: The largest drop allowed.
    """
    assert rule.confidence is not None
    if not _have_places(totals):
        return replace(_NOTHING, unit="groups", examples=len(totals.sizes))
    groups, relative = _group_sums(totals), rule.max_relative_drop
    if metric.is_share:
        changes = None
        if metric.is_correctness and isinstance(sums, MetricSums) and sums.counts_changes:
            changes = (sums.worse, sums.better)
        return _of_group_share(groups, changes, rule, sign, margin)
    return group_tests.mean_interval(
        groups,
        sign,
        0.0 if relative is not None else margin,
        rule.confidence,
        relative,
        metric.is_root,
    )


def _of_group_share(
    groups: GroupSums,
    changes: tuple[float, float] | None,
    rule: MetricRule,
    sign: int,
    margin: float,
) -> DropInterval:
    """Returns how sure the drop of a share of examples in groups is.

    Args:
        groups: The sums of the groups.
        changes: On how many examples the quantized model's value is lower, and on how many it is
            higher; None if these do not change as a whole, or count differently.
        rule: The rule.
        sign: 1 if a higher share is better, else -1.
        margin: The largest drop allowed.
    """
    assert rule.confidence is not None
    if changes is not None:
        worse, better = (int(count) for count in changes[::sign])
        return group_tests.share_interval(
            groups, worse, better, sign, min(margin, 1.0), rule.confidence
        )
    relative = rule.max_relative_drop
    allowed = 0.0 if relative is not None else margin
    return group_tests.mean_interval(groups, sign, allowed, rule.confidence, relative, best=1.0)


def _of_own_groups(
    metric: MeanMetric,
    sums: MetricSums | WeightedSums,
    totals: GroupTotals,
    rule: MetricRule,
    sign: int,
) -> DropInterval:
    """Returns how sure the quantized model's mean is over examples in groups; as `_of_groups`."""
    assert rule.confidence is not None and rule.limit is not None
    if not _have_places(totals):
        return replace(_NOTHING, unit="groups", examples=len(totals.sizes))
    groups = _group_sums(totals)
    if metric.is_correctness and isinstance(sums, MetricSums) and sums.counts_successes:
        return group_tests.own_share_interval(
            groups, int(sums.q), sign, _share(rule.limit), rule.confidence
        )
    best = 1.0 if metric.is_share else None
    return group_tests.own_mean_interval(
        groups, sign, rule.limit, rule.confidence, metric.is_root, best=best
    )


def _of_share(
    examples: int, changes: tuple[float, float], sign: int, margin: float, confidence: float
) -> DropInterval:
    """Returns the interval of a share of examples.

    Args:
        examples: The number of examples.
        changes: How many only the float model counts, and how many only the quantized model.
        sign: 1 if a higher share is better, else -1.
        margin: The largest drop allowed.
        confidence: The confidence of each bound.
    """
    if not examples:
        return _NOTHING
    worse, better = (int(count) for count in changes[::sign])
    return binary_interval(examples, worse, better, min(margin, 1.0), confidence)


def _of_own_share(
    examples: int, counted: int, sign: int, limit: float, confidence: float
) -> DropInterval:
    """Returns how sure the quantized model's share of examples is, as a drop from 0."""
    if not examples:
        return _NOTHING
    return value_tests.share_interval(examples, counted, sign, _share(limit), confidence)


def _share(limit: float) -> float:
    """Returns a limit as a share; one that always holds is as good as the end of the range."""
    return min(max(limit, 0.0), 1.0)


def _of_own_scores(
    metric: ScoreMetric, evidence: ScoreEvidence, value: MetricValues, rule: MetricRule, sign: int
) -> DropInterval:
    """Returns how sure the quantized model's metric of scores is, as a drop from 0."""
    assert rule.confidence is not None and rule.limit is not None
    limit, confidence, found = rule.limit, rule.confidence, value.quantized_value
    if evidence.share is not None:
        examples, _, _ = evidence.share
        if evidence.by_group is not None:
            return group_tests.own_share_interval(
                _group_sums(evidence.by_group), evidence.counted, sign, _share(limit), confidence
            )
        return _of_own_share(examples, evidence.counted, sign, limit, confidence)
    _, replicates = evidence.replicates
    negatives, positives = evidence.classes
    count = value.examples if evidence.groups is None else evidence.groups
    if metric.area == "ROC" and sign > 0:
        # This test allows for few examples of a class itself.
        area = value_tests.area_interval(
            found,
            replicates,
            limit,
            confidence,
            examples=count,
            negatives=negatives,
            positives=positives,
        )
        return _of_whole_groups(area, evidence)
    # One positive that ranks last takes about its share of the area under precision and recall.
    least = 1 / positives if metric.area == "PR" and positives else 0.0
    grain = max(evidence.grain, least)
    interval = value_tests.score_interval(
        found, replicates, sign, limit, confidence, examples=count, grain=grain
    )
    return _of_whole_groups(replace(interval, rarer=_rarer(evidence)), evidence)


def _rarer(evidence: ScoreEvidence) -> tuple[int, float]:
    """Returns the class that fewer examples are of, and how many are."""
    negatives, positives = evidence.classes
    return (1, positives) if positives <= negatives else (0, negatives)


_NOTHING = DropInterval(math.nan, -math.inf, math.inf, 1.0, 1.0, 0, math.inf, "none")
