"""What a SavedModel would do beside computing, found without running it.

A SavedModel is a program. Its graph may read and write files, call Python and open connections, in
the process that loads it and with that process's rights: one with `ReadFile` read the environment,
with all keys in it. A model that only computes needs none of these operators, so they are refused
unless the config says that the model is trusted.

Every node of every function counts, whether a signature reaches it or not: loading a SavedModel
runs the functions that create and fill its resources. Only two things that each export has are let
through: what saves and restores the variables, as long as nothing but the saver calls it, and
tables that are filled from the model's own assets.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from google.protobuf.message import DecodeError

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import saved_model_proto
from tfx_tflite.components.models.saved_model_proto import Function, MetaGraph, Node
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.uris import is_local

_ASSETS = "assets"
_READS, _WRITES = "reads files", "writes files"
_RUNS, _CONNECTS = "runs code that is not in the graph", "opens connections"
# By an operator's name without its version and without a leading `Experimental` or `_`.
EFFECTS = {
    **dict.fromkeys(
        (
            *("ReadFile", "MatchingFiles", "RecordInput", "ImmutableConst", "Skipgram"),
            *("WholeFileReader", "TextLineReader", "FixedLengthRecordReader", "TFRecordReader"),
            *("LMDBReader", "BigQueryReader", "ReaderRestoreState"),
            *("TextLineDataset", "TFRecordDataset", "FixedLengthRecordDataset", "CSVDataset"),
            *("LMDBDataset", "MatchingFilesDataset", "LoadDataset", "SqlDataset"),
            *("SnapshotDatasetReader", "SnapshotNestedDatasetReader", "SnapshotChunkDataset"),
            *("ListSnapshotChunksDataset", "LoadAndRemapMatrix", "GenerateVocabRemapping"),
            *("InitializeTRTResource", "DTensorRestore"),
        ),
        _READS,
    ),
    **dict.fromkeys(
        (
            *("WriteFile", "SaveDataset", "SnapshotDataset", "CacheDataset", "DatasetToTFRecord"),
            *("DistributedSave", "DumpTensor", "SerializeTRTResource"),
            *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "CalibrationStatisticsSaver"),
        ),
        _WRITES,
    ),
    **dict.fromkeys(
        (
            *("PyFunc", "PyFuncStateless", "EagerPyFunc", "XlaCustomCall", "XlaHostCompute"),
            *("XlaHostComputeMlir", "DatasetFromGraph", "RemoteFusedGraphExecute"),
            *("TfLiteSubgraphExecute", "TRTEngineOp"),
        ),
        _RUNS,
    ),
    **dict.fromkeys(
        (
            *("RegisterDataset", "DataServiceDataset", "RpcServer", "RpcClient", "RpcCall"),
            *("RpcServerStart", "RpcServerRegister", "FileSystemSetConfiguration"),
        ),
        _CONNECTS,
    ),
}
# What these do depends on an attribute; without it, or with one of these beginnings, it is nothing.
BY_ATTRIBUTE = {
    "Print": ("output_stream", ("stdout", "stderr", "log("), _WRITES),
    "EncodeProto": ("descriptor_source", ("local://", "bytes://"), _READS),
    "DecodeProto": ("descriptor_source", ("local://", "bytes://"), _READS),
    "FixedUnigramCandidateSampler": ("vocab_file", (), _READS),
    "DebugIdentity": ("debug_urls", (), _WRITES),
    "DebugNanCount": ("debug_urls", (), _WRITES),
    "DebugNumericSummary": ("debug_urls", (), _WRITES),
}
SAVING = {
    **dict.fromkeys(("Save", "SaveSlices", "MergeV2Checkpoints"), _WRITES),
    **dict.fromkeys(("Restore", "RestoreSlice"), _READS),
}
FILLS_A_TABLE = "InitializeTableFromTextFile"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


@dataclass(frozen=True)
class Effect:
    """An operator that does more than compute.

    Attributes:
        operator: Its kind.
        node: Its name.
        function: The function that it is in; empty for the graph itself.
        what: What it does.
    """

    operator: str
    node: str
    function: str
    what: str

    def __str__(self) -> str:
        place = f"function {self.function!r}" if self.function else "its graph"
        return f"operator {self.operator} (node {self.node!r} of {place}), which {self.what}"


def kind_of(operator: str) -> str:
    """Returns an operator's name without its version and its maturity."""
    return re.sub(r"^_|^Experimental|V\d+$", "", operator)


