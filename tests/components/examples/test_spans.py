"""Spans as they are read off file patterns, without TensorFlow; and that TFX reads them alike."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from tfx_tflite.components.errors import ConfigError, DataError
from tfx_tflite.components.examples.spans import (
    NoSpanError,
    RollingSplits,
    Span,
    SpanPattern,
    local_glob,
)

SPAN = {"train": "span-{SPAN}/train/*", "eval": "span-{SPAN}/eval/*"}
VERSION = {"train": "span-{SPAN}/v-{VERSION}/train/*", "eval": "span-{SPAN}/v-{VERSION}/eval/*"}
DATE = {"train": "{YYYY}/{MM}/{DD}/train/*", "eval": "{YYYY}/{MM}/{DD}/eval/*"}


def deliver(base: Path, *directories: str, splits: tuple[str, ...] = ("train", "eval")) -> None:
    for directory in directories:
        for split in splits:
            path = base / directory / split / "data.tfrecord"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(directory)


def newest(base: Path, patterns: Mapping[str, str], spans: int = 1) -> list[Span]:
    rolling = RollingSplits.parse(str(base), patterns, ["train"], spans)
    return list(rolling.newest(local_glob))


def days(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def test_the_newest_span_is_the_largest_number_not_the_last_name(tmp_path: Path):
    deliver(tmp_path, "span-9", "span-10", "span-2")
    assert newest(tmp_path, SPAN) == [Span(10)]


def test_the_newest_version_of_the_newest_span_is_taken(tmp_path: Path):
    deliver(tmp_path, "span-1/v-7", "span-2/v-9", "span-2/v-10")
    assert newest(tmp_path, VERSION) == [Span(2, 10)]


def test_a_date_is_the_span_of_its_day(tmp_path: Path):
    deliver(tmp_path, "2026/02/28", "2026/03/01")
    assert newest(tmp_path, DATE) == [Span(days("2026-03-01"))]


def test_several_spans_are_those_that_are_there_the_newest_first(tmp_path: Path):
    deliver(tmp_path, "span-1", "span-3", "span-4", "span-8")
    assert newest(tmp_path, SPAN, 3) == [Span(8), Span(4), Span(3)]


def test_of_fewer_spans_than_wanted_all_are_taken(tmp_path: Path):
    deliver(tmp_path, "span-1", "span-2")
    assert newest(tmp_path, SPAN, 5) == [Span(2), Span(1)]


def test_a_late_span_is_taken_when_it_arrives(tmp_path: Path):
    deliver(tmp_path, "span-1", "span-3")
    assert newest(tmp_path, SPAN, 2) == [Span(3), Span(1)]
    deliver(tmp_path, "span-2")
    assert newest(tmp_path, SPAN, 2) == [Span(3), Span(2)]


def test_a_span_that_is_delivered_again_is_taken_once_in_its_newest_version(tmp_path: Path):
    deliver(tmp_path, "span-1/v-1", "span-2/v-1", "span-1/v-2")
    assert newest(tmp_path, VERSION, 2) == [Span(2, 1), Span(1, 2)]


def test_an_earlier_span_that_a_split_lacks_is_passed_over(tmp_path: Path):
    deliver(tmp_path, "span-1", "span-3")
    deliver(tmp_path, "span-2", splits=("train",))
    assert newest(tmp_path, SPAN, 2) == [Span(3), Span(1)]


def test_a_new_version_of_an_earlier_span_waits_until_all_splits_have_it(tmp_path: Path):
    deliver(tmp_path, "span-1/v-1", "span-2/v-1")
    deliver(tmp_path, "span-1/v-2", splits=("train",))
    assert newest(tmp_path, VERSION, 2) == [Span(2, 1), Span(1, 1)]


@pytest.mark.parametrize(("patterns", "new"), [(SPAN, "span-2"), (VERSION, "span-1/v-2")])
def test_a_newest_span_that_a_split_lacks_is_an_error(tmp_path: Path, patterns, new: str):
    deliver(tmp_path, "span-1" if patterns is SPAN else "span-1/v-1")
    deliver(tmp_path, new, splits=("eval",))
    with pytest.raises(DataError, match=r"the newest span is not the same .* delivery under way"):
        newest(tmp_path, patterns)


def test_no_span_is_an_error_that_names_the_pattern(tmp_path: Path):
    with pytest.raises(NoSpanError, match=r"no span matches .*/span-\{SPAN\}/train/\*"):
        newest(tmp_path, SPAN)


@pytest.mark.parametrize(
    ("directory", "patterns"),
    [("span-new", SPAN), ("2026/13/01", DATE), ("span-1/v-x", VERSION), ("span-1.5", SPAN)],
)
def test_what_is_no_number_is_an_error_that_names_the_file(tmp_path: Path, directory, patterns):
    deliver(tmp_path, directory)
    with pytest.raises(DataError, match=f"{directory}/train/data.tfrecord matches"):
        newest(tmp_path, patterns)


def test_leading_zeros_need_a_width_as_example_gen_would_look_without_them(tmp_path: Path):
    deliver(tmp_path, "span-007")
    with pytest.raises(DataError, match=r"look for '7' where there is '007'; write \{SPAN:3\}"):
        newest(tmp_path, SPAN)
    padded = {split: text.replace("SPAN", "SPAN:3") for split, text in SPAN.items()}
    assert newest(tmp_path, padded) == [Span(7)]


def test_rolled_splits_get_all_spans_and_the_others_the_newest():
    rolling = RollingSplits.parse("data", VERSION, ["train"], 2)
    assert rolling.filled([Span(3, 1), Span(1, 4)]) == {
        "train": ("span-3/v-1/train/*", "span-1/v-4/train/*"),
        "eval": ("span-3/v-1/eval/*",),
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{SPAN}/{SPAN}/*", "{SPAN} is there twice"),
        ("{SPAN}/{YYYY}{MM}{DD}/*", "has {SPAN} and a date"),
        ("{YYYY}/{MM}/*", "has a part of a date"),
        ("{VERSION}/*", "has {VERSION}, but neither"),
        ("{SPAN:x}/*", "expected a width like {SPAN:3}"),
        ("{SPAN:0}/*", "expected a width like {SPAN:3}"),
    ],
)
def test_says_what_is_wrong_with_a_pattern(pattern: str, expected: str):
    with pytest.raises(ConfigError) as caught:
        SpanPattern.parse(pattern)
    assert expected in str(caught.value)


def test_all_splits_must_have_the_same_placeholders():
    with pytest.raises(ConfigError, match="split 'eval' has other placeholders"):
        RollingSplits.parse("data", {"train": "{SPAN}/*", "eval": "eval/*"})


WIDTHS = {"train": "{SPAN:2}{VERSION:2}/train/*", "eval": "{SPAN:2}{VERSION:2}/eval/*"}
COMPACT = {"train": "d{YYYY}{MM}{DD}/train/*", "eval": "d{YYYY}{MM}{DD}/eval/*"}
NAMES = {"train": "day-{SPAN}.train*", "eval": "day-{SPAN}.eval*"}
DATED = {
    "train": "{YYYY}-{MM}-{DD}/r{VERSION}/train/*",
    "eval": "{YYYY}-{MM}-{DD}/r{VERSION}/eval/*",
}

LAYOUTS = [
    (SPAN, ["span-1", "span-2"]),
    (SPAN, ["span-9", "span-10"]),
    (SPAN, ["span-0"]),
    (SPAN, [".hidden-9", "span-4"]),
    (SPAN, []),
    (SPAN, ["span-x"]),
    (SPAN, ["span-1.5"]),
    (SPAN, ["span-007"]),
    (VERSION, ["span-1/v-3", "span-2/v-1"]),
    (VERSION, ["span-2/v-9", "span-2/v-10"]),
    (VERSION, ["span-2/v-"]),
    (VERSION, ["span-2"]),
    (DATE, ["2026/02/28", "2026/03/01", "1999/12/31"]),
    (DATE, ["2026/02/30"]),
    (DATE, ["26/2/3"]),
    (COMPACT, ["d20260228", "d20260301"]),
    (COMPACT, ["d2026301"]),
    (DATED, ["2026-01-05/r1", "2026-01-05/r2", "2026-01-04/r7"]),
    (WIDTHS, ["0103", "0201", "0202"]),
    (WIDTHS, ["010"]),
    (WIDTHS, ["00103"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("patterns", "directories"), LAYOUTS)
@pytest.mark.parametrize("half", [None, "train", "eval"])
def test_resolves_what_tfx_resolves_and_refuses_what_tfx_would_not_find(
    tmp_path: Path, patterns, directories: list[str], half: str | None
):
    from tfx.components.example_gen import input_processor
    from tfx.dsl.io import fileio
    from tfx.proto import example_gen_pb2

    deliver(tmp_path, *directories[:-1])
    deliver(tmp_path, *directories[-1:], splits=(half,) if half else ("train", "eval"))

    def by_tfx() -> tuple[Span, dict[str, list[str]]] | None:
        splits = [
            example_gen_pb2.Input.Split(name=name, pattern=pattern)
            for name, pattern in patterns.items()
        ]
        try:
            processor = input_processor.FileBasedInputProcessor(str(tmp_path), splits)
            span, version = processor.resolve_span_and_version()
            filled = {
                split.name: processor.get_pattern_for_span_version(split.pattern, span, version)
                for split in splits
            }
        except ValueError:
            return None
        files = {name: sorted(fileio.glob(f"{tmp_path}/{text}")) for name, text in filled.items()}
        # What the driver resolves and the executor then does not find is no resolution.
        return (Span(span, version), files) if all(files.values()) else None

    def by_us() -> tuple[Span, dict[str, list[str]]] | None:
        rolling = RollingSplits.parse(str(tmp_path), patterns)
        try:
            spans = rolling.newest(local_glob)
        except DataError:
            return None
        files = {
            name: [f"{tmp_path}/{path}" for path in local_glob(str(tmp_path), text)]
            for name, (text,) in rolling.filled(spans).items()
        }
        return spans[0], files

    assert by_us() == by_tfx()


@pytest.mark.slow
@pytest.mark.parametrize("patterns", [SPAN, VERSION, DATE, WIDTHS, COMPACT, DATED, NAMES])
def test_takes_the_placeholders_that_tfx_takes(patterns):
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2

    split = example_gen_pb2.Input.Split(name="train", pattern=patterns["train"])
    is_span, is_date, is_version = utils.verify_split_pattern_specs(split)
    kind = SpanPattern.parse(patterns["train"]).kind
    assert ("SPAN" in kind, "DD" in kind, "VERSION" in kind) == (is_span, is_date, is_version)
