"""The bed: small nets that plain int8 fails, and some that it does not.

Each is a float TensorFlow Lite file in `models/`, made by `record.py` from a net of `nets.py`, with
data that scikit-learn carries. `models/figures.json` has what `record.py` measured of each.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.components.quantization_tuner.bed import data
from tests.components.quantization_tuner.bed.data import Array, Examples, Splits

MODELS = Path(__file__).with_name("models")
FIGURES = MODELS / "figures.json"
# Half a point of a hundred.
ALLOWED = 0.005
# The name of every net's output, and what the label is called in the files of examples.
OUTPUT = "output"
LABEL = "label"


@dataclass(frozen=True)
class Case:
    """A net with its data, what it is judged by, and what is wrong with it.

    Attributes:
        name: Of its function in `nets.py` and of its file.
        splits: Returns its data.
        culprits: The tensors that int8 fails at, by their writer's kind and place among its kind,
            or by an input's name; none for a net that int8 does not fail at.
        outliers: How many of the calibration examples are multiplied, and by what.
        ranges: How a range follows from the calibration examples before any is repaired.
    """

    name: str
    splits: Callable[[], Splits]
    culprits: tuple[str, ...] = ()
    outliers: tuple[int, float] = (0, 1.0)
    ranges: str = "robust"

    @property
    def is_awkward(self) -> bool:
        """Whether plain int8 costs more than is allowed."""
        return bool(self.culprits)

    @property
    def float_tflite(self) -> bytes:
        """The float model."""
        return (MODELS / f"{self.name}.tflite").read_bytes()

    @property
    def is_regression(self) -> bool:
        """Whether labels are reals."""
        return self.splits().train.labels.dtype.kind == "f"

    @property
    def calibration(self) -> Examples:
        """The examples that ranges are measured on, with outliers if it has any."""
        found = self.splits().calibration
        count, factor = self.outliers
        inputs = {name: values.copy() for name, values in found.inputs.items()}
        for values in inputs.values():
            # Not in the beginning alone.
            values[7 :: len(values) // max(count, 1)][:count] *= factor
        return Examples(inputs, found.labels)

    @property
    def rule(self) -> Mapping[str, str | float]:
        """The gate's rule: a figure may fall by half a point.

        Of reals that is half a hundredth of their variance, by which `score` falls by as much.
        """
        if not self.is_regression:
            return {"metric": "SparseCategoricalAccuracy", "max_drop": ALLOWED}
        allowed = ALLOWED * float(self.splits().eval.labels.var(dtype=np.float64))
        return {"metric": "MeanSquaredError", "max_drop": allowed}

    def score(self, outputs: Array, labels: Array) -> float:
        """Returns the share of right answers, or the share of the variance that is explained."""
        if not self.is_regression:
            return float((outputs.argmax(axis=1) == labels).mean())
        error = np.square(outputs.astype(np.float64) - labels).mean()
        return float(1 - error / labels.var(dtype=np.float64))


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("rescaled_mobile_net", data.digits, ("CONV_2D:1", "DEPTHWISE_CONV_2D:1")),
        Case("outlier_weights", data.digits, ("FULLY_CONNECTED:0",)),
        Case("raw_units", data.wine, ("input:x",)),
        Case("normalization_layer", data.cells, ("input:x", "SUB:0")),
        Case("swish", data.digits, ("MUL:1", "ADD:0", "MUL:3", "ADD:1")),
        Case("hard_swish", data.digits, ("MUL:0", "ADD:0", "MUL:1", "ADD:1")),
        Case("autoencoder", data.reconstruction, ("FULLY_CONNECTED:0", "FULLY_CONNECTED:2")),
        Case("rescaled_residual", data.digits, ("CONV_2D:1", "CONV_2D:3")),
        Case("imbalanced_depthwise", data.digits, ("CONV_2D:0", "CONV_2D:1")),
        Case("mixed_inputs", data.separate_patients, ("CONCATENATION:0",)),
        Case(
            "calibration_outliers",
            data.digits,
            ("input:x", "CONV_2D:0", "CONV_2D:1"),
            outliers=(2, 50.0),
            ranges="minmax",
        ),
        Case("layer_normalization", data.exposures, ("FULLY_CONNECTED:0", "SQUARED_DIFFERENCE:0")),
        Case("dense", data.standard_cells),
        Case("convolution", data.digits),
        Case("batch_normalization", data.digits),
        Case("depthwise", data.digits),
        Case("residual", data.digits),
        Case("regression", data.standard_patients),
    )
}
AWKWARD = tuple(case for case in CASES.values() if case.is_awkward)
WELL_BEHAVED = tuple(case for case in CASES.values() if not case.is_awkward)


@cache
def figures() -> Mapping[str, Mapping[str, float]]:
    """Returns what `record.py` measured of each net, by its name."""
    found: Mapping[str, Mapping[str, float]] = json.loads(FIGURES.read_text())["models"]
    return found
