"""How often the gate would push a model that is exactly as bad as is forbidden.

Every data set drawn here has a true drop equal to the margin, so that each blessing is an error;
at 95 % confidence at most 5 % may be. Right-or-wrong metrics are enumerated, so their rates are
exact; the others are simulated, and may exceed 5 % by three Monte-Carlo standard errors. The gate's
own rates come first in a row and are judged; beside them are those of other methods, or of what
ignores something. Where the gate knows too little it says undecided and pushes nothing, which its
rate shows. Looks and nights are in `gate_simulation_looks.py`, groups and small classes in
`gate_simulation_groups.py`.

Usage: python benchmarks/gate_simulation.py [--quick]
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gate_simulation_groups as groups
import gate_simulation_looks as looks
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
    area_grain,
    binary_interval,
    bootstrap_interval,
    mean_interval,
)
from tfx_tflite.components.judgement.statistics.power import better_needed, examples_for_share
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
        rates: What to print; the first ones are judged.
        allowed: The most that these may be; None where none is judged.
        scale: What they are multiplied by: 100 for shares.
        gates: How many of them are the gate's, and so judged.
    """

    name: str
    rates: tuple[float, ...]
    allowed: float | None
    scale: float = 100
    gates: int = 1

    @property
    def holds(self) -> bool:
        """Whether the rates that are judged are allowed."""
        return self.allowed is None or max(self.rates[: self.gates]) <= self.allowed

    def __str__(self) -> str:
        figures = "".join(f"{self.scale * rate:9.2f}" for rate in self.rates)
        if self.allowed is None:
            return f"{self.name:58s}{figures}"
        verdict = "ok" if self.holds else "EXCEEDS"
        return f"{self.name:58s}{figures}   {verdict}, at most {self.scale * self.allowed:.2f}"


def judged(
    rows: Iterable[tuple[str, tuple[float, ...]]],
    allowed: float | None,
    scale: float = 100,
    gates: int = 1,
) -> Iterable[Row]:
    """Returns rows of names and figures that may all be as much."""
    return (Row(name, figures, allowed, scale, gates) for name, figures in rows)


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


def blessing_rate(needed: np.ndarray, drop: float, changed: float) -> float:
    """Returns the exact probability of a blessing.

    Args:
        needed: How many must get better for a blessing, for each number that gets worse.
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
    worse = np.arange(examples + 1)
    needed = better_needed(examples, worse, margin, 1 - confidence, correction)
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


# --- Means of a loss: simulated -------------------------------------------------------------------


@dataclass(frozen=True)
class Drops:
    """A distribution of one example's drop.

    Attributes:
        name: What it stands for.
        draw: From a generator and a shape to that many drops.
        mean: Its true mean.
        is_exponential: Whether the float model's losses are exponential with a mean of 1, like the
            losses of the spoilt examples; else they are as large as the drops.
    """

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    mean: float
    is_exponential: bool = False


def log_normal(sigma: float) -> Drops:
    """Returns drops that are all losses, a few of them large."""
    return Drops(
        f"log-normal, sigma {sigma:g}",
        lambda rng, shape: rng.lognormal(0, sigma, shape),
        math.exp(sigma**2 / 2),
    )


def spoilt(share: float) -> Drops:
    """Returns drops of which most are noise and a share is an exponential loss."""
    return Drops(
        f"{100 * share:g} % of examples spoilt",
        lambda rng, shape: (
            rng.normal(0, 0.05, shape) + (rng.random(shape) < share) * rng.exponential(1, shape)
        ),
        share,
        is_exponential=True,
    )


def only_spoilt(share: float) -> Drops:
    """Returns drops that are all 0 but for a share, which is an exponential loss."""
    return Drops(
        f"all 0 but {100 * share:g} % spoilt",
        lambda rng, shape: (rng.random(shape) < share) * rng.exponential(1, shape),
        share,
        is_exponential=True,
    )


DROPS = (
    Drops("normal", lambda rng, shape: rng.normal(0, 1, shape), 0.0),
    Drops("Student t, 3 degrees", lambda rng, shape: rng.standard_t(3, shape), 0.0),
    Drops(
        "difference of log-normals",
        lambda rng, shape: rng.lognormal(0, 1, shape) - rng.lognormal(0, 1, shape),
        0.0,
    ),
    Drops("exponential", lambda rng, shape: rng.exponential(1, shape), 1.0),
    log_normal(0.5),
    log_normal(1.0),
    log_normal(1.5),
    spoilt(0.1),
    spoilt(0.03),
    only_spoilt(0.03),
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
                drop = drops.draw(rng, (examples,))
                loss = rng.exponential(1, examples) if drops.is_exponential else drop
                blessed += blessed_means(drop, loss, drops.mean)
            yield Row(
                f"{examples:6d} examples, {drops.name}",
                tuple(blessed / data_sets),
                allowed_rate(data_sets),
            )


def moments_of(drop: np.ndarray, loss: np.ndarray) -> PairedMoments:
    """Returns the moments of examples by the float model's loss and how much it rises."""
    origin = float(loss.mean())
    sums = (float(term.sum()) for term in MetricSums.terms(loss, loss + drop, origin))
    return MetricSums(len(drop), *sums, origin).moments(-1)


