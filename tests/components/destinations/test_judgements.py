"""Judgements are counted under the lock of a push, each once, wherever a process is killed."""

import dataclasses
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.components.destinations.interruption import (
    Stopped,
    StoppedOperations,
    destination_with,
    make_candidate,
)
from tfx_tflite.components.destinations.destination import Candidate, Destination
from tfx_tflite.components.destinations.ledger import JudgedModel, JudgedRule, judgements
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, PushError
from tfx_tflite.components.judgement.gate import Budget
from tfx_tflite.components.judgement.looks import Looks, Question, judged_again

RULE = "accuracy:0123"
# Blesses at the first look, not at the second.
P_VALUE = 0.01


def judgement(
    model: str, blessed: bool, examples: str = "some", budget: Budget | None = None
) -> JudgedModel:
    """Returns a judgement as an evaluator makes it that has seen no other."""
    rule = JudgedRule(
        rule=RULE, alpha=0.05, look=1, level=0.025, p_value=P_VALUE if blessed else 0.5
    )
    question = Question(f"float {model}", f"quantized {model}", examples)
    return JudgedModel(
        **vars(question),
        rules=(rule,),
        night=Looks(question, (), budget).night,
        blessed=blessed,
    )


def judged(candidate: Candidate, *told: object, **more: object) -> Candidate:
    """Returns a candidate with a judgement that is counted when it is pushed."""
    return dataclasses.replace(
        candidate, judge=functools.partial(judged_again, judgement(*told, **more))
    )


def refuse(destination: Destination, *told: object, **more: object) -> None:
    """Counts a model that was refused."""
    destination.count(functools.partial(judged_again, judgement(*told, blessed=False, **more)))


def counted(destination: Destination) -> tuple[JudgedModel, ...]:
    return judgements(destination.events())


def looks(destination: Destination) -> list[int]:
    return [rule.look for each in counted(destination) for rule in each.rules]


def test_a_refused_model_is_counted(destination: Destination):
    refuse(destination, "a")
    [found] = counted(destination)
    assert (found.float_model, found.blessed) == ("float a", False)
    assert destination.versions() == [] and destination.current() is None


def test_a_pushed_model_is_counted(destination: Destination, candidate):
    destination.push(judged(candidate(), "a", True))
    [found] = counted(destination)
    assert found.blessed and destination.current() is not None


def test_the_same_judgement_is_counted_once(destination: Destination, candidate):
    for _ in range(3):
        refuse(destination, "a")
    for _ in range(3):
        destination.push(judged(candidate(), "b", True))
    assert len(counted(destination)) == 2


def test_a_judgement_on_other_examples_is_counted_as_another_look(destination: Destination):
    for examples in ("some", "more", "most"):
        refuse(destination, "a", examples=examples)
    assert looks(destination) == [1, 2, 3]


def test_a_model_that_was_judged_as_an_earlier_look_than_it_is_by_now_is_not_pushed(
    destination: Destination, candidate
):
    refuse(destination, "a", examples="of another run")
    with pytest.raises(PushError, match="by now this is look 2 at it, where accuracy must hold"):
        destination.push(judged(candidate(), "a", True))
    assert destination.versions() == []
    assert [each.blessed for each in counted(destination)] == [False, False]


def test_other_models_that_were_judged_meanwhile_do_not_matter(destination: Destination, candidate):
    refuse(destination, "another")
    destination.push(judged(candidate(), "a", True))
    assert destination.current() is not None


def test_of_a_budget_the_place_is_that_at_the_time_of_the_push(destination: Destination, candidate):
    budget = Budget(false_pushes=0.4, over=4)
    for model in ("a", "b"):
        refuse(destination, model, budget=budget)
    destination.push(judged(candidate(), "c", True, budget=budget))
    assert [each.night.number for each in counted(destination)] == [1, 2, 3]


