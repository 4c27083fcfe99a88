"""CalibrationSampler: a seeded sample of examples to calibrate with."""
