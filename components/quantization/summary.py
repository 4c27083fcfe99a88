"""What was done to a model, as JSON beside it."""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from tfx_tflite.components.destinations.manifest import CalibrationSample
from tfx_tflite.components.models.flatbuffer import Graph, Operator, read_graph
from tfx_tflite.components.quantization import fidelity
from tfx_tflite.components.quantization.audit.integer_promises import float_tensors, may_stay_float
from tfx_tflite.components.quantization.conversion.backends import ConvertedModels
from tfx_tflite.components.quantization.document import (
    Bytes,
    Calibration,
    FloatOperator,
    Layer,
    QuantizationReport,
    SizeParts,
)
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.fidelity import Agreement
from tfx_tflite.components.quantization.float_parts import float_operators
from tfx_tflite.components.quantization.layer_noise import LayerNoise
from tfx_tflite.components.quantization.multiply_adds import multiply_adds
from tfx_tflite.components.quantization.ranges.policy import PERCENTILE, RangePolicy
from tfx_tflite.components.quantization.ranges.tensor_range import TensorRange
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization.tuning import TuningReport


def summarize(
    models: ConvertedModels,
    settings: QuantizerSettings,
    float_model_digest: str,
    sample: CalibrationSample | None,
    noise: Mapping[str, LayerNoise] | None = None,
    agreements: Sequence[Agreement] = (),
    recipe: Recipe | None = None,
    tuning: TuningReport | None = None,
    draws: DrawsReport | None = None,
) -> QuantizationReport:
    """Returns settings, digests, sizes, ranges and layers of a conversion.

    Args:
        models: What the converter gave.
        settings: What it was asked for.
        float_model_digest: The digest of the SavedModel's files.
        sample: The calibration sample, if one was used.
        noise: How far layers are from the float model's, by the name of what they write.
        agreements: How far the outputs' answers agree with the float model's.
        recipe: What was made of the model; None if that is what the settings say.
        tuning: How the recipe was found, if a search found it.
        draws: What several draws of the calibration examples came to.
    """
    graph = read_graph(models.quantized)
    recipe = recipe or settings.recipe
    ranges, policy = models.ranges, recipe.policy(settings.policy)
    resolved = ranges.resolve(policy) if ranges and policy else ()
    by_name = {tensor_range.tensor.name: tensor_range for tensor_range in resolved}
    floats = _float_operators(graph, recipe)
    return QuantizationReport(
        scheme=recipe.scheme.value,
        recipe=recipe,
        tuning=tuning,
        draws=draws,
        io_type=recipe.resolved_io_type,
        batch_size=settings.batch_size,
        float_fallback=recipe.float_fallback,
        signature=settings.signature,
        calibration_sample=sample,
        calibration=_calibration(settings, policy) if sample else None,
        warnings=(
            *(ranges.warnings(policy) if ranges else ()),
            *_float_warning(floats),
            *fidelity.warnings(models.quantized, noise or {}, agreements),
        ),
        size_bytes=Bytes(float_model=len(models.float32), quantized=len(models.quantized)),
        size_parts=SizeParts(**graph.size_parts()),
        digests={
            "float_model": float_model_digest,
            "quantized_model": graph.digest,
            "calibration_sample": sample.digest if sample else None,
        },
        input_ranges=graph.input_ranges(),
        inputs=tuple(tensor.type for tensor in graph.main.inputs),
        outputs=tuple(tensor.type for tensor in graph.main.outputs),
        operators=graph.operator_counts(),
        float_operators=tuple(floats),
        layers=tuple(
            _layer(operator, by_name, noise or {})
            for operator in graph.operators
            # A table of another signature is filled by one that gives nothing.
            if operator.outputs
        ),
        agreement={each.output: each.share for each in agreements},
        versions={"tensorflow": tf.__version__, "python": platform.python_version()},
    )


def _float_operators(graph: Graph, recipe: Recipe) -> list[FloatOperator]:
    """Returns the operators that were left in float, with their share of the multiply-adds."""
    named = frozenset(float_operators(graph, recipe))
    total = sum(multiply_adds(operator) for operator in graph.operators)
    return [
        FloatOperator(
            index=operator.index,
            operator=operator.name,
            name=operator.outputs[0].short_name,
            multiply_adds=multiply_adds(operator),
            share=multiply_adds(operator) / max(total, 1),
            reason="left in float by the recipe"
            if operator in named
            else f"no integer form of {operator.name}",
        )
        for operator in graph.operators
        if (operator in named and float_tensors(operator))
        or (recipe.allows_float and may_stay_float(operator))
    ]


def _float_warning(floats: Sequence[FloatOperator]) -> Iterator[str]:
    if floats:
        counts = Counter(found.operator for found in floats)
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        share = sum(found.share for found in floats)
        yield (
            f"{len(floats)} of the model's operators compute in float, with {share:.1%} of its "
            f"multiply-adds: {kinds}"
        )


def _calibration(settings: QuantizerSettings, policy: RangePolicy | None) -> Calibration:
    percentile = policy.percentile if policy and policy.kind == PERCENTILE else None
    return Calibration(ranges=policy.kind if policy else settings.ranges, percentile=percentile)


def _layer(
    operator: Operator,
    ranges: Mapping[str, TensorRange],
    noise: Mapping[str, LayerNoise],
) -> Layer:
    output = operator.outputs[0]
    weights = [tensor for tensor in operator.inputs if tensor.is_constant]
    scale, zero_point = output.quantization
    seen, found = ranges.get(output.name), noise.get(output.name)
    return Layer(
        index=operator.index,
        operator=operator.name,
        name=output.short_name,
        output_shape=output.signature_shape,
        output_type=output.type,
        weights_type=weights[0].type if weights else None,
        weights_bytes=sum(tensor.stored_bytes for tensor in weights),
        scale=scale,
        zero_point=zero_point,
        range=(seen.minimum, seen.maximum) if seen else None,
        sqnr_db=found.sqnr_db if found else None,
        saturated=found.saturated if found else None,
    )
