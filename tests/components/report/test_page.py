"""The report page: what it says, that it is safe and offline, and how it looks in a browser."""

# ruff: noqa: RUF001 - the signs that the page is set in are not those of a keyboard

import copy
import html
import itertools
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from tfx_tflite.components.judgement.gate import Gate, LatencyLimit, rule_of
from tfx_tflite.components.judgement.judging import judge
from tfx_tflite.components.report import page

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> & 日本"


def rule(verdict: str, metric: str = "accuracy", slice_name: str = "overall", **figures) -> dict:
    return {
        "metric": metric,
        "slice": slice_name,
        "examples": 449,
        "float": 0.9933,
        "quantized": 0.9911,
        "drop": 0.0022,
        "bound": 0.01,
        "verdict": verdict,
        "reason": "",
        "confidence": 0.95,
        "lower": -0.003,
        "upper": 0.0088,
        "method": "score (Tango 1998)",
        "more_examples": None,
        **figures,
    }


def layer(index: int, **properties) -> dict:
    return {
        "index": index,
        "operator": "CONV_2D",
        "name": f"net/conv_{index}/Conv2D",
        "output_shape": [-1, 8, 8, 16],
        "output_type": "INT8",
        "weights_type": "INT8",
        "weights_bytes": 144 * (index + 1),
        "scale": 0.0131 * (index + 1),
        "zero_point": -128,
        "range": [0.0, 3.3 * (index + 1)],
        "sqnr_db": 42.2 - 5 * index,
        "saturated": 0.001 * index,
        **properties,
    }


FAILURE = "accuracy (label:8) is worse by 0.058, more than 0.05 at 95% confidence"
REFUSED = {
    "format": 2,
    "pipeline": "digits",
    "verdict": "refused",
    "reasons": [FAILURE, "AUC (overall) is undecided: 449 examples are too few"],
    "scheme": "int8",
    "io_type": "int8",
    "examples": 449,
    "rules": [
        rule("blessed"),
        rule("refused", slice_name="label:8", quantized=0.942, drop=0.058, lower=0.051, upper=0.14),
        rule("undecided", "AUC", upper=0.013, more_examples=620),
        rule("not_judged", slice_name="label:4", examples=3, reason="3 examples", lower=None),
        rule(
            "blessed", "size_ratio", float=1.0, quantized=0.351, drop=-0.649, bound=-0.5, limit=0.5
        ),
    ],
    "metrics": [
        {"metric": "accuracy", "slice": "overall", "examples": 449, "float": 1, "quantized": 0.99},
        {"metric": "accuracy", "slice": "label:3", "examples": 49, "float": 1, "quantized": 0.98},
        {"metric": "accuracy", "slice": "label:5", "examples": 51, "float": 0.9, "quantized": 0.99},
    ],
    "agreement": {"rate": 0.9978, "flips": [{"float": 3, "quantized": 8, "examples": 2}]},
    "outputs": {
        "sqnr_db": 33.1,
        "mean_absolute_difference": 0.0021,
        "max_absolute_difference": 0.41,
        "kl_divergence": None,
    },
    "worst_examples": [
        {"file": "data-0.gz", "index": 1204, "digest": "5c1a9f0e77d04b21", "difference": 0.41}
    ],
    "size_bytes": {"float": 43412, "quantized": 15248},
    "latency_ms": {
        "float": 0.031,
        "quantized": 0.012,
        "ratio": 0.39,
        "batch_size": 1,
        "threads": 1,
    },
    "arena_bytes": {"float": 18432, "quantized": 5120},
    "runtime": {"package": "ai-edge-litert", "version": "2.3.0", "kernels": "xnnpack"},
    "kernels": {
        "reference": {"package": "tensorflow", "version": "2.16.2", "kernels": "reference"},
        "examples": 200,
        "answers": 7,
        "largest": 0.0625,
    },
    "layers": [layer(index) for index in range(3)],
    "latency_by_threads": [
        {"float": 0.031, "quantized": 0.012, "ratio": 0.39, "batch_size": 1, "threads": 1},
        {"float": 0.021, "quantized": 0.011, "ratio": 0.52, "batch_size": 1, "threads": 2},
    ],
    "size_parts": {"constants": 10116, "metadata": 120, "graph": 5012},
    "calibration": {"ranges": "percentile", "percentile": 99.9},
    "warnings": ["input 'image' was calibrated for 0 to 1, but 4.20% of the values are outside"],
    "saturation": [
        {
            "input": "image",
            "range": [0.0, 1.0],
            "extent": [-0.2, 3.4],
            "slices": [
                {"slice": "overall", "outside": 0.042},
                {"slice": "label:8", "outside": 0.11},
            ],
        }
    ],
    "digests": {"float_model": "sha256:aaaa", "config": "sha256:eeee"},
    "calibration_sample": {"digest": "sha256:cccc", "size": 200, "requested": 200},
    "evaluated": {"split": "eval", "signature": "serving", "output": "probs", "label": "label"},
    "gate": {"min_examples": 200},
    "lineage": {"float_model": "…/Trainer/model/5"},
    "versions": {"tfx": "1.16.0", "python": "3.10.13"},
}
BLESSED = {
    **REFUSED,
    "verdict": "blessed",
    "reasons": [],
    "rules": [rule("blessed"), rule("blessed", "AUC")],
}
MINIMAL = {
    "verdict": "blessed",
    "reasons": [],
    "scheme": None,
    "examples": 449,
    "rules": [rule("blessed", "m", lower=None, upper=None, method=None, confidence=None)],
    "metrics": [],
    "agreement": None,
    "outputs": None,
    "worst_examples": [],
    "size_bytes": {"float": None, "quantized": None},
    "latency_ms": None,
    "arena_bytes": None,
    "layers": [],
    "calibration_sample": None,
}


