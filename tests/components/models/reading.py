"""SavedModels that are edited, and programs that look at them."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tfx_tflite.components.models import effects


def change(path: Path, edit: Callable) -> Path:
    """Edits the graph of a SavedModel, with TensorFlow's own classes."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    edit(saved.meta_graphs[0])
    file.write_bytes(saved.SerializeToString())
    return path


def add_unused_reader(graph) -> None:
    """Adds a function that reads a file, which nothing calls."""
    function = graph.graph_def.library.function.add()
    function.signature.name = "unused"
    argument = function.signature.input_arg.add(name="name")
    argument.type = 7  # types.proto: DT_STRING
    function.node_def.add(name="hidden", op="ReadFile", input=["name"])


def with_unused_reader(saved_model: Path, path: Path) -> Path:
    """Returns a copy of a SavedModel with a function that reads a file."""
    shutil.copytree(saved_model, path)
    return change(path, add_unused_reader)


if __name__ == "__main__":
    effects.check(sys.argv[1], trusted=False)
    assert "tensorflow" not in sys.modules
