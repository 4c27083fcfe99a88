"""The report page: what it says, that it is safe and offline, and how it looks in a browser."""

# ruff: noqa: RUF001 - the signs that the page is set in are not those of a keyboard

import html
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.components.report.reports import (
    AUTO,
    BINARY,
    BLESSED,
    EARLIER,
    FAILED,
    NOT_JUDGED,
    REFUSED,
    REGRESSION,
    RULE,
    SEVERAL_OUTPUTS,
    TARGETS,
    UNDECIDED,
    varied,
)
from tfx_tflite.components.destinations.last_versions import PastVersion, overall_figures
from tfx_tflite.components.judgement.answer_figures import ConfusedPair, Confusion
from tfx_tflite.components.report import page, wording
from tfx_tflite.components.report.document import Report, ShownExample
from tfx_tflite.components.report.next_steps import next_steps
from tfx_tflite.components.report.worst_slices import worst_slices
from tfx_tflite.components.verdict import OVERALL, Verdict

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> & 日本"


def refused(**fields) -> Report:
    return varied(REFUSED, **fields)


def large(name: str = "a_feature_with_a_name") -> Report:
    names = [f"{name}:{index}" for index in range(2000)]
    metric, layer = REFUSED.metrics[0], REFUSED.layers[0]
    return refused(
        rules=tuple(varied(RULE, slice=name, drop=0.001) for name in names),
        metrics=tuple(
            varied(metric, slice=name, float_value=1.0, quantized_value=0.9) for name in names
        ),
        reasons=tuple(f"accuracy ({name}) is worse" for name in names),
        layers=tuple(varied(layer, index=index, name=f"{name}/{index}") for index in range(500)),
    )


def with_versions() -> Report:
    """Returns a report with versions before, whose figures are those of today's rules."""
    past = [
        PastVersion(
            version=number,
            pushed_at="2026-11-26T10:00:00+00:00",
            scheme="int8",
            size_bytes=6000 + number,
            figures=overall_figures(REFUSED.rules),
        )
        for number in range(1795733170, 1795733182)
    ]
    return refused(history=tuple(past))


REPORTS = {
    "versions before": with_versions(),
    "refused": REFUSED,
    "blessed": BLESSED,
    "several outputs": SEVERAL_OUTPUTS,
    "targets": TARGETS,
    "binary": BINARY,
    "regression": REGRESSION,
    "search": AUTO,
    "earlier": EARLIER,
    "large": large(),
}
EVERY_PAGE = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


