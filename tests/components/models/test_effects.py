"""A SavedModel is a program: what does more than compute is refused unless it is trusted."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.components.models.reading import change, with_unused_reader
from tests.conftest import ROOT
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import effects, saved_model_proto

pytestmark = pytest.mark.slow

# Operators of TensorFlow with inputs or attributes that are named like files or addresses, which do
# nothing with either: they only make text of them, or mean a device or a direction.
HARMLESS = {
    *("CollectivePermute", "XlaSparseDenseMatmulGradWithSgdAndCsrInput", "StaticRegexFullMatch"),
    *("StaticRegexReplace", "RegexFullMatch", "RegexReplace", "CTCBeamSearchDecoder"),
    *("InTopK", "ApproxTopK", "RemoteCall", "TensorSliceDataset", "XlaCallModule"),
    *("ConfigureAndInitializeGlobalTPU", "TPUReplicateMetadata", "TPUReplicate"),
    *("SetStatsAggregatorDataset", "TRTEngineOp"),
}
# What is refused and is no operator of the installed TensorFlow, by its version.
OF_OTHER_VERSIONS = {
    "2.16": {"BigQueryReader", "CalibrationStatisticsSaver", "RemoteFusedGraphExecute"},
    "2.21": {
        *("BigQueryReader", "RemoteFusedGraphExecute", "InitializeTRTResource"),
        *("SerializeTRTResource", "TRTEngineOp", "TfLiteSubgraphExecute"),
    },
}
SUSPICIOUS = re.compile(
    r"file|path|(^|_)dir($|_)|address|descriptor|prefix|(^|_)urls?|memory_region|host_|logdir|target"
    r"|pattern|output_stream"
)
HARMLESS_WORDS = re.compile(
    r"Thost|^host_(inputs|args|reserved)$|num_host|^targets?$|recall_target"
)


def save(
    function: Callable[..., object], directory: Path, takes: tuple[list, str] = ([None], "float32")
) -> Path:
    """Saves a SavedModel whose signature `s` computes a function of one tensor."""
    import tensorflow as tf

    shape, dtype = takes

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(shape, dtype, "x")])
        def __call__(self, x):
            return {"y": function(x)}

    module = Module()
    path = directory / "model"
    tf.saved_model.save(module, str(path), {"s": module.__call__})
    return path


def found_in(path: Path) -> list[effects.Effect]:
    graphs = saved_model_proto.parse((path / "saved_model.pb").read_bytes())
    return [effect for graph in graphs for effect in effects.effects(graph)]


ATTACKS = {
    "read_environment": "ReadFile",
    "read_in_a_branch": "ReadFile",
    "read_in_a_loop": "ReadFile",
    "write_file": "WriteFile",
    "list_files": "MatchingFiles",
    "python": "EagerPyFunc",
    "numpy": "PyFunc",
    "stateless_numpy": "PyFuncStateless",
    "print_to_a_file": "PrintV2",
    "lines_of_a_file": "TextLineDataset",
    "records_of_a_file": "TFRecordDataset",
    "cache_in_a_file": "CacheDatasetV2",
    "save_variables": "SaveV2",
    "restore_variables": "RestoreV2",
    "merge_checkpoints": "MergeV2Checkpoints",
    "map_a_file": "ImmutableConst",
    "descriptors_in_a_file": "DecodeProtoV2",
    "debug_to_a_file": "DebugIdentityV2",
    "read_whole_files": "WholeFileReaderV2",
    "records_of_many_files": "RecordInput",
    "summaries": "CreateSummaryFileWriter",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_operator_that_does_more_than_compute_is_refused(name: str, tmp_path: Path):
    from tests.components.models import acting

    path = save(getattr(acting, name), tmp_path)
    assert ATTACKS[name] in {effect.operator for effect in found_in(path)}
    with pytest.raises(ModelError, match=f"operator {ATTACKS[name]}"):
        effects.check(path, trusted=False)


def test_the_line_names_operator_node_function_and_key(tmp_path: Path):
    from tests.components.models import acting

    path = save(acting.read_environment, tmp_path)
    with pytest.raises(ModelError) as raised:
        effects.check(path, trusted=False)
    assert re.fullmatch(
        r"the SavedModel at \S+/model has operator ReadFile \(node 'ReadFile' of function "
        r"'__inference___call___\d+'\), which reads files; a model that only computes needs none "
        r"of these\. Export it without, or set model\.trust: true if you trust who made it",
        str(raised.value),
    )


def test_a_model_that_is_trusted_may_do_more(tmp_path: Path):
    from tests.components.models import acting

    effects.check(save(acting.read_environment, tmp_path), trusted=True)


@pytest.mark.parametrize(
    "name",
    ["print_to_the_terminal", "well_known_protos", "match_a_pattern", "numbers_of_a_data_set"],
)
def test_what_only_computes_is_let_through(name: str, tmp_path: Path):
    from tests.components.models import acting

    assert found_in(save(getattr(acting, name), tmp_path)) == []


def test_a_real_model_with_its_saver_only_computes(digits_model: Path):
    assert found_in(digits_model) == []
    effects.check(digits_model, trusted=False)


def test_an_export_of_keras_only_computes(keras_digits, tmp_path: Path):
    keras_digits.export(str(tmp_path / "model"))
    assert found_in(tmp_path / "model") == []


# --- The saver's own operators ---


def reached_from_a_signature(graph, part: str) -> None:
    """Has the graph's first call call a function of the saver, too."""
    [saver] = [f for f in graph.graph_def.library.function if part in f.signature.name]
    calls = [n for n in graph.graph_def.node if n.op == "StatefulPartitionedCall"]
    calls[0].attr["more"].func.name = saver.signature.name


