"""QuantizationEvaluator: float against quantized model, and the gate."""