def check(path: str | Path, trusted: bool) -> None:
    """Checks that a SavedModel only computes, and that its assets are its own.

    Args:
        path: Its directory, a local one or a URI.
        trusted: Whether it may do more than compute.

    Raises:
        ModelError: It does more and is not trusted, or an asset lies outside its directory.
    """
    file = f"{path}/saved_model.pb"
    try:
        for graph in saved_model_proto.parse(_content(file)):
            _check_graph(path, graph, trusted)
    except DecodeError as error:
        raise ModelError(f"{file} is not a SavedModel: {error}") from error


def _check_graph(path: str | Path, graph: MetaGraph, trusted: bool) -> None:
    for asset in saved_model_proto.assets(graph):
        _check_asset(path, asset.filename)
    found = None if trusted else next(effects(graph), None)
    if found is not None:
        raise ModelError(
            f"the SavedModel at {path} has {found}; a model that only computes needs none of "
            "these. Export it without, or set model.trust: true if you trust who made it"
        )


def _content(file: str) -> bytes:
    if is_local(file):
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise ModelError(f"{file} cannot be read: {error.strerror}") from error
    import tensorflow as tf

    try:
        return any_place.read(file)
    except tf.errors.OpError as error:
        raise ModelError(f"{file} cannot be read: {error.message}") from error
    except FileNotFoundError as error:
        raise ModelError(f"there is no {file}") from error


def _check_asset(path: str | Path, name: str) -> None:
    """Checks that an asset is in the model's directory, links followed."""
    inside = posixpath.normpath(posixpath.join(_ASSETS, name))
    is_outside = posixpath.isabs(name) or not inside.startswith(f"{_ASSETS}/") or "\0" in name
    if not is_outside and is_local(str(path)):
        directory = Path(path).resolve()
        is_outside = not (directory / inside).resolve().is_relative_to(directory)
    if is_outside:
        raise ModelError(
            f"asset {name!r} of the SavedModel at {path} lies outside the model's directory; copy "
            "the file there and export the model again"
        )


def effects(graph: MetaGraph) -> Iterator[Effect]:
    """Yields what a graph does beside computing."""
    yield from _Program(graph).effects()


