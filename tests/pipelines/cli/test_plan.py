"""`tfx-tflite plan`: how many examples the gate asks for, before and after a run."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scipy.stats import norm

from tests.conftest import CONFIGS
from tests.pipelines.cli.results import RESULT
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.judgement.looks import Looks, Question, RuleTest, record
from tfx_tflite.components.verdict import RuleResult, Verdict
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config

RULES = "gate.rules=[{metric: SparseCategoricalAccuracy, max_drop: 0.01, confidence: 0.95}]"
LOSS = "gate.rules=[{metric: SparseCategoricalCrossentropy, max_drop: 0.02, confidence: 0.95}]"
BUDGET = "gate.budget={false_pushes: 0.05, over: 365}"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of the digits, whose runs and pushes would be in a folder of their own."""
    (tmp_path / "configs").mkdir()
    for name in ("digits.yaml", "digits_trainer.py"):
        (tmp_path / "configs" / name).write_text((CONFIGS / name).read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "configs" / "digits.yaml"


def called(config: Path, *settings: str, options: tuple[str, ...] = ()) -> Result:
    given = [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(main, ["plan", str(config), *given, *options])


def planned(config: Path, *settings: str) -> dict[str, object]:
    done = called(config, *settings, options=("--json",))
    assert done.exit_code == 0, done.output
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


def after_a_run(config: Path, *rules: RuleResult) -> None:
    """Leaves what a run leaves that judged some rules."""
    logs = Path(load_config(config).root) / "logs"
    logs.mkdir(parents=True)
    result = RESULT.model_copy(update={"rules": rules})
    (logs / "20260102-000000.json").write_text(result.to_json())


def judged(**told: object) -> RuleResult:
    known = {
        "metric": "SparseCategoricalAccuracy",
        "slice": "overall",
        "examples": 449,
        "float": 0.99,
        "quantized": 0.99,
        "drop": 0.0,
        "bound": 0.01,
        "confidence": 0.95,
        "changed": 0.01,
        "deviation": 0.1,
        "verdict": Verdict.UNDECIDED,
    }
    return RuleResult.model_validate({**known, **told})


def test_before_a_run_some_shares_of_changed_examples_are_assumed(config: Path):
    rules = planned(config, RULES)["rules"]
    assert [rule["changed"] for rule in rules] == [0.0, 0.005, 0.01, 0.02, 0.05]
    assert all(rule["is_assumed"] for rule in rules)
    # Figures of docs/gate.md, which the simulation enumerates.
    assert [rule["needed"]["one test"] for rule in rules] == [361, 638, 906, 1442, 3236]


def test_after_a_run_it_goes_by_what_the_run_has_seen(config: Path):
    after_a_run(config, judged())
    [rule] = planned(config, RULES)["rules"]
    assert (rule["changed"], rule["examples"], rule["is_assumed"]) == (0.01, 449, False)
    assert rule["needed"]["one test"] == 906


def test_after_a_run_with_groups_it_is_groups_that_are_asked_for(config: Path):
    after_a_run(config, judged(groups=90))
    [rule] = planned(config, RULES)["rules"]
    assert (rule["changed"], rule["deviation"], rule["groups"]) == (None, 0.1, 90)
    z = norm.ppf([0.95, 0.8]).sum()
    assert rule["needed"]["one test"] == pytest.approx((z * 0.1 / 0.01) ** 2, rel=0.01)
    assert "90 groups" in called(config, RULES).output


def test_where_examples_are_in_groups_the_plan_says_that_it_counts_these(config: Path):
    output = called(config, RULES, "evaluation.group_by=label").output
    assert "the figures are groups of label, not examples" in output


def test_another_bound_can_be_tried_without_a_run(config: Path):
    after_a_run(config, judged())
    [half] = planned(config, RULES.replace("0.01", "0.005"))["rules"]
    assert half["bound"] == 0.005 and half["needed"]["one test"] > 3 * 906


def test_of_a_mean_it_is_what_the_textbook_says(config: Path):
    told = {"metric": "SparseCategoricalCrossentropy", "changed": None, "deviation": 0.2}
    after_a_run(config, judged(**told, bound=0.02))
    rules = planned(config, "evaluation.metrics=[SparseCategoricalCrossentropy]", LOSS)["rules"]
    for name, level in (("one test", 0.05), ("look 1", 0.025), ("look 2", 0.05 / 6)):
        expected = ((norm.isf(level) + norm.ppf(0.8)) * 0.2 / 0.02) ** 2
        assert rules[0]["needed"][name] == math.ceil(expected)


def test_of_slices_the_one_is_shown_that_lacks_most(config: Path):
    slices = [
        judged(slice="label:1", examples=300, changed=0.0),
        judged(slice="label:2", examples=40, changed=0.05),
        judged(slice="label:3", examples=30, changed=0.0),
    ]
    after_a_run(config, *slices)
    [rule] = planned(config, RULES.replace("}", ", slices: each}"))["rules"]
    assert rule["slice"] == "label:2"


def test_a_budget_adds_what_nights_cost(config: Path):
    [rule, *_] = planned(config, RULES, BUDGET)["rules"]
    assert list(rule["needed"]) == ["one test", "look 1", "look 2", "night 1", "night 31"]
    assert rule["needed"]["night 31"] < rule["needed"]["night 1"]


def test_of_a_budget_that_is_in_use_the_next_night_is_shown(config: Path):
    settings = load_config(config, [RULES, BUDGET])
    [rule] = settings.gate.confident
    destination = Destination.open(settings.push.destination)
    for night in range(3):
        question = Question(f"float {night}", f"quantized {night}", "examples")

        def judge(past, question=question):
            test = RuleTest(rule=rule.identity, alpha=rule.alpha, p_value=0.0)
            return record(Looks(question, tuple(past), settings.gate.budget), [test], True)

        destination.count(judge)
    [first, *_] = planned(config, RULES, BUDGET)["rules"]
    assert "this night" in first["needed"]


def test_rules_without_a_confidence_are_planned_with_95_per_cent(config: Path):
    document = planned(config)
    assert document["rules"][0]["confidence"] == 0.95
    assert "this is what confidence: 0.95 asks for" in document["notes"][0]


def test_what_no_run_has_seen_is_said(config: Path):
    done = called(config, "evaluation.metrics=[SparseCategoricalCrossentropy]", LOSS)
    assert done.exit_code == 2
    assert "SparseCategoricalCrossentropy: how much the models differ" in done.stderr


def test_a_gate_without_a_metric_needs_no_examples(config: Path):
    done = called(config, "gate.rules=[{max_size_ratio: 0.5}]")
    assert done.exit_code == 2 and "no rule is on a metric" in done.stderr


def test_that_no_answer_changed_is_not_taken_for_never(config: Path):
    after_a_run(config, judged(changed=0.0))
    assert "not one of 449 answers changed, but up to 0.66% may" in called(config, RULES).stdout


def test_what_the_gate_asks_for_in_any_case_is_noted(config: Path):
    after_a_run(config, judged(metric="AUC", changed=None, deviation=0.05))
    rules = "gate.rules=[{metric: AUC, max_drop: 0.05, confidence: 0.95}]"
    notes = planned(config, "evaluation.metrics=[AUC]", rules)["notes"]
    assert notes == [
        "gate.min_examples asks for 200 at least",
        "AUC: gate.min_class_examples asks for 40 of the rarer class at least",
    ]


def test_the_table_says_what_its_columns_are(config: Path):
    after_a_run(config, judged())
    lines = called(config, RULES, BUDGET).stdout.splitlines()
    assert lines[0].endswith("with a power of 80%")
    assert lines[2].split()[:5] == [
        "SparseCategoricalAccuracy",
        "overall",
        "0.01",
        "1.00%",
        "change",
    ]
    assert lines[3].startswith("look 1, 2: judgements of one model; night 1, 31:")
