"""A search for a recipe as the page shows it: in words, as a table, and as plots of candidates."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tfx_tflite.components.quantization.recipe import Recipe, Repair
from tfx_tflite.components.quantization.tuning import FAR, Tried, TuningReport
from tfx_tflite.components.report.wording import TIMES, clip, count, counted, number, size
from tfx_tflite.components.verdict import OVERALL, RuleResult

MAX_CANDIDATES = 100
MAX_CULPRITS = 5
_MAX_RECIPE_LINES = 200
_LINE_CHARACTERS = 200
# So many keys of layers and tensors are named in a sentence.
_NAMED = 3
# Marks that are nearer to each other, across and upwards, have one text.
_NEAR = (18.0, 10.0)

_REPAIRS: dict[Repair, str] = {
    "fold_batch_normalization": "batch normalization is folded into the next layer",
    "explicit_normalization": "the normalization of inputs is operators of its own",
    "move_normalization": "inputs are normalized by the caller, as the manifest says",
    "equalize": "channels are scaled to use the same range (equalization)",
    "correct_biases": "mean errors are taken out of the biases (bias correction)",
}
_BRIEF_REPAIRS: dict[Repair, str] = {
    "fold_batch_normalization": "folded batch normalization",
    "explicit_normalization": "explicit normalization",
    "move_normalization": "normalization moved to the caller",
    "equalize": "equalization",
    "correct_biases": "bias correction",
}


class ScatterScale:
    """The units of a plot of candidates, which has labels to the left and below."""

    LEFT = 48
    WIDTH = 232
    HEIGHT = 150
    BELOW = 16
    MARGIN = 12


@dataclass(frozen=True)
class Mark:
    """A candidate in a plot.

    Attributes:
        x: Of its middle, in the units of `ScatterScale`.
        y: The same.
        is_chosen: Whether it was chosen, or comes closest if none holds.
        holds: Whether the rules hold for it.
        is_allowed: Whether the search might choose it.
    """

    x: float
    y: float
    is_chosen: bool
    holds: bool
    is_allowed: bool


@dataclass(frozen=True)
class Scatter:
    """What candidates lose, downwards, over what they cost.

    Attributes:
        title: What it shows.
        label: The same in words, with figures.
        marks: The candidates.
        labels: Their numbers, with their places.
        bound: Where the largest drop allowed is.
        ticks: Texts beside the plot, with their heights.
        first: What the left edge stands for.
        last: What the right edge stands for.
    """

    title: str
    label: str
    marks: tuple[Mark, ...]
    labels: tuple[tuple[float, float, str], ...]
    bound: float
    ticks: tuple[tuple[float, str], ...]
    first: str
    last: str


@dataclass(frozen=True)
class Row:
    """A candidate in the table.

    Attributes:
        number: Its place among the candidates, from 1.
        tried: The candidate.
        rule: The rule that is missed by most, or met by least.
        is_chosen: Whether it was chosen, or comes closest if none holds.
        standing: What became of it.
    """

    number: int
    tried: Tried
    rule: RuleResult | None
    is_chosen: bool
    standing: str

    @property
    def verdict(self) -> tuple[str, str]:
        """The name of a chip and what it says."""
        if self.tried.problem:
            return "refused", "not possible"
        if not self.tried.holds:
            return "refused", "failed"
        if self.tried.is_sure or self.is_chosen:
            return "blessed", "holds"
        return "undecided", "holds, not surely"


@dataclass(frozen=True)
class SearchShown:
    """What the page shows of a search.

    Attributes:
        outcome: What it came to, a sentence each.
        rows: The candidates.
        rule: The rule that is the worst one of all candidates; empty if that differs.
        plots: Of the candidates.
        recipe: The chosen recipe in words.
        recipe_lines: The same as a document.
    """

    outcome: tuple[str, ...]
    rows: tuple[Row, ...]
    rule: str
    plots: tuple[Scatter, ...]
    recipe: tuple[str, ...]
    recipe_lines: tuple[str, ...]


def search_shown(tuning: TuningReport | None) -> SearchShown | None:
    """Returns what is shown of a search; None if there was none."""
    if tuning is None:
        return None
    rows = tuple(_row(tuning, place) for place in range(len(tuning.tried)))
    titles = {_title(row.rule) for row in rows if row.rule is not None}
    rule = titles.pop() if len(titles) == 1 else ""
    recipe = tuning.choice.recipe
    lines = [] if recipe is None else recipe.to_json().splitlines()
    return SearchShown(
        outcome=outcome(tuning),
        rows=rows,
        rule=rule,
        plots=_plots(rows, rule),
        recipe=() if recipe is None else in_words(recipe),
        recipe_lines=tuple(clip(line, _LINE_CHARACTERS) for line in lines[:_MAX_RECIPE_LINES]),
    )


def outcome(tuning: TuningReport) -> tuple[str, ...]:
    """Returns what a search came to, in sentences."""
    first, choice = tuning.tried[0], tuning.choice
    judged = (
        f"{counted(tuning.evaluations, 'candidate was', 'candidates were')} judged on "
        f"{counted(tuning.examples, 'example', 'examples')} of the split {tuning.split}, which the "
        "gate does not judge on."
    )
    if tuning.outcome == "plain":
        said = f"{_capitalized(choice.what)} holds the rules: nothing had to be repaired."
    elif tuning.outcome == "confirmed":
        said = "The recipe that held for the model before holds for this one, too."
    elif tuning.outcome == "rescued":
        said = f"{_missing(first)} It was rescued: {in_brief(choice)} holds."
    else:
        said = f"Nothing that may be chosen holds the rules. {_missing(first)} "
        said += f"Closest comes {in_brief(choice)}."
    possible = (f"{_capitalized(tuning.possible)}.",) if tuning.possible else ()
    return (said, *possible, judged)


def _missing(first: Tried) -> str:
    """Returns by how much the first candidate misses the rules."""
    rule = first.worst_rule
    said = _capitalized(first.what)
    if rule is None or first.problem:
        return f"{said} is not possible."
    return (
        f"{said} does not hold: {_title(rule)} drops by {number(rule.drop)}, and "
        f"{number(rule.bound)} is allowed."
    )


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(rule: RuleResult) -> str:
    where = "" if rule.slice == OVERALL else f" on {clip(rule.slice)}"
    return f"{clip(rule.title)}{where}" + (f", {clip(rule.target)}" if rule.target else "")


def _row(tuning: TuningReport, place: int) -> Row:
    tried = tuning.tried[place]
    standing = ""
    if place == tuning.chosen:
        standing = "closest" if tuning.outcome == "not found" else "chosen"
    elif tried.recipe is None:
        standing = "only shows what int8 inputs cost"
    elif not tried.is_allowed:
        standing = "not allowed"
    elif tried.is_kept:
        standing = "best so far"
    return Row(
        number=place + 1,
        tried=tried,
        rule=None if tried.problem else tried.worst_rule,
        is_chosen=place == tuning.chosen,
        standing=standing,
    )


def in_brief(tried: Tried) -> str:
    """Returns what a candidate's recipe makes of a model, in a few words.

    Such as `int8 with equalization and bias correction`.
    """
    return tried.what if tried.recipe is None else recipe_in_brief(tried.recipe)


def recipe_in_brief(recipe: Recipe) -> str:
    """Returns what a recipe makes of a model, in a few words."""
    parts = [_BRIEF_REPAIRS[repair] for repair in recipe.repairs]
    if recipe.weights:
        parts.append("a scale for each output channel of dense weights")
    if recipe.ranges is not None:
        parts.append(f"{recipe.ranges.ranges} ranges")
    if recipe.draw is not None:
        parts.append(f"draw {recipe.draw} of the calibration examples")
    if floats := len(recipe.float_edges) + len(recipe.float_layers):
        parts.append(f"{counted(floats, 'tensor or layer', 'tensors or layers')} in float")
    if not parts:
        return recipe.scheme.value
    *first, last = parts
    return f"{recipe.scheme.value} with {' and '.join(filter(None, (', '.join(first), last)))}"


def in_words(recipe: Recipe) -> tuple[str, ...]:
    """Returns what a recipe makes of a model, a phrase each."""
    found = [f"scheme {recipe.scheme.value}, inputs and outputs {recipe.resolved_io_type}"]
    found += [_REPAIRS[repair] for repair in recipe.repairs]
    if recipe.ranges is not None:
        found.append(f"ranges of activations: {recipe.ranges.ranges}")
    for keys, one, more in (
        (recipe.tensor_ranges, "tensor has a range rule", "tensors have range rules"),
        (recipe.weights, "layer has weights with a scale", "layers have weights with a scale"),
        (recipe.float_edges, "tensor stays float", "tensors stay float"),
        (recipe.float_layers, "layer stays float", "layers stay float"),
    ):
        if keys:
            channel = " for each output channel" if keys is recipe.weights else ""
            own = " of its own" if keys is recipe.tensor_ranges else ""
            found.append(f"{counted(len(keys), one, more)}{channel}{own}: {_named(list(keys))}")
    if recipe.draw is not None:
        found.append(f"calibrated with draw {recipe.draw} of the calibration examples")
    if recipe.allows_float:
        found.append("operators without an integer form stay float")
    return tuple(found)


def _named(keys: Sequence[str]) -> str:
    more = len(keys) - _NAMED
    return ", ".join(map(clip, keys[:_NAMED])) + (f" and {more:,} more" if more > 0 else "")


# --- Plots ----------------------------------------------------------------------------------------

# What a candidate costs: what plots call it, the figure, and how it reads.
_COSTS: tuple[tuple[str, Callable[[Tried], float | None], Callable[[float], str]], ...] = (
    ("bytes of the file", lambda tried: tried.size_bytes, size),
    ("latency on this machine", lambda tried: tried.latency_ms, lambda ms: f"{number(ms)} ms"),
    ("working memory", lambda tried: tried.arena_bytes, size),
)


def _plots(rows: Sequence[Row], rule: str) -> tuple[Scatter, ...]:
    """Returns a plot over each cost that is known of two candidates or more."""
    found = []
    for title, cost, shown in _COSTS:
        known = [
            (row, figure)
            for row in rows[:MAX_CANDIDATES]
            if row.rule is not None
            and abs(row.tried.excess) < FAR
            and row.tried.recipe is not None
            and (figure := cost(row.tried)) is not None
        ]
        if len(known) > 1:
            found.append(_scatter(known, title, shown, rule))
    return tuple(found)


def _scatter(
    known: Sequence[tuple[Row, float]], title: str, shown: Callable[[float], str], rule: str
) -> Scatter:
    costs = [figure for _, figure in known]
    excesses = [row.tried.excess for row, _ in known]
    # The bound is 0. Drops are from a share of it to hundreds of times it.
    least, most = (math.asinh(find([*excesses, 0.0])) for find in (min, max))
    span = ScatterScale.HEIGHT - 2 * ScatterScale.MARGIN

    def height(excess: float) -> float:
        share = (math.asinh(excess) - least) / (most - least) if most > least else 0.5
        return round(ScatterScale.MARGIN + span * share, 1)

    lowest, highest = min(costs), max(costs)

    def across(cost: float) -> float:
        share = (cost - lowest) / (highest - lowest) if highest > lowest else 0.5
        room = ScatterScale.WIDTH - 2 * ScatterScale.MARGIN
        return round(ScatterScale.LEFT + ScatterScale.MARGIN + room * share, 1)

    marks = [
        (
            row,
            Mark(
                across(cost),
                height(row.tried.excess),
                is_chosen=row.is_chosen,
                holds=row.verdict[0] == "blessed",
                is_allowed=row.tried.is_allowed,
            ),
        )
        for row, cost in known
    ]
    bound = height(0.0)
    ends = [min(known, key=lambda each: each[0].tried.excess)[0]]
    ends.append(max(known, key=lambda each: each[0].tried.excess)[0])
    ticks = [(bound, "allowed")]
    for row in ends:
        place = height(row.tried.excess)
        if all(abs(place - other) > 10 for other, _ in ticks):
            ticks.append((place, _drop(row, rule)))
    chosen = [
        f" {_capitalized(row.standing)} is {row.number}, with {_drop(row, rule)} and {shown(cost)}."
        for row, cost in known
        if row.is_chosen
    ]
    what = f"Drop of {rule}" if rule else "Distance of the worst rule from its bound"
    return Scatter(
        title=f"{what} over {title}",
        label=f"{what} over {title} of {counted(len(known), 'candidate', 'candidates')}: "
        f"from {_drop(ends[0], rule)} to {_drop(ends[1], rule)}, the cost from {shown(lowest)} to "
        f"{shown(highest)}.{''.join(chosen)}",
        marks=tuple(mark for _, mark in marks),
        labels=_labels(marks),
        bound=bound,
        ticks=tuple(ticks),
        first=shown(lowest),
        last=shown(highest) if highest > lowest else "",
    )


def _drop(row: Row, rule: str) -> str:
    """Returns the drop of a candidate's worst rule; as a share of the bound if rules differ."""
    assert row.rule is not None
    return number(row.rule.drop) if rule else f"{number(row.tried.excess)} {TIMES}"


def _labels(marks: Sequence[tuple[Row, Mark]]) -> tuple[tuple[float, float, str], ...]:
    """Returns the numbers of the candidates; those that lie close to each other share a text."""
    groups: list[list[tuple[Row, Mark]]] = []
    for row, mark in sorted(marks, key=lambda each: (each[1].x, each[0].number)):
        near = (
            group
            for group in groups
            if abs(mark.x - group[-1][1].x) < _NEAR[0] and abs(mark.y - group[-1][1].y) < _NEAR[1]
        )
        group = next(near, None)
        if group is None:
            groups.append([(row, mark)])
        else:
            group.append((row, mark))
    return tuple(_label(group) for group in groups)


def _label(group: Sequence[tuple[Row, Mark]]) -> tuple[float, float, str]:
    numbers = sorted(row.number for row, _ in group)
    text = ", ".join(map(count, numbers[:_NAMED]))
    more = f" +{len(numbers) - _NAMED}" if len(numbers) > _NAMED else ""
    heights = [mark.y for _, mark in group]
    return group[-1][1].x, round(sum(heights) / len(heights), 1), text + more
