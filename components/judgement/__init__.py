"""Judgement: the quantized model's answers compared with the float model's, and the gate."""
