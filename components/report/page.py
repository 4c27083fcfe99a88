"""The evaluation's report as one HTML page: self-contained, offline, without a script.

The figures go through the template beside this file; here is what must be computed first: the
verdict in words, where each mark of a plot goes, which slices are worst, and how a number reads.
The plots are SVG written by the template, so that they follow the theme and the width of the page,
and so that the same report gives the same bytes whatever else is installed.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tfx_tflite.components.judgement.gate import LIMITS
from tfx_tflite.components.judgement.metrics.catalog import direction_of
from tfx_tflite.components.verdict import OVERALL

TEMPLATE = "page.html.j2"

# What keeps the page under 1 MB and readable, however large the report is. The page says what it
# leaves out; report.json has everything.
MAX_REASONS = 8
MAX_WARNINGS = 8
MAX_INPUTS = 40
MAX_CHECKS = 300
MAX_SLICES_PER_METRIC = 5
MAX_METRICS_OF_SLICES = 8
MAX_FLIPS = 20
MAX_WORST_EXAMPLES = 10
MAX_LAYERS = 500
MAX_CHARACTERS = 120
MAX_REASON_CHARACTERS = 400

DASH = "—"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

# Rules that limit the quantized model's figure itself. The gate judges them as a drop from the
# float model's figure; the page shows the limit as the config has it.
_SIDES: Mapping[str, Literal["at most", "at least"]] = {
    limit.figure: limit.side for limit in LIMITS
}

# Unicode's bidirectional controls turn around the text that follows, a verdict too.
_TURNS = dict.fromkeys(
    [*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"
)

# In the order of the table: what keeps the model from being pushed comes first.
_SEVERITY = ("refused", "undecided", "blessed", "not_judged")


def title(value: Mapping[str, Any]) -> str:
    """Returns what a rule, or a metric on a slice, is called: its output, and what it is against.

    Example:
        >>> title({"metric": "AUC", "output": "risk", "against": "pushed"})
        'AUC of risk against the pushed model'
    """
    of = f" of {value['output']}" if value.get("output") else ""
    against = " against the pushed model" if value.get("against") == "pushed" else ""
    return f"{value.get('metric')}{of}{against}"


def decisions(agreement: Mapping[str, Any], examples: Any) -> str:
    """Returns what an agreement is a share of: examples, or answers where each has several."""
    several = (_figure(agreement.get("decisions")) or 0) > (_figure(examples) or 0)
    return "answers" if several else "examples"


def flips(agreement: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the answers that changed, the most frequent first."""
    return sorted(agreement.get("flips") or (), key=lambda flip: -(flip.get("examples") or 0))


def render(report: Mapping[str, Any]) -> str:
    """Returns a report as one HTML file that fetches nothing.

    Args:
        report: The document that `report.build` makes. Only `verdict` must be there: a block that
            is missing, null or empty is left out, and a figure that is null shows as a dash.

    Raises:
        KeyError: The report has no verdict.
    """
    checks = _checks(report.get("rules") or ())
    layers = report.get("layers") or ()
    return _template().render(
        report=report,
        verdict=report["verdict"],
        headline=headline(report),
        checks=checks,
        verdicts={check.verdict for check in checks},
        methods=_methods(checks),
        has_limits=any(check.limit for check in checks),
        slice_groups=worst_slices(report.get("metrics") or (), report.get("rules") or ()),
        # What is known of each output; of one alone it is the report's own.
        parts=report.get("by_output") or [{**report, "output": None}],
        layers=layers,
        strips=_layer_strips(layers),
        has_sqnr=any(_figure(layer.get("sqnr_db")) is not None for layer in layers),
        weights_bytes=sum(layer.get("weights_bytes") or 0 for layer in layers),
    )