def blessed_means(drop: np.ndarray, loss: np.ndarray, margin: float) -> tuple[bool, bool]:
    """Returns whether `mean_interval` and the plain t-test bless some examples' drops."""
    interval = mean_interval(moments_of(drop, loss), margin, CONFIDENCE)
    return interval.p_blessed < 1 - CONFIDENCE, plain_p_value(drop, margin) < 1 - CONFIDENCE


def plain_p_value(values: np.ndarray, limit: float) -> float:
    """Returns that of the t-test; values that are all the same are certain to it."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    if not error:
        return float(values.mean() >= limit)
    return float(stdtr(len(values) - 1, (values.mean() - limit) / error))


def identical_drops() -> Iterable[Row]:
    """Yields whether examples that have the same drop are certain to be below a margin of 0.12."""
    for examples in (2, 10, 50):
        drop, loss = np.full(examples, 0.1), np.ones(examples)
        blessed = float(blessed_means(drop, loss, 0.12)[0])
        yield Row(f"{examples:6d} examples, each worse by 0.1", (blessed, 1.0), 0.05)


def fewest_without_change(margin: float) -> int:
    """Returns how many examples that all have no drop, and a loss of 1, bless."""
    examples = 2
    while not blessed_means(np.zeros(examples), np.ones(examples), margin)[0]:
        examples += 1
    return examples


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

    def bootstrapped(
        self, poisson: groups.Poisson, rng: np.random.Generator
    ) -> tuple[int, float, np.ndarray]:
        """Returns how many are positive, the quantized AUC, and the drop before its replicates."""
        positive = rng.random(self.examples) < self.positives
        scores = self.distance * positive + rng.normal(size=self.examples)
        noisy = scores + self.noise * rng.normal(size=self.examples)
        weights = with_the_whole(poisson.weights(self.examples))
        after = weighted_auc(noisy, positive, weights)
        drops = weighted_auc(scores, positive, weights) - after
        return int(positive.sum()), float(after[0]), drops


def with_the_whole(weights: np.ndarray) -> np.ndarray:
    """Returns weights of replicates behind those of the examples as they are."""
    return np.concatenate([np.ones((len(weights), 1), weights.dtype), weights], axis=1)


AUC_CASES = (
    Scores(200, 0.5, 1.0, 0.3),
    Scores(400, 0.5, 2.5, 0.5),
    Scores(400, 0.5, 3.5, 0.5),
    Scores(1_000, 0.2, 2.5, 0.5),
    Scores(400, 0.1, 3.5, 0.5),
)


def aucs(data_sets: int, rng: np.random.Generator) -> Iterable[Row]:
    """Yields the false-push rates of `bootstrap_interval` and of three sorts of quantiles."""
    poisson = groups.Poisson(rng)
    for scores in AUC_CASES:
        blessed = np.zeros(4)
        for _ in range(data_sets):
            positives, after, bootstrapped = scores.bootstrapped(poisson, rng)
            rarer = min(positives, scores.examples - positives)
            drop, rest = float(bootstrapped[0]), bootstrapped[1:]
            interval = bootstrap_interval(
                drop,
                rest,
                scores.drop,
                CONFIDENCE,
                examples=scores.examples,
                units=rarer,
                grain=area_grain(after, rarer),
            )
            upper = interval.upper if rarer >= groups.MIN_CLASS else math.inf
            blessed += np.array([upper, *quantile_bounds(drop, rest)]) < scores.drop
        yield Row(
            f"{scores.examples:6d} examples, {scores.positives:.0%} positive, AUC {scores.auc:.2f},"
            f" drop {scores.drop:.4f}",
            tuple(blessed / data_sets),
            allowed_rate(data_sets),
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
    """

    class_name: str
    config: tuple[tuple[str, float], ...]
    scores: Scores

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
            cells = paired.cells()
            evidence = score_evidence([metric], {metric.name: 1}, cells, buckets)[metric.name]
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
                units=min(evidence.classes),
            )
            blessed += (
                min(evidence.classes) >= groups.MIN_CLASS and interval.p_blessed < 1 - CONFIDENCE
            )
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
        yield Counted(class_name, config, Scores(400, 0.5, 2.0, 0.3))
        yield Counted(class_name, config, Scores(400, 0.2, 2.5, 0.5))
        yield Counted(class_name, config, Scores(200, 0.5, 4.0, 0.3))
        yield Counted(class_name, config, Scores(100, 0.2, 4.0, 0.5))