@pytest.mark.parametrize("part", ["traced_save", "traced_restore"])
def test_a_function_of_the_saver_that_a_signature_calls_is_refused(
    digits_model: Path, tmp_path: Path, part: str
):
    shutil.copytree(digits_model, tmp_path / "model")
    path = change(tmp_path / "model", lambda graph: reached_from_a_signature(graph, part))
    assert {"SaveV2", "RestoreV2"} & {effect.operator for effect in found_in(path)}


def test_a_function_of_the_saver_that_an_object_has_is_refused(digits_model: Path, tmp_path: Path):
    def edit(graph) -> None:
        [saver] = [f for f in graph.graph_def.library.function if "_save" in f.signature.name]
        graph.object_graph_def.concrete_functions[saver.signature.name].SetInParent()

    shutil.copytree(digits_model, tmp_path / "model")
    assert "SaveV2" in {effect.operator for effect in found_in(change(tmp_path / "model", edit))}


def test_an_operator_that_nothing_reaches_is_refused(digits_model: Path, tmp_path: Path):
    [effect] = found_in(with_unused_reader(digits_model, tmp_path / "model"))
    assert (effect.node, effect.function) == ("hidden", "unused")


# --- Assets ---


@pytest.fixture
def with_vocabulary(tmp_path: Path) -> Path:
    """A SavedModel with a table that is filled from an asset."""
    import tensorflow as tf

    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    index = tf.lookup.TextFileIndex

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            source = tf.lookup.TextFileInitializer(
                str(words), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
            )
            self.table = tf.lookup.StaticHashTable(source, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
        def __call__(self, x):
            return {"y": self.table.lookup(x)}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "model"), {"s": module.__call__})
    return tmp_path / "model"


def test_a_table_of_an_asset_is_let_through(with_vocabulary: Path):
    assert found_in(with_vocabulary) == []
    effects.check(with_vocabulary, trusted=False)


def test_a_table_of_any_other_file_is_refused(with_vocabulary: Path):
    def edit(graph) -> None:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "InitializeTableFromTextFileV2":
                    name = function.node_def.add(name="name", op="Const")
                    name.attr["value"].tensor.string_val.append(b"/etc/passwd")
                    node.input[1] = "name:output:0"

    with pytest.raises(ModelError, match="reads a file that is not one of the model's assets"):
        effects.check(change(with_vocabulary, edit), trusted=False)


def test_a_table_of_an_argument_that_is_no_asset_is_refused(with_vocabulary: Path):
    def edit(graph) -> None:
        objects = graph.object_graph_def
        [name] = [name for name in objects.concrete_functions if "initializer" in name]
        # Object 0 is the module.
        objects.concrete_functions[name].bound_inputs[0] = 0

    assert len(found_in(change(with_vocabulary, edit))) == 1


def test_a_table_of_a_variable_that_something_else_writes_is_refused(with_vocabulary: Path):
    def edit(graph) -> None:
        nodes = graph.graph_def.node
        [assigned] = [node for node in nodes if node.op == "AssignVariableOp"]
        nodes.add(name="other", op="Const").attr["value"].tensor.string_val.append(b"/etc/passwd")
        nodes.add(name="again", op="AssignVariableOp", input=[assigned.input[0], "other"])

    assert len(found_in(change(with_vocabulary, edit))) == 1