def refused(**changes) -> dict:
    return {**copy.deepcopy(REFUSED), **changes}


def large(name: str = "a_feature_with_a_name") -> dict:
    slices = [f"{name}:{index}" for index in range(2000)]
    return refused(
        rules=[rule("blessed", slice_name=name, drop=0.001) for name in slices],
        metrics=[
            {"metric": "accuracy", "slice": name, "examples": 50, "float": 1, "quantized": 0.9}
            for name in slices
        ],
        reasons=[f"accuracy ({name}) is worse" for name in slices],
        layers=[layer(index, name=f"{name}/{index}") for index in range(500)],
    )


EVERY_PAGE = pytest.mark.parametrize(
    "report", [REFUSED, BLESSED, MINIMAL, large()], ids=["refused", "blessed", "minimal", "large"]
)


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


def text_of(report: dict) -> str:
    return Document(page.render(report)).text


# --- What it says --------------------------------------------------------------------------------


def test_says_which_kernels_gave_the_figures_and_how_far_others_are():
    text = " ".join(re.sub(r"<[^>]+>", " ", page.render(REFUSED)).split())
    assert "ran with ai-edge-litert 2.3.0, kernels xnnpack" in text
    assert (
        "With the reference kernels of tensorflow 2.16.2 it answers differently on 7 of 200 "
        "examples, and its outputs differ by up to 0.0625."
    ) in text


def test_says_first_why_the_model_was_refused():
    text = text_of(REFUSED)
    headline = "The int8 model was refused because 1 of 5 checks failed and 1 could not be decided."
    assert text.index(headline) < text.index(FAILURE) < text.index("Key figures")


def test_says_first_that_the_model_may_be_pushed():
    text = text_of(BLESSED)
    headline = text.index("The int8 model may be pushed: all 2 checks hold.")
    assert headline < text.index("Key figures")


def test_a_refusal_for_which_no_rule_stands_gives_its_reason():
    reasons = ["9 examples are too few to judge; gate.min_examples is 200"]
    text = text_of(refused(rules=[rule("blessed")], reasons=reasons))
    assert f"was refused because {reasons[0]}." in text


def test_says_how_many_slices_were_not_judged():
    report = {**BLESSED, "rules": [rule("blessed"), rule("not_judged", slice_name="label:4")]}
    assert "the one check holds; 1 was not judged, for lack of examples" in text_of(report)


def test_says_how_many_more_examples_settle_an_undecided_rule():
    assert "some 620 more examples would settle it" in text_of(REFUSED)


def test_explains_undecided_and_not_judged_only_where_they_occur():
    assert "Undecided:" in text_of(REFUSED) and "Not judged:" in text_of(REFUSED)
    assert "Undecided:" not in text_of(BLESSED) and "Not judged:" not in text_of(BLESSED)


def test_lists_what_refuses_before_what_holds():
    verdicts = re.findall(r"[✕✓?–] (failed|holds|undecided|not judged)", text_of(REFUSED))
    assert verdicts == ["failed", "undecided", "holds", "holds", "not judged"]


def test_sections_are_in_the_order_in_which_they_matter():
    source = page.render(REFUSED)
    order = re.findall(r'<h2 id="(\w+)"', source)
    wanted = "figures warnings rules slices flips outputs saturation layers cost lineage reproduce"
    assert order == wanted.split()


