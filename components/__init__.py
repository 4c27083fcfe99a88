"""TFX components that quantize a model to TensorFlow Lite, prove it is good enough, and push it.

The components load TFX (some 20 seconds of imports), so they are imported on first use:

    from tfx_tflite.components import CalibrationSampler, TFLiteQuantizer
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfx_tflite.components.calibration_sampler.component import CalibrationSampler
    from tfx_tflite.components.pusher.component import TFLitePusher
    from tfx_tflite.components.quantization_evaluator.component import QuantizationEvaluator
    from tfx_tflite.components.rolling_example_gen.component import (
        RollingCsvExampleGen,
        RollingImportExampleGen,
    )
    from tfx_tflite.components.tflite_quantizer.component import TFLiteQuantizer

__all__ = [
    "CalibrationSampler",
    "QuantizationEvaluator",
    "RollingCsvExampleGen",
    "RollingImportExampleGen",
    "TFLitePusher",
    "TFLiteQuantizer",
]

_MODULES = {
    "CalibrationSampler": "calibration_sampler",
    "TFLiteQuantizer": "tflite_quantizer",
    "QuantizationEvaluator": "quantization_evaluator",
    "TFLitePusher": "pusher",
    "RollingCsvExampleGen": "rolling_example_gen",
    "RollingImportExampleGen": "rolling_example_gen",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}.component")
    return getattr(module, name)
