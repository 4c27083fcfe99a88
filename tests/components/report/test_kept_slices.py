"""What a report lists of very many slices."""

from collections.abc import Sequence

from tests.components.report.reports import REFUSED, RULE, varied
from tfx_tflite.components.report.kept_slices import (
    MOST_REASONS,
    MOST_SLICES,
    kept_reasons,
    kept_rules,
    kept_values,
)
from tfx_tflite.components.report.page import render
from tfx_tflite.components.verdict import RuleResult, Verdict

OVER_ALL = varied(RULE, metric="AUC", drop=0.01, bound=0.1)


def on_slices(count: int, verdict: Verdict = Verdict.BLESSED, start: int = 0) -> list[RuleResult]:
    """Returns a rule on slices, each worse than the one before."""
    return [
        varied(OVER_ALL, slice=f"user:{number}", drop=1e-6 * number, verdict=verdict)
        for number in range(start, start + count)
    ]


def names(values: Sequence[RuleResult]) -> list[str]:
    return [value.slice for value in values]


def test_all_of_few_slices_are_listed():
    rules = [OVER_ALL, *on_slices(MOST_SLICES)]
    assert kept_rules(rules) == (tuple(rules), ())
    assert kept_values(rules, ()) == tuple(rules)


def test_of_many_slices_the_worst_are_listed_in_their_order():
    kept, [left_out] = kept_rules([OVER_ALL, *on_slices(MOST_SLICES + 7)])
    assert names(kept) == ["overall", *(f"user:{n}" for n in range(7, MOST_SLICES + 7))]
    assert left_out.verdicts == {"blessed": 7}


def test_what_refuses_is_listed_before_what_is_worse_by_chance():
    refused = on_slices(3, Verdict.REFUSED)
    unjudged = on_slices(5, Verdict.NOT_JUDGED, start=10**6)
    kept, [left_out] = kept_rules([*unjudged, *on_slices(MOST_SLICES, start=100), *refused])
    assert {*names(refused)} <= {*names(kept)} and not {*names(unjudged)} & {*names(kept)}
    assert left_out.verdicts == {"not_judged": 5, "blessed": 3}
    assert left_out.in_words == (
        "of the slices of AUC the 1,000 worst are listed, and 8 are left out: 3 blessed, "
        "5 not judged"
    )


def test_each_rule_has_its_own_worst_slices():
    other = [varied(rule, metric="Recall") for rule in on_slices(MOST_SLICES + 1)]
    kept, left_out = kept_rules([*on_slices(MOST_SLICES + 2), *other])
    assert len(kept) == 2 * MOST_SLICES
    assert [(each.rule, sum(each.verdicts.values())) for each in left_out] == [
        ("AUC", 2),
        ("Recall", 1),
    ]


def test_a_metric_is_listed_on_its_worst_slices_and_on_those_that_rules_list():
    value = varied(REFUSED.metrics[0], metric="AUC", float_value=1.0)
    values = [
        varied(value, slice=f"user:{number}", quantized_value=1 - 1e-6 * number)
        for number in range(MOST_SLICES + 9)
    ]
    kept = kept_values([value, *values], on_slices(2))
    assert kept[0] is value and [each.slice for each in kept[1:4]] == ["user:0", "user:1", "user:9"]
    assert len(kept) == MOST_SLICES + 3


def test_the_page_says_what_is_left_out():
    kept, left_out = kept_rules([OVER_ALL, *on_slices(MOST_SLICES + 7)])
    more = {"slices_left_out": left_out, "slices_not_evaluated": 1234}
    page = render(varied(REFUSED, rules=kept, metrics=(), **more))
    assert "1,000 worst are listed, and 7 are left out: 7 blessed" in page
    assert "1,234 more slices have too few examples to be judged" in page


def test_of_many_reasons_the_first_are_listed_and_the_others_counted():
    reasons = tuple(map(str, range(MOST_REASONS + 5)))
    assert kept_reasons(reasons[:-5]) == reasons[:-5]
    assert kept_reasons(reasons)[-2:] == ("999", "there are 5 more reasons, which are left out")