def test_shows_how_far_each_layer_is_from_the_float_model():
    text = text_of(REFUSED)
    assert "42.2 dB" in text and "0 to 3.3" in text and "Ranges: percentile, 99.9 %" in text
    assert 'aria-label="Dots of the signal-to-noise ratio' in page.render(REFUSED)
    assert 'aria-label="Dots of the width of the range' in page.render(REFUSED)


def test_shows_the_inputs_beside_their_calibration_and_warns():
    text = text_of(REFUSED)
    assert "-0.2 to 3.4".replace("-", page.MINUS) in text and "11%" in text
    assert "4.20% of the values are outside" in text


def test_shows_latency_with_one_thread_and_two_and_the_parts_of_the_file():
    text = text_of(REFUSED)
    assert "1 thread" in text and "2 threads" in text
    assert "10.12 kB are weights and other constants" in text


def test_says_that_latency_was_not_measured_on_the_device():
    assert "which is not the device" in text_of(REFUSED)


def test_shows_null_as_a_dash():
    nothing = dict.fromkeys(["float", "quantized", "drop", "bound", "lower", "upper"])
    source = page.render(refused(rules=[rule("refused", **nothing)]))
    assert 'data-label="Drop" class="n strong">—</td>' in source
    assert 'data-label="Plot" class="plot">—</td>' in source
    assert not re.search(r"\b(None|null|nan|Undefined)\b", text_of(refused(rules=[])))


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
    ],
)
def test_leaves_out_a_block_that_is_not_there(block: str, heading: str):
    # Without slices in the rules, or the worst slices would come from there.
    whole = refused(rules=[rule("blessed")])
    absent = {key: value for key, value in whole.items() if key != block}
    assert heading in text_of(whole)
    assert heading not in text_of(absent)
    assert text_of({**whole, block: None}) == text_of(absent)


def test_renders_a_report_of_nothing_but_a_verdict():
    assert "The quantized model was refused" in text_of({"verdict": "refused"})


# --- Plots and slices ----------------------------------------------------------------------------


def test_no_change_and_the_bound_are_at_one_place_in_every_plot():
    small = page.interval_plot(rule("blessed"))
    great = page.interval_plot(rule("blessed", drop=22, bound=100, lower=-30, upper=88))
    assert (small.zero, small.bound, small.point, small.bar) == (
        great.zero,
        great.bound,
        great.point,
        great.bar,
    )
    assert small.bar[0] < small.zero < small.point < small.bar[1] < small.bound


def test_a_drop_outside_the_plot_is_marked_as_such():
    assert page.interval_plot(rule("refused", drop=5.0)).beyond == 1
    assert page.interval_plot(rule("blessed", drop=-5.0)).beyond == -1


def test_a_bound_of_zero_has_a_plot():
    plot = page.interval_plot(rule("refused", drop=0.1, bound=0.0))
    assert plot.zero == plot.bound < plot.point


@pytest.mark.parametrize(
    ("limit", "value", "shown", "allowed"),
    [
        ({"max_size_ratio": 0.5}, 0.35, "at most 0.5", True),
        ({"max_size_ratio": 0.5}, 0.6, "at most 0.5", False),
        ({"max_latency_ratio": 1.5}, 1.6, "at most 1.5", False),
        ({"min_agreement": 0.99}, 0.997, "at least 0.99", True),
        ({"min_agreement": 0.99}, 0.97, "at least 0.99", False),
        ({"max_kl_divergence": 0.1}, 0.02, "at most 0.1", True),
        ({"min_sqnr_db": 30}, 33.0, "at least 30", True),
        ({"min_sqnr_db": 30}, 28.0, "at least 30", False),
    ],
)
def test_a_limit_of_the_gate_is_shown_as_the_config_has_it(limit, value, shown, allowed):
    evidence = SimpleNamespace(figure=lambda name, output: value, output_keys=(None,))
    judged = judge(Gate(rules=(rule_of(limit),)), [], 449, {}, evidence)
    [result] = json.loads(judged.model_dump_json(by_alias=True))["rules"]
    plot = page.interval_plot(result)
    assert (plot.point < plot.bound) == allowed == judged.blessed
    assert plot.label == f"{value:g}, where {shown} is allowed"
    assert shown in text_of(refused(rules=[result]))


def test_a_limit_on_an_unknown_figure_says_so():
    evidence = SimpleNamespace(figure=lambda name, output: None, output_keys=(None,))
    judged = judge(Gate(rules=(LatencyLimit(max_latency_ratio=1.0),)), [], 449, {}, evidence)
    [result] = json.loads(judged.model_dump_json(by_alias=True))["rules"]
    assert page.interval_plot(result) is None
    # Once in the row of the table; the reasons of this report are others.
    assert "latency_ratio is not known, so it cannot be judged" in text_of(refused(rules=[result]))


