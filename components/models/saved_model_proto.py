"""The parts of a SavedModel's protocol buffers that say what it would do, read without TensorFlow.

`validate` answers in a fraction of a second and so imports no TensorFlow, whose generated classes
come with all of it. The fields are those of tensorflow/core/protobuf; a test compares their numbers
with TensorFlow's own.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Protocol

from tfx_tflite.components.message_classes import Fields, message_classes

_ASSETS_OF_VERSION_1 = "saved_model_assets"
FIELDS: Fields = {
    "SavedModel": {"meta_graphs": (2, "MetaGraphDef*")},
    "MetaGraphDef": {
        "meta_info_def": (1, "MetaInfoDef"),
        "graph_def": (2, "GraphDef"),
        "saver_def": (3, "SaverDef"),
        "collection_def": (4, "CollectionEntry*"),
        "signature_def": (5, "SignatureEntry*"),
        "asset_file_def": (6, "AssetFileDef*"),
        "object_graph_def": (7, "SavedObjectGraph"),
    },
    "MetaInfoDef": {"tags": (4, "string*")},
    "GraphDef": {"node": (1, "NodeDef*"), "library": (2, "FunctionDefLibrary")},
    "FunctionDefLibrary": {"function": (1, "FunctionDef*")},
    "FunctionDef": {"signature": (1, "OpDef"), "node_def": (3, "NodeDef*")},
    "OpDef": {"name": (1, "string"), "input_arg": (2, "ArgDef*")},
    "ArgDef": {"name": (1, "string")},
    "NodeDef": {
        "name": (1, "string"),
        "op": (2, "string"),
        "input": (3, "string*"),
        "attr": (5, "AttrEntry*"),
    },
    "AttrEntry": {"key": (1, "string"), "value": (2, "AttrValue")},
    "AttrValue": {
        "list": (1, "ListValue"),
        "s": (2, "bytes"),
        "func": (10, "NameAttrList"),
    },
    "ListValue": {"s": (2, "bytes*"), "func": (9, "NameAttrList*")},
    "NameAttrList": {"name": (1, "string")},
    "SaverDef": {
        "filename_tensor_name": (1, "string"),
        "save_tensor_name": (2, "string"),
        "restore_op_name": (3, "string"),
    },
    "CollectionEntry": {"key": (1, "string"), "value": (2, "CollectionDef")},
    "CollectionDef": {"any_list": (5, "AnyList")},
    "AnyList": {"value": (1, "Any*")},
    "Any": {"value": (2, "bytes")},
    "SignatureEntry": {"key": (1, "string"), "value": (2, "SignatureDef")},
    "SignatureDef": {"inputs": (1, "TensorEntry*"), "outputs": (2, "TensorEntry*")},
    "TensorEntry": {"key": (1, "string"), "value": (2, "TensorInfo")},
    "TensorInfo": {
        "name": (1, "string"),
        "dtype": (2, "int32"),
        "tensor_shape": (3, "TensorShapeProto"),
    },
    "TensorShapeProto": {"dim": (2, "Dim*"), "unknown_rank": (3, "bool")},
    "Dim": {"size": (1, "int64")},
    "AssetFileDef": {"tensor_info": (1, "TensorInfo"), "filename": (2, "string")},
    "SavedObjectGraph": {
        "nodes": (1, "SavedObject*"),
        "concrete_functions": (2, "ConcreteFunctionEntry*"),
    },
    "SavedObject": {"asset": (5, "SavedAsset")},
    "SavedAsset": {"asset_file_def_index": (1, "int32")},
    "ConcreteFunctionEntry": {"key": (1, "string"), "value": (2, "SavedConcreteFunction")},
    "SavedConcreteFunction": {"bound_inputs": (2, "int32*")},
}


class Named(Protocol):
    """What has nothing but a name."""

    name: str


class AttrList(Protocol):
    """The values of an attribute that has several."""

    s: Sequence[bytes]
    func: Sequence[Named]


class AttrValue(Protocol):
    """The value of a node's attribute."""

    list: AttrList
    s: bytes
    func: Named


