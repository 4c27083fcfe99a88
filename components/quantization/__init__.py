"""Quantization: what a scheme promises, how a model is quantized, and whether it was."""
