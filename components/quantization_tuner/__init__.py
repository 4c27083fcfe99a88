"""QuantizationTuner: the search for a recipe that the gate's rules hold for."""
