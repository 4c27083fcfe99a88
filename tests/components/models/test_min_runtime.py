"""Which release of TensorFlow Lite's runtime a model needs."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tests.components.models import hostile, recorded_releases
from tfx_tflite.components.models import min_runtime, object_tree
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.min_runtime import first_release, min_runtime_version
from tfx_tflite.components.models.object_tree import ModelTree
from tfx_tflite.components.releases import release_number

pytestmark = pytest.mark.generations

SCHEMES = ("float32", "dynamic_range", "float16", "int8_float_io", "int8", "int16x8")


def changed(change: Callable[[ModelTree], None], net: str = "dense") -> Graph:
    """Returns a real model after a change of its object tree."""
    tree = object_tree.parse(hostile.net(net))
    change(tree)
    return Graph(object_tree.pack(tree))


def tensorflow_at_least(release: str) -> bool:
    """Returns whether the installed TensorFlow is of a generation, or of a later one."""
    return release_number(version("tensorflow")) >= release_number(release)


def of_version(number: int, kind: str = "FULLY_CONNECTED") -> Callable[[ModelTree], None]:
    """Returns the change that gives a kind of operator a version."""

    def change(tree: ModelTree) -> None:
        for code in tree.operatorCodes:
            if code.builtinCode == object_tree.code_tree(kind).builtinCode:
                code.version = number

    return change


def write(tree: ModelTree, entry: bytes) -> None:
    """Replaces what the converter wrote of the release.

    There are two entries: that of the float model is empty in a model that was quantized from it.
    """
    first, second = [each for each in tree.metadata or () if each.name == b"min_runtime_version"]
    tree.buffers[first.buffer].data = np.frombuffer(entry, np.uint8)
    assert not np.any(tree.buffers[second.buffer].data)


@pytest.mark.parametrize(
    ("operator_version", "release"),
    [(1, "1.5.0"), (4, "1.14.0"), (9, "2.3.0"), (11, "2.15.0"), (12, "2.17.0"), (14, "2.21.0")],
)
def test_the_newest_version_of_an_operator_decides(operator_version: int, release: str):
    """The dense net has operators of one kind alone."""
    graph = changed(of_version(operator_version))
    assert min_runtime_version(graph) == release


def test_older_runtimes_give_wrong_answers_of_int8_dense_layers_with_a_scale_a_channel():
    """The version of the operator does not tell: it is that of layers with one scale."""

    def change(tree: ModelTree) -> None:
        graph = tree.subgraphs[0]
        weights = graph.tensors[graph.operators[0].inputs[1]]
        channels = int(weights.shape[0])
        weights.quantization.scale = np.full(channels, 0.1, np.float32)
        weights.quantization.zeroPoint = np.zeros(channels, np.int64)

    assert min_runtime_version(Graph(hostile.net("dense"))) == "1.14.0"
    assert min_runtime_version(changed(change)) == "2.10.0"


def test_what_a_tool_left_in_the_file_does_not_count():
    def change(tree: ModelTree) -> None:
        of_version(12)(tree)
        write(tree, b"1.5.0")

    assert min_runtime_version(changed(change)) == "2.17.0"


def test_of_an_operator_that_came_after_the_record_the_file_is_asked():
    def change(tree: ModelTree) -> None:
        of_version(30)(tree)
        write(tree, b"2.97.0\0\0\0\0\0\0\0\0\0\0")

    assert min_runtime_version(changed(change)) == "2.97.0"


@pytest.mark.parametrize("entry", [b"", b"2.3.0\0", b"\xff\xfe", b"soon"])
def test_an_operator_that_came_after_the_record_is_not_guessed_at(entry: bytes):
    def change(tree: ModelTree) -> None:
        of_version(30)(tree)
        write(tree, entry)

    assert min_runtime_version(changed(change)) is None


def test_a_kind_of_operator_that_nobody_knows_is_not_guessed_at():
    def change(tree: ModelTree) -> None:
        tree.operatorCodes[0].builtinCode = 5000
        tree.metadata = None

    assert min_runtime_version(changed(change)) is None


def test_custom_operators_are_the_apps_own():
    def change(tree: ModelTree) -> None:
        code = tree.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = object_tree.code_tree("CUSTOM").builtinCode
        code.customCode, code.version = b"Mine", 77

    assert min_runtime_version(changed(change)) is not None


def test_a_version_that_no_operator_has_has_no_release():
    assert first_release("FULLY_CONNECTED", 0) is None
    assert first_release("FULLY_CONNECTED", -1) is None
    assert first_release("NOTHING", 1) is None


def test_the_record_is_what_the_installed_tensorflow_says():
    """An older TensorFlow knows fewer versions, and says the same of those that it knows."""
    record = json.loads(Path(min_runtime.__file__).with_name("operator_releases.json").read_text())
    said = recorded_releases.recorded()
    for operator, releases in said["operators"].items():
        assert record["operators"][operator][: len(releases)] == releases, operator
    if version("tensorflow") == record["tensorflow"]:
        assert record == said


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_model_needs_what_tensorflow_says_of_its_operators(convert_digits, scheme: str):
    graph = Graph(convert_digits(scheme).quantized)
    releases = recorded_releases.Releases()
    numbers = {each.name: object_tree.code_tree(each.name).builtinCode for each in graph.operators}
    said = [releases.of(numbers[each.name], each.version) for each in graph.operators]
    least = max(filter(None, said), key=release_number)
    if scheme.startswith("int8") and tensorflow_at_least("2.21"):
        # Its dense layers have a scale a channel.
        assert (least, min_runtime_version(graph)) == ("1.14.0", "2.10.0")
    else:
        assert min_runtime_version(graph) == least


@pytest.mark.slow
def test_an_int16x8_model_says_that_it_needs_kernels_for_int16(convert_digits):
    """The quantizer that makes it writes the versions of int8 operators, which came earlier."""
    graph = Graph(convert_digits("int16x8").quantized)
    assert release_number(min_runtime_version(graph)) >= release_number("2.3.0")
