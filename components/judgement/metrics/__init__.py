"""Metrics: what is computed of labels and predictions, overall and by slice."""