class Document(HTMLParser):
    """A page's elements in order, and its text; fails on tags that do not match."""

    VOID = frozenset(["meta", "wbr", "br", "img", "link", "input", "hr"])

    def __init__(self, source: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == [], "elements that nothing closes"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is there twice"
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def text_of(report: Report) -> str:
    return Document(page.render(report)).text


# --- What it says --------------------------------------------------------------------------------


def test_says_of_which_pipeline_run_date_and_label_it_is():
    [source] = re.findall(r'<p class="eyebrow">(.*?)</p>', page.render(BLESSED), re.DOTALL)
    assert source.startswith("<bdi>digits</bdi> · Quantization report · <time")
    assert f'<time datetime="{BLESSED.evaluated_at}">' in source
    assert source.endswith(f"run {BLESSED.run}")
    assert "<title>digits: blessed – quantization report</title>" in page.render(BLESSED)
    assert "449 examples of the split eval, with label label." in text_of(BLESSED)


def test_says_which_version_was_pushed_if_it_was():
    text = text_of(BLESSED)
    assert f"Pushed as version {BLESSED.pushed.version} to {BLESSED.pushed.uri}." in text
    assert "Pushed as version" not in text_of(REFUSED)


def test_says_what_waits_since_when_and_how_it_is_approved():
    own, since = BLESSED.pushed.version, "2026-11-26T10:00:00+00:00"
    waiting = [
        {"version": number, "since": since, "approve": f"tfx-tflite approve to {number}"}
        for number in (own - 7, own)
    ]
    known = {**BLESSED.pushed.model_dump(), "waits": True, "waiting": waiting}
    pushed = type(BLESSED.pushed).model_validate(known)
    text = text_of(varied(BLESSED, pushed=pushed))
    assert f"to {BLESSED.pushed.uri}, where it is not current: it waits for approval." in text
    when = "has waited since 2026-11-26 10:00 UTC. tfx-tflite approve to"
    assert f"Version {own - 7} {when} {own - 7} makes it current." in text
    assert f"It {when} {own} makes it current." in text
    assert "waits for approval" not in text_of(BLESSED)


def test_gives_the_command_that_was_run_and_digests_that_sha256sum_prints():
    text, provenance = text_of(BLESSED), BLESSED.provenance
    assert provenance.config == "configs/digits.yaml"
    command = "tfx-tflite run configs/digits.yaml --set root=runs --set push.destination=pushed"
    assert command in text
    digest = provenance.config_digest.removeprefix("sha256:")
    assert f"What sha256sum prints of configs/digits.yaml was then {digest};" in text
    assert BLESSED.digests["quantized_model"].removeprefix("sha256:") in text


def test_a_report_of_an_earlier_release_has_all_but_what_it_does_not_say():
    text = text_of(EARLIER)
    assert "The int8 model may be pushed: all 11 checks hold." in text
    assert "Run tfx-tflite run with the same config" in text


def test_says_which_kernels_gave_the_figures_and_how_far_others_are():
    kernels = varied(REFUSED.kernels, answers=7, examples=200, largest=0.0625)
    text = text_of(refused(kernels=kernels))
    assert f"ran with {REFUSED.runtime.package} {REFUSED.runtime.version}, kernels xnnpack" in text
    assert (
        f"With the reference kernels of tensorflow {kernels.reference.version} it answers "
        "differently on 7 of 200 examples, and its outputs differ by up to 0.0625."
    ) in text


def test_says_first_why_the_model_was_refused():
    text = text_of(refused(rules=(RULE, FAILED, UNDECIDED)))
    headline = "The int8 model was refused because 1 of 3 checks failed and 1 could not be decided."
    assert text.index(headline) < text.index(REFUSED.reasons[0]) < text.index("Key figures")


def test_says_first_that_the_model_may_be_pushed():
    text = text_of(BLESSED)
    headline = text.index("The int8 model may be pushed: all 11 checks hold.")
    assert headline < text.index("Key figures")


def test_a_refusal_for_which_no_rule_stands_gives_its_reason():
    reasons = ("9 examples are too few to judge; gate.min_examples is 200",)
    text = text_of(refused(rules=(RULE,), reasons=reasons))
    assert f"was refused because {reasons[0]}." in text


def test_says_how_many_slices_were_not_judged():
    report = varied(BLESSED, rules=(RULE, NOT_JUDGED))
    assert "the one check holds; 1 was not judged, for lack of examples" in text_of(report)


def test_says_how_many_more_examples_settle_an_undecided_rule():
    rule = varied(UNDECIDED, more_examples=620)
    assert "some 620 more examples would settle it" in text_of(refused(rules=(rule,)))


def test_explains_undecided_and_not_judged_only_where_they_occur():
    assert "Undecided:" in text_of(REFUSED) and "Not judged:" in text_of(REFUSED)
    assert "Undecided:" not in text_of(BLESSED) and "Not judged:" not in text_of(BLESSED)


def test_says_that_nothing_was_pushed_yet_and_not_that_examples_are_few():
    text = text_of(varied(BLESSED, rules=(RULE, varied(NOT_JUDGED, against="pushed"))))
    assert "the one check holds; 1 was not judged, as nothing was pushed yet" in text
    assert "Not judged: nothing was pushed yet" in text and "too few examples" not in text


def test_says_that_the_pushed_model_could_not_be_looked_at_and_not_that_examples_are_few():
    rule = varied(UNDECIDED, against="pushed", more_examples=None)
    text = text_of(refused(rules=(rule,), pushed_problem="cannot read s3://models: denied"))
    assert "could not be looked at: cannot read s3://models: denied" in text
    assert "More examples make the interval narrower" not in text


def test_lists_what_refuses_before_what_holds():
    verdicts = re.findall(r"[✕✓?–] (failed|holds|undecided|not judged)", text_of(REFUSED))
    assert len(verdicts) == len(REFUSED.rules)
    assert list(dict.fromkeys(verdicts)) == ["failed", "undecided", "holds", "not judged"]
    order = ["failed", "undecided", "holds", "not judged"]
    assert verdicts == sorted(verdicts, key=order.index)


def test_sections_are_in_the_order_in_which_they_matter():
    source = page.render(REFUSED)
    order = re.findall(r'<h2 id="(\w+)"', source)
    wanted = "next figures warnings rules slices flips confusion outputs saturation layers cost"
    assert order == [*wanted.split(), "lineage", "reproduce"]


def test_shows_how_far_each_layer_is_from_the_float_model():
    text, layer = text_of(REFUSED), next(layer for layer in REFUSED.layers if layer.range)
    assert f"{wording.number(layer.sqnr_db)} dB" in text
    lowest, highest = map(wording.number, layer.range)
    assert f"{lowest} to {highest}" in text
    assert "Ranges: percentile, 99.9 %" in text
    assert 'aria-label="Dots of the signal-to-noise ratio' in page.render(REFUSED)
    assert 'aria-label="Dots of the width of the range' in page.render(REFUSED)


def test_shows_the_inputs_beside_their_calibration_and_warns():
    text, [seen] = text_of(REFUSED), REFUSED.saturation
    assert f"{wording.number(seen.extent[0])} to {wording.number(seen.extent[1])}" in text
    assert wording.percent(seen.slices[0].outside) in text
    assert REFUSED.warnings[0] in text


def test_shows_latency_with_one_thread_and_two_and_the_parts_of_the_file():
    text = text_of(REFUSED)
    assert "1 thread" in text and "2 threads" in text
    assert f"{wording.size(REFUSED.size_parts.constants)} are weights and other constants" in text


def test_says_that_latency_was_not_measured_on_the_device():
    assert "which is not the device" in text_of(REFUSED)


def test_shows_what_is_not_known_as_a_dash():
    figures = dict.fromkeys(["float_value", "quantized_value", "drop", "bound"], math.nan)
    source = page.render(refused(rules=(varied(FAILED, **figures, lower=None, upper=None),)))
    assert 'data-label="Drop" class="n strong">—</td>' in source
    assert 'data-label="Plot" class="plot">—</td>' in source
    assert not re.search(r"\b(None|null|nan|Undefined)\b", text_of(refused(rules=())))


@pytest.mark.parametrize(
    ("block", "heading"),
    [
        ("rules", "Rules"),
        ("metrics", "Worst slices"),
        ("agreement", "Changed answers"),
        ("layers", "Layers"),
        ("latency_ms", "Latency was measured"),
        ("arena_bytes", "Tensor arena"),
        ("calibration_sample", "was calibrated on"),
        ("versions", "Versions"),
        ("provenance", "tfx-tflite run tests"),
        ("labels", "with label label"),
    ],
)
def test_leaves_out_a_block_that_is_not_there(block: str, heading: str):
    # Without slices in the rules, or the worst slices would come from there.
    whole = refused(rules=(RULE,))
    if block == "labels":
        absent = varied(whole, evaluated=varied(whole.evaluated, outputs=()))
    else:
        absent = varied(whole, **{block: Report.model_fields[block].default})
    assert heading in text_of(whole)
    assert heading not in text_of(absent)


def test_renders_a_report_of_nothing_but_a_verdict():
    assert "The quantized model was refused" in text_of(Report(verdict="refused"))


def test_says_what_to_try_after_a_refusal_and_nothing_after_a_blessing():
    [*steps] = next_steps(REFUSED)
    text = text_of(REFUSED)
    assert steps and text.index("What to try next") < text.index(steps[0]) < text.index(
        "Key figures"
    )
    assert "What to try next" not in text_of(BLESSED)


def latency(ratio: float, interval: tuple[float, float] | None, **others: object) -> Report:
    known = {"ratio_interval": interval, "sets": 6, **others}
    measured = varied(REFUSED.latency_ms, ratio=ratio, rounds=200, **known)
    return refused(latency_ms=measured, latency_by_threads=(measured,))


def test_a_slower_model_is_marked_as_such_with_the_spread():
    source = page.render(latency(1.1, (1.08, 1.13)))
    assert '<dd class="figure slower">10% slower</dd>' in source
    text = Document(source).text
    assert "1.1 times the float model’s time, at 95% confidence between 1.08 and 1.13" in text
    assert "1.1 1.08 to 1.13" in text and "medians of 6 sets of rounds" in text


def test_a_difference_within_the_spread_is_not_called_slower():
    source = page.render(latency(1.02, (0.97, 1.06)))
    assert '<dd class="figure">no difference</dd>' in source and '"slower"' not in source


def test_a_report_of_an_earlier_release_has_the_middle_half_of_the_measurements():
    source = page.render(latency(1.02, None, sets=None, ratio_quartiles=(0.97, 1.06)))
    assert '<dd class="figure">no difference</dd>' in source
    text = Document(source).text
    assert "half of the 200 measurements lie between 0.97 and 1.06" in text


FLOOR = varied(
    FAILED,
    metric="AUC",
    slice="overall",
    float_value=0.86,
    quantized_value=0.8412,
    drop=0.0188,
    bound=-0.04,
    limit=0.9,
    side="at least",
    lower=0.0088,
    upper=0.0299,
)


def test_a_value_is_shown_beside_the_limit_that_it_must_keep():
    text = text_of(refused(rules=(FLOOR,)))
    assert "AUC overall 449 0.86 0.8412 — 0.8301 to 0.8512 at least 0.9" in text
    assert 'aria-label="0.8412, interval 0.8301 to 0.8512, where at least 0.9 is allowed"' in (
        page.render(refused(rules=(FLOOR,)))
    )


def test_a_limit_in_bytes_or_milliseconds_is_shown_in_full():
    size, latency = (
        varied(
            FLOOR,
            metric=name,
            float_value=math.nan,
            quantized_value=found,
            limit=limit,
            side="at most",
            lower=None,
            upper=None,
        )
        for name, found, limit in (("arena_bytes", 70123, 65536), ("latency_ms", 5.25, 5.0))
    )
    text = text_of(refused(rules=(size, latency)))
    assert "70,123 B — — at most 65,536 B" in text
    assert "5.25 ms — — at most 5 ms" in text


def test_a_measurement_that_cannot_tell_is_not_said_to_want_more_examples():
    undecided = varied(
        FLOOR, metric="latency_ratio", side="at most", verdict=Verdict.UNDECIDED, reason="it is 1"
    )
    assert "More examples make the interval narrower" not in text_of(refused(rules=(undecided,)))
    value = varied(FLOOR, verdict=Verdict.UNDECIDED)
    assert "More examples make the interval narrower" in text_of(refused(rules=(value,)))


def test_a_faster_model_is_not_marked():
    source = page.render(latency(0.5, (0.45, 0.52)))
    assert '<dd class="figure">2 times as fast</dd>' in source and '"slower"' not in source


def test_slices_beyond_ten_fold_and_the_overall_checks_do_not():
    slices = [varied(FAILED, slice=f"label:{index}") for index in range(14)]
    report = refused(rules=(*slices, varied(RULE, slice=OVERALL, metric="Held")))
    document = Document(page.render(report))
    folded = [held for tag, held, open_ in document.elements if tag == "tr" and "details" in open_]
    rows = document.all("tr")
    assert document.text.count("4 more checks of slices") == 1
    assert len([held for held in folded if held.get("role") == "row"]) == 1 + 4
    shown = document.text.split("4 more checks of slices")[0]
    assert "Held" in shown and "label:9" in shown and "label:10" not in shown
    assert rows


def test_ten_slices_do_not_fold():
    slices = tuple(varied(FAILED, slice=f"label:{index}") for index in range(10))
    assert "more checks" not in text_of(refused(rules=slices))


@pytest.mark.parametrize(("layers", "numbers"), [(1, []), (3, [0, 1, 2]), (42, range(0, 42, 5))])
def test_layers_are_numbered_below_the_plots_as_in_the_table(layers: int, numbers):
    layer = next(layer for layer in BLESSED.layers if layer.range)
    many = tuple(varied(layer, index=index) for index in range(layers))
    source = page.render(varied(BLESSED, layers=many))
    [*plots] = re.findall(r'<div class="ticks"[^>]*>(.*?)</div>', source)
    assert bool(plots) == (layers > 1)
    for plot in plots:
        assert [int(found) for found in re.findall(r">(\d+)<", plot)] == [*numbers]
        places = [float(found) for found in re.findall(r"left: ([\d.]+)%", plot)]
        assert places == sorted(places) and places[0] > 0 and places[-1] < 100


def test_shows_a_classifier_s_answers_beside_the_labels_of_both_models():
    source = page.render(BINARY)
    for model in ("float", "quantized"):
        assert f'aria-label="Confusion matrix of the {model} model: ' in source
        assert f'aria-label="Of the {model} model&#39;s probabilities' in source
    assert "how often the label is 1" in source and "Residuals" not in source


def test_shows_the_residuals_of_a_regression():
    source = page.render(REGRESSION)
    assert 'aria-label="Residuals of the quantized model from ' in source
    assert "Confusion" not in source and "probabilities can be trusted" not in source


def test_says_so_if_outputs_are_no_probabilities():
    answers = varied(BINARY.answers, reliability=None)
    assert "the outputs are no probabilities" in text_of(varied(BINARY, answers=answers))


def test_shows_the_most_confused_pairs_of_many_classes_with_their_names():
    pair = ConfusedPair(label=3, answer=700, float_count=1, quantized_count=9)
    names = {3: "tench", 700: "goldfish"}
    many = Confusion(answers=100, class_count=1000, pairs=(pair,), names=names)
    report = varied(BINARY, answers=varied(BINARY.answers, confusion=many))
    cells = re.findall(r"<t[hd][^>]*>(?:<bdi>)?([^<]*)", page.render(report))
    place = cells.index("3 tench")
    assert cells[place : place + 4] == ["3 tench", "700 goldfish", "1", "9"]


def test_names_of_classes_are_escaped_wherever_they_stand():
    names = {0: HOSTILE, 1: "'\"><script>"}
    confusion = varied(BINARY.answers.confusion, names=names)
    pair = ConfusedPair(label=0, answer=1, float_count=1, quantized_count=9)
    for found in (confusion, varied(confusion, classes=(), pairs=(pair,))):
        report = varied(BINARY, answers=varied(BINARY.answers, confusion=found))
        tags = {tag for tag, _, _ in Document(page.render(report)).elements}
        assert not {"script", "img"} & tags


PNG = "iVBORw0KGgo="


def shown(**fields: object) -> ShownExample:
    known = {"label": 3, "float": 3, "quantized": 8, "difference": 0.25, "png": PNG}
    return ShownExample.model_validate({**known, **fields})


def test_shows_the_images_that_were_asked_for_with_what_both_models_answer():
    report = refused(shown_examples=(shown(turned_wrong=True, file="f.gz", index=7), shown()))
    document = Document(page.render(report))
    first, second = document.all("img")
    assert first["src"] == f"data:image/png;base64,{PNG}"
    assert first["alt"] == "An example: label 3, float 3, quantized 8" == second["alt"]
    assert document.text.count("turned wrong") == 1
    assert "record 7 of f.gz, difference 0.25" in document.text


def test_shows_at_most_twelve_images_whole():
    png = "A" * 10_000
    source = page.render(refused(shown_examples=tuple(shown(png=png) for _ in range(40))))
    assert source.count(png) == 12


def test_says_why_there_are_no_images():
    assert "There are no images: it takes x [3]." in text_of(
        refused(shown_examples_problem="it takes x [3]")
    )


@pytest.mark.parametrize("png", ['"><script>', "data:text/html,x", "", "a b"])
def test_what_is_no_image_is_none_of_a_report(png: str):
    with pytest.raises(ValidationError):
        shown(png=png)


# --- Safe and offline ----------------------------------------------------------------------------


def hostile_everywhere(value):
    """Returns the JSON of a report with every free text replaced; names of kinds stay."""
    if isinstance(value, dict):
        return {
            key: held
            if (key in ("verdict", "kernels", "against", "of", "side") and isinstance(held, str))
            or (key, held) == ("slice", OVERALL)
            else HOSTILE
            if key == "file" and held
            else hostile_everywhere(held)
            for key, held in value.items()
        }
    if isinstance(value, list):
        return [hostile_everywhere(held) for held in value]
    return HOSTILE if isinstance(value, str) else value


def test_escapes_every_string_of_the_report():
    keys = {
        **hostile_everywhere(REFUSED.to_keys()),
        "golden": None,
        "signature": None,
        "recipe": None,
    }
    document = Document(page.render(Report.model_validate(keys)))
    plain = Document(page.render(REFUSED))
    assert {tag for tag, _, _ in document.elements} <= {tag for tag, _, _ in plain.elements}
    attributes = {name for _, held, _ in document.elements for name in held}
    assert attributes <= {name for _, held, _ in plain.elements for name in held}
    assert document.text.count(" ".join(HOSTILE.split())) > 20


def test_escapes_names_of_blocks():
    report = refused(lineage={HOSTILE: "x"}, versions={HOSTILE: "y"}, digests={HOSTILE: "z"})
    assert Document(page.render(report)).text.count("<script>alert('1')") == 3


def test_cuts_very_long_text_in_the_middle():
    source = page.render(refused(rules=(varied(RULE, slice="start" + "x" * 10**6 + "end"),)))
    assert len(source) < len(page.render(refused(rules=(RULE,)))) + 1_000
    assert re.search(r"<bdi>startx+…x+end</bdi>", source)


def test_text_that_utf8_cannot_carry_does_not_stop_the_page():
    provenance = varied(REFUSED.provenance, pipeline="a\ud800b\x00c")
    page.render(refused(provenance=provenance)).encode("utf-8")


def test_text_cannot_turn_around_the_text_after_it():
    source = page.render(refused(scheme="int8\u202e", reasons=("\u2067why",)))
    assert "The int8\N{REPLACEMENT CHARACTER} model was refused" in source
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", source)


@EVERY_PAGE
def test_fetches_nothing_and_runs_nothing(report: Report):
    source = page.render(report)
    document = Document(source)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _, _ in document.elements}
    assert not {"src", "href", "srcset"} & {
        name for _, held, _ in document.elements for name in held
    }
    assert not re.search(r"url\(|@import|https?:", source)
    policies = [held["content"] for held in document.all("meta") if "http-equiv" in held]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


