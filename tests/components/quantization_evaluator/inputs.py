"""The inputs of the evaluator, of models and examples that tests have made."""

from pathlib import Path

import numpy as np


def evaluator_inputs(directory: Path, rows: np.ndarray) -> dict[str, list]:
    """Returns a model and the int8 model that is made of it, as TFX artifacts.

    Args:
        directory: With the SavedModel in `model` and the split `eval` in `examples`.
        rows: What the model's input `x` is calibrated with.
    """
    from tfx.types import artifact_utils, standard_artifacts

    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    (directory / "work").mkdir()
    with Converter(directory / "work") as converter:
        content = converter.convert(
            directory / "model", "serving_tensors", Recipe(Scheme.INT8), {"x": rows}
        )
    tflite = directory / "quantized" / "Format-Serving" / "tflite"
    tflite.parent.mkdir(parents=True)
    tflite.write_bytes(content)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(directory / "examples")
    artifact.split_names = artifact_utils.encode_split_names(["eval"])
    model, baseline = standard_artifacts.Model(), standard_artifacts.Model()
    model.uri, baseline.uri = str(directory / "quantized"), str(directory / "model")
    return {"examples": [artifact], "model": [model], "baseline_model": [baseline]}