def test_the_worst_slice_comes_first_whether_a_rule_or_only_a_metric_has_it():
    [group] = page.worst_slices(REFUSED["metrics"], REFUSED["rules"][:2])
    assert [slice_.value["slice"] for slice_ in group.slices] == ["label:8", "label:3"]
    assert [slice_.drop for slice_ in group.slices] == pytest.approx([0.058, 0.02])
    assert (group.overall, group.total) == (0.0022, 3)


def test_a_rise_of_an_error_is_a_drop():
    values = [
        {
            "metric": "MeanAbsoluteError",
            "slice": name,
            "examples": 9,
            "float": 1,
            "quantized": error,
        }
        for name, error in [("a", 1.5), ("b", 0.5)]
    ]
    [group] = page.worst_slices(values, [])
    assert [(found.value["slice"], found.drop) for found in group.slices] == [("a", 0.5)]


def test_a_metric_of_unknown_direction_has_no_worst_slice():
    value = {"metric": "mine", "slice": "a", "examples": 9, "float": 1, "quantized": 2}
    assert page.worst_slices([value], []) == []


# --- Numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (-0.28, "−0.28"),
        (12345.6, "12,346"),
        (1.5e-7, "1.5 × 10⁻⁷"),
        (2.5e9, "2.5 × 10⁹"),
        (0, "0"),
        (None, "—"),
        (float("nan"), "—"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_have_four_significant_digits(value, text: str):
    assert page.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999 B"), (999_999, "1 MB"), (43412, "43.41 kB"), (3_500_000, "3.5 MB"), (None, "—")],
)
def test_bytes_are_in_powers_of_1000(value, text: str):
    assert page.size(value) == text


# --- Safe and offline ----------------------------------------------------------------------------


def hostile_everywhere(value):
    """The report with every string but the verdicts replaced."""
    if isinstance(value, dict):
        return {
            key: held if key == "verdict" else hostile_everywhere(held)
            for key, held in value.items()
        }
    if isinstance(value, list):
        return [hostile_everywhere(held) for held in value]
    return HOSTILE if isinstance(value, str) else value


def test_escapes_every_string_of_the_report():
    document = Document(page.render(hostile_everywhere(refused())))
    plain = Document(page.render(refused()))
    assert {tag for tag, _, _ in document.elements} <= {tag for tag, _, _ in plain.elements}
    attributes = {name for _, held, _ in document.elements for name in held}
    assert attributes <= {name for _, held, _ in plain.elements for name in held}
    assert document.text.count(" ".join(HOSTILE.split())) > 20


def test_escapes_names_of_blocks():
    report = refused(lineage={HOSTILE: "x"}, versions={HOSTILE: "y"}, digests={HOSTILE: "z"})
    assert Document(page.render(report)).text.count("<script>alert('1')") == 3


def test_cuts_very_long_text_in_the_middle():
    source = page.render(refused(rules=[rule("blessed", slice_name="start" + "x" * 10**6 + "end")]))
    assert len(source) < 50_000
    assert re.search(r"<bdi>startx+…x+end</bdi>", source)


def test_text_that_utf8_cannot_carry_does_not_stop_the_page():
    page.render(refused(pipeline="a\ud800b\x00c")).encode("utf-8")


def test_text_cannot_turn_around_the_text_after_it():
    source = page.render(refused(scheme="int8\u202e", reasons=["\u2067why"]))
    assert "The int8\N{REPLACEMENT CHARACTER} model was refused" in source
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", source)


@EVERY_PAGE
def test_fetches_nothing_and_runs_nothing(report: dict):
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


def test_the_same_report_gives_the_same_bytes():
    assert page.render(REFUSED) == page.render(json.loads(json.dumps(REFUSED)))