def _template() -> Any:
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        count=count,
        percent=percent,
        size=size,
        clip=clip,
        shape=shape,
        words=words,
        humps=humps,
        title=title,
        decisions=decisions,
        flips=flips,
    )
    environment.globals.update(
        MAX_REASONS=MAX_REASONS,
        MAX_WARNINGS=MAX_WARNINGS,
        MAX_INPUTS=MAX_INPUTS,
        MAX_CHECKS=MAX_CHECKS,
        MAX_FLIPS=MAX_FLIPS,
        MAX_WORST_EXAMPLES=MAX_WORST_EXAMPLES,
        MAX_LAYERS=MAX_LAYERS,
        MAX_REASON_CHARACTERS=MAX_REASON_CHARACTERS,
        PLOT=PlotScale,
    )
    return environment.get_template(TEMPLATE)


def _finalize(value: Any) -> Any:
    """Returns what an expression of the template shows: a dash for null, text that is not endless.

    A string that the template or a filter has dealt with already stays as it is.
    """
    from jinja2 import Undefined
    from markupsafe import Markup

    if value is None or isinstance(value, Undefined):
        return DASH
    if isinstance(value, str) and not isinstance(value, Markup | Clipped):
        return clip(value)
    return value


# --- How things read -----------------------------------------------------------------------------


class Clipped(str):
    """Text that is fit to be shown; still to be escaped."""


def clip(text: Any, characters: int = MAX_CHARACTERS) -> str:
    """Returns text of at most so many characters, the middle cut out, without control characters.

    A lone surrogate, which JSON may carry and UTF-8 may not, becomes a question mark; a character
    that turns around the text after it is replaced.
    """
    text = str(text).encode("utf-8", "replace").decode("utf-8")
    if len(text) > characters:
        tail = characters // 3
        text = f"{text[: characters - tail - 1]}…{text[-tail:]}"
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    return Clipped(text.translate(_TURNS))


def number(value: Any) -> str:
    """Returns a figure to 4 significant digits, or a dash where there is none.

    Example:
        >>> number(0.00221), number(48.7813), number(12345.6), number(None)
        ('0.00221', '48.78', '12,346', '—')
    """
    figure = _figure(value)
    if figure is None:
        return DASH
    if math.isinf(figure):
        return "∞" if figure > 0 else f"{MINUS}∞"
    if 1000 <= abs(figure) < 1e6:
        return f"{figure:,.0f}".replace("-", MINUS)
    mantissa, exponent, power = f"{figure:.4g}".partition("e")
    text = f"{mantissa} {TIMES} 10{_superscript(int(power))}" if exponent else mantissa
    return text.replace("-", MINUS)


def count(value: Any) -> str:
    """Returns a whole number with its thousands set apart, or a dash where there is none."""
    figure = _figure(value)
    return DASH if figure is None or math.isinf(figure) else f"{figure:,.0f}".replace("-", MINUS)


def percent(value: Any) -> str:
    """Returns a share as per cent to 4 significant digits, or a dash where there is none."""
    figure = _figure(value)
    return DASH if figure is None else f"{number(100 * figure)}%"


def size(value: Any) -> str:
    """Returns bytes as B, kB (1,000 bytes), MB or GB, or a dash where there are none."""
    figure = _figure(value)
    if figure is None:
        return DASH
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        # 999,950 bytes and more would round to 1000 kB.
        if abs(figure) >= 0.99995 * factor:
            return f"{number(figure / factor)} {unit}"
    return f"{number(figure)} B"


def shape(dimensions: Any) -> str:
    """Returns a tensor's shape; a dimension that is not fixed is a question mark."""
    if not isinstance(dimensions, Sequence) or isinstance(dimensions, str):
        return DASH
    return (
        f" {TIMES} ".join("?" if d is None or d == -1 else str(d) for d in dimensions) or "scalar"
    )


def words(name: Any) -> str:
    """Returns a name of the report as words.

    Example:
        >>> words("not_judged")
        'not judged'
    """
    return str(name).replace("_", " ")


def humps(name: Any, characters: int = MAX_CHARACTERS) -> Any:
    """Returns a name as HTML that may break between its words, which CamelCase runs together."""
    from markupsafe import Markup

    parts = re.split(r"(?<=[a-z_])(?=[A-Z])|(?<=_)(?=[a-z])", clip(name, characters))
    return Markup("<wbr>").join(parts)


