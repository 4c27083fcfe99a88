"""Tables on terminals of several widths: figures, versions and verdicts stay whole."""

import dataclasses
import io
import math

import pytest
from rich.cells import cell_len

from tests.components.destinations.interruption import make_candidate
from tests.components.report.reports import (
    BLESSED,
    EARLIER,
    REFUSED,
    RULE,
    SEVERAL_OUTPUTS,
    varied,
)
from tests.pipelines.cli.results import RESULT
from tests.pipelines.cli.terminals import lines_of, terminal
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.report.checks import side_of
from tfx_tflite.components.verdict import RuleResult, Verdict
from tfx_tflite.pipelines.cli.console import RunPrinter
from tfx_tflite.pipelines.cli.destination_history import history_of, print_history
from tfx_tflite.pipelines.cli.tables import Column, Name, Table, shortened
from tfx_tflite.pipelines.runs.results import RunResult

WIDTHS = (40, 60, 80, 120)
LONG = "country_of_the_user:Österreich_X_device:" + "an old phone " * 8
WIDE = "都市:東京都千代田区_X_曜日:月曜日火曜日水曜日木曜日金曜日"


def with_rules(*rules: RuleResult) -> RunResult:
    return RESULT.model_copy(update={"rules": rules, "reasons": (), "warnings": ()})


REPORTS = {
    "blessed": with_rules(*BLESSED.rules),
    "refused": with_rules(*REFUSED.rules),
    "several outputs": with_rules(*SEVERAL_OUTPUTS.rules),
    "of an earlier release": with_rules(*EARLIER.rules),
    "long slices": with_rules(
        *(varied(RULE, slice=f"{LONG}{n}", upper=-1.5e-300, drop=-1.23456e17) for n in range(12))
    ),
    "wide slices": with_rules(
        *(varied(RULE, slice=f"{WIDE}{n}", verdict=verdict) for n, verdict in enumerate(Verdict))
    ),
    "many metrics": with_rules(
        *(varied(RULE, metric=f"MeanOfSomethingLong{'VeryLong' * n}Metric") for n in range(12))
    ),
}


def printed(result: RunResult, columns: int) -> list[str]:
    with terminal(columns) as (stream, screen):
        RunPrinter(stream).result(result)
    return lines_of(screen.so_far())


def table_of(lines: list[str]) -> list[str]:
    end = next(index for index, line in enumerate(lines) if line.startswith("float32 "))
    return lines[1:end]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", REPORTS)
def test_rules_keep_their_figures_and_verdicts(name: str, columns: int):
    lines = table_of(printed(REPORTS[name], columns))
    text = " ".join(lines)
    shown = [rule for rule in REPORTS[name].rules if rule.verdict is not Verdict.BLESSED]
    for rule in shown[:12] or REPORTS[name].rules[:12]:
        for figure in (rule.float_value, rule.quantized_value):
            assert f"{figure:.4f}" in text
        side = side_of(rule)
        assert (f"{rule.bound:.4f}" if side is None else f"{side} {rule.limit:.4f}") in text
        assert rule.verdict.value in text
    names = {rule.slice for rule in REPORTS[name].rules} | {
        rule.name for rule in REPORTS[name].rules
    }
    for line in lines:
        # Only a name that is wider than the whole terminal goes on in its next line.
        assert cell_len(line) <= columns or line in names


@pytest.mark.parametrize("name", REPORTS)
def test_where_there_is_no_terminal_a_rule_is_a_line_in_which_nothing_is_shortened(name: str):
    stream = io.StringIO()
    RunPrinter(stream).result(REPORTS[name])
    [title, *rows] = [
        line for line in table_of(stream.getvalue().splitlines()) if not line.startswith("…")
    ]
    assert title.startswith("metric ") and title.endswith("verdict")
    rules = REPORTS[name].rules
    shown = [rule for rule in rules if any(rule.slice in line for line in rows)]
    assert len(rows) == min(12, len(rules)) and len(shown) >= len(rows)
    assert "\x1b" not in stream.getvalue()


LIMIT = {"float_value": math.nan, "lower": None, "upper": None, "confidence": None}


def limited(metric: str, side: str, found: float, limit: float, **fields: object) -> RuleResult:
    known = {"metric": metric, "slice": "overall", "side": side, "quantized_value": found}
    return varied(RULE, **{**known, "limit": limit, **LIMIT, **fields})


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        (
            limited("AUC", "at least", 0.8412, 0.9, float_value=0.86, drop=0.0188),
            "AUC overall 0.8600 0.8412 - at least 0.9000",
        ),
        (
            limited("size_bytes", "at most", 5488.0, 100000.0),
            "size_bytes overall - 5,488 B - at most 100,000 B",
        ),
        (
            limited("latency_ms", "at most", 0.125, 5.0),
            "latency_ms overall - 0.125 ms - at most 5 ms",
        ),
        (
            limited("accelerated", "at least", 0.9, 1.0),
            "accelerated overall - 90% - at least 100%",
        ),
        (
            limited("size_ratio", "at most", 0.35, 0.5, float_value=1.0),
            "size_ratio overall 1.0000 0.3500 - at most 0.5000",
        ),
    ],
)
def test_a_limit_reads_as_the_config_has_it(rule: RuleResult, row: str):
    [_, shown] = table_of(printed(with_rules(rule), 250))
    assert " ".join(shown.split()) == f"{row} {rule.verdict.value}"


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        (
            limited(
                "AUC",
                "at least",
                0.9412,
                0.9,
                float_value=0.96,
                drop=0.0188,
                lower=0.0088,
                upper=0.0299,
                confidence=0.95,
            ),
            "AUC overall 0.9600 0.9412 - at least 0.9301 at least 0.9000",
        ),
        (
            limited(
                "latency_ratio",
                "at most",
                1.02,
                1.1,
                float_value=1.0,
                drop=0.02,
                lower=-0.03,
                upper=0.07,
                confidence=0.95,
            ),
            "latency_ratio overall 1.0000 1.0200 (no difference) - at most 1.0700 at most 1.1000",
        ),
    ],
)
def test_what_is_sure_of_a_limited_figure_stands_beside_its_limit(rule: RuleResult, row: str):
    [_, shown] = table_of(printed(with_rules(rule), 250))
    assert " ".join(shown.split()) == f"{row} {rule.verdict.value}"


