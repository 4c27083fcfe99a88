"""`tfx-tflite plan`: how many examples the rules of a config ask for."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import ConfigError, DestinationError, NotKnownError
from tfx_tflite.components.judgement.gate import MetricRule
from tfx_tflite.components.judgement.metrics.catalog import Judging, row_of
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict
from tfx_tflite.pipelines.cli.config import CONFIG, SET, TIMEOUT, load_checked, with_timeout
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line
from tfx_tflite.pipelines.cli.tables import Column, Name, Table

if TYPE_CHECKING:
    from tfx_tflite.components.destinations.ledger import Night
    from tfx_tflite.pipelines.config.config import PipelineConfig

# What rules without a confidence are planned with.
_USUAL = 0.95
# Shares of changed examples that are shown as long as no run has seen any.
_ASSUMED = (0.0, 0.005, 0.01, 0.02, 0.05)


_EXPLAINED = "look 1, 2: judgements of one model"
_NIGHTS = (
    "; night {}: models that share the budget, if all before were blessed; this night: the next "
    "model"
)


class PlannedRule(Part):
    """How many examples a rule asks for.

    Attributes:
        metric: The metric.
        output: The output that it is of, if several are judged.
        slice: On which slice; of many, the one that lacks most.
        target: On which target, if the config names any.
        bound: How far the bound is from no drop or, of a value, from what it is now.
        confidence: How sure the verdict must be.
        changed: The share of examples whose correctness changes, if the metric is that.
        deviation: How much the drops of single examples differ; None if that is `changed`.
        is_assumed: Whether no run has seen that yet, so that it is only an example.
        examples: How many the last run had; None if there was none.
        groups: How many groups these were in. If examples are in groups, `needed` counts groups.
        needed: How many a power of 80 % takes, by what is counted.
    """

    metric: str
    output: str | None
    slice: str
    target: str | None
    bound: float
    confidence: float
    changed: float | None
    deviation: float | None
    is_assumed: bool
    examples: int | None
    groups: int | None
    needed: dict[str, int]


class Plan(Document):
    """How many examples the rules of a config ask for."""

    kind = "a plan"

    name: str
    power: float
    rules: tuple[PlannedRule, ...]
    notes: tuple[str, ...] = ()


@examples(
    "tfx-tflite plan mine.yaml",
    "tfx-tflite plan mine.yaml --set gate.rules.0.max_drop=0.005",
    "tfx-tflite plan mine.yaml --set gate.rules.0.confidence=0.99 --json",
)
@click.command(short_help="Say how many examples the gate asks for.")
@CONFIG
@SET
@TIMEOUT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def plan(config: Path, overrides: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Say how many examples each rule with a confidence asks for, before they are labelled.

    So many bless a model that loses nothing with a power of 80 %: in four of five cases. How much
    the models differ on single examples is what the last run of CONFIG has seen; before the first
    run, some shares of changed examples are assumed. With gate.budget, the columns show what it
    costs that many models share one probability of a wrong push.
    """
    with errors_in_a_line(as_json):
        found = plan_of(load_checked(config, with_timeout(overrides, timeout)).config)
        if as_json:
            from tfx_tflite.pipelines.cli.console import print_json

            print_json(found.to_keys(), sys.stdout)
        else:
            _print(found)