def _figure(value: Any) -> float | None:
    """Returns a number of the report as a float; None where it is null, absent or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _counted(n: int, one: str, more: str) -> str:
    return f"{n:,} {one if n == 1 else more}"


# --- The verdict ---------------------------------------------------------------------------------


def headline(report: Mapping[str, Any]) -> str:
    """Returns the verdict as one sentence for a reader who knows no statistics."""
    model = f"The {report['scheme']} model" if report.get("scheme") else "The quantized model"
    verdicts = [rule.get("verdict") for rule in report.get("rules") or ()]
    if report["verdict"] == "blessed":
        return f"{model} may be pushed: {_what_holds(verdicts)}."
    return f"{model} was refused{_why_refused(verdicts, report.get('reasons') or ())}."


def _what_holds(verdicts: Sequence[str | None]) -> str:
    judged = sum(verdict != "not_judged" for verdict in verdicts)
    left_out = len(verdicts) - judged
    if not judged:
        return "no check was asked for"
    every = "the one check holds" if judged == 1 else f"all {judged:,} checks hold"
    if not left_out:
        return every
    return f"{every}; {_counted(left_out, 'was', 'were')} not judged, for lack of examples"


def _why_refused(verdicts: Sequence[str | None], reasons: Sequence[str]) -> str:
    failed, undecided = verdicts.count("refused"), verdicts.count("undecided")
    if failed or undecided:
        first = f"{failed:,} of {_counted(len(verdicts), 'check', 'checks')} failed"
        second = f"{undecided:,}{'' if failed else f' of {len(verdicts):,} checks'} could not be "
        second += "decided"
        return " because " + " and ".join([first] * bool(failed) + [second] * bool(undecided))
    if len(reasons) == 1:
        return f" because {clip(reasons[0], MAX_REASON_CHARACTERS)}"
    return f" for {len(reasons):,} reasons" if reasons else "; the report gives no reason"


# --- The checks: a rule on a slice ---------------------------------------------------------------


class PlotScale:
    """Where an interval plot, in its own units, has its marks.

    The horizontal unit is the largest drop allowed, so that "no change" and "largest drop allowed"
    are at the same place in every row, whatever the metric.
    """

    WIDTH = 140.0
    HEIGHT = 20.0
    FIRST, LAST = -1.5, 2.5
    MARGIN = 4.0  # Room for a mark that stands for a figure outside the plot.

    @classmethod
    def position(cls, multiple: float) -> float:
        """Returns where a multiple of the largest drop allowed is, kept within the plot."""
        inside = min(max(multiple, cls.FIRST), cls.LAST)
        span = (inside - cls.FIRST) / (cls.LAST - cls.FIRST)
        return round(cls.MARGIN + span * (cls.WIDTH - 2 * cls.MARGIN), 1)


@dataclass(frozen=True)
class IntervalPlot:
    """A small plot of one check: positions in the units of `PlotScale`, and the same in words.

    Attributes:
        zero: No change; None where the bound limits the figure itself.
        bound: The largest drop allowed.
        point: The drop.
        beyond: Whether the drop is outside the plot: -1 to the left, 1 to the right, 0 not.
        bar: The interval's two ends, or None where there is no interval.
        label: What the plot shows, in words.
    """

    zero: float | None
    bound: float
    point: float
    beyond: int
    bar: tuple[float, float] | None
    label: str


@dataclass(frozen=True)
class Check:
    """A rule on a slice, as a row of the table.

    Attributes:
        rule: The rule's result as the report has it.
        verdict: `blessed`, `refused`, `undecided` or `not_judged`.
        limit: Which way the bound limits the figure itself, or None where it limits the drop.
        bound: The largest drop allowed, or the limit.
        note: What the verdict needs said; empty where it speaks for itself.
        plot: None where there is no figure or no bound.
    """

    rule: Mapping[str, Any]
    verdict: str
    limit: str | None
    bound: float | None
    note: str
    plot: IntervalPlot | None


def _checks(rules: Iterable[Mapping[str, Any]]) -> list[Check]:
    """Returns the rows of the table of rules, what refuses first."""
    checks = [
        Check(
            rule=rule,
            verdict=str(rule.get("verdict")),
            limit=_SIDES.get(str(rule.get("metric"))),
            bound=_bound(rule),
            note=_note(rule),
            plot=interval_plot(rule),
        )
        for rule in rules
    ]
    return sorted(checks, key=lambda check: _severity(check.verdict))


def _methods(checks: Iterable[Check]) -> list[tuple[str, Any, list[str]]]:
    """Returns each method of an interval, its confidence, and the metrics it was used for."""
    found: dict[tuple[str, Any], list[str]] = {}
    for rule in (check.rule for check in checks):
        if rule.get("method"):
            metrics = found.setdefault((str(rule["method"]), rule.get("confidence")), [])
            if title(rule) not in metrics:
                metrics.append(title(rule))
    return [(method, confidence, metrics) for (method, confidence), metrics in found.items()]


def _severity(verdict: str) -> int:
    return _SEVERITY.index(verdict) if verdict in _SEVERITY else len(_SEVERITY)


def _note(rule: Mapping[str, Any]) -> str:
    verdict, more = rule.get("verdict"), _figure(rule.get("more_examples"))
    if verdict == "undecided" and more is not None:
        return f"some {count(more)} more examples would settle it"
    no_figure = None in (_figure(rule.get("drop")), _figure(rule.get("quantized")))
    if verdict in ("undecided", "not_judged") or (verdict == "refused" and no_figure):
        return str(rule.get("reason") or "")
    return ""


def interval_plot(rule: Mapping[str, Any]) -> IntervalPlot | None:
    """Returns where the marks of a rule's plot go, or None where there is nothing to show."""
    limit = _SIDES.get(str(rule.get("metric")))
    drop, bound = _drop_and_bound(rule, limit)
    if drop is None or bound is None or math.isinf(drop) or math.isinf(bound):
        return None
    lower, upper = _figure(rule.get("lower")), _figure(rule.get("upper"))
    interval = (lower, upper) if lower is not None and upper is not None and not limit else None
    unit = abs(bound) or max(map(abs, (drop, *(interval or ())))) or 1.0
    at = PlotScale.position
    return IntervalPlot(
        zero=None if limit else at(0),
        bound=at(bound / unit),
        point=at(drop / unit),
        beyond=(drop / unit > PlotScale.LAST) - (drop / unit < PlotScale.FIRST),
        bar=(at(interval[0] / unit), at(interval[1] / unit)) if interval else None,
        label=_plot_label(rule, limit, interval),
    )