@pytest.mark.parametrize("name", ["a_feature", "<&\"'>" * 200], ids=["usual names", "long names"])
def test_2000_slices_and_500_layers_are_below_1_mb(name: str):
    assert len(page.render(large(name)).encode("utf-8")) < 1_000_000


def test_says_what_a_large_report_leaves_out():
    text = text_of(large())
    assert "1,700 further checks are in report.json" in text
    assert "and 1,992 more, in report.json" in text


@EVERY_PAGE
def test_a_page_has_no_mark_of_a_merge(report: Report):
    assert not re.search(r"<<<<<<<|>>>>>>>|&gt;&gt;&gt;&gt;|=======", page.render(report))


def test_the_same_report_gives_the_same_bytes():
    assert page.render(REFUSED) == page.render(Report.parse(REFUSED.to_json(), "again"))


def test_does_not_load_tensorflow():
    check = (
        "import sys, tfx_tflite.components.report.page as page;"
        "from tfx_tflite.components.report.document import Report;"
        "light = 'jinja2' not in sys.modules; page.render(Report(verdict='refused'));"
        "sys.exit(not light or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


# --- Well-formed and accessible ------------------------------------------------------------------


@EVERY_PAGE
def test_is_well_formed_and_names_its_language(report: Report):
    source = page.render(report)
    assert source.lstrip().startswith("<!DOCTYPE html>")
    assert Document(source).all("html") == [{"lang": "en"}]


@EVERY_PAGE
def test_has_one_first_heading_and_skips_no_level(report: Report):
    tags = [tag for tag, _, _ in Document(page.render(report)).elements]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@EVERY_PAGE
def test_every_table_has_a_caption_and_headers_with_a_scope(report: Report):
    document = Document(page.render(report))
    tables, captions = document.all("table"), document.all("caption")
    assert len(tables) == len(captions) > 0
    assert all(held.get("scope") in ("col", "row", "rowgroup") for held in document.all("th"))


@EVERY_PAGE
def test_every_plot_has_a_text_alternative(report: Report):
    plots = Document(page.render(report)).all("svg")
    assert plots
    assert all(held["role"] == "img" and held["aria-label"] for held in plots)


def test_a_plot_says_in_words_what_it_shows():
    rule = varied(RULE, drop=0.0022, lower=-0.003, upper=0.0088, bound=0.01)
    [ratio] = [rule for rule in REFUSED.rules if rule.metric == "size_ratio"]
    source = page.render(refused(rules=(rule, ratio)))
    labels = [held["aria-label"] for held in Document(source).all("svg")]
    assert "Drop 0.0022, interval −0.003 to 0.0088, largest drop allowed 0.01" in labels
    shown = wording.number(ratio.quantized_value)
    assert f"{shown}, where at most 0.9 is allowed" in labels


def test_ids_are_unique_and_references_resolve():
    elements = Document(page.render(REFUSED)).elements
    ids = [held["id"] for _, held, _ in elements if "id" in held]
    assert len(set(ids)) == len(ids)
    assert {held["aria-labelledby"] for _, held, _ in elements if "aria-labelledby" in held} <= set(
        ids
    )


def luminance(colour: str) -> float:
    """Of WCAG 2.2, from #rrggbb."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
@pytest.mark.parametrize("background", ["page", "panel"])
@pytest.mark.parametrize(
    "text", ["text", "muted", "accent", "blessed", "refused", "undecided", "not_judged"]
)
def test_text_stands_out_from_its_background(theme: int, background: str, text: str):
    blocks = re.findall(r":root \{([^}]*)\}", page.render(REFUSED))
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[theme]))
    assert contrast(colours[text], colours[background]) >= 4.5


# --- In a browser --------------------------------------------------------------------------------

# A window of Chromium is at least 500 pixels wide, so the page is shown in frames; one made with
# srcdoc may be looked into. Everything that is folded is opened before it is measured.
FRAME = '<iframe style="border:0;width:{width}px;height:900px" srcdoc="{source}"></iframe>'
FRAMES = """<!DOCTYPE html><body style="margin:0">{frames}
<script>
// What only screen readers see is cut on purpose, and a region may be scrolled.
const isCut = (part, page) => {{
  const box = part.getBoundingClientRect();
  if (box.width < 2) return false;
  const isScrolled = part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0;
  const overflow = page.defaultView.getComputedStyle(part).overflowX;
  const isBeyond = box.right > page.documentElement.clientWidth + 1 && !part.closest(".scroll");
  return isBeyond || isScrolled && overflow !== "visible";
}};
const measured = frame => {{
  const page = frame.contentDocument;
  page.querySelectorAll("details").forEach(details => details.open = true);
  return {{
    width: page.documentElement.scrollWidth,
    cut: [...page.querySelectorAll("figure, figure *, td, th, dd, dt, svg")]
      .filter(part => isCut(part, page)).map(part => part.outerHTML.slice(0, 200)),
    scrolled: [...page.querySelectorAll(".scroll")]
      .filter(part => part.scrollWidth > part.clientWidth + 1)
      .map(part => part.getAttribute("aria-label")),
    dark: page.defaultView.matchMedia("(prefers-color-scheme: dark)").matches,
    background: page.defaultView.getComputedStyle(page.body).backgroundColor,
  }};
}};
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(measured);
  document.title = JSON.stringify(found);
}});
</script>
"""


def chromium(directory: Path, address: str, dark: bool, *options: str) -> str:
    profile = directory / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
        --disable-background-networking --disable-component-update --disable-sync
        --hide-scrollbars --window-size=1280,900""".split()
    theme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    found = subprocess.run(
        ["chromium", *command, theme, f"--user-data-dir={profile}", *options, address],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return found.stdout


def measured(
    directory: Path, source: str, *widths: int, dark: bool = False
) -> dict[int, dict[str, object]]:
    """Returns what a browser says of a page that is shown in frames, by their width."""
    escaped = html.escape(source)
    frames = "".join(FRAME.format(width=width, source=escaped) for width in widths)
    file = directory / "frames.html"
    file.write_text(FRAMES.format(frames=frames), encoding="utf-8")
    dom = chromium(directory, file.as_uri(), dark, "--dump-dom")
    title = re.findall(r"<title>(.*?)</title>", dom)[0]
    return dict(zip(widths, json.loads(html.unescape(title)), strict=True))


IN_A_BROWSER = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="there is no `chromium` to look with"
)