def plan_of(config: "PipelineConfig") -> Plan:
    """Returns how many examples the rules of a config ask for.

    Raises:
        ConfigError: No rule is on a metric, or of none it can be told.
    """
    from tfx_tflite.components.report.examples_needed import POWER

    seen, notes = _last_rules(Path(config.root)), []
    asked = config.gate.confident
    if not asked:
        asked = tuple(
            rule.model_copy(update={"confidence": _USUAL})
            for rule in config.gate.rules
            if isinstance(rule, MetricRule)
        )
        notes.append(
            "no rule has a confidence, so figures are compared as they are, on however many "
            f"examples; this is what confidence: {_USUAL:g} asks for"
        )
    if not asked:
        raise ConfigError("gate.rules: no rule is on a metric, so no number of examples is needed")
    night = None
    if config.gate.budget is not None:
        night, problem = _next_night(config)
        notes += [problem] if problem else []
    rules: list[PlannedRule] = []
    for rule in asked:
        planned = list(_planned(rule, seen, night, config.gate.min_slice_examples))
        if not planned and _is_right_or_wrong(rule, config):
            planned = [_entry(_assumed(rule, share), night, is_assumed=True) for share in _ASSUMED]
        if not planned:
            notes.append(
                f"{rule.metric}: how much the models differ on single examples is not known yet; "
                "run once with the rule's confidence"
            )
        rules += planned
    by = config.evaluation.group_by or getattr(config.evaluation.aggregate, "by", None)
    if by is not None and rules:
        # Before a run, groups are taken to change as a whole, which is the worst that they can do.
        notes.append(f"the figures are groups of {by}, not examples")
    if not rules:
        raise ConfigError("; ".join(notes))
    notes += _minimums(asked, rules, config)
    return Plan(name=config.name, power=POWER, rules=tuple(rules), notes=tuple(notes))


def _minimums(
    asked: Sequence[MetricRule], rules: Sequence[PlannedRule], config: "PipelineConfig"
) -> Iterator[str]:
    """Yields what the gate asks for however sure a rule is."""
    gate = config.gate
    if any(min(rule.needed.values()) < gate.min_examples for rule in rules):
        yield f"gate.min_examples asks for {gate.min_examples:,} at least"
    of_scores = [rule.metric for rule in asked if _judging(rule, config) == {Judging.SCORES}]
    if of_scores:
        yield (
            f"{', '.join(of_scores)}: gate.min_class_examples asks for {gate.min_class_examples:,} "
            "of the rarer class at least"
        )


def _judging(rule: MetricRule, config: "PipelineConfig") -> set[Judging]:
    """Returns how the metric of a rule is judged on the outputs that have it."""
    known = [each for each in config.evaluation.metrics_in_question if each.name == rule.metric]
    return {row_of(each.class_name).judging for each in known}


def _last_rules(root: Path) -> tuple[RuleResult, ...]:
    """Returns the rules that the last run judged; none if there was no run."""
    from tfx_tflite.pipelines.cli.console import last_result

    return last_result(root).rules if any((root / "logs").glob("*.json")) else ()


def _next_night(config: "PipelineConfig") -> tuple["Night | None", str]:
    """Returns the place in the budget of the next model, and why that is not known."""
    from tfx_tflite.components.destinations.ledger import judgements
    from tfx_tflite.components.judgement.looks import Looks, Question
    from tfx_tflite.pipelines.config.trust import open_to_read

    nobody = Question("", "", "")
    try:
        past, problem = judgements(open_to_read(config).events()), ""
    except (DestinationError, NotKnownError) as error:
        past, problem = (), f"the first model is assumed: {error}"
    return Looks(nobody, past, config.gate.budget).night, problem


def _planned(
    rule: MetricRule, seen: tuple[RuleResult, ...], night: "Night | None", min_examples: int
) -> Iterator[PlannedRule]:
    """Yields what a rule asks for, on its hardest slice, by what the last run has seen."""
    from tfx_tflite.components.report.examples_needed import planned_rules

    results = [
        _as_asked(rule, result)
        for result in seen
        if (result.metric, result.against) == (rule.metric, rule.against)
        and rule.output in (None, result.output)
        and (result.slice == OVERALL) == (rule.slices == "overall")
        and (rule.limit is None) == (result.side is None)
        and (result.slice == OVERALL or result.counted[0] >= min_examples)
        and (result.changed is not None or result.deviation is not None)
    ]
    for result in planned_rules(results):
        yield _entry(result, night, is_assumed=False)


def _is_right_or_wrong(rule: MetricRule, config: "PipelineConfig") -> bool:
    """Returns whether a rule is on the drop of a metric that is right or wrong on each example."""
    is_drop = rule.max_drop is not None and rule.max_drop > 0
    return is_drop and _judging(rule, config) == {Judging.COUNTS}


