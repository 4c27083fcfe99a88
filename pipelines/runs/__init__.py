"""Runs: one run of a pipeline, its data and its result."""