class AttrEntry(Protocol):
    """A node's attribute."""

    key: str
    value: AttrValue


class Node(Protocol):
    """An operator in a graph or a function."""

    name: str
    op: str
    input: Sequence[str]
    attr: Sequence[AttrEntry]


class FunctionSignature(Protocol):
    """A function's name and arguments."""

    name: str
    input_arg: Sequence[Named]


class Function(Protocol):
    """A function of the library."""

    signature: FunctionSignature
    node_def: Sequence[Node]


class Library(Protocol):
    """The functions."""

    function: Sequence[Function]


class GraphDef(Protocol):
    """A graph and its functions."""

    node: Sequence[Node]
    library: Library


class Saver(Protocol):
    """What of a graph saves and restores variables."""

    filename_tensor_name: str
    save_tensor_name: str
    restore_op_name: str


class Dim(Protocol):
    """An axis of a tensor."""

    size: int


class TensorShapeProto(Protocol):
    """A tensor's shape; a free axis has the size -1."""

    dim: Sequence[Dim]
    unknown_rank: bool


class TensorInfo(Protocol):
    """A tensor that a signature takes or gives."""

    name: str
    dtype: int
    tensor_shape: TensorShapeProto


class TensorEntry(Protocol):
    """The same and what the signature calls it."""

    key: str
    value: TensorInfo


class SignatureDef(Protocol):
    """A signature."""

    inputs: Sequence[TensorEntry]
    outputs: Sequence[TensorEntry]


class SignatureEntry(Protocol):
    """A signature and its name."""

    key: str
    value: SignatureDef


class AnyMessage(Protocol):
    """A message in a message."""

    value: bytes


class AnyList(Protocol):
    """Several of them."""

    value: Sequence[AnyMessage]


class Collection(Protocol):
    """What is collected under a name."""

    any_list: AnyList


class CollectionEntry(Protocol):
    """A collection and its name."""

    key: str
    value: Collection


class AssetFile(Protocol):
    """A file among the model's assets, and the tensor that its path is fed to."""

    tensor_info: Named
    filename: str


class SavedObject(Protocol):
    """A Python object that was saved."""

    def HasField(self, name: str) -> bool:
        """Returns whether the object is of a kind."""


class ConcreteFunction(Protocol):
    """The objects that a function's last arguments are."""

    bound_inputs: Sequence[int]


class ConcreteFunctionEntry(Protocol):
    """A function of the object graph and its name."""

    key: str
    value: ConcreteFunction


class ObjectGraph(Protocol):
    """The Python objects."""

    nodes: Sequence[SavedObject]
    concrete_functions: Sequence[ConcreteFunctionEntry]


class MetaInfo(Protocol):
    """What a graph is for."""

    tags: Sequence[str]


class MetaGraph(Protocol):
    """One graph of a SavedModel, with all that belongs to it."""

    meta_info_def: MetaInfo
    graph_def: GraphDef
    saver_def: Saver
    collection_def: Sequence[CollectionEntry]
    signature_def: Sequence[SignatureEntry]
    asset_file_def: Sequence[AssetFile]
    object_graph_def: ObjectGraph


def parse(content: bytes) -> Sequence[MetaGraph]:
    """Returns the graphs of a SavedModel.

    Args:
        content: Of its saved_model.pb.

    Raises:
        DecodeError: It is none.
    """
    graphs: Sequence[MetaGraph] = _messages()["SavedModel"].FromString(content).meta_graphs
    return graphs


def assets(graph: MetaGraph) -> Iterator[AssetFile]:
    """Yields a graph's assets, where TensorFlow 2 and where TensorFlow 1 writes them down.

    Raises:
        DecodeError: The graph is damaged.
    """
    yield from graph.asset_file_def
    for collection in graph.collection_def:
        if collection.key == _ASSETS_OF_VERSION_1:
            for entry in collection.value.any_list.value:
                yield _messages()["AssetFileDef"].FromString(entry.value)


@cache
def _messages():  # type: ignore[no-untyped-def]  # Classes that are made here.
    return message_classes("saved_model", FIELDS)
