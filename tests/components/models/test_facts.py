"""What is known of a model on each target, with what each figure came from."""

import pytest

from tests.components.models import hostile
from tests.components.models.inspected import inspected
from tfx_tflite.components.models import micro_arena
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.facts import facts_of
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.target_facts import TargetFacts
from tfx_tflite.components.versions import Kernels

LITERT, MICRO = Target(), Target(runtime="tflite-micro")


def test_on_micro_the_arena_is_exact():
    content = hostile.net("dense")
    facts = facts_of(content, MICRO)
    assert facts.arena == micro_arena.arena(content)
    assert (facts.target, facts.runtime.kernels) == ("tflite-micro", Kernels.MICRO)
    assert (facts.problem, facts.unsupported) == ("", ())


def test_on_litert_the_arena_is_measured_with_the_builtin_kernels():
    content = hostile.net("dense")
    facts = facts_of(content, LITERT)
    assert facts.arena is not None
    assert facts.arena.size_bytes == arena_bytes(content, {"x": (1, 32)})
    assert facts.arena.source.kind == "measured"
    assert "builtin kernels" in facts.arena.source.caveat
    assert len(facts.arena.steps) == len(hostile.Graph(content).operators)


def test_the_runtime_says_which_of_its_kernels_take_the_model():
    kernels = {
        kind: facts_of(inspected(kind), LITERT).runtime.kernels for kind in ("float32", "int16x8")
    }
    assert kernels == {"float32": Kernels.XNNPACK, "int16x8": Kernels.BUILTIN}


@pytest.mark.slow  # It imports TensorFlow, whose kernels they are.
def test_the_reference_kernels_are_named():
    facts = facts_of(hostile.net("dense"), Target(kernels="reference"))
    assert facts.runtime.kernels is Kernels.REFERENCE


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("dynamic_range", {"CONV_2D"}),
        ("float16", {"DEQUANTIZE"}),
        ("lacking_on_micro", {"TOPK_V2", "ATAN2"}),
        ("flex", {"MATRIX_DIAG", "FlexMatrixInverse"}),
    ],
)
def test_what_micro_does_not_take_is_a_fact(kind: str, lacking: set[str]):
    facts = facts_of(inspected(kind), MICRO)
    assert facts.problem.startswith("tflite-micro does not run the model: ")
    assert facts.arena is None
    assert lacking <= {each.name for each in facts.unsupported}


def test_free_axes_are_what_micro_does_not_take():
    facts = facts_of(inspected("free_batch"), MICRO)
    assert "build the batch size in" in facts.problem
    assert [each.name for each in facts.unsupported] == [""]


def test_what_litert_does_not_take_is_a_fact():
    facts = facts_of(inspected("flex"), LITERT)
    assert "an operator of TensorFlow itself" in facts.problem
    assert [each.name for each in facts.unsupported] == ["FlexMatrixInverse"]


@pytest.mark.parametrize("kind", ["two_signatures", "loop", "free_batch"])
def test_litert_takes_models_of_several_graphs_and_of_free_axes(kind: str):
    assert facts_of(inspected(kind), LITERT).problem == ""


def test_a_model_without_signatures_is_taken():
    draft = hostile.Graph(hostile.net("dense")).draft()
    draft.tree.signatureDefs = None
    content = draft.content()
    for target in (LITERT, MICRO):
        facts = facts_of(content, target)
        assert facts.problem == ""
        assert facts.arena == facts_of(hostile.net("dense"), target).arena


def test_free_axes_take_the_sizes_that_are_given():
    one, four = (
        facts_of(inspected("free_batch"), LITERT, {"x": (size, 6, 6, 3)}).arena for size in (1, 4)
    )
    assert one is not None and four is not None
    assert four.size_bytes > 2 * one.size_bytes


@pytest.mark.slow
def test_facts_are_what_they_were_after_a_file():
    facts = facts_of(hostile.net("depthwise"), MICRO)
    assert TargetFacts.model_validate_json(facts.model_dump_json()) == facts


@pytest.mark.slow
def test_an_accelerator_is_asked():
    facts = facts_of(
        hostile.net("depthwise"), Target(runtime="tflite-micro", accelerator="ethos-u55-128")
    )
    assert facts.acceleration is not None
    assert facts.acceleration.accelerator == "ethos-u55-128"
    assert facts.acceleration.accelerated <= facts.acceleration.operators
    assert "before it is compiled for the accelerator" in facts.arena.source.caveat
