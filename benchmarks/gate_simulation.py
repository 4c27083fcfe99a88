"""How often the gate would push a model that is exactly as bad as is forbidden.

Every data set drawn here has a true drop equal to the margin, so that each blessing is an error;
at 95 % confidence at most 5 % may be. Right-or-wrong metrics are enumerated, so their rates are
exact; the others are simulated, and may exceed 5 % by three Monte-Carlo standard errors. Rows
marked "too few" are the ones where so much of the drop rests on so few examples that the rate is
above 5 %: they are printed, so that nobody need find out, and do not count.

Usage: python benchmarks/gate_simulation.py [--quick]
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc, gammaln, ndtr, ndtri, stdtr, xlog1py, xlogy
from scipy.stats import binom

from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.metric_sums import MetricSums, WeightedSums
from tfx_tflite.components.judgement.metrics.paired_scores import (
    BUCKETS,
    PairedScores,
    ScoreBuckets,
)
from tfx_tflite.components.judgement.metrics.score_metrics import (
    ScoreMetric,
    score_buckets,
    score_metric,
)
from tfx_tflite.components.judgement.statistics.paired_tests import (
    CONTINUITY_CORRECTION,
    PairedMoments,
    binary_interval,
    bootstrap_interval,
    mean_interval,
    score_p_value,
)
from tfx_tflite.components.judgement.statistics.resampling import score_evidence
from tfx_tflite.components.judgement.statistics.value_tests import (
    area_interval,
    mean_of_shares_interval,
    share_interval,
)
from tfx_tflite.components.judgement.statistics.value_tests import (
    mean_interval as mean_value_interval,
)

CONFIDENCE = 0.95
MOST_CHANGED = 0.9  # A larger share of changed examples is no quantized model of anything.


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: What was drawn.
        rates: Rates to print, as shares; the first is the one that is judged.
        allowed: The most that the first rate may be; None where it is not judged.
    """

    name: str
    rates: tuple[float, ...]
    allowed: float | None

    @property
    def holds(self) -> bool:
        """Whether the first rate is allowed."""
        return self.allowed is None or self.rates[0] <= self.allowed

    def __str__(self) -> str:
        figures = "".join(f"{100 * rate:9.2f}" for rate in self.rates)
        if self.allowed is None:
            return f"{self.name:58s}{figures}   too few"
        verdict = "ok" if self.holds else "EXCEEDS"
        return f"{self.name:58s}{figures}   {verdict}, at most {100 * self.allowed:.2f}"


def show(title: str, columns: Iterable[str], rows: Iterable[Row]) -> bool:
    """Prints a table as its rows come in and returns whether every judged row holds."""
    started = time.perf_counter()
    print(f"\n{title}\n{'':58s}" + "".join(f"{column:>9s}" for column in columns))
    all_hold = True
    for row in rows:
        print(row, flush=True)
        all_hold &= row.holds
    print(f"({time.perf_counter() - started:.0f} s)")
    return all_hold


# --- Right or wrong on each example: enumerated ---------------------------------------------------


def blessed_from(examples: int, margin: float, confidence: float, correction: float) -> np.ndarray:
    """Returns how many must get better for a blessing, for each number that gets worse.

    Args:
        examples: The number of examples.
        margin: The largest drop allowed.
        confidence: The gate's confidence.
        correction: The continuity correction; 0 is the score test as published.

    Returns:
        int64 of shape (examples + 1,); examples - worse + 1 where none is enough.
    """
    worse = np.arange(examples + 1)
    no, yes = np.full(examples + 1, -1), examples - worse + 1
    while np.any(yes - no > 1):
        middle = (yes + no) // 2
        p_value = score_p_value(examples, worse, middle, margin, correction)
        blessed = (p_value < 1 - confidence) & (middle > no)
        yes, no = np.where(blessed, middle, yes), np.where(blessed, no, middle)
    return yes


def blessing_rate(needed: np.ndarray, drop: float, changed: float) -> float:
    """Returns the exact probability of a blessing.

    Args:
        needed: What `blessed_from` returned.
        drop: The true drop.
        changed: The true share of examples that change either way.
    """
    n = len(needed) - 1
    # Not below 0, as either may be by an ulp.
    p_worse, p_better = max(changed + drop, 0) / 2, max(changed - drop, 0) / 2
    reach = 9 * math.sqrt(n * p_worse) + 25
    worse = np.arange(int(max(n * p_worse - reach, 0)), int(min(n * p_worse + reach, n)) + 1)
    log_pmf = gammaln(n + 1) - gammaln(worse + 1) - gammaln(n - worse + 1)
    log_pmf += xlogy(worse, p_worse) + xlog1py(n - worse, -p_worse)
    enough_better = bdtrc(needed[worse] - 1, n - worse, p_better / (1 - p_worse))
    return float(np.exp(log_pmf) @ enough_better)