def test_does_not_load_tensorflow():
    check = (
        "import sys, tfx_tflite.components.report.page as page;"
        "light = 'jinja2' not in sys.modules; page.render({'verdict': 'refused'});"
        "sys.exit(not light or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


# --- Well-formed and accessible ------------------------------------------------------------------


@EVERY_PAGE
def test_is_well_formed_and_names_its_language(report: dict):
    source = page.render(report)
    assert source.lstrip().startswith("<!DOCTYPE html>")
    assert Document(source).all("html") == [{"lang": "en"}]


@EVERY_PAGE
def test_has_one_first_heading_and_skips_no_level(report: dict):
    tags = [tag for tag, _, _ in Document(page.render(report)).elements]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@EVERY_PAGE
def test_every_table_has_a_caption_and_headers_with_a_scope(report: dict):
    document = Document(page.render(report))
    tables, captions = document.all("table"), document.all("caption")
    assert len(tables) == len(captions) > 0
    assert all(held.get("scope") in ("col", "row", "rowgroup") for held in document.all("th"))


@EVERY_PAGE
def test_every_plot_has_a_text_alternative(report: dict):
    plots = Document(page.render(report)).all("svg")
    assert plots
    assert all(held["role"] == "img" and held["aria-label"] for held in plots)


def test_a_plot_says_in_words_what_it_shows():
    labels = [held["aria-label"] for held in Document(page.render(REFUSED)).all("svg")]
    assert "Drop 0.0022, interval −0.003 to 0.0088, largest drop allowed 0.01" in labels
    assert "0.351, where at most 0.5 is allowed" in labels


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

# A window of Chromium is at least 500 pixels wide, so the page is shown in a frame; one made with
# srcdoc may be looked into. Everything that is folded is opened before it is measured.
FRAME = """<!DOCTYPE html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{source}"></iframe>
<script>addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  page.querySelectorAll("details").forEach(details => details.open = true);
  document.title = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    dark: page.defaultView.matchMedia("(prefers-color-scheme: dark)").matches,
    background: page.defaultView.getComputedStyle(page.body).backgroundColor,
  }});
}});</script>
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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no `chromium` to look with")
@pytest.mark.parametrize("report", [REFUSED, large("x" * 200)], ids=["usual", "large, long names"])
def test_fits_the_screen_in_both_themes(report: dict, tmp_path: Path):
    frame, picture = tmp_path / "frame.html", tmp_path / "picture.png"
    source = html.escape(page.render(report))
    for width in (360, 1280):
        frame.write_text(FRAME.format(width=width, source=source), encoding="utf-8")
        pictures = {}
        for dark in (False, True):
            dom = chromium(tmp_path, frame.as_uri(), dark, "--dump-dom")
            measured = json.loads(html.unescape(re.findall(r"<title>(.*?)</title>", dom)[0]))
            assert measured["width"] <= width
            assert measured["dark"] == dark
            assert measured["background"] == ("rgb(21, 24, 28)" if dark else "rgb(251, 250, 247)")
            chromium(tmp_path, frame.as_uri(), dark, f"--screenshot={picture}")
            pictures[dark] = picture.read_bytes()
        assert pictures[False] != pictures[True]


# --- Several outputs ---

TWO_OUTPUTS = {
    "verdict": "blessed",
    "examples": 100,
    "rules": [rule("blessed") | {"output": "kind"}, rule("blessed") | {"output": "price"}],
    "metrics": [
        {"metric": "AUC", "output": output, "slice": slice_name, "float": 0.9, "quantized": after}
        for output, after in (("kind", 0.8), ("price", 0.7))
        for slice_name in ("overall", "label:1")
    ],
    "agreement": {"rate": 0.5, "flips": [], "decisions": 100},
    "outputs": {"sqnr_db": 11.5},
    "by_output": [
        {
            "output": "kind",
            "agreement": {"rate": 0.5, "flips": [], "decisions": 100},
            "outputs": {"sqnr_db": 11.5},
            "worst_examples": [],
        },
        {
            "output": "price",
            "agreement": {"rate": 0.25, "flips": [], "decisions": 400},
            "outputs": {"sqnr_db": 22.5},
            "worst_examples": [],
        },
    ],
}


def test_of_several_outputs_each_has_its_differences_under_its_name():
    shown = page.render(TWO_OUTPUTS)
    assert shown.index("Differences of output kind") < shown.index("11.5") < shown.index("22.5")
    assert "Changed answers of price" in shown
    assert "the same answer on 50% of the examples" in shown
    assert "the same answer on 25% of the answers" in shown


def test_of_several_outputs_a_check_and_its_slices_name_theirs():
    shown = page.render(TWO_OUTPUTS)
    groups = {group.metric: group for group in page.worst_slices(TWO_OUTPUTS["metrics"], [])}
    assert {name: group.overall for name, group in groups.items()} == {
        "AUC of kind": pytest.approx(0.1),
        "AUC of price": pytest.approx(0.2),
    }
    assert "accuracy of kind" in shown.replace("<wbr>", "")


def test_no_two_sections_have_one_id():
    ids = re.findall(r' id="([^"]+)"', page.render(TWO_OUTPUTS))
    assert len(ids) == len(set(ids)) > 3