@dataclass(frozen=True)
class _Program:
    """A graph with its functions, as a program whose parts call each other."""

    graph: MetaGraph

    def effects(self) -> Iterator[Effect]:
        saver_nodes = self._saver_nodes()
        saver_functions = self._saver_functions()
        for node in self.graph.graph_def.node:
            yield from self._of(node, "", node.name in saver_nodes)
        for name, function in self._functions.items():
            for node in function.node_def:
                yield from self._of(node, name, name in saver_functions)

    def _of(self, node: Node, function: str, is_saving: bool) -> Iterator[Effect]:
        kind = kind_of(node.op)
        what = EFFECTS.get(kind) or _by_attribute(kind, node)
        if kind in SAVING and not is_saving:
            what = f"{SAVING[kind]} outside of the saver"
        if kind == FILLS_A_TABLE and not self._is_asset(_input(node, 1), function, frozenset()):
            what = "reads a file that is not one of the model's assets"
        if what is not None:
            yield Effect(node.op, node.name, function, what)

    @cached_property
    def _functions(self) -> dict[str, Function]:
        return {each.signature.name: each for each in self.graph.graph_def.library.function}

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.graph.graph_def.node}

    @cached_property
    def _asset_nodes(self) -> set[str]:
        return {_node_of(asset.tensor_info.name) for asset in saved_model_proto.assets(self.graph)}

    def _upstream(self, names: Iterable[str]) -> set[str]:
        """Returns nodes of the graph and all that they depend on."""
        found: set[str] = set()
        ahead = [_node_of(name) for name in names]
        while ahead:
            name = ahead.pop()
            if name in self._nodes and name not in found:
                found.add(name)
                ahead += [_node_of(each) for each in self._nodes[name].input]
        return found

    @cached_property
    def _under_saver(self) -> set[str]:
        saver = self.graph.saver_def
        return self._upstream((saver.save_tensor_name, saver.restore_op_name))

    def _saver_nodes(self) -> set[str]:
        """Returns the nodes of the graph that the saver alone depends on."""
        outputs = [
            output.value.name
            for signature in self.graph.signature_def
            for output in signature.value.outputs
        ]
        if "" in outputs:
            # Sparse and composite outputs are named in other fields.
            return set()
        others = self._nodes.keys() - self._under_saver
        return self._under_saver - self._upstream((*others, *outputs))

    def _saver_functions(self) -> set[str]:
        """Returns the functions that the saver alone calls."""
        of_saver = self._called(self._nodes[name] for name in self._under_saver)
        others = [node for name, node in self._nodes.items() if name not in self._under_saver]
        reached = self._called(others)
        for entry in self.graph.object_graph_def.concrete_functions:
            if entry.key in self._functions:
                reached |= {entry.key, *self._called(self._functions[entry.key].node_def)}
        return of_saver - reached

    def _called(self, nodes: Iterable[Node]) -> set[str]:
        """Returns the functions that some nodes call, and those that these call."""
        found: set[str] = set()
        ahead = [name for node in nodes for name in _functions_of(node)]
        while ahead:
            name = ahead.pop()
            if name in self._functions and name not in found:
                found.add(name)
                for node in self._functions[name].node_def:
                    ahead += _functions_of(node)
        return found

    def _is_asset(self, tensor: str, function: str, seen: frozenset[tuple[str, str]]) -> bool:
        """Returns whether a tensor is the path of an asset, wherever it comes from."""
        if not tensor:
            return False
        if (tensor, function) in seen:
            return True
        seen |= {(tensor, function)}
        if not function:
            return self._is_asset_of_graph(tensor, seen)
        name = tensor.split(":")[0]
        arguments = [each.name for each in self._functions[function].signature.input_arg]
        if name in arguments:
            return self._is_given_asset(function, arguments.index(name), len(arguments), seen)
        nodes = {node.name: node for node in self._functions[function].node_def}
        node = nodes.get(name)
        is_copy = node is not None and node.op == "Identity"
        return node is not None and is_copy and self._is_asset(_input(node, 0), function, seen)

    def _is_asset_of_graph(self, tensor: str, seen: frozenset[tuple[str, str]]) -> bool:
        name = _node_of(tensor)
        if name in self._asset_nodes:
            return True
        node = self._nodes.get(name)
        if node is not None and node.op == "Identity":
            return self._is_asset(_input(node, 0), "", seen)
        return node is not None and node.op == "ReadVariableOp" and self._holds_asset(node, seen)

    def _holds_asset(self, reading: Node, seen: frozenset[tuple[str, str]]) -> bool:
        """Returns whether a variable is given nothing but an asset's path."""
        handle = _node_of(_input(reading, 0))
        users = [
            node
            for node in self.graph.graph_def.node
            if any(_node_of(each) == handle for each in node.input)
        ]
        harmless = ("AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp")
        return all(node.op in harmless for node in users) and all(
            self._is_asset(_input(node, 1), "", seen)
            for node in users
            if node.op == "AssignVariableOp"
        )

    def _is_given_asset(
        self, function: str, place: int, count: int, seen: frozenset[tuple[str, str]]
    ) -> bool:
        """Returns whether all that call a function give it an asset's path as an argument."""
        objects = self.graph.object_graph_def
        for entry in objects.concrete_functions:
            if entry.key == function:
                bound = entry.value.bound_inputs
                at = place - (count - len(bound))
                if at < 0 or not 0 <= bound[at] < len(objects.nodes):
                    return False
                if not objects.nodes[bound[at]].HasField("asset"):
                    return False
        for scope, node in self._calls_of(function):
            if node.op not in (*_CALLS, function) or place >= len(node.input):
                return False
            if not self._is_asset(node.input[place], scope, seen):
                return False
        return True

    def _calls_of(self, function: str) -> Iterator[tuple[str, Node]]:
        scopes = {"": self.graph.graph_def.node} | {
            name: each.node_def for name, each in self._functions.items()
        }
        for scope, nodes in scopes.items():
            for node in nodes:
                if function in _functions_of(node):
                    yield scope, node


def _by_attribute(kind: str, node: Node) -> str | None:
    """Returns what a node does by an attribute of its, if that is more than computing."""
    if kind not in BY_ATTRIBUTE:
        return None
    name, harmless, what = BY_ATTRIBUTE[kind]
    for attribute in node.attr:
        if attribute.key == name:
            values = [attribute.value.s, *attribute.value.list.s]
            beginnings = tuple(each.encode() for each in harmless)
            if any(value and not value.startswith(beginnings) for value in values):
                return what
    return None


def _functions_of(node: Node) -> list[str]:
    """Returns the functions that a node names."""
    found = [node.op]
    for attribute in node.attr:
        found += [attribute.value.func.name, *(each.name for each in attribute.value.list.func)]
    return [name for name in found if name]


def _input(node: Node, place: int) -> str:
    """Returns what a node is given; empty if it is given less."""
    return node.input[place] if place < len(node.input) else ""


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]
