"""The evaluation's report as one HTML page: self-contained, offline, without a script.

The template beside this file reads the report's fields. What must be computed first is in the
modules that it imports: how a number reads, where each mark of a plot goes, which slices are worst.
The plots are SVG written by the template, so that they follow the theme and the width of the page,
and so that the same report gives the same bytes whatever else is installed.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfx_tflite.components.artifact_layout import MODEL_FILE
from tfx_tflite.components.report import wording
from tfx_tflite.components.report.answer_plots import SquareScale, answer_plots, class_name
from tfx_tflite.components.report.calibration_draws import draws_shown
from tfx_tflite.components.report.checks import (
    PlotScale,
    checks_of,
    folded,
    interval_methods,
    is_limit,
)
from tfx_tflite.components.report.counted_looks import level_text, night_text
from tfx_tflite.components.report.document import Agreement, Latency, Report
from tfx_tflite.components.report.examples_needed import PowerScale, power_plot
from tfx_tflite.components.report.findings import by_reason
from tfx_tflite.components.report.layer_plots import layer_strips
from tfx_tflite.components.report.memory_plot import memory_strip
from tfx_tflite.components.report.next_steps import next_steps
from tfx_tflite.components.report.recipe_search import (
    MAX_CANDIDATES,
    MAX_CULPRITS,
    ScatterScale,
    search_shown,
)
from tfx_tflite.components.report.version_trend import TrendScale, version_trend
from tfx_tflite.components.report.wording import MAX_REASON_CHARACTERS, clip, counted
from tfx_tflite.components.report.worst_slices import worst_slices
from tfx_tflite.components.verdict import RuleResult, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = "page.html.j2"

# What keeps the page under 1 MB and readable, however large the report is. The page says what it
# leaves out; report.json has everything.
_LIMITS = {
    "MAX_REASONS": 8,
    "MAX_WARNINGS": 8,
    "MAX_INPUTS": 40,
    # Reasons for which a target does not run operators.
    "MAX_FINDINGS": 40,
    "MAX_CHECKS": 300,
    "MAX_FLIPS": 20,
    "MAX_WORST_EXAMPLES": 10,
    "MAX_SHOWN": 12,
    "MAX_LAYERS": 500,
    "MAX_CANDIDATES": MAX_CANDIDATES,
    "MAX_CULPRITS": MAX_CULPRITS,
    "MAX_DRAWS": 100,
    "MAX_REASON_CHARACTERS": MAX_REASON_CHARACTERS,
}


def render(report: Report) -> str:
    """Returns a report as one HTML file that fetches nothing.

    A block that is empty is left out, and a figure that is not known shows as a dash.

    Args:
        report: As it is read from report.json.
    """
    checks = checks_of(report.rules)
    shown, hidden = folded(checks)
    without, beside = _by_reference(report)
    return _template().render(
        report=report,
        headline=headline(report),
        checks=checks,
        shown_checks=shown,
        folded_checks=hidden,
        next_steps=next_steps(report),
        search=search_shown(report.tuning),
        draws=draws_shown(report.draws),
        trend=version_trend(report),
        needs_more_examples=any(
            rule.verdict is Verdict.UNDECIDED and not is_limit(rule.metric)
            for rule in _with_reference(report)
        ),
        has_small_slices=Verdict.NOT_JUDGED in beside,
        lacks_target=_lacks_target(report),
        nothing_pushed=Verdict.NOT_JUDGED in without,
        methods=interval_methods(report.rules),
        power=power_plot(report.rules, report.judged.night if report.judged else None),
        has_limits=any(check.side for check in checks),
        slice_groups=worst_slices(report.metrics, report.rules),
        strips=layer_strips(report.layers),
        has_sqnr=any(layer.sqnr_db is not None for layer in report.layers),
        weights_bytes=sum(layer.weights_bytes for layer in report.layers),
    )


def _with_reference(report: Report) -> list[RuleResult]:
    """Returns the rules that had what they compare with."""
    has_pushed = report.pushed_reference is not None
    return [rule for rule in report.rules if rule.against == "float" or has_pushed]


def _by_reference(report: Report) -> tuple[list[Verdict], list[Verdict]]:
    """Returns the verdicts of rules that had no pushed model to compare with, and of the others.

    Those on targets that do not run the model are left out.
    """
    without: list[Verdict] = []
    beside: list[Verdict] = []
    lacking = _not_running(report)
    for rule in report.rules:
        if rule.target in lacking:
            continue
        has_none = rule.against == "pushed" and report.pushed_reference is None
        (without if has_none else beside).append(rule.verdict)
    return without, beside


def _not_running(report: Report) -> set[str]:
    """Returns the names of the targets that do not run the model."""
    return {target.target for target in report.targets if target.unsupported}


def _lacks_target(report: Report) -> bool:
    """Returns whether there are rules on targets that do not run the model."""
    return any(rule.target in _not_running(report) for rule in report.rules)


@functools.cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        # A field that the report does not have is a mistake of the template.
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        wording.number,
        wording.count,
        wording.percent,
        wording.size,
        wording.clip,
        wording.shape,
        wording.words,
        wording.humps,
        wording.speed,
        wording.cost,
        wording.provenance,
        level_text,
        night_text,
        memory_strip,
        by_reason,
        decisions,
        is_slower,
        answer_plots,
        class_name,
        image,
    ):
        environment.filters[function.__name__] = function
    environment.globals.update(
        _LIMITS,
        PLOT=PlotScale,
        SQUARE=SquareScale,
        TREND=TrendScale,
        SCATTER=ScatterScale,
        POWER=PowerScale,
        MODEL_FILE=MODEL_FILE,
    )
    return environment.get_template(TEMPLATE)


def _shown(value: object) -> object:
    """Returns what an expression of the template shows: a dash for None, text that is not endless.

    A string that the template or a filter has dealt with already stays as it is.
    """
    from markupsafe import Markup

    if value is None:
        return wording.DASH
    if isinstance(value, str) and not isinstance(value, Markup | wording.Clipped):
        return clip(value)
    return value


def decisions(agreement: Agreement, examples: int | None) -> str:
    """Returns what an agreement is a share of: examples, or answers if each has several."""
    return "answers" if (agreement.decisions or 0) > (examples or 0) else "examples"


def image(png: str) -> str:
    """Returns an image in base64 as it is, not cut short as text is; it is still escaped."""
    return wording.Clipped(png)


def is_slower(latency: Latency) -> bool:
    """Returns whether the quantized model is slower by more than the measurements scatter."""
    spread = latency.spread
    return latency.ratio > 1 and (spread is None or spread[0] > 1)


def headline(report: Report) -> str:
    """Returns the verdict as one sentence for a reader who knows no statistics."""
    model = f"The {report.scheme} model" if report.scheme else "The quantized model"
    verdicts = [rule.verdict for rule in report.rules]
    if report.verdict is Verdict.BLESSED:
        return f"{model} may be pushed: {_what_holds(*_by_reference(report))}."
    return f"{model} was refused{_why_refused(verdicts, report.reasons)}."


def _what_holds(without: Sequence[Verdict], beside: Sequence[Verdict]) -> str:
    """Returns what holds, of rules that had no pushed model to compare with and of the others."""
    too_few = beside.count(Verdict.NOT_JUDGED)
    judged = len(beside) - too_few
    if judged:
        every = "the one check holds" if judged == 1 else f"all {judged:,} checks hold"
    else:
        every = "no check was judged" if without else "no check was asked for"
    if too_few:
        every += f"; {counted(too_few, 'was', 'were')} not judged, for lack of examples"
    if without:
        every += f"; {counted(len(without), 'was', 'were')} not judged, as nothing was pushed yet"
    return every


def _why_refused(verdicts: Sequence[Verdict], reasons: Sequence[str]) -> str:
    failed, undecided = verdicts.count(Verdict.REFUSED), verdicts.count(Verdict.UNDECIDED)
    if failed or undecided:
        first = f"{failed:,} of {counted(len(verdicts), 'check', 'checks')} failed"
        second = f"{undecided:,}{'' if failed else f' of {len(verdicts):,} checks'} could not be "
        second += "decided"
        return " because " + " and ".join([first] * bool(failed) + [second] * bool(undecided))
    if len(reasons) == 1:
        return f" because {clip(reasons[0], MAX_REASON_CHARACTERS)}"
    return f" for {len(reasons):,} reasons" if reasons else "; the report gives no reason"