@pytest.mark.slow
@IN_A_BROWSER
@EVERY_PAGE
def test_no_figure_is_cut_off_at_any_width(report: Report, tmp_path: Path):
    for width, found in measured(tmp_path, page.render(report), 1280, 768, 390).items():
        assert found["width"] <= width
        assert (width, found["cut"], found["scrolled"]) == (width, [], [])


@pytest.mark.slow
@IN_A_BROWSER
def test_images_of_examples_fit_as_well(tmp_path: Path):
    file = "data_tfrecord-00000-of-00001.gz"
    images = tuple(shown(output="digit", file=file, index=index) for index in range(12))
    source = page.render(refused(shown_examples=images))
    for width, found in measured(tmp_path, source, 1280, 768, 390).items():
        assert found["width"] <= width and found["cut"] == []


@pytest.mark.slow
@IN_A_BROWSER
def test_a_cell_that_is_cut_off_would_be_found(tmp_path: Path):
    narrow = '<dd class="figure" style="width: 20px; overflow: hidden; white-space: nowrap">'
    source = page.render(REFUSED).replace('<dd class="figure">', narrow, 1)
    [found] = measured(tmp_path, source, 1280).values()
    assert len(found["cut"]) == 1


@pytest.mark.slow
@IN_A_BROWSER
@pytest.mark.parametrize("report", [REFUSED, large("x" * 200)], ids=["usual", "large, long names"])
def test_fits_the_screen_in_both_themes(report: Report, tmp_path: Path):
    picture, pictures = tmp_path / "picture.png", {}
    source = page.render(report)
    for dark in (False, True):
        for width, found in measured(tmp_path, source, 360, 1280, dark=dark).items():
            assert found["width"] <= width
            assert found["dark"] == dark
            assert found["background"] == ("rgb(21, 24, 28)" if dark else "rgb(251, 250, 247)")
        frames = (tmp_path / "frames.html").as_uri()
        chromium(tmp_path, frames, dark, f"--screenshot={picture}")
        pictures[dark] = picture.read_bytes()
    assert pictures[False] != pictures[True]


