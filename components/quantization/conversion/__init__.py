"""Conversion: from a SavedModel to a quantized TensorFlow Lite model, in a child process."""
