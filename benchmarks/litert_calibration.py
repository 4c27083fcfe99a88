"""Calibrates a float model with litert-quantizer, in an environment that has it.

`benchmarks/calibration.py` runs it with that environment's Python; nothing of this project is
there. It prints the CPU seconds that a calibration takes in each of the quantizer's modes.

    python benchmarks/litert_calibration.py FLOAT_TFLITE EXAMPLES_NPY INPUT
"""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe
from litert_quantizer.calibrator import CalibrationMode

MODES = {
    "default": CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS,
    "profiler": CalibrationMode.CALIBRATION_PROFILER_BASED,
}


def main(float_tflite: str, examples: str, name: str) -> None:
    """Prints the least CPU seconds of two calibrations in each mode, as JSON."""
    [signature] = Interpreter(model_path=float_tflite).get_signature_list()
    rows = [{name: row[None]} for row in np.load(examples)]
    spent: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(2):
        for mode_name, mode in MODES.items():
            start = time.process_time()
            quantizer.Quantizer(float_tflite, recipe.static_wi8_ai8()).calibrate(
                {signature: rows}, num_threads=1, mode=mode
            )
            spent[mode_name].append(time.process_time() - start)
    print(json.dumps({mode: min(seconds) for mode, seconds in spent.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
