"""Every operator that Micro lacks or refuses is named, as its own runtime says."""

import pytest

from tests.components.models import hostile
from tests.components.models.inspected import inspected
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import micro_operators, object_tree
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.micro import try_loading
from tfx_tflite.components.models.micro_operators import missing_kinds, refused_operators
from tfx_tflite.components.models.process_copy import Ended

ENOUGH = 2**20


def with_custom_operator(name: str) -> Graph:
    """Returns a real net whose last dense layer is a custom operator."""
    draft = Graph(hostile.net("dense")).draft()
    code = object_tree.code_tree("CUSTOM")
    code.customCode = name
    draft.tree.operatorCodes.append(code)
    last = draft.main.operators[-1]
    last.opcodeIndex, last.builtinOptions, last.builtinOptionsType = 1, None, 0
    return Graph(draft.content())


@pytest.mark.parametrize("net", [*hostile.NETS])
def test_a_net_that_loads_lacks_nothing(net: str):
    graph = Graph(hostile.net(net))
    assert missing_kinds(graph) == ()
    assert refused_operators(graph) == ()


def test_all_kinds_are_found_and_not_the_first_alone():
    content = inspected("lacking_on_micro")
    found = missing_kinds(Graph(content))
    assert {each.name for each in found} == {"TOPK_V2", "ATAN2"}
    # The runtime itself ends at the first.
    said = " ".join(try_loading(content, ENOUGH).lines)
    assert ("TOPK_V2" in said) != ("ATAN2" in said)


def test_a_kind_is_named_in_the_runtimes_words_with_its_layers():
    [finding] = [
        each
        for each in missing_kinds(Graph(inspected("lacking_on_micro")))
        if each.name == "TOPK_V2"
    ]
    assert finding.reason == "Didn't find op for builtin opcode 'TOPK_V2'"
    assert finding.layer
    assert finding.operator is None
    assert "build the layer from other operators" in finding.advice


def test_a_custom_operator_is_named_as_its_author_does():
    [finding] = missing_kinds(with_custom_operator("Attention"))
    assert finding.name == "Attention"
    assert "the firmware must register a kernel" in finding.advice


def test_operators_of_other_graphs_count():
    draft = Graph(inspected("loop")).draft()
    draft.tree.operatorCodes = [*draft.tree.operatorCodes]
    body = draft.tree.subgraphs[-1].operators[0]
    body.opcodeIndex, body.builtinOptions = draft.code("ATAN2"), None
    body.builtinOptionsType = 0
    assert [each.name for each in missing_kinds(Graph(draft.content()))] == ["ATAN2"]


def test_float_activations_with_int8_weights_are_refused_by_each_kind_of_layer():
    content = inspected("dynamic_range")
    found = refused_operators(Graph(content))
    assert [each.name for each in found] == ["CONV_2D", "FULLY_CONNECTED"]
    assert "Hybrid models are not supported" in found[0].reason
    assert found[1].reason == "Input type: FLOAT32 with filter type: INT8 not supported."
    assert all("quantization.scheme: int8" in each.advice for each in found)


def test_float16_weights_are_refused_where_they_are_made_float():
    [finding] = refused_operators(Graph(inspected("float16")))
    assert finding.name == "DEQUANTIZE"
    assert "its weights are float16" in finding.advice
    assert finding.operator == 0
    assert finding.layer.count(",") == 2


def test_what_is_refused_is_what_ends_the_loading_of_the_whole_model():
    content = inspected("float16")
    [finding] = refused_operators(Graph(content))
    assert finding.reason == try_loading(content, ENOUGH).problem


def test_a_kind_that_is_lacking_is_not_tried_again():
    graph = Graph(inspected("lacking_on_micro"))
    lacking = {each.name for each in missing_kinds(graph)}
    assert not lacking & {each.name for each in refused_operators(graph, lacking)}


def test_operators_that_call_other_graphs_or_share_state_are_passed_over():
    assert refused_operators(Graph(inspected("loop"))) == ()
    assert refused_operators(Graph(inspected("two_signatures"))) == ()


def test_an_operator_that_ends_the_process_is_named_and_the_others_are_tried(
    monkeypatch: pytest.MonkeyPatch,
):
    # With next to no memory the runtime ends the process.
    monkeypatch.setattr(micro_operators, "_OWN_BYTES", 8)
    monkeypatch.setattr(micro_operators, "_TIMES_ITS_TENSORS", 0)
    found = refused_operators(Graph(hostile.net("dense")))
    assert [each.name for each in found] == ["FULLY_CONNECTED"]
    assert found[0].reason == "it ends the process (SIGSEGV)"
    assert found[0].layer.endswith(f"and {len(Graph(hostile.net('dense')).operators) - 3} more")


def test_a_process_that_ends_before_the_first_model_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(micro_operators, "told_by_a_copy", lambda *_: (Ended("no memory"), ()))
    with pytest.raises(ModelError, match=r"no process could be made .*no memory"):
        missing_kinds(Graph(hostile.net("dense")))
