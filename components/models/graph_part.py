"""A part of a model's main graph, run by itself on given values."""

import copy
from collections.abc import Mapping, Sequence

from tfx_tflite.components.examples.tensors import Array
from tfx_tflite.components.models.draft import Draft
from tfx_tflite.components.models.object_tree import OperatorTree, numbers
from tfx_tflite.components.models.runtime import open_observable
from tfx_tflite.components.versions import Kernels


class GraphPart:
    """Some operators of a main graph, with the builtin kernels and inputs of any shape.

    The builtin kernels also take tensors whose shapes are known only while the model runs, of which
    there are more in a part than in the whole: a shape that the rest computed is an input here.

    Args:
        draft: The model; it stays as it is.
        operators: Those of the main graph that are run, in order.
        inputs: The numbers of the tensors that they are given.
        outputs: The numbers of the tensors that are asked for.

    Raises:
        ValueError: The runtime does not take the part.
    """

    def __init__(
        self,
        draft: Draft,
        operators: Sequence[OperatorTree],
        inputs: Sequence[int],
        outputs: Sequence[int],
    ):
        part = Draft(draft.tree)
        # They get new numbers of tensors.
        part.main.operators = [copy.copy(operator) for operator in operators]
        part.main.inputs, part.main.outputs = list(inputs), list(outputs)
        for number in inputs:
            tensor = part.main.tensors[number]
            tensor.shapeSignature = [-1] * len(numbers(tensor.shape))
        part.tree.signatureDefs = []
        part.tree.metadata = []
        part.keep_one_signature()
        part.drop_unused_tensors()
        part.drop_unused_buffers()
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._model = open_observable(part.content(), Kernels.BUILTIN)

    def __call__(self, values: Mapping[int, Array]) -> dict[int, Array]:
        """Returns the outputs by number.

        Args:
            values: Tensors by number, in the model's own types, the inputs among them.

        Raises:
            RuntimeError: The runtime does not take their shapes, or fails.
        """
        given = {f"input_{place}": values[i] for place, i in enumerate(self._inputs)}
        found = self._model.run(given)
        return {i: found[f"output_{place}"] for place, i in enumerate(self._outputs)}