def counted_metrics(data_sets: int, rng: np.random.Generator) -> Iterable[Row]:
    """Yields the false-push rates of metrics that are made of counts."""
    for case in counted_cases():
        of = case.scores
        yield Row(
            f"{case.class_name}, {of.examples} examples, {of.positives:.0%} positive, "
            f"AUC {of.auc:.2f}",
            (case.rate(data_sets, rng),),
            allowed_rate(data_sets),
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
                plain = plain_p_value(loss, losses.mean)
                blessed += interval.p_blessed < 1 - CONFIDENCE, plain < 1 - CONFIDENCE
            yield Row(
                f"{examples:6d} examples, {losses.name}",
                tuple(blessed / data_sets),
                allowed_rate(data_sets),
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


def value_aucs(sizes: Iterable[int], data_sets: int, rng: np.random.Generator) -> Iterable[Row]:
    """Yields how often an AUC of exactly the limit is blessed, and by the bootstrap alone."""
    poisson = groups.Poisson(rng)
    for examples in sizes:
        for positives in (0.5, 0.1):
            for distance in (0.75, 1.8, 2.5, 3.3):
                scores = Scores(examples, positives, distance, 0.0)
                rates = blessed_aucs(scores, data_sets, poisson, rng)
                yield Row(
                    f"{examples:6d} examples, {positives:.0%} positive, AUC {scores.auc:.2f}",
                    rates,
                    allowed_rate(data_sets),
                )


def blessed_aucs(
    scores: Scores, data_sets: int, poisson: groups.Poisson, rng: np.random.Generator
) -> tuple[float, float]:
    """Returns how often the true AUC is blessed as a limit, and by the bootstrap alone."""
    blessed = np.zeros(2)
    for _ in range(data_sets):
        positive = rng.random(scores.examples) < scores.positives
        values = scores.distance * positive + rng.normal(size=scores.examples)
        weights = with_the_whole(poisson.weights(scores.examples))
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
        histories: The histories of looks a row.
        years: The years of 365 nights a row.
        groups: Numbers of groups.
        group_data_sets: The data sets a row of groups.
        balances: Shares of positives.
    """

    margins: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02, 0.05)
    sizes: tuple[int, ...] = (10, 20, 50, 100, 200, 540, 1_000, 3_000, 10_000)
    loss_sizes: tuple[int, ...] = (50, 200, 1_000, 5_000)
    data_sets: int = 4_000
    auc_data_sets: int = 1_000
    counted_data_sets: int = 30
    value_sizes: tuple[int, ...] = (50, 200, 1_000)
    value_data_sets: int = 1_000
    changed: tuple[float, ...] = (0.005, 0.01, 0.02, 0.05)
    histories: int = 4_000
    years: int = 4_000
    groups: tuple[int, ...] = (20, 50, 200)
    group_data_sets: int = 600
    balances: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.02)

    @classmethod
    def quick(cls) -> "Effort":
        """Returns some seconds' worth."""
        return cls(
            sizes=(20, 100, 540),
            loss_sizes=(50, 200),
            data_sets=600,
            auc_data_sets=60,
            counted_data_sets=1,
            value_sizes=(50, 200),
            value_data_sets=100,
            changed=(0.01, 0.02),
            histories=400,
            years=300,
            groups=(20, 50),
            group_data_sets=60,
            balances=(0.5, 0.1),
        )


def main() -> int:
    """Prints every table; returns 0 where every judged row holds, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes and data sets")
    parser.add_argument("--seed", type=int, default=0, help="of the simulations")
    options = parser.parse_args()
    effort = Effort.quick() if options.quick else Effort()
    started = time.perf_counter()
    all_hold = show_enumerated(effort)
    for tables in (show_looks, show_groups, show_simulated, show_values):
        # Each begins anew, so that a table is the same whatever is shown before it.
        all_hold &= tables(effort, np.random.default_rng(options.seed))
    show_power(effort)
    show_cost()
    print(f"({time.perf_counter() - started:.0f} s in all)")
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


def show_looks(effort: Effort, rng: np.random.Generator) -> bool:
    """Prints the tables of looks and nights and returns whether they hold."""
    allowed = allowed_rate(effort.histories)
    return all(
        [
            show(
                f"{looks.LOOKS} advised looks, any false push: {effort.histories} histories",
                ("gate", "anytime", "as one"),
                judged(
                    looks.look_rates((500, 2_000), effort.changed, effort.histories, rng), allowed
                ),
            ),
            show(
                "Examples for 80 % at no drop over 8 looks, times those of one unprotected test",
                ("gate", "planned", "adv. 80%", "anytime"),
                judged(
                    looks.look_costs(effort.changed, effort.histories, rng), 2.5, scale=1, gates=2
                ),
            ),
            show(
                f"365 nights, any false push: {effort.years} years; good models that are pushed",
                ("budget", "Bonfer.", "as one", "good", "Bonfer.", "as one"),
                judged(
                    looks.night_rates(looks.YEARS, 365, effort.years, rng),
                    allowed_rate(effort.years),
                ),
            ),
            show(
                "The price of nights: examples for 80 % at no drop, margin of one point",
                ("alone", "of 30", "of 365", "30 good"),
                judged(looks.prices((0.0, *effort.changed)), None, scale=1),
            ),
        ]
    )


def show_groups(effort: Effort, rng: np.random.Generator) -> bool:
    """Prints the tables of groups and of small classes and returns whether they hold."""
    data_sets = effort.group_data_sets
    allowed = allowed_rate(data_sets)
    return all(
        [
            show(
                f"Groups of 10, right or wrong: {data_sets} data sets, worst of four margins",
                ("gate", "value", "ignored"),
                judged(groups.grouped_shares(effort.groups, data_sets, rng), allowed, gates=2),
            ),
            show(
                f"Groups of 10, a mean: {data_sets} data sets",
                ("gate", "value", "ignored"),
                judged(groups.grouped_means(effort.groups, data_sets, rng), allowed, gates=2),
            ),
            show(
                f"Groups of 10, AUC: {data_sets // 3} data sets of 200 replicates",
                ("gate", "ignored", "too few"),
                judged(
                    groups.grouped_aucs(effort.groups, data_sets // 3, rng),
                    allowed_rate(data_sets // 3),
                ),
            ),
            show(
                f"AUC, 50 of the rarer class: {data_sets} data sets of 200 replicates",
                ("gate", "bootstr.", "too few"),
                judged(groups.balanced_aucs(effort.balances, data_sets, rng), allowed),
            ),
        ]
    )


def show_simulated(effort: Effort, rng: np.random.Generator) -> bool:
    """Prints the tables of losses and of AUC and returns whether they hold."""
    holds = all(
        [
            show(
                f"Mean of a loss: {effort.data_sets} data sets, 4,000 of 5,000 examples",
                ("gate", "t alone"),
                mean_losses(effort.loss_sizes, effort.data_sets, rng),
            ),
            show("Identical drops", ("gate", "t alone"), identical_drops()),
            show(
                f"Mean of a loss, relative margin: {effort.data_sets} data sets",
                ("gate",),
                relative_margins(effort.loss_sizes[:2], effort.data_sets, rng),
            ),
            show(
                f"AUC: {effort.auc_data_sets} data sets of 200 replicates",
                ("gate", "percent.", "basic", "bias-c."),
                aucs(effort.auc_data_sets, rng),
            ),
            show(
                f"Metrics of counts: {effort.counted_data_sets} data sets of 200 replicates",
                ("gate",),
                counted_metrics(effort.counted_data_sets, rng),
            ),
        ]
    )
    fewest = fewest_without_change(0.01)
    print(f"\n{fewest} examples without any drop, and a loss of 1, bless against 0.01")
    return holds


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
                value_means(effort.loss_sizes, effort.data_sets, rng),
            ),
            show(
                f"Value, a weighted accuracy: {data_sets} data sets",
                ("gate", "t, skew"),
                value_weighted(sizes, data_sets, rng),
            ),
            show(
                f"Value, an AUC: {data_sets} data sets of 200 replicates",
                ("gate", "bootstr."),
                value_aucs(sizes, data_sets, rng),
            ),
        ]
    )


def show_power(effort: Effort) -> None:
    """Prints how many examples bless a model of no drop, against a margin of one point."""
    print("\nExamples for a power of 80 % at no drop, margin of one point (exact)")
    print(f"{'':58s}{'gate':>9s}{'Tango':>9s}")
    for changed in effort.changed:
        needed = [
            examples_for_share(changed, 0.01, 1 - CONFIDENCE, 0.8, correction)
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