def _drop_and_bound(
    rule: Mapping[str, Any], limit: str | None
) -> tuple[float | None, float | None]:
    """Returns what a plot shows and its bound; a higher figure is always a worse one."""
    if limit == "at most":
        return _figure(rule.get("quantized")), _bound(rule)
    if _figure(rule.get("quantized")) is None:
        return None, None
    return _figure(rule.get("drop")), _figure(rule.get("bound"))


def _bound(rule: Mapping[str, Any]) -> float | None:
    """Returns the largest drop that a rule allows, or the limit that it sets to the figure."""
    return _figure(rule.get("limit" if str(rule.get("metric")) in _SIDES else "bound"))


def _plot_label(
    rule: Mapping[str, Any], limit: str | None, interval: tuple[float, float] | None
) -> str:
    bound = number(_bound(rule))
    if limit:
        return f"{number(rule.get('quantized'))}, where {limit} {bound} is allowed"
    within = f", interval {number(interval[0])} to {number(interval[1])}" if interval else ""
    return f"Drop {number(rule.get('drop'))}{within}, largest drop allowed {bound}"


# --- Slices --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SliceDrop:
    """How much worse the quantized model is on one slice.

    Attributes:
        value: The metric on the slice, as the report has it.
        drop: How much worse the quantized model is, in the metric's unit.
        share: The drop as a share of the largest one of the metric, 0 to 1.
    """

    value: Mapping[str, Any]
    drop: float
    share: float