def changed_shares(examples: int, drop: float) -> np.ndarray:
    """Returns shares of changed examples to try: fine enough for every ripple of the rate."""
    roots = np.arange(math.sqrt(examples * abs(drop)), math.sqrt(examples * MOST_CHANGED), 0.2)
    return roots**2 / examples


def worst_rate(examples: int, margin: float, confidence: float, correction: float) -> float:
    """Returns the largest false-push rate over the shares of changed examples."""
    needed = blessed_from(examples, margin, confidence, correction)
    shares = changed_shares(examples, margin)
    return max(blessing_rate(needed, margin, share) for share in shares)


def right_or_wrong(sizes: Iterable[int], margins: Iterable[float]) -> Iterable[Row]:
    """Yields the worst false-push rate, corrected and as published, for each size and margin."""
    for examples in sizes:
        for margin in margins:
            rates = [
                worst_rate(examples, margin, CONFIDENCE, correction)
                for correction in (CONTINUITY_CORRECTION, 0.0)
            ]
            yield Row(f"{examples:6d} examples, margin {margin:g}", tuple(rates), 0.05)


def wrong_refusals(sizes: Iterable[int], margins: Iterable[float]) -> Iterable[Row]:
    """Yields the worst rate at which the gate is sure of a drop above the margin, and wrong."""
    for examples in sizes:
        # A refusal is a blessing with the two models swapped.
        rates = [worst_rate(examples, -m, CONFIDENCE, CONTINUITY_CORRECTION) for m in margins]
        yield Row(f"{examples:6d} examples, all margins", (max(rates),), 0.06)


def other_confidences(sizes: Iterable[int], margins: Iterable[float]) -> Iterable[Row]:
    """Yields the worst false-push rate over all sizes and margins for other confidences."""
    for confidence in (0.8, 0.9, 0.99, 0.999):
        rates = [
            worst_rate(n, m, confidence, CONTINUITY_CORRECTION) for n in sizes for m in margins
        ]
        yield Row(f"confidence {confidence:g}, all of the above", (max(rates),), 1 - confidence)


def examples_for_power(power: float, margin: float, changed: float, correction: float) -> int:
    """Returns how many examples bless a model of no drop with some probability, in steps of 20."""
    examples = 20
    while blessing_rate(blessed_from(examples, margin, CONFIDENCE, correction), 0, changed) < power:
        examples += 20
    return examples


# --- Means of a loss: simulated -------------------------------------------------------------------


@dataclass(frozen=True)
class Drops:
    """A distribution of one example's drop.

    Attributes:
        name: What it stands for.
        draw: From a generator and a shape to that many drops.
        mean: Its true mean.
        holds_from: The fewest examples at which the false-push rate keeps to 5 %.
    """

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    mean: float
    holds_from: int


def log_normal(sigma: float, holds_from: int) -> Drops:
    """Returns drops that are all losses, a few of them large."""
    return Drops(
        f"log-normal, sigma {sigma:g}",
        lambda rng, shape: rng.lognormal(0, sigma, shape),
        math.exp(sigma**2 / 2),
        holds_from,
    )


def spoilt(share: float, holds_from: int) -> Drops:
    """Returns drops of which most are noise and a share is an exponential loss."""
    return Drops(
        f"{100 * share:g} % of examples spoilt",
        lambda rng, shape: (
            rng.normal(0, 0.05, shape) + (rng.random(shape) < share) * rng.exponential(1, shape)
        ),
        share,
        holds_from,
    )


DROPS = (
    Drops("normal", lambda rng, shape: rng.normal(0, 1, shape), 0.0, 0),
    Drops("Student t, 3 degrees", lambda rng, shape: rng.standard_t(3, shape), 0.0, 0),
    Drops(
        "difference of log-normals",
        lambda rng, shape: rng.lognormal(0, 1, shape) - rng.lognormal(0, 1, shape),
        0.0,
        0,
    ),
    Drops("exponential", lambda rng, shape: rng.exponential(1, shape), 1.0, 50),
    log_normal(0.5, 200),
    log_normal(1.0, 5_000),
    log_normal(1.5, 100_000),
    spoilt(0.1, 200),
    spoilt(0.03, 2_000),
)