# --- Several outputs -----------------------------------------------------------------------------


def test_of_several_outputs_each_has_its_differences_under_its_name():
    shown, (digit, value) = page.render(SEVERAL_OUTPUTS), SEVERAL_OUTPUTS.by_output
    first, second = (wording.number(part.outputs.sqnr_db) for part in (digit, value))
    order = ["Differences of output digit", first, "Differences of output value", second]
    places = [shown.index(text) for text in order]
    assert places == sorted(places)
    assert "Changed answers of digit" in shown and "Changed answers of value" not in shown


def test_an_agreement_is_a_share_of_answers_if_examples_have_several():
    digit, value = SEVERAL_OUTPUTS.by_output
    pixels = varied(digit.agreement, rate=0.25, decisions=4 * SEVERAL_OUTPUTS.examples)
    parts = (digit, varied(value, agreement=pixels))
    text = text_of(varied(SEVERAL_OUTPUTS, by_output=parts))
    assert f"the same answer on {wording.percent(digit.agreement.rate)} of the examples" in text
    assert "the same answer on 25% of the answers" in text


def test_of_several_outputs_a_check_and_its_slices_name_theirs():
    groups = {group.metric for group in worst_slices(SEVERAL_OUTPUTS.metrics, ())}
    assert groups == {"SparseCategoricalAccuracy of digit", "MeanSquaredError of value"}
    text = page.render(SEVERAL_OUTPUTS).replace("<wbr>", "")
    assert "SparseCategoricalAccuracy of digit" in text


def test_no_two_sections_have_one_id():
    ids = re.findall(r' id="([^"]+)"', page.render(SEVERAL_OUTPUTS))
    assert len(ids) == len(set(ids)) > 3
