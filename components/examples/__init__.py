"""Examples: splits, spans, the tensors that a model is given, and which examples are sampled."""