def mean_losses(
    sizes: Iterable[int], most_data_sets: int, rng: np.random.Generator
) -> Iterable[Row]:
    """Yields the false-push rates of `mean_interval` and of the plain t-test."""
    for drops in DROPS:
        for examples in sizes:
            data_sets = min(most_data_sets, 20_000_000 // examples)
            blessed = np.zeros(2)
            for _ in range(data_sets):
                blessed += blessed_means(drops.draw(rng, (examples,)), drops.mean)
            yield Row(
                f"{examples:6d} examples, {drops.name}",
                tuple(blessed / data_sets),
                allowed_rate(data_sets) if examples >= drops.holds_from else None,
            )


def moments_of(drop: np.ndarray, loss: np.ndarray) -> PairedMoments:
    """Returns the moments of examples by the float model's loss and how much it rises."""
    origin = float(loss.mean())
    sums = (float(term.sum()) for term in MetricSums.terms(loss, loss + drop, origin))
    return MetricSums(len(drop), *sums, origin).moments(-1)


def blessed_means(drop: np.ndarray, margin: float) -> tuple[bool, bool]:
    """Returns whether `mean_interval` and the plain t-test bless some examples' drops."""
    interval = mean_interval(moments_of(drop, drop), margin, CONFIDENCE)
    error = drop.std(ddof=1) / math.sqrt(len(drop))
    plain = stdtr(len(drop) - 1, (drop.mean() - margin) / error)
    return interval.p_blessed < 1 - CONFIDENCE, plain < 1 - CONFIDENCE


def relative_margins(
    sizes: Iterable[int], data_sets: int, rng: np.random.Generator
) -> Iterable[Row]:
    """Yields the false-push rate where the loss grows by the very 5 % that are allowed."""
    for examples in sizes:
        blessed = 0
        for _ in range(data_sets):
            loss = rng.lognormal(0, 0.5, examples)
            drop = 0.05 * loss + rng.normal(0, 0.1, examples)
            moments = moments_of(drop, loss)
            interval = mean_interval(moments, 0.0, CONFIDENCE, relative=0.05)
            blessed += interval.p_blessed < 1 - CONFIDENCE
        name = f"{examples:6d} examples, log-normal loss, 5 % more of it"
        yield Row(name, (blessed / data_sets,), allowed_rate(data_sets))


# --- AUC: simulated, by the paired Poisson bootstrap ----------------------------------------------


def weighted_auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the AUC under each column of weights.

    Args:
        scores: One score an example, without ties, of shape (examples,).
        positive: bool of shape (examples,).
        weights: Of shape (examples, replicates).

    Returns:
        float64 of shape (replicates,); NaN where a class has no weight.
    """
    order = np.argsort(scores)
    weights = weights[order].astype(np.float64)
    of_positives = weights * positive[order, None]
    of_negatives = weights - of_positives
    below = np.cumsum(of_negatives, axis=0)
    with np.errstate(invalid="ignore"):
        return np.sum(of_positives * below, axis=0) / (of_positives.sum(0) * below[-1])


@dataclass(frozen=True)
class Scores:
    """Normal scores of two classes, to which the quantized model adds noise.

    Attributes:
        examples: The number of examples.
        positives: The share of positives.
        distance: How far apart the classes are, in standard deviations.
        noise: The standard deviation of the quantized model's noise.
    """

    examples: int
    positives: float
    distance: float
    noise: float

    @property
    def auc(self) -> float:
        """The float model's true AUC."""
        return float(ndtr(self.distance / math.sqrt(2)))

    @property
    def drop(self) -> float:
        """The true drop of the AUC."""
        return self.auc - float(ndtr(self.distance / math.sqrt(2 * (1 + self.noise**2))))

    def bootstrapped(self, replicates: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the drop on one data set, followed by its replicates."""
        positive = rng.random(self.examples) < self.positives
        scores = self.distance * positive + rng.normal(size=self.examples)
        noisy = scores + self.noise * rng.normal(size=self.examples)
        weights = rng.poisson(1, (self.examples, replicates))
        weights = np.concatenate([np.ones((self.examples, 1), int), weights], axis=1)
        return weighted_auc(scores, positive, weights) - weighted_auc(noisy, positive, weights)


# Each with whether enough examples are hard, and so carry the AUC, for 5 % to be kept.
AUC_CASES = (
    (Scores(200, 0.5, 1.0, 0.3), True),
    (Scores(200, 0.1, 1.0, 0.3), True),
    (Scores(400, 0.5, 2.5, 0.2), True),
    (Scores(400, 0.5, 2.5, 0.5), True),
    (Scores(400, 0.5, 3.5, 0.5), True),
    (Scores(1_000, 0.2, 2.5, 0.5), True),
    (Scores(400, 0.1, 2.5, 0.5), False),
    (Scores(400, 0.1, 3.5, 0.5), False),
)


def aucs(data_sets: int, replicates: int, rng: np.random.Generator) -> Iterable[Row]:
    """Yields the false-push rates of `bootstrap_interval` and of three sorts of quantiles."""
    for scores, enough in AUC_CASES:
        blessed = np.zeros(4)
        for _ in range(data_sets):
            bootstrapped = scores.bootstrapped(replicates, rng)
            drop, rest = float(bootstrapped[0]), bootstrapped[1:]
            interval = bootstrap_interval(
                drop, rest, scores.drop, CONFIDENCE, examples=scores.examples
            )
            blessed += np.array([interval.upper, *quantile_bounds(drop, rest)]) < scores.drop
        yield Row(
            f"{scores.examples:6d} examples, {scores.positives:.0%} positive, AUC {scores.auc:.2f},"
            f" drop {scores.drop:.4f}",
            tuple(blessed / data_sets),
            allowed_rate(data_sets) if enough else None,
        )


def quantile_bounds(drop: float, replicates: np.ndarray) -> tuple[float, float, float]:
    """Returns the percentile, basic and bias-corrected upper bounds (Efron and Tibshirani 1993)."""
    ordered = np.sort(np.where(np.isnan(replicates), np.inf, replicates))
    share_below = np.clip(np.mean(ordered < drop), 1 / len(ordered), 1 - 1 / len(ordered))
    shifted = float(ndtr(2 * ndtri(share_below) + ndtri(CONFIDENCE)))
    return (
        float(np.quantile(ordered, CONFIDENCE, method="higher")),
        2 * drop - float(np.quantile(ordered, 1 - CONFIDENCE, method="lower")),
        float(np.quantile(ordered, shifted, method="higher")),
    )


# --- Metrics of counts: simulated, through the evaluator's own buckets and bootstrap --------------


@dataclass(frozen=True)
class Counted:
    """A metric of counts on `Scores`, squeezed into 0 to 1 by the normal distribution.

    Attributes:
        class_name: TFMA's class.
        config: Its arguments.
        scores: The scores; their threshold is half of their distance.
        enough: Whether enough examples are wrong for 5 % to be kept.
    """

    class_name: str
    config: tuple[tuple[str, float], ...]
    scores: Scores
    enough: bool

    def rate(self, data_sets: int, rng: np.random.Generator) -> float:
        """Returns the false-push rate at a margin of the true drop."""
        metric = score_metric(ConfiguredMetric(self.class_name, self.class_name, dict(self.config)))
        assert metric is not None
        buckets = score_buckets([metric])
        before, after = (self.true_value(metric, buckets, n) for n in (0.0, self.scores.noise))
        blessed = 0
        for _ in range(data_sets):
            labels, scores, noisy = self.draw(rng)
            paired = PairedScores.of(labels, buckets.of(scores), buckets.of(noisy))
            evidence = score_evidence([metric], {metric.name: 1}, paired, buckets)[metric.name]
            cells = paired.cells()
            value, quantized = (
                metric.value(histograms, buckets)
                for histograms in cells.histograms(cells.counts, buckets.count)
            )
            interval = bootstrap_interval(
                value - quantized,
                evidence.replicates[0] - evidence.replicates[1],
                before - after,
                CONFIDENCE,
                examples=len(labels),
                grain=evidence.grain,
            )
            blessed += interval.p_blessed < 1 - CONFIDENCE
        return blessed / data_sets

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns labels and both models' scores of one data set."""
        of = self.scores
        labels = (rng.random(of.examples) < of.positives).astype(int)
        scores = of.distance * labels + rng.normal(size=of.examples)
        noisy = scores + of.noise * rng.normal(size=of.examples)
        return labels, ndtr(scores - of.distance / 2), ndtr(noisy - of.distance / 2)

    def true_value(self, metric: ScoreMetric, buckets: ScoreBuckets, noise: float) -> float:
        """Returns the metric on endlessly many examples: every bucket has its probability."""
        cuts = ndtri(np.clip(np.arange(BUCKETS + 1) / BUCKETS, 0, 1)) + self.scores.distance / 2
        histograms = np.zeros((2, buckets.count))
        for label, share in ((0, 1 - self.scores.positives), (1, self.scores.positives)):
            below = ndtr((cuts - label * self.scores.distance) / math.sqrt(1 + noise**2))
            places = buckets.of((np.arange(BUCKETS) + 0.5) / BUCKETS)
            np.add.at(histograms[label], places, share * np.diff(below))
        return metric.value(histograms, buckets)


def counted_cases() -> Iterable[Counted]:
    """Yields metrics of counts where many examples are wrong, and where hardly any is."""
    for class_name, config in (
        ("Precision", ()),
        ("F1Score", ()),
        ("RecallAtPrecision", (("precision", 0.9),)),
    ):
        yield Counted(class_name, config, Scores(400, 0.5, 2.0, 0.3), True)
        yield Counted(class_name, config, Scores(400, 0.2, 2.5, 0.5), True)
        yield Counted(class_name, config, Scores(200, 0.5, 4.0, 0.3), True)
        yield Counted(class_name, config, Scores(100, 0.2, 4.0, 0.5), True)


def counted_metrics(data_sets: int, rng: np.random.Generator) -> Iterable[Row]:
    """Yields the false-push rates of metrics that are made of counts."""
    for case in counted_cases():
        of = case.scores
        yield Row(
            f"{case.class_name}, {of.examples} examples, {of.positives:.0%} positive, "
            f"AUC {of.auc:.2f}",
            (case.rate(data_sets, rng),),
            allowed_rate(data_sets) if case.enough else None,
        )


# --- The quantized model's own value: rules with min_value and max_value --------------------------


def value_shares(sizes: Iterable[int], limits: Iterable[float]) -> Iterable[Row]:
    """Yields how often a share of exactly the limit is blessed, which is exact, and as normal."""
    for examples in sizes:
        for limit in limits:
            counts = np.arange(examples + 1)
            blessed = [
                share_interval(examples, int(n), 1, limit, CONFIDENCE).p_blessed < 1 - CONFIDENCE
                for n in counts
            ]
            share = counts / examples
            error = np.sqrt(share * (1 - share) / examples)
            normal = share - ndtri(CONFIDENCE) * error > limit
            mass = binom.pmf(counts, examples, limit)
            rates = (float(mass[blessed].sum()), float(mass[normal].sum()))
            yield Row(f"{examples:6d} examples, at least {limit:g}", rates, 0.05)


def value_means(
    sizes: Iterable[int], most_data_sets: int, rng: np.random.Generator
) -> Iterable[Row]:
    """Yields how often a mean of exactly the limit is blessed, and by the plain t-test."""
    for losses in DROPS:
        for examples in sizes:
            data_sets = min(most_data_sets, 20_000_000 // examples)
            blessed = np.zeros(2)
            for _ in range(data_sets):
                loss = losses.draw(rng, (examples,))
                # The float model's losses must not matter.
                before = np.full(examples, np.nan)
                sums = (float(term.sum()) for term in MetricSums.terms(before, loss, losses.mean))
                moments = MetricSums(examples, *sums, losses.mean).own_moments()
                interval = mean_value_interval(moments, -1, losses.mean, CONFIDENCE)
                error = loss.std(ddof=1) / math.sqrt(examples)
                plain = stdtr(examples - 1, (loss.mean() - losses.mean) / error)
                blessed += interval.p_blessed < 1 - CONFIDENCE, plain < 1 - CONFIDENCE
            yield Row(
                f"{examples:6d} examples, {losses.name}",
                tuple(blessed / data_sets),
                allowed_rate(data_sets) if examples >= losses.holds_from else None,
            )


def value_weighted(sizes: Iterable[int], data_sets: int, rng: np.random.Generator) -> Iterable[Row]:
    """Yields how often a weighted accuracy of exactly the limit is blessed, and by t alone."""
    for examples in sizes:
        for limit in (0.7, 0.9, 0.98):
            blessed = np.zeros(2)
            for _ in range(data_sets):
                weights = rng.exponential(size=examples)
                right = (rng.random(examples) < limit).astype(float)
                terms = np.stack(WeightedSums.terms(weights, right, right, limit))
                sums = WeightedSums(examples, terms.sum(axis=1), limit)
                moments = sums.own_moments()
                interval = mean_of_shares_interval(
                    moments, sums.effective, 1, limit, CONFIDENCE, True
                )
                plain = mean_interval(
                    PairedMoments(examples, -moments.mean, moments.second, -moments.third),
                    -limit,
                    CONFIDENCE,
                )
                p_values = np.array([interval.p_blessed, plain.p_blessed])
                blessed += p_values < 1 - CONFIDENCE
            yield Row(
                f"{examples:6d} examples, at least {limit:g}",
                tuple(blessed / data_sets),
                allowed_rate(data_sets),
            )


def value_aucs(
    sizes: Iterable[int], data_sets: int, replicates: int, rng: np.random.Generator
) -> Iterable[Row]:
    """Yields how often an AUC of exactly the limit is blessed, and by the bootstrap alone."""
    for examples in sizes:
        for positives in (0.5, 0.1):
            for distance in (0.75, 1.8, 2.5, 3.3):
                scores = Scores(examples, positives, distance, 0.0)
                rates = blessed_aucs(scores, data_sets, replicates, rng)
                yield Row(
                    f"{examples:6d} examples, {positives:.0%} positive, AUC {scores.auc:.2f}",
                    rates,
                    allowed_rate(data_sets),
                )


def blessed_aucs(
    scores: Scores, data_sets: int, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Returns how often the true AUC is blessed as a limit, and by the bootstrap alone."""
    blessed = np.zeros(2)
    for _ in range(data_sets):
        positive = rng.random(scores.examples) < scores.positives
        values = scores.distance * positive + rng.normal(size=scores.examples)
        weights = rng.poisson(1, (scores.examples, replicates))
        weights = np.concatenate([np.ones((scores.examples, 1), int), weights], axis=1)
        found = weighted_auc(values, positive, weights)
        if not math.isfinite(found[0]):
            continue
        count = float(positive.sum())
        interval = area_interval(
            float(found[0]),
            found[1:],
            scores.auc,
            CONFIDENCE,
            examples=scores.examples,
            negatives=scores.examples - count,
            positives=count,
        )
        alone = bootstrap_interval(
            -float(found[0]), -found[1:], -scores.auc, CONFIDENCE, examples=scores.examples
        )
        p_values = np.array([interval.p_blessed, alone.p_blessed])
        blessed += p_values < 1 - CONFIDENCE
    return float(blessed[0] / data_sets), float(blessed[1] / data_sets)


def allowed_rate(data_sets: int) -> float:
    """Returns 5 % and three standard errors of a rate of 5 % that is simulated."""
    return 0.05 + 3 * math.sqrt(0.05 * 0.95 / data_sets)


@dataclass(frozen=True)
class Effort:
    """How much is enumerated and simulated.

    Attributes:
        margins: The margins of right-or-wrong metrics.
        sizes: Numbers of examples to enumerate.
        loss_sizes: Numbers of examples of means of losses.
        data_sets: The most data sets a row of a mean of a loss.
        auc_data_sets: The data sets a row of an AUC, each of 200 replicates.
        counted_data_sets: The data sets a row of a metric of counts.
        value_sizes: Numbers of examples for rules on the value.
        value_data_sets: The data sets a row of a value that is simulated.
        changed: Shares of changed examples for the power.
    """

    margins: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02, 0.05)
    sizes: tuple[int, ...] = (10, 20, 50, 100, 200, 540, 1_000, 3_000, 10_000)
    loss_sizes: tuple[int, ...] = (50, 200, 1_000, 5_000)
    data_sets: int = 10_000
    auc_data_sets: int = 1_200
    counted_data_sets: int = 300
    value_sizes: tuple[int, ...] = (50, 200, 1_000)
    value_data_sets: int = 2_000
    changed: tuple[float, ...] = (0.005, 0.01, 0.02, 0.05)

    @classmethod
    def quick(cls) -> "Effort":
        """Returns some seconds' worth."""
        return cls(
            sizes=(20, 100, 540),
            loss_sizes=(50, 200),
            data_sets=1_000,
            auc_data_sets=100,
            counted_data_sets=30,
            value_sizes=(50, 200),
            value_data_sets=200,
            changed=(0.01, 0.02),
        )


def main() -> int:
    """Prints every table; returns 0 where every judged row holds, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes and data sets")
    parser.add_argument("--seed", type=int, default=0, help="of the simulations")
    options = parser.parse_args()
    effort = Effort.quick() if options.quick else Effort()
    all_hold = show_enumerated(effort)
    all_hold &= show_simulated(effort, np.random.default_rng(options.seed))
    all_hold &= show_values(effort, np.random.default_rng(options.seed))
    show_power(effort)
    show_cost()
    print("\nevery rate keeps to its limit" if all_hold else "\nA RATE EXCEEDS ITS LIMIT")
    return 0 if all_hold else 1


def show_enumerated(effort: Effort) -> bool:
    """Prints the tables of right-or-wrong metrics and returns whether they hold."""
    sizes, margins = effort.sizes, effort.margins
    print("False-push rates in %, at a true drop of exactly the margin; 95 % confidence")
    return all(
        [
            show(
                "Right or wrong, exact: worst of all shares of changed examples up to "
                f"{MOST_CHANGED:.0%}",
                ("gate", "Tango"),
                right_or_wrong(sizes, margins),
            ),
            show(
                "Right or wrong at other confidences",
                ("gate",),
                other_confidences(sizes, margins),
            ),
            show("Right or wrong: refused by mistake", ("gate",), wrong_refusals(sizes, margins)),
        ]
    )


def show_simulated(effort: Effort, rng: np.random.Generator) -> bool:
    """Prints the tables of losses and of AUC and returns whether they hold."""
    return all(
        [
            show(
                f"Mean of a loss: {effort.data_sets} data sets, 4,000 of 5,000 examples",
                ("gate", "t alone"),
                mean_losses(effort.loss_sizes, effort.data_sets, rng),
            ),
            show(
                f"Mean of a loss, relative margin: {effort.data_sets} data sets",
                ("gate",),
                relative_margins(effort.loss_sizes[:2], effort.data_sets, rng),
            ),
            show(
                f"AUC: {effort.auc_data_sets} data sets of 200 replicates",
                ("gate", "percent.", "basic", "bias-c."),
                aucs(effort.auc_data_sets, 200, rng),
            ),
            show(
                f"Metrics of counts: {effort.counted_data_sets} data sets of 200 replicates",
                ("gate",),
                counted_metrics(effort.counted_data_sets, rng),
            ),
        ]
    )


def show_values(effort: Effort, rng: np.random.Generator) -> bool:
    """Prints the tables of rules on the quantized model's own value, and whether they hold."""
    sizes, data_sets = effort.value_sizes, effort.value_data_sets
    return all(
        [
            show(
                "Value, a share, exact",
                ("gate", "normal"),
                value_shares(sizes, (0.5, 0.9, 0.95, 0.99)),
            ),
            show(
                f"Value, a mean of a loss: {effort.data_sets} data sets",
                ("gate", "t alone"),
                value_means(sizes, effort.data_sets, rng),
            ),
            show(
                f"Value, a weighted accuracy: {data_sets} data sets",
                ("gate", "t, skew"),
                value_weighted(sizes, data_sets, rng),
            ),
            show(
                f"Value, an AUC: {data_sets} data sets of 200 replicates",
                ("gate", "bootstr."),
                value_aucs(sizes, data_sets, 200, rng),
            ),
        ]
    )


def show_power(effort: Effort) -> None:
    """Prints how many examples bless a model of no drop, against a margin of one point."""
    print("\nExamples for a power of 80 % at no drop, margin of one point (exact)")
    print(f"{'':58s}{'gate':>9s}{'Tango':>9s}")
    for changed in effort.changed:
        needed = [
            examples_for_power(0.8, 0.01, changed, correction)
            for correction in (CONTINUITY_CORRECTION, 0.0)
        ]
        print(
            f"{100 * changed:g} % of examples change".ljust(58) + "".join(f"{n:9d}" for n in needed)
        )


def show_cost() -> None:
    """Prints what one interval of a million examples costs."""
    started = time.perf_counter()
    for worse in range(1_000):
        binary_interval(1_000_000, worse, 900, 0.01, CONFIDENCE)
    print(f"\nbinary_interval: {time.perf_counter() - started:.2f} ms a call at 1,000,000 examples")


if __name__ == "__main__":
    sys.exit(main())