def _as_asked(rule: MetricRule, result: RuleResult) -> RuleResult:
    """Returns what was judged with the bound and the confidence that the config has now."""
    bound = rule.allowed_drop(result.float_value)
    asked = {"bound": bound, "limit": rule.limit, "confidence": rule.confidence}
    return result.model_copy(update={**asked, "verdict": Verdict.UNDECIDED})


def _assumed(rule: MetricRule, changed: float) -> RuleResult:
    assert rule.max_drop is not None
    return RuleResult(
        metric=rule.metric,
        output=rule.output,
        slice=OVERALL if rule.slices == "overall" else "each slice",
        examples=0,
        float_value=0.0,
        quantized_value=0.0,
        drop=0.0,
        bound=rule.max_drop,
        confidence=rule.confidence,
        changed=changed,
        verdict=Verdict.UNDECIDED,
    )


def _entry(result: RuleResult, night: "Night | None", is_assumed: bool) -> PlannedRule:
    from tfx_tflite.components.report.examples_needed import (
        alpha_of,
        circumstances,
        margin_of,
        needed,
    )

    assert result.confidence is not None
    return PlannedRule(
        metric=result.metric,
        output=result.output,
        slice=result.slice,
        target=result.target,
        bound=margin_of(result),
        confidence=result.confidence,
        changed=result.changed if _goes_by_change(result) else None,
        deviation=None if _goes_by_change(result) else result.deviation,
        is_assumed=is_assumed,
        examples=None if is_assumed else result.examples,
        groups=None if is_assumed else result.groups,
        needed={
            asked.name: needed(result, asked.level) or 0
            for asked in circumstances(alpha_of(result), night)
        },
    )


def _goes_by_change(result: RuleResult) -> bool:
    return result.changed is not None and result.groups is None


def _print(found: Plan) -> None:
    from tfx_tflite.pipelines.cli.console import Terminal

    console = Terminal(sys.stdout)
    console.fitted_width()
    console.print(
        f"{found.name}: examples that bless a model without any drop with a power of "
        f"{found.power:.0%}"
    )
    columns = list(found.rules[0].needed)
    table = Table(
        [
            *(Column(name, is_heading=True) for name in ("metric", "slice")),
            Column("bound", "right"),
            Column("differ", "right"),
            Column("evaluated", "right"),
            *(Column(name, "right") for name in columns),
        ]
    )
    with_target = len({rule.target for rule in found.rules}) > 1
    for rule in found.rules:
        table.add_row(
            Name(_title(rule, with_target)),
            Name(rule.slice),
            f"{rule.bound:.4g}",
            _differ(rule),
            _evaluated(rule),
            *(f"{rule.needed[name]:,}" for name in columns),
        )
    console.print(table)
    nights = [name.removeprefix("night ") for name in columns if name.startswith("night ")]
    console.print(_EXPLAINED + (_NIGHTS.format(", ".join(nights)) if nights else ""))
    if any(rule.is_assumed for rule in found.rules):
        console.print("no run has seen how many examples change, so some shares are assumed")
    for rule in found.rules:
        if rule.changed == 0 and rule.examples:
            # The upper bound of a share of which no example was seen, at 95 %.
            most = 1 - 0.05 ** (1 / rule.examples)
            console.print(
                f"note: {rule.metric}: not one of {rule.examples:,} answers changed, but up to "
                f"{most:.2%} may, which takes more examples; before a run some shares are shown"
            )
    for note in found.notes:
        console.print(f"note: {note}")


def _evaluated(rule: PlannedRule) -> str:
    if rule.examples is None:
        return "-"
    return f"{rule.examples:,}" if rule.groups is None else f"{rule.groups:,} groups"


def _differ(rule: PlannedRule) -> str:
    if rule.changed is not None:
        return f"{rule.changed:.2%} change"
    return f"by {rule.deviation:.3g}"


def _title(rule: PlannedRule, with_target: bool) -> str:
    of = f" of {rule.output}" if rule.output else ""
    return f"{rule.metric}{of}" + (f" on {rule.target}" if with_target and rule.target else "")
