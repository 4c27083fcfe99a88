"""What LiteRT lacks is named kind by kind."""

from tests.components.models import hostile
from tests.components.models.inspected import inspected
from tests.components.models.test_micro_operators import with_custom_operator
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.litert_operators import missing_kinds


def test_a_model_that_runs_lacks_nothing():
    assert missing_kinds(Graph(inspected("lacking_on_micro"))) == ()


def test_operators_of_tensorflow_itself_are_lacking():
    [finding] = missing_kinds(Graph(inspected("flex")))
    assert finding.name == "FlexMatrixInverse"
    assert "link the Flex delegate" in finding.advice


def test_a_custom_operator_is_lacking():
    [finding] = missing_kinds(with_custom_operator("Attention"))
    assert (finding.name, finding.reason) == (
        "Attention",
        "Encountered unresolved custom op: Attention.",
    )


def test_a_custom_operator_that_the_runtime_has_is_not_lacking():
    assert missing_kinds(with_custom_operator("TFLite_Detection_PostProcess")) == ()


def test_a_version_that_is_too_new_is_lacking():
    draft = Graph(hostile.net("dense")).draft()
    draft.set_versions([999] * len(draft.tree.operatorCodes))
    [finding] = missing_kinds(Graph(draft.content()))
    assert "'FULLY_CONNECTED' version '999'" in finding.reason
    assert "update the runtime" in finding.advice
