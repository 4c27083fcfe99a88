"""The quantized model on several targets: which rules are judged where, and the common verdict."""

import math

import pytest

from tfx_tflite.components.judgement.candidate import FIRST, Candidate, together
from tfx_tflite.components.judgement.gate import LIMITS, Gate, rule_of
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.verdict import OVERALL, RuleResult, Verdict

ACCURACY = {"metric": "accuracy", "max_drop": 0.01}
MICRO = Candidate(place=0, name="tflite-micro")
SECOND = Candidate(place=1, name="litert")
ETHOS = Candidate(place=1, name="tflite-micro, ethos-u55-128", is_accelerated=True)


def rule(key: str) -> object:
    value = {"max_runtime_version": "2.14.0"}.get(key, 500 if key.endswith("_bytes") else 0.5)
    return rule_of({key: value})


def gate(*rules: dict) -> Gate:
    return Gate.model_validate({"rules": rules})


def judged(metric: str, verdict: Verdict = Verdict.BLESSED, reason: str = "") -> RuleResult:
    return RuleResult(
        metric=metric,
        slice=OVERALL,
        examples=100,
        float_value=0.9,
        quantized_value=0.8,
        drop=0.1,
        bound=0.01,
        verdict=verdict,
        reason=reason,
    )


def result(*rules: RuleResult, reasons: tuple[str, ...] = ()) -> GateResult:
    return GateResult(
        verdict=Verdict.REFUSED if reasons else Verdict.BLESSED,
        examples=100,
        rules=rules,
        reasons=reasons,
    )


BAD = result(
    judged("accuracy", Verdict.REFUSED, "accuracy is worse"), reasons=("accuracy is worse",)
)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.key)
def test_a_limit_is_judged_on_every_target_only_if_it_depends_on_the_target(limit):
    of_a_target = {
        "max_arena_bytes",
        "max_latency_ms",
        "min_agreement",
        "max_kl_divergence",
        "max_mean_absolute_difference",
        "min_sqnr_db",
    }
    found = SECOND.gate(Gate(rules=(rule(limit.key),)))
    assert bool(found.rules) is (limit.key in of_a_target)


def test_the_share_of_operators_is_judged_where_there_is_an_accelerator():
    wanted = gate({"min_accelerated": 1.0})
    assert not MICRO.gate(wanted).rules and ETHOS.gate(wanted).rules == wanted.rules


def test_that_there_are_too_few_examples_is_said_on_the_first_target_alone():
    assert MICRO.gate(gate(ACCURACY)).min_examples == 100
    assert SECOND.gate(gate(ACCURACY)).min_examples == 1


def test_without_a_target_a_verdict_stays_as_it_is():
    assert FIRST.result(gate(ACCURACY), BAD) is BAD
    assert together([(FIRST, BAD)]) == BAD


def test_a_rule_says_on_which_target_it_was_judged():
    found = MICRO.result(
        gate(ACCURACY, {"max_size_ratio": 0.5}), result(judged("accuracy"), judged("size_ratio"))
    )
    assert [each.target for each in found.rules] == ["tflite-micro", None]


def test_a_model_that_one_target_refuses_is_refused_and_the_reason_names_the_target():
    wanted = gate(ACCURACY)
    on = [(each, each.result(wanted, found)) for each, found in ((MICRO, BAD), (SECOND, result()))]
    found = together(on)
    assert found.verdict is Verdict.REFUSED
    assert found.reasons == ("accuracy is worse (on tflite-micro)",)


def test_of_a_single_target_the_reason_needs_no_name():
    assert together([(MICRO, MICRO.result(gate(ACCURACY), BAD))]).reasons == BAD.reasons


def test_on_a_target_that_does_not_run_the_model_nothing_is_judged_and_it_is_refused():
    cannot = Candidate(name="tflite-micro", problem="tflite-micro does not run the model: TOPK_V2")
    size = judged("size_ratio", Verdict.REFUSED, "too large")
    given = result(*BAD.rules, size, reasons=(*BAD.reasons, "too large"))
    found = cannot.result(gate(ACCURACY, {"max_size_ratio": 0.5}), given)
    assert found.verdict is Verdict.REFUSED
    assert found.reasons == (cannot.problem, "too large")
    assert [each.verdict for each in found.rules] == [Verdict.NOT_JUDGED, Verdict.REFUSED]


def test_a_target_that_does_not_run_the_model_has_no_figures_of_other_kernels():
    cannot = Candidate(name="tflite-micro", problem="tflite-micro does not run the model: TOPK_V2")
    arena = judged("arena_bytes", Verdict.BLESSED)
    found = cannot.result(gate(ACCURACY, {"max_arena_bytes": 10}), result(*BAD.rules, arena))
    of_answers, of_memory = found.rules
    assert math.isnan(of_answers.quantized_value) and math.isnan(of_answers.drop)
    assert of_answers.float_value == BAD.rules[0].float_value
    assert of_memory.quantized_value == arena.quantized_value


def test_predictions_of_targets_have_names_of_their_own():
    keys = [each.key(model) for each in (MICRO, SECOND, ETHOS) for model in ("quantized", "pushed")]
    assert len({*keys}) == 6 and keys[0] == "quantized"
