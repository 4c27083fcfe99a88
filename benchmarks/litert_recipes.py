"""Quantizes a float model by each static recipe of litert-quantizer, in an environment that has it.

`benchmarks/rescue.py` runs it with that environment's Python; nothing of this project is there.

    python benchmarks/litert_recipes.py FLOAT_TFLITE EXAMPLES_NPZ DIRECTORY
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe
from litert_quantizer.algorithm_manager import AlgorithmName

ALGORITHMS = (
    AlgorithmName.MIN_MAX_UNIFORM_QUANT,
    AlgorithmName.OCTAV,
    AlgorithmName.MSE,
    AlgorithmName.GPTQ,
    AlgorithmName.OSCAR,
)


def main(float_tflite: str, examples: str, directory: str) -> None:
    """Writes a file for each recipe that the quantizer takes for the model, in order."""
    with np.load(examples) as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    [signature] = Interpreter(model_path=float_tflite).get_signature_list()
    rows = [
        {name: values[row : row + 1] for name, values in inputs.items()}
        for row in range(len(next(iter(inputs.values()))))
    ]
    for static in (recipe.static_wi8_ai8, recipe.static_wi8_ai16):
        for algorithm in ALGORITHMS:
            name = f"{static.__name__} {algorithm.value}"
            try:
                found = quantizer.Quantizer(float_tflite, static(algorithm_key=algorithm))
                calibrated = found.calibrate({signature: rows}, num_threads=1)
                made = found.quantize(calibrated, enable_progress_report=False)
            # Whatever a quantizer of an algorithm says that does not go with the model.
            except Exception as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            (Path(directory) / f"{name}.tflite").write_bytes(made.quantized_model)


if __name__ == "__main__":
    main(*sys.argv[1:])
