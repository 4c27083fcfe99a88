"""TFLiteQuantizer: a float model becomes a quantized TensorFlow Lite model."""