def test_a_terminal_that_can_do_nothing_has_its_width_too(monkeypatch: pytest.MonkeyPatch):
    """As terminals of editors are."""
    able = table_of(printed(REPORTS["blessed"], 60))
    monkeypatch.setenv("TERM", "dumb")
    assert table_of(printed(REPORTS["blessed"], 60)) == able


def test_a_wide_terminal_and_none_show_the_same():
    stream = io.StringIO()
    RunPrinter(stream).result(REPORTS["refused"])
    assert printed(REPORTS["refused"], 250) == stream.getvalue().splitlines()


def test_a_terminal_that_does_not_know_its_width_is_80_wide():
    assert printed(REPORTS["refused"], 0) == printed(REPORTS["refused"], 80)


def test_a_terminal_may_be_resized_between_two_lines():
    with terminal(120) as (stream, screen):
        printer = RunPrinter(stream)
        printer.result(REPORTS["refused"])
        screen.resize(60)
        printer.result(REPORTS["refused"])
    both = printed(REPORTS["refused"], 120) + printed(REPORTS["refused"], 60)
    assert lines_of(screen.so_far()) == both


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Destination:
    """A destination with a version of each state, with the rules of a real run in one of them."""
    path = tmp_path_factory.mktemp("pushed")
    destination = Destination.open(str(path / "to"))
    numbers = []
    for content, rules in ((b"a", ()), (b"b", REFUSED.rules), (b"c", SEVERAL_OUTPUTS.rules)):
        candidate = make_candidate(path, content, {})
        description = varied(candidate.description, rules=tuple(rules))
        candidate = dataclasses.replace(candidate, description=description)
        numbers.append(destination.push(candidate).number)
    destination.roll_back(numbers[1], "slower on phones")
    destination.sign_off(numbers[0], None, False)
    return destination


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_history_keeps_versions_figures_and_states(pushed: Destination, columns: int):
    history = history_of(pushed)
    with terminal(columns) as (stream, screen):
        print_history(history, stream)
    lines = lines_of(screen.so_far())
    words = " ".join(lines)
    for version in history.versions:
        for whole in (str(version.version), version.pushed_at, f"{version.size_bytes:,}"):
            assert whole in words
        assert version.state in words and version.digest.removeprefix("sha256:")[:12] in words
    assert "0.6481" in words and "signed off" in words
    # What was done beside pushes is told in sentences, which the terminal wraps; and a metric's
    # name alone may be wider than 40 columns.
    table = [line for line in lines if not line.startswith(history.events[0].at[:4])]
    alone = [line for line in table if line.startswith("  first rule") and line.count("  ") == 1]
    assert lines[-2].endswith("slower on phones")
    assert all(cell_len(line) <= columns for line in table if line not in alone)


def table(*names: str) -> Table:
    made = Table([Column("name", is_heading=True), Column("figure", "right")])
    for name in names:
        made.add_row(Name(name), "0.123456")
    return made


def shown(made: Table, columns: int) -> list[str]:
    with terminal(columns) as (stream, screen):
        RunPrinter(stream).say(made)
    return lines_of(screen.so_far())


def test_names_are_shortened_in_the_middle_before_rows_are_stacked():
    made = table("a name that is very long")
    assert shown(made, 30) == ["name                    figure", "a name tha…very long  0.123456"]
    assert shown(made, 20) == ["name", "    figure", "a name that is very long", "  0.123456"]


def test_figures_that_fit_no_line_are_lines_by_themselves():
    made = Table([Column("name", is_heading=True), *(Column(f"figure {n}") for n in range(4))])
    made.add_row(Name("one"), *("0.123456" for _ in range(4)))
    assert shown(made, 39) == [
        "one",
        "  figure 0 0.123456  figure 1 0.123456",
        "  figure 2 0.123456  figure 3 0.123456",
    ]


def test_two_names_are_not_shortened_to_the_same():
    lines = shown(table("first of the twins, and more", "first of all twins, and more"), 28)
    assert "first of the twins, and more" in lines and "first of all twins, and more" in lines


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("short", 5, "short"),
        ("a longer one", 7, "a l…one"),
        ("a longer one", 6, "a l…ne"),
        ("東京都千代田区", 9, "東京…田区"),
        ("東京都千代田区", 8, "東京…区"),
        ("ab", 1, "…"),
    ],
)
def test_a_name_is_shortened_to_so_many_cells(text: str, width: int, expected: str):
    assert shortened(text, width) == expected and cell_len(expected) <= width