@dataclass(frozen=True)
class SliceGroup:
    """The slices of one metric on which the quantized model is worst.

    Attributes:
        metric: The metric's name.
        overall: The drop over all examples, or None where there is no figure.
        slices: The worst first; empty where the quantized model is worse on none.
        total: The number of slices with a figure.
    """

    metric: str
    overall: float | None
    slices: tuple[SliceDrop, ...]
    total: int


def worst_slices(
    metrics: Iterable[Mapping[str, Any]], rules: Iterable[Mapping[str, Any]]
) -> list[SliceGroup]:
    """Returns the worst slices of each metric, the metrics that a rule names first.

    A metric is left out where neither a rule nor its name tells which way it is better: metrics
    come without a drop.

    Args:
        metrics: Each metric on each slice.
        rules: Each rule on each of its slices.
    """
    rules = list(rules)
    values = [*rules, *metrics]
    signs = {title(value): _sign(value, rules) for value in values}
    drops: dict[str, dict[str, tuple[float, Mapping[str, Any]]]] = {}
    for value in values:
        name, slice_name = title(value), str(value.get("slice"))
        drop = _drop(value, signs[name])
        if drop is not None and str(value.get("metric")) not in _SIDES:
            drops.setdefault(name, {}).setdefault(slice_name, (drop, value))
    groups = [_slice_group(metric, by_slice) for metric, by_slice in drops.items()]
    return [group for group in groups if group.total][:MAX_METRICS_OF_SLICES]


def _drop(value: Mapping[str, Any], sign: int | None) -> float | None:
    if "drop" in value:
        return _figure(value["drop"])
    before, after = _figure(value.get("float")), _figure(value.get("quantized"))
    return None if before is None or after is None or sign is None else sign * (before - after)


