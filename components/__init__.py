"""TFX components that quantize a model to TensorFlow Lite, prove it is good enough, and push it.

The components load TFX (some 20 seconds of imports), so they are imported on first use:

    from tfx_tflite.components import CalibrationSampler, Gate, TFLiteQuantizer
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfx_tflite.components.calibration_sampler.component import CalibrationSampler
    from tfx_tflite.components.judgement.gate import Gate, GateRule, MetricRule
    from tfx_tflite.components.pusher.component import TFLitePusher
    from tfx_tflite.components.quantization_evaluator.component import QuantizationEvaluator
    from tfx_tflite.components.quantization_tuner.component import QuantizationTuner
    from tfx_tflite.components.record_example_gen.component import RecordExampleGen
    from tfx_tflite.components.rolling_example_gen.component import (
        RollingCsvExampleGen,
        RollingImportExampleGen,
        RollingNpzExampleGen,
        RollingParquetExampleGen,
        RollingRecordExampleGen,
    )
    from tfx_tflite.components.sampled_statistics_gen.component import SampledStatisticsGen
    from tfx_tflite.components.table_example_gen.component import (
        NpzExampleGen,
        ParquetExampleGen,
    )
    from tfx_tflite.components.tflite_quantizer.component import TFLiteQuantizer

__all__ = [
    "CalibrationSampler",
    "Gate",
    "GateRule",
    "MetricRule",
    "NpzExampleGen",
    "ParquetExampleGen",
    "QuantizationEvaluator",
    "QuantizationTuner",
    "RecordExampleGen",
    "RollingCsvExampleGen",
    "RollingImportExampleGen",
    "RollingNpzExampleGen",
    "RollingParquetExampleGen",
    "RollingRecordExampleGen",
    "SampledStatisticsGen",
    "TFLitePusher",
    "TFLiteQuantizer",
]

_MODULES = {
    "CalibrationSampler": "calibration_sampler.component",
    "QuantizationTuner": "quantization_tuner.component",
    "TFLiteQuantizer": "tflite_quantizer.component",
    "QuantizationEvaluator": "quantization_evaluator.component",
    "TFLitePusher": "pusher.component",
    "RollingCsvExampleGen": "rolling_example_gen.component",
    "RollingImportExampleGen": "rolling_example_gen.component",
    "RollingNpzExampleGen": "rolling_example_gen.component",
    "RollingParquetExampleGen": "rolling_example_gen.component",
    "RecordExampleGen": "record_example_gen.component",
    "RollingRecordExampleGen": "rolling_example_gen.component",
    "SampledStatisticsGen": "sampled_statistics_gen.component",
    "NpzExampleGen": "table_example_gen.component",
    "ParquetExampleGen": "table_example_gen.component",
    "Gate": "judgement.gate",
    "GateRule": "judgement.gate",
    "MetricRule": "judgement.gate",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
