"""Runs: one run of a pipeline, its data and its result."""

# The lock of a root: one run at a time below it.
RUN_LOCK = "run.lock"