def test_a_budget_that_is_too_small_by_now_keeps_a_model_from_being_pushed(
    destination: Destination, candidate
):
    """A blessed model has handed its part on; after a refusal the part is small again."""
    budget = Budget(false_pushes=0.04, over=2)
    stale = judgement("b", True, budget=Budget(false_pushes=0.04, over=1))
    late = stale.model_copy(update={"night": judgement("b", True, budget=budget).night})
    refuse(destination, "a", budget=budget)
    assert late.rules[0].p_value == P_VALUE
    with pytest.raises(PushError, match=r"must hold at a level of 0.01, and its p-value is 0.01"):
        destination.push(
            dataclasses.replace(candidate(), judge=functools.partial(judged_again, late))
        )


def test_judgements_are_signed_at_a_signed_destination(root: Path, candidate):
    signed = destination_with(root, is_signed=True)
    signed.push(candidate())
    refuse(signed, "a")
    newest = max((root / ".history").iterdir())
    newest.write_text(newest.read_text().replace('"blessed":false', '"blessed":true'))
    with pytest.raises(DestinationError, match="is not what was signed"):
        signed.events()


def test_a_refusal_before_the_first_push_is_signed_too(root: Path, candidate):
    signed = destination_with(root, is_signed=True)
    refuse(signed, "a")
    assert (root / "LATEST.signed").exists() and not (root / "LATEST").exists()
    max((root / ".history").iterdir()).unlink()
    with pytest.raises(PushError, match="is not what was signed"):
        signed.push(candidate())


def test_a_push_follows_a_refusal_that_began_the_signatures(root: Path, candidate):
    signed = destination_with(root, is_signed=True)
    refuse(signed, "a")
    number = signed.push(judged(candidate(), "b", True)).number
    assert signed.current() == number and destination_problems(signed) == []
    assert [each.blessed for each in counted(signed)] == [False, True]


def test_whoever_has_no_key_cannot_count_at_a_signed_destination(root: Path, candidate):
    destination_with(root, is_signed=True).push(candidate())
    with pytest.raises(PushError, match=r"refused, but that could not be counted.*needs the key"):
        refuse(destination_with(root), "a")


def test_a_ledger_that_cannot_be_written_is_said_of_a_refused_model(root: Path):
    def full() -> None:
        raise OSError(28, "No space left on device")

    destination = destination_with(root, StoppedOperations(3, full))
    with pytest.raises(PushError, match=r"could not be counted at .*No space left.*run again"):
        refuse(destination, "a")


# --- Kills ----------------------------------------------------------------------------------------


def stop() -> None:
    raise Stopped


def pushes(destination: Destination, sources: Path) -> None:
    destination.push(judged(make_candidate(sources, b"new", {}), "new", True), keep=2)


def refuses(destination: Destination, sources: Path) -> None:
    refuse(destination, "new")


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("act", [pushes, refuses])
def test_killed_at_any_step_a_judgement_is_counted_once_when_all_is_done_again(
    act, is_signed: bool, tmp_path: Path
):
    sources, before = tmp_path / "sources", tmp_path / "before"
    sources.mkdir()
    prepared = destination_with(before, is_signed=is_signed)
    prepared.push(judged(make_candidate(sources, b"b", {}), "b", True))
    reached = []
    for point in range(200):
        root = tmp_path / f"at {point}"
        shutil.copytree(before, root)
        try:
            act(destination_with(root, StoppedOperations(point, stop), is_signed), sources)
        except Stopped:
            reached.append(point)
        else:
            break
        again = destination_with(root, is_signed=is_signed)
        # Whatever was there is there, and nothing is current that was not counted.
        models = _models(counted(again))
        assert models in (["float b"], ["float b", "float new"])
        current = again.read(again.current(), "model.tflite")
        assert current == b"b" or (current == b"new" and models[1:] == ["float new"])
        act(again, sources)
        assert _models(counted(again)) == ["float b", "float new"]
        assert destination_problems(again) == []
        shutil.rmtree(root)
    assert len(reached) > 4, reached


def _models(found: Sequence[JudgedModel]) -> list[str]:
    return [each.float_model for each in found]
