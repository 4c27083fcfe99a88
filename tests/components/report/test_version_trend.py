"""The versions that were pushed last, as a trend of the report."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.components.destinations.interruption import make_candidate
from tests.components.report.reports import BLESSED, REFUSED, varied
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.last_versions import (
    MOST_VERSIONS,
    PastVersion,
    last_versions,
    overall_figures,
)
from tfx_tflite.components.destinations.manifest import MetadataIds
from tfx_tflite.components.report import page
from tfx_tflite.components.report.document import Pushed, Report
from tfx_tflite.components.report.version_trend import TrendScale, version_trend, with_history
from tfx_tflite.components.verdict import OVERALL

ACCURACY = "SparseCategoricalAccuracy"


def past(version: int, size_bytes: int = 1000, **figures: float) -> PastVersion:
    return PastVersion(
        version=version,
        pushed_at=f"2026-11-{version:02d}T10:00:00+00:00",
        scheme="int8",
        size_bytes=size_bytes,
        figures=figures,
    )


def pushed(directory: Path, *contents: bytes) -> Destination:
    """Returns a destination with versions of some bytes, each with the recorded report's rules."""
    directory.mkdir()
    destination = Destination.open(str(directory / "to"))
    ids = MetadataIds(model_artifact=1, blessing_artifact=2)
    for content in contents:
        candidate = make_candidate(directory, content, {})
        described = dataclasses.replace(candidate, description=BLESSED.description(ids))
        destination.push(described)
    return destination


# --- What is read ---------------------------------------------------------------------------------


def test_the_versions_are_those_of_the_manifests_oldest_first(tmp_path: Path):
    destination = pushed(tmp_path / "d", b"one", b"second")
    first, second = last_versions(destination)
    assert first.version < second.version
    assert (first.size_bytes, second.size_bytes) == (3, 6)
    assert first.scheme == "int8" and first.figures == overall_figures(BLESSED.rules)
    assert ACCURACY in first.figures


def test_only_the_last_versions_are_read(tmp_path: Path):
    contents = [bytes([65 + index]) for index in range(MOST_VERSIONS + 3)]
    destination = pushed(tmp_path / "d", *contents)
    found = last_versions(destination)
    assert [each.version for each in found] == destination.released()[-MOST_VERSIONS:]


def test_a_version_that_was_removed_or_is_damaged_is_left_out(tmp_path: Path):
    destination = pushed(tmp_path / "d", b"one", b"second", b"third")
    first, second, third = destination.released()
    (tmp_path / "d" / "to" / str(second) / "manifest.json").write_text("{")
    assert [each.version for each in last_versions(destination)] == [first, third]


def test_releases_of_runtimes_are_no_figures():
    [rule, *_] = (rule for rule in REFUSED.rules if rule.slice == OVERALL)
    release = varied(rule, metric="runtime_version", limit_release="2.14.0")
    assert overall_figures([rule, release]) == {rule.name: rule.quantized_value}


def test_a_destination_with_nothing_has_no_history(tmp_path: Path):
    report = with_history(REFUSED, Destination.open(str(tmp_path / "to")))
    assert report.history == () and report.history_problem is None


def test_a_destination_that_cannot_be_read_is_said_and_no_failure(tmp_path: Path):
    (tmp_path / "to").write_text("a file where a directory should be")
    report = with_history(REFUSED, Destination.open(str(tmp_path / "to")))
    assert report.history == () and report.history_problem
    text = page.render(report)
    assert "What was pushed before could not be read" in text
    assert report.verdict == REFUSED.verdict and report.rules == REFUSED.rules


# --- What is shown --------------------------------------------------------------------------------

OWN = overall_figures(REFUSED.rules)[ACCURACY]


def test_this_model_comes_last_if_it_was_not_pushed():
    report = varied(REFUSED, history=(past(1, **{ACCURACY: 0.5}), past(2, **{ACCURACY: 0.9})))
    trend = version_trend(report)
    assert trend.names == ("version 1", "version 2", "this model")
    accuracy = next(plot for plot in trend.trends if plot.title == ACCURACY)
    assert accuracy.newest == f"{OWN:.4g}"
    assert (accuracy.lowest, accuracy.highest) == ("0.5", "0.9")


def test_a_pushed_model_is_there_once():
    history = (past(1), past(2))
    report = varied(REFUSED, history=history, pushed=Pushed(version=2, uri="to/2"))
    assert version_trend(report).names == ("version 1", "version 2")


@pytest.mark.parametrize("history", [(), (past(1),)])
def test_one_model_is_no_trend(history):
    pushed_as = Pushed(version=1, uri="to/1")
    assert version_trend(varied(REFUSED, history=history, pushed=pushed_as)) is None


def test_higher_figures_are_higher_up_and_later_ones_further_right():
    figures = [0.5, 0.9, 0.7]
    history = tuple(past(index, **{ACCURACY: value}) for index, value in enumerate(figures, 1))
    report = varied(REFUSED, history=history, pushed=Pushed(version=3, uri="to/3"))
    [plot] = (plot for plot in version_trend(report).trends if plot.title == ACCURACY)
    xs, ys = zip(*plot.points, strict=True)
    assert list(xs) == sorted(xs) and ys[0] > ys[2] > ys[1]
    assert all(0 < x < TrendScale.WIDTH and 0 < y < TrendScale.HEIGHT for x, y in plot.points)
    assert plot.label == f"{ACCURACY} of 3 models, from 0.5 to 0.7 now; lowest 0.5, highest 0.9."


def test_figures_that_no_rule_is_on_today_are_left_out_and_lacking_ones_have_a_gap():
    history = (past(1, Gone=1.0), past(2, **{ACCURACY: 0.9}))
    trend = version_trend(varied(REFUSED, history=history))
    assert "Gone" not in trend.titles
    [plot] = (plot for plot in trend.trends if plot.title == ACCURACY)
    assert len(plot.points) == 2


def test_a_figure_that_never_changes_is_a_line_in_the_middle():
    trend = version_trend(varied(REFUSED, history=(past(1, 6040), past(2, 6040))))
    assert trend.trends[0].title == "Model file"


def shown(report: Report) -> str:
    [section] = re.findall(
        r'<section aria-labelledby="history">.*?</section>', page.render(report), re.S
    )
    return section


def test_the_page_has_a_plot_each_and_the_versions_as_a_table():
    section = shown(varied(REFUSED, history=(past(1, **{ACCURACY: 0.5}), past(2))))
    assert section.count("<svg") == len(
        version_trend(varied(REFUSED, history=(past(1, **{ACCURACY: 0.5}), past(2)))).trends
    )
    assert "2026-11-01" in section and "not pushed" in section and "1 kB" in section


def test_hostile_names_in_manifests_are_escaped():
    name = "<script>alert(1)</script>"
    [first, *others] = REFUSED.rules
    rules = (varied(first, metric=name, slice=OVERALL, limit_release=None), *others)
    hostile = varied(past(1, **{name: 0.5}), scheme=name, pushed_at=name)
    source = page.render(varied(REFUSED, rules=rules, history=(hostile, past(2, **{name: 0.7}))))
    assert "<script" not in source


def test_a_page_without_history_does_not_speak_of_it():
    assert "The versions before" not in page.render(varied(BLESSED, history=()))