def _sign(value: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> int | None:
    """Returns 1 where a higher value of a metric is better, -1 where a lower one is."""
    for rule in rules:
        if title(rule) != title(value):
            continue
        drop, before, after = (_figure(rule.get(key)) for key in ("drop", "float", "quantized"))
        if drop and before is not None and after is not None and before != after:
            return 1 if drop * (before - after) > 0 else -1
    direction = direction_of(str(value.get("metric")))
    return {"higher_is_better": 1, "lower_is_better": -1, None: None}[direction]


def _slice_group(
    metric: str, by_slice: Mapping[str, tuple[float, Mapping[str, Any]]]
) -> SliceGroup:
    sliced = {name: found for name, found in by_slice.items() if name != OVERALL}
    worse = sorted(
        (found for found in sliced.values() if found[0] > 0), key=lambda found: -found[0]
    )
    return SliceGroup(
        metric=metric,
        overall=by_slice[OVERALL][0] if OVERALL in by_slice else None,
        slices=tuple(
            SliceDrop(value, drop, share=round(drop / worse[0][0], 3))
            for drop, value in worse[:MAX_SLICES_PER_METRIC]
        ),
        total=len(sliced),
    )


# --- Layers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strip:
    """A plot with one mark a layer, from the first to the last.

    Attributes:
        title: What it shows.
        path: The marks as an SVG path, 100 high and 10 wide a layer; the layers are many and the
            paths short.
        kind: `bars`, or `dots`: lines of no length, which a round stroke makes dots of.
        width: In the path's units.
        top: The highest figure, as text.
        bottom: What the lower edge stands for, as text.
        label: The plot in words.
    """

    title: str
    path: str
    kind: Literal["bars", "dots"]
    width: int
    top: str
    bottom: str
    label: str


def _layer_strips(layers: Sequence[Mapping[str, Any]]) -> list[Strip]:
    """Returns the plots over all layers; none where a plot would show fewer than two figures."""
    weights = [_figure(layer.get("weights_bytes")) for layer in layers]
    scales = [_scale(layer) for layer in layers]
    noise = [_figure(layer.get("sqnr_db")) for layer in layers]
    widths = [_width(layer) for layer in layers]
    strips = []
    if sum(figure is not None for figure in noise) > 1:
        strips.append(_noise_strip(layers, noise))
    if sum(width is not None for width in widths) > 1:
        strips.append(_ranges_strip(layers, widths))
    if sum(bool(figure) for figure in weights) > 1:
        strips.append(_weights_strip(layers, weights))
    if sum(scale is not None for scale in scales) > 1:
        strips.append(_scales_strip(layers, scales))
    return strips


def _scale(layer: Mapping[str, Any]) -> float | None:
    """Returns the scale of a layer's output; None where a logarithmic axis has no place for it."""
    scale = _figure(layer.get("scale"))
    return scale if scale is not None and 0 < scale < math.inf else None


def _weights_strip(layers: Sequence[Mapping[str, Any]], weights: Sequence[float | None]) -> Strip:
    figures = [figure or 0.0 for figure in weights]
    highest = max(figures)
    path = "".join(
        f"M{10 * index + 1} 100v{-98 * figure / highest:.1f}h8V100z"
        for index, figure in enumerate(figures)
        if figure > 0
    )
    return Strip(
        title="Bytes of weights, layer by layer",
        path=path,
        kind="bars",
        width=10 * len(figures),
        top=size(highest),
        bottom="0",
        label=f"Bars of the bytes of weights of {_counted(len(layers), 'layer', 'layers')}; the "
        f"largest is {size(highest)}, in layer {_layer_name(layers, figures.index(highest))}.",
    )


def _width(layer: Mapping[str, Any]) -> float | None:
    """Returns how wide the range of a layer's output is; None where it is not known, or nothing."""
    lowest, highest = (_figure(end) for end in layer.get("range") or (None, None))
    if lowest is None or highest is None or not 0 < highest - lowest < math.inf:
        return None
    return highest - lowest


def _scales_strip(layers: Sequence[Mapping[str, Any]], scales: Sequence[float | None]) -> Strip:
    return _dots(
        layers,
        scales,
        title="Scale of the output, layer by layer (logarithmic): a large scale is a coarse step",
        what="the scale of the output",
        place=math.log,
    )


def _ranges_strip(layers: Sequence[Mapping[str, Any]], widths: Sequence[float | None]) -> Strip:
    return _dots(
        layers,
        widths,
        title="Width of the range of the output, layer by layer (logarithmic)",
        what="the width of the range of the output",
        place=math.log,
    )


def _noise_strip(layers: Sequence[Mapping[str, Any]], noise: Sequence[float | None]) -> Strip:
    return _dots(
        layers,
        noise,
        title="Signal-to-noise ratio of the output, layer by layer, in dB: low is far from float",
        what="the signal-to-noise ratio of the output in dB",
        place=float,
    )


def _dots(
    layers: Sequence[Mapping[str, Any]],
    figures: Sequence[float | None],
    title: str,
    what: str,
    place: Callable[[float], float],
) -> Strip:
    """Returns a plot with a dot for each layer that has a figure.

    Args:
        layers: All layers.
        figures: One a layer; None has no dot.
        title: What it shows.
        what: The same within a sentence.
        place: From a figure to its place on the axis.
    """
    known = {index: figure for index, figure in enumerate(figures) if figure is not None}
    highest, lowest = max(known.values()), min(known.values())
    span = place(highest) - place(lowest) or 1.0
    path = "".join(
        f"M{10 * index + 5} {6 + 88 * (place(highest) - place(figure)) / span:.1f}h0"
        for index, figure in known.items()
    )
    first, last = (
        next(index for index, figure in known.items() if figure == end) for end in (lowest, highest)
    )
    return Strip(
        title=title,
        path=path,
        kind="dots",
        width=10 * len(figures),
        top=number(highest),
        bottom=number(lowest),
        label=f"Dots of {what} of {_counted(len(known), 'layer', 'layers')}, from "
        f"{number(lowest)} in layer {_layer_name(layers, first)} to {number(highest)} in layer "
        f"{_layer_name(layers, last)}.",
    )


def _layer_name(layers: Sequence[Mapping[str, Any]], index: int) -> str:
    layer = layers[index]
    return f"{layer.get('index', index)}, {clip(layer.get('name') or layer.get('operator'), 60)}"
