"""A float TensorFlow Lite file as a float model: where it lies, and what it takes and gives.

Such files come from LiteRT's converters of PyTorch and JAX, or from anywhere else. Some have no
signature; then one is made of the names of the tensors, as the rest of this package goes by names.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfx_tflite.components.artifact_layout import FLOAT_MODEL_FILE
from tfx_tflite.components.digests import directory_digest, file_digest, tree_digest
from tfx_tflite.components.errors import ModelError, listed
from tfx_tflite.components.examples.tensors import InputSpec
from tfx_tflite.components.models import object_tree, soundness
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.flatbuffer import Graph, Tensor, read_graph
from tfx_tflite.components.models.object_tree import TensorTree, numbers, text
from tfx_tflite.components.object_stores import any_place

# What LiteRT's converter of PyTorch leaves for its own later steps. If it is there, TensorFlow's
# quantizer keeps all constants in float, and so the convolutions that read them.
_KEEPS_CONSTANTS = "keep_stablehlo_constant"
_FLOATS = frozenset({"FLOAT32"})
_DTYPES = {
    **{"FLOAT32": "float32", "FLOAT64": "float64", "BOOL": "bool", "STRING": "object"},
    **{name: name.lower() for name in ("INT8", "UINT8", "INT16", "INT32", "INT64", "UINT32")},
}


def file_in(path: str | Path) -> str | None:
    """Returns the TensorFlow Lite file that a float model is; None for a SavedModel.

    Args:
        path: The file itself, or the directory that it is in.
    """
    place = str(path)
    if any_place.exists(f"{place}/saved_model.pb"):
        return None
    for file in (f"{place}/{FLOAT_MODEL_FILE}", f"{place}/tflite"):
        if any_place.exists(file):
            return file
    is_file = any_place.exists(place) and not any_place.is_directory(place)
    return place if is_file else None


def digest_of(path: str | Path) -> str:
    """Returns the digest of a float model, the same for a file as for a directory with that alone.

    Args:
        path: The SavedModel, the TensorFlow Lite file, or the directory that the file is in.

    Raises:
        ModelError, NotKnownError: As for `digests.directory_digest`.
    """
    if Path(path).is_file():
        return tree_digest({FLOAT_MODEL_FILE: file_digest(path)})
    return directory_digest(path)


def read(file: str) -> bytes:
    """Returns the bytes of a float TensorFlow Lite file, with a signature; see `as_float_model`.

    Raises:
        ModelError: It cannot be read, or is none that can be quantized.
    """
    try:
        content = any_place.read(file)
    except tf.errors.OpError as error:
        raise ModelError(f"{file} cannot be read: {error.message}") from error
    except FileNotFoundError as error:
        raise ModelError(f"there is no {file}") from error
    return as_float_model(content, file)


def as_float_model(content: bytes, name: str) -> bytes:
    """Returns a file with one signature, whose tensors have names that differ.

    Args:
        content: The file.
        name: What to call it in a message.

    Raises:
        ModelError: It is not a valid TensorFlow Lite file, is quantized already, has nothing that
            could be quantized, or several signatures.
    """
    problem = next(soundness.problems(content), None)
    if problem is not None:
        raise ModelError(
            f"{name} is not a valid TensorFlow Lite file: {problem}; copy it again, or convert the "
            "model again"
        )
    graph = read_graph(content)
    _check_operators(graph, name)
    _check_float(graph, name)
    _check_signatures(graph, name)
    draft = graph.draft()
    changed = [
        _name_apart(draft.main.tensors),
        _add_signature(draft),
        draft.drop_metadata(_KEEPS_CONSTANTS),
    ]
    return draft.content() if any(changed) else content


def _check_operators(graph: Graph, name: str) -> None:
    others = sorted({each.name for each in graph.operators if not each.is_builtin})
    if others:
        raise ModelError(
            f"{name} needs operators that TensorFlow Lite has no builtin for: {listed(others)}; "
            "replace them in the model and convert it again"
        )


def _check_float(graph: Graph, name: str) -> None:
    for operator in graph.operators:
        for tensor in operator.tensors:
            if tensor.is_quantized or tensor.type == "FLOAT16":
                raise ModelError(
                    f"{name} is quantized already: {operator.label} has {tensor.type} "
                    f"{'weights' if tensor.is_constant else 'activations'}. Give the float file "
                    "that it was made from, converted without any quantization"
                )
    if not any(tensor.type in _FLOATS for each in graph.operators for tensor in each.outputs):
        raise ModelError(
            f"{name} computes with no float32 numbers, so there is nothing to quantize; its inputs "
            f"are {listed(map(_described, graph.main.inputs))}"
        )


def _described(tensor: Tensor) -> str:
    return f"{tensor.name} ({tensor.type})"


def _check_signatures(graph: Graph, name: str) -> None:
    if len(graph.signatures) > 1:
        raise ModelError(
            f"{name} has {len(graph.signatures)} signatures; expected one. Convert only the "
            "function that is to be quantized"
        )
    if graph.signatures and graph.signatures[0].subgraph != 0:
        raise ModelError(
            f"the signature of {name} is not of its first graph; convert the model again with one "
            "signature"
        )


def _name_apart(tensors: Sequence[TensorTree]) -> bool:
    """Gives tensors that share a name a number each, and returns whether there were any."""
    counts = Counter(text(tensor.name) for tensor in tensors)
    shared = {name for name, count in counts.items() if count > 1 or not name}
    for place, tensor in enumerate(tensors):
        if text(tensor.name) in shared:
            tensor.name = f"{text(tensor.name) or 'tensor'}#{place}"
    return bool(shared)


def _add_signature(draft: Draft) -> bool:
    """Makes a signature of the names of inputs and outputs, and returns whether there was none."""
    if draft.tree.signatureDefs:
        return False
    graph = draft.main
    inputs, outputs = (
        [text(graph.tensors[place].name) for place in numbers(side)]
        for side in (graph.inputs, graph.outputs)
    )
    tree = object_tree.signature_tree(inputs, outputs)
    for entries, places in ((tree.inputs, graph.inputs), (tree.outputs, graph.outputs)):
        for entry, place in zip(entries or (), numbers(places), strict=True):
            entry.tensorIndex = place
    draft.tree.signatureDefs = [tree]
    return True


def specs_of(content: bytes, outputs: bool = False) -> Iterator[InputSpec]:
    """Yields what a file's signature takes, or gives, by name.

    Args:
        content: The file, as `as_float_model` returns it.
        outputs: Whether to yield what it gives.
    """
    [signature] = read_graph(content).signatures
    side = signature.outputs if outputs else signature.inputs
    for name, tensor in sorted(side.items()):
        shape = tuple(None if size == -1 else size for size in tensor.signature_shape)
        yield InputSpec(name, shape, np.dtype(_DTYPES.get(tensor.type, "object")))


def signature_name(content: bytes) -> str:
    """Returns the name of a file's only signature."""
    signatures = read_graph(content).draft().tree.signatureDefs
    assert signatures
    return text(signatures[0].signatureKey)
