"""The ways to make a quantized model of a float one; the table of schemes says which is whose."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.models import float_tflite
from tfx_tflite.components.models.flatbuffer import Graph, read_graph
from tfx_tflite.components.models.loops_and_state import check_no_loops, check_stateless
from tfx_tflite.components.quantization.conversion import weights
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.from_ranges import write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.conversion.tensorflow_lite import DENSE_PER_CHANNEL
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.recipe import (
    CORRECT,
    EQUALIZE,
    EXPLICIT,
    FOLD,
    MOVE,
    PER_CHANNEL,
    Recipe,
    Repair,
    WeightRule,
)
from tfx_tflite.components.quantization.repairs.batch_normalization import folded
from tfx_tflite.components.quantization.repairs.bias_correction import corrected
from tfx_tflite.components.quantization.repairs.dense_channels import with_dense_channels
from tfx_tflite.components.quantization.repairs.equalization import equalized
from tfx_tflite.components.quantization.repairs.normalization import (
    moved_to_caller,
    with_explicit_normalization,
)
from tfx_tflite.components.quantization.schemes import Making
from tfx_tflite.components.quantization.structure import layer_keys, structure_digest


@dataclass(frozen=True)
class ConvertedModels:
    """What a conversion gives.

    Attributes:
        float32: The graph as a float32 TFLite flatbuffer.
        quantized: The same graph, quantized.
        ranges: What the activations of the float32 model took, if we measured it.
    """

    float32: bytes
    quantized: bytes
    ranges: TensorRanges | None = None


class Calibration(Protocol):
    """The calibration examples, as far as a backend asks for them."""

    def tensors(self) -> Tensors:
        """Returns all of them by input name, each of shape (samples, *example_shape)."""

    def groups(self) -> Sequence[Tensors]:
        """Returns all of them in groups of one shape, by input name."""

    def ranges(self, float32: bytes) -> TensorRanges:
        """Returns what the activations of a float32 TFLite model take over them."""

    def of_draw(self, draw: int) -> "Calibration":
        """Returns one draw of the examples.

        Raises:
            ConfigError: There is no such draw.
        """

    def ranges_of_draws(self, float32: bytes, draws: Sequence[int]) -> Sequence[TensorRanges]:
        """Returns what `ranges` returns of each of several draws."""


class Workshop:
    """Makes quantized models of one float model; what several of them need is made once.

    Args:
        converter: What converts.
        saved_model: The float SavedModel, or what a float TensorFlow Lite file is in.
        signature: The signature to convert; its inputs are tensors.
        batch_size: A fixed batch size; None keeps the signature's.
        policy: How ranges follow from what was observed, if a recipe does not say; None leaves them
            to the converter's own calibrator.
        calibration: The calibration examples, of several draws the first; None if no recipe needs
            any.
    """

    def __init__(
        self,
        converter: Converter,
        saved_model: Path,
        signature: str,
        batch_size: int | None = None,
        policy: RangePolicy | None = None,
        calibration: Calibration | None = None,
    ):
        self._converter = converter
        self._saved_model = saved_model
        self._signature = signature
        self._batch_size = batch_size
        self._policy = policy
        self._calibration = calibration
        self._ranges: dict[bytes, TensorRanges] = {}
        self._repaired: dict[tuple[Repair, ...], bytes] = {}
        self._draws: dict[int, Workshop] = {0: self}

    @cached_property
    def float32(self) -> bytes:
        """The float model as a TensorFlow Lite flatbuffer.

        Raises:
            ModelError: The model keeps state between calls.
            ConversionError: The converter refused the model.
        """
        tflite = float_tflite.file_in(self._saved_model)
        if tflite is not None:
            float32 = float_tflite.read(tflite)
            _check_batch_size(float32, self._batch_size)
        else:
            float32 = self._converter.float32(self._saved_model, self._signature, self._batch_size)
        check_stateless(float32)
        return float32

    @cached_property
    def rewritten(self) -> bytes:
        """The same with operators that can be quantized; see `rewrites.py`."""
        return rewritten(self.float32)

    @cached_property
    def structure(self) -> str:
        """A digest of the structure that keys of layers and tensors are of."""
        return structure_digest(read_graph(self.rewritten))

    @cached_property
    def samples(self) -> Sequence[Tensors]:
        """The calibration examples in groups of one shape, by input name."""
        return self._calibration.groups() if self._calibration is not None else ()

    def repaired(self, recipe: Recipe) -> bytes:
        """Returns the float model with the repairs of a recipe that are of float models.

        Args:
            recipe: The recipe.

        Returns:
            The very bytes as without a repair that changes nothing.
        """
        content = self.rewritten
        done: tuple[Repair, ...] = ()
        for repair in recipe.repairs:
            if repair in FLOAT_REPAIRS:
                done = (*done, repair)
                if done not in self._repaired:
                    self._repaired[done] = FLOAT_REPAIRS[repair](content, self)
                content = self._repaired[done]
        return content

    def weight_rules(self, recipe: Recipe) -> dict[str, WeightRule]:
        """Returns the dense layers whose weights the converter gives one scale, by their keys."""
        if DENSE_PER_CHANNEL or not recipe.scheme.needs_calibration:
            return {}
        keys = layer_keys(read_graph(self.repaired(recipe)))
        return {
            key: PER_CHANNEL
            for operator, key in keys.items()
            if operator.name == "FULLY_CONNECTED" and operator.operands[1] is not None
        }

    def make(self, recipe: Recipe) -> ConvertedModels:
        """Returns the model as float32 TensorFlow Lite model and as a recipe has it.

        Raises:
            ModelError: The model keeps state between calls, or has a loop that cannot be
                calibrated.
            DataError: The calibration examples do not fit the signature.
            ConversionError: The converter refused the model, or the recipe is of another model.
        """
        return self._of_draw(recipe.draw or 0)._make(recipe)

    def observe_draws(self, recipe: Recipe, draws: Iterable[int]) -> None:
        """Measures ranges with several draws, in one pass for all that have the same float model.

        Repairs that look at the examples, such as equalization, give each draw a model of its own.

        Args:
            recipe: What is to be made with each draw.
            draws: Which draws.
        """
        assert self._calibration is not None
        draws_of: dict[bytes, list[int]] = {}
        for draw in draws:
            workshop = self._of_draw(draw)
            float32 = workshop.repaired(recipe)
            if float32 not in workshop._ranges:
                draws_of.setdefault(float32, []).append(draw)
        for float32, same in draws_of.items():
            found = self._calibration.ranges_of_draws(float32, same)
            for draw, ranges in zip(same, found, strict=True):
                self._of_draw(draw)._ranges[float32] = ranges

    def _of_draw(self, draw: int) -> "Workshop":
        """Returns who makes models of the same float model with one draw of the examples."""
        if draw not in self._draws:
            assert self._calibration is not None
            other = Workshop(
                self._converter,
                self._saved_model,
                self._signature,
                self._batch_size,
                self._policy,
                self._calibration.of_draw(draw),
            )
            other.float32, other.rewritten = self.float32, self.rewritten
            self._draws[draw] = other
        return self._draws[draw]

    def _make(self, recipe: Recipe) -> ConvertedModels:
        """Returns what `make` does, with the examples that are here."""
        policy = recipe.policy(self._policy)
        match recipe.scheme.traits.making:
            case Making.AS_IT_IS:
                return ConvertedModels(self.float32, self.float32)
            case Making.FROM_RANGES if policy is not None:
                return self._from_ranges(recipe, policy)
            case _ if float_tflite.file_in(self._saved_model) is not None:
                return self._from_weights(recipe)
            case _:
                return self._by_the_converter(recipe)

    def _by_the_converter(self, recipe: Recipe) -> ConvertedModels:
        """Leaves everything to the TensorFlow Lite converter, calibration as well."""
        samples = None
        if recipe.scheme.needs_calibration and self._calibration is not None:
            # The stock calibrator crashes on loops.
            check_no_loops(self.float32)
            samples = self._calibration.tensors()
        float32 = self.float32
        quantized = self._converter.convert(self._saved_model, self._signature, recipe, samples)
        return ConvertedModels(float32, quantized)

    def _from_weights(self, recipe: Recipe) -> ConvertedModels:
        """Stores the weights of a flatbuffer otherwise, as the converter would have done."""
        if recipe.scheme.needs_calibration:
            raise ConversionError(
                "calibration.ranges: stock is the converter's own calibrator, which takes a "
                "SavedModel and no TensorFlow Lite file; leave it out"
            )
        return ConvertedModels(self.float32, weights.quantized(self.float32, recipe.scheme))

    def _from_ranges(self, recipe: Recipe, policy: RangePolicy) -> ConvertedModels:
        """Measures the ranges of activations on the float model, and quantizes with them."""
        if recipe.structure not in (None, self.structure):
            raise ConversionError(
                f"the recipe is of a model of structure {recipe.structure}, and this one has "
                f"{self.structure}, so that its layers may be others; search anew with "
                "quantization.scheme: auto or, if the recipe's keys are right, leave its structure "
                "out"
            )
        float32 = self.repaired(recipe)
        _check_weights(read_graph(float32), recipe)
        found = self.ranges_of(float32)
        of_tensors = {key: rule.policy for key, rule in recipe.tensor_ranges.items()}
        calibrated = write_ranges(float32, found, policy, recipe.scheme, of_tensors)
        quantized = self._converter.quantize(calibrated, recipe)
        if recipe.weights:
            layers = [key for key, rule in recipe.weights.items() if rule == PER_CHANNEL]
            quantized = with_dense_channels(quantized, float32, layers)
        if CORRECT in recipe.repairs:
            quantized = corrected(quantized, float32, self.samples)
        return ConvertedModels(float32, quantized, found)

    def ranges_of(self, float32: bytes) -> TensorRanges:
        """Returns what the activations of a float TensorFlow Lite model take over the examples."""
        assert self._calibration is not None
        if float32 not in self._ranges:
            self._ranges[float32] = self._calibration.ranges(float32)
        return self._ranges[float32]


def _check_weights(graph: Graph, recipe: Recipe) -> None:
    """Checks that the layers are there whose weights a recipe says how to store.

    Raises:
        ConversionError: One is not, or is no dense layer.
    """
    dense = [key for each, key in layer_keys(graph).items() if each.name == "FULLY_CONNECTED"]
    if missing := sorted(recipe.weights.keys() - set(dense)):
        raise ConversionError(
            f"the recipe says how to store the weights of {listed(missing)}, but the model's dense "
            f"layers are: {listed(dense) if dense else 'none'}"
        )


def _check_batch_size(float32: bytes, batch_size: int | None) -> None:
    sizes = {spec.shape[:1] for spec in float_tflite.specs_of(float32)}
    if batch_size is not None and sizes != {(batch_size,)}:
        raise ConversionError(
            f"quantization.batch_size is {batch_size}, but the shapes of a TensorFlow Lite "
            "file cannot be changed; leave it out, or convert the model again with that batch size"
        )


# What is done to the float model; it is given that model and who makes it.
FLOAT_REPAIRS: Mapping[Repair, Callable[[bytes, Workshop], bytes]] = {
    FOLD: lambda float32, _: folded(float32),
    EXPLICIT: lambda float32, workshop: with_explicit_normalization(float32, workshop.samples),
    EQUALIZE: lambda float32, workshop: equalized(float32, workshop.samples),
    MOVE: lambda float32, workshop: moved_to_caller(float32, workshop.samples).content,
}