@pytest.mark.parametrize("name", ["../words.txt", "/etc/passwd", "a/../../words.txt", "..", ""])
@pytest.mark.parametrize("trusted", [False, True])
def test_an_asset_outside_the_model_is_refused(with_vocabulary: Path, name: str, trusted: bool):
    change(with_vocabulary, lambda graph: setattr(graph.asset_file_def[0], "filename", name))
    with pytest.raises(ModelError, match="lies outside the model's directory"):
        effects.check(with_vocabulary, trusted)


def test_an_asset_that_is_a_link_out_of_the_model_is_refused(with_vocabulary: Path):
    asset = with_vocabulary / "assets" / "words.txt"
    asset.unlink()
    asset.symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match=r"asset 'words.txt' of the SavedModel at .* lies outside"):
        effects.check(with_vocabulary, trusted=False)


def test_an_asset_that_is_a_link_within_the_model_is_let_through(with_vocabulary: Path):
    asset = with_vocabulary / "assets" / "words.txt"
    asset.rename(with_vocabulary / "assets" / "real.txt")
    asset.symlink_to("real.txt")
    effects.check(with_vocabulary, trusted=False)


# --- What TensorFlow has ---


def registered_operators() -> Iterator:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as session

    yield from op_def_pb2.OpList.FromString(session.TF_GetBuffer(session.TF_GetAllOpList())).op


def test_each_operator_that_is_given_a_file_or_an_address_is_known():
    known = {*effects.EFFECTS, *effects.BY_ATTRIBUTE, *effects.SAVING, effects.FILLS_A_TABLE}
    unknown = set()
    for operator in registered_operators():
        words = [entry.name for entry in (*operator.input_arg, *operator.attr)]
        suspicious = [w for w in words if SUSPICIOUS.search(w) and not HARMLESS_WORDS.search(w)]
        kind = effects.kind_of(operator.name)
        if suspicious and kind not in known | HARMLESS:
            unknown.add(operator.name)
    assert unknown == set()


def test_each_operator_that_is_refused_is_one_of_tensorflows():
    there = {effects.kind_of(operator.name) for operator in registered_operators()}
    known = {*effects.EFFECTS, *effects.BY_ATTRIBUTE, *effects.SAVING}
    major, minor, _ = version("tensorflow").split(".")
    assert known - there <= OF_OTHER_VERSIONS[f"{major}.{minor}"]


@pytest.mark.parametrize("message", saved_model_proto.FIELDS)
def test_the_fields_are_those_of_tensorflow(message: str):
    from google.protobuf import symbol_database
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: F401

    owners = {"ListValue": "AttrValue.ListValue", "ArgDef": "OpDef.ArgDef"}
    entries = {
        "AttrEntry": "NodeDef.AttrEntry",
        "CollectionEntry": "MetaGraphDef.CollectionDefEntry",
        "SignatureEntry": "MetaGraphDef.SignatureDefEntry",
        "TensorEntry": "SignatureDef.OutputsEntry",
        "ConcreteFunctionEntry": "SavedObjectGraph.ConcreteFunctionsEntry",
        "AnyList": "CollectionDef.AnyList",
        "MetaInfoDef": "MetaGraphDef.MetaInfoDef",
        "Dim": "TensorShapeProto.Dim",
    }
    name = {**owners, **entries}.get(message, message)
    full = "google.protobuf.Any" if message == "Any" else f"tensorflow.{name}"
    pool = symbol_database.Default().pool
    theirs = pool.FindMessageTypeByName(full).fields_by_name
    for field, (number, kind) in saved_model_proto.FIELDS[message].items():
        assert theirs[field].number == number
        assert (theirs[field].label == theirs[field].LABEL_REPEATED) == kind.endswith("*")


def test_what_is_no_saved_model_is_told(tmp_path: Path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match=r"saved_model.pb is not a SavedModel"):
        effects.check(tmp_path, trusted=False)
    with pytest.raises(ModelError, match=r"nothing/saved_model.pb cannot be read: No such file"):
        effects.check(tmp_path / "nothing", trusted=False)


def test_it_is_told_without_tensorflow(digits_model: Path):
    module = "tests.components.models.reading"
    subprocess.run([sys.executable, "-m", module, str(digits_model)], check=True, cwd=ROOT)
