"""What the page says of targets: whose kernels answered, memory, and what accelerators leave."""

import html
import re

import pytest

from tests.components.report.reports import BLESSED, TARGETS, varied
from tfx_tflite.components.models.target_facts import Arena, OperatorFinding
from tfx_tflite.components.quantization.document import Bytes
from tfx_tflite.components.report import page
from tfx_tflite.components.report.document import Report, TargetReport
from tfx_tflite.components.report.findings import by_reason
from tfx_tflite.components.report.memory_plot import memory_strip
from tfx_tflite.components.report.next_steps import next_steps
from tfx_tflite.components.report.wording import provenance
from tfx_tflite.components.verdict import Verdict

MICRO, REFERENCE = TARGETS.targets


def text_of(report: Report) -> str:
    whole_words = page.render(report).replace("<wbr>", "")
    plain = re.sub(r"<style>.*?</style>|<[^>]+>", " ", whole_words, flags=re.DOTALL)
    return " ".join(html.unescape(plain).split())


def with_target(target: TargetReport, **fields: object) -> Report:
    return varied(TARGETS, targets=(varied(target, **fields),))


SHOWN = text_of(TARGETS)


def test_a_report_without_targets_has_no_section_of_them():
    assert "On tflite-micro" not in text_of(BLESSED)


@pytest.mark.parametrize("target", [MICRO, REFERENCE], ids=lambda target: target.target)
def test_each_target_says_whose_kernels_answered_and_how_this_machines_differ(target):
    [section] = re.findall(rf"On {target.target} (The answers.*?\.) This", SHOWN)
    assert str(target.runtime) in section
    assert f"{target.host.runtime}, give another answer in 0 of 449 examples" in SHOWN


def test_metrics_on_the_target_stand_beside_those_of_this_machine():
    value = MICRO.host.overall[1]
    assert value.metric == "SparseCategoricalCrossentropy"
    assert f"{value.metric} 0.04431 0.04444" in SHOWN


def test_the_working_memory_says_that_it_is_exact_and_how_it_is_divided():
    arena = MICRO.arena
    assert f"{arena.size_bytes:,} bytes" in SHOWN
    assert f"{arena.head_bytes:,} for tensors, {arena.tail_bytes:,} for the runtime" in SHOWN
    assert provenance(arena.source) in SHOWN and "exact, by tflite-micro" in SHOWN


def test_this_machines_arena_is_not_taken_for_the_targets():
    this_machines = Bytes(float_model=49408, quantized=12352)
    assert "Tensor arena of LiteRT on this machine 49.41 kB 12.35 kB" in text_of(
        varied(TARGETS, arena_bytes=this_machines)
    )
    without = text_of(varied(TARGETS, arena_bytes=this_machines, targets=()))
    assert "Tensor arena 49.41 kB 12.35 kB" in without


def test_what_a_figure_does_not_say_is_said_whole():
    for target in (MICRO, REFERENCE):
        for source in target.sources:
            assert source.caveat in SHOWN


def test_each_operator_that_is_left_to_the_processor_has_a_reason_and_advice():
    for finding in MICRO.acceleration.refused:
        assert finding.reason in SHOWN and finding.advice in SHOWN


def test_operators_of_one_reason_are_named_together_and_the_rest_counted():
    loop = OperatorFinding(name="ADD", layer="sum", reason="it is in a loop")
    floats = [
        OperatorFinding(operator=place, name="CONV_2D", reason="float", advice="use int8")
        for place in range(9)
    ]
    found = by_reason([floats[0], loop, *floats[1:]])
    assert [each.operators for each in found] == [
        "CONV_2D 0, CONV_2D 1, CONV_2D 2, CONV_2D 3, CONV_2D 4, CONV_2D 5 and 3 more",
        "ADD (sum)",
    ]
    acceleration = varied(MICRO.acceleration, refused=(loop, *floats))
    shown = text_of(with_target(MICRO, acceleration=acceleration))
    assert "ADD (sum) : it is in a loop." in shown
    assert "and 3 more : float. To change it: use int8." in shown


def test_a_target_that_does_not_run_the_model_says_which_operators_it_lacks():
    missing = OperatorFinding(name="TOPK_V2", layer="best", reason="Didn't find op TOPK_V2")
    shown = text_of(with_target(MICRO, arena=None, unsupported=(missing,), host=None))
    assert "tflite-micro, ethos-u55-128 does not run the model" in shown
    assert "Operators that it does not run" in shown and missing.reason in shown


def test_rules_on_a_target_that_does_not_run_the_model_are_not_called_too_few_examples():
    missing = OperatorFinding(name="TOPK_V2", reason="Didn't find op TOPK_V2")
    rules = tuple(
        varied(rule, verdict=Verdict.NOT_JUDGED) if rule.target == MICRO.target else rule
        for rule in TARGETS.rules
    )
    lacking = (varied(MICRO, arena=None, unsupported=(missing,), host=None), REFERENCE)
    shown = text_of(varied(TARGETS, verdict=Verdict.REFUSED, targets=lacking, rules=rules))
    assert "Not judged : the target does not run the model" in shown
    assert "too few examples" not in shown
    assert "Not judged : the target" not in SHOWN


def test_rules_say_on_which_target_if_there_are_several():
    assert "arena_bytes on litert, reference kernels" in SHOWN
    only = varied(TARGETS, rules=tuple(r for r in TARGETS.rules if r.target == MICRO.target))
    assert "arena_bytes on" not in text_of(only)


def test_the_memory_of_each_operator_is_a_bar_and_the_fullest_one_is_named():
    strip = memory_strip(MICRO.arena)
    steps = MICRO.arena.steps
    assert strip.path.count("M") == sum(step.live_bytes > 0 for step in steps)
    most = max(steps, key=lambda step: step.live_bytes)
    assert strip.top == f"{most.live_bytes:,}" and f"operator {most.operator}" in strip.label
    assert strip.label in html.unescape(page.render(TARGETS))


@pytest.mark.parametrize("steps", [(), MICRO.arena.steps[:1]], ids=["none", "one"])
def test_of_fewer_than_two_operators_there_is_no_plot(steps):
    arena = varied(MICRO.arena, steps=steps)
    assert isinstance(arena, Arena) and memory_strip(arena) is None


def test_a_latency_that_nobody_estimates_is_explained():
    said = " ".join(next_steps(TARGETS))
    assert "2 operators are left to the processor, whose time nobody estimates" in said
    assert MICRO.acceleration.refused[0].advice in said


def test_a_manifest_has_the_targets_in_short():
    judged = MICRO.judged
    assert (judged.target, judged.arena_bytes) == (MICRO.target, MICRO.arena.size_bytes)
    assert judged.accelerated == 0.75 and judged.latency_ms is None
    assert (judged.differing, judged.decisions) == (0, 449)
    assert judged.golden == MICRO.golden
