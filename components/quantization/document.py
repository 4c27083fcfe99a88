"""What was done to a model: quantization.json, beside it.

`python -m tfx_tflite.components.quantization.document` prints the JSON Schema in
docs/quantization.schema.json.
"""

from typing import Literal

from pydantic import Field

from tfx_tflite.components.destinations.manifest import CalibrationSample
from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.tuning import TuningReport

FORMAT = 1


class Bytes(Part):
    """Bytes of the float32 and the quantized TensorFlow Lite model; None if not known."""

    float_model: int | None = Field(
        default=None, validation_alias="float", serialization_alias="float"
    )
    quantized: int | None = None

    @property
    def ratio(self) -> float | None:
        """The quantized model's as a multiple of the float model's."""
        if not self.float_model or self.quantized is None:
            return None
        return self.quantized / self.float_model


class SizeParts(Part):
    """How many bytes of the quantized file are weights and constants, metadata, and the rest."""

    constants: int
    metadata: int
    graph: int


class Calibration(Part):
    """How ranges followed from what was observed."""

    ranges: str
    percentile: float | None = None


class FloatOperator(Part):
    """An operator that was left in float."""

    index: int
    operator: str
    name: str
    multiply_adds: int
    # Of the multiply-adds of the whole model.
    share: float
    reason: str


class Layer(Part):
    """An operator: what it writes, and its weights."""

    index: int
    operator: str
    name: str
    # -1 if a dimension is not fixed.
    output_shape: tuple[int, ...]
    output_type: str
    weights_type: str | None = None
    weights_bytes: int = 0
    # Of the output.
    scale: float | None = None
    zero_point: int | None = None
    # What the float model's output took on the calibration examples.
    range: tuple[float, float] | None = None
    # See `LayerNoise`.
    sqnr_db: float | None = None
    saturated: float | None = None


class QuantizationReport(Document):
    """What TFLiteQuantizer did; one without values stands for a model from elsewhere."""

    kind = "a quantization report"

    format: int = FORMAT
    scheme: str | None = None
    io_type: str | None = None
    batch_size: int | Literal["dynamic"] | None = None
    float_fallback: str | None = None
    signature: str | None = None
    calibration_sample: CalibrationSample | None = None
    calibration: Calibration | None = None
    warnings: tuple[str, ...] = ()
    size_bytes: Bytes = Bytes()
    size_parts: SizeParts | None = None
    # Of the float model's files, the quantized model and the calibration sample.
    digests: dict[str, str | None] = {}
    # The lowest and the highest real value that each input has a number for.
    input_ranges: dict[str, tuple[float, float]] = {}
    # Types.
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    # How often there is which.
    operators: dict[str, int] = {}
    float_operators: tuple[FloatOperator, ...] = ()
    # How the model was made, and how that was found if a search found it.
    recipe: Recipe | None = None
    tuning: TuningReport | None = None
    # What several draws of the calibration examples came to.
    draws: DrawsReport | None = None
    # What breaks the scheme's promise; nothing in what is written.
    audit: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    # On which share of the answers each output agrees with the float model's.
    agreement: dict[str, float] = {}
    versions: dict[str, str] = {}

    @property
    def shipped_recipe(self) -> Recipe | None:
        """The recipe if it says more than a scheme, or was searched for; a push takes it along."""
        if self.recipe is None or (self.recipe.is_plain and self.tuning is None):
            return None
        return self.recipe


if __name__ == "__main__":
    print(QuantizationReport.json_schema(), end="")
