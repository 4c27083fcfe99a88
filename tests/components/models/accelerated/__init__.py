"""Nets that an accelerator takes, takes in part, or does not take; see `record`."""

from pathlib import Path

# Flatbuffers by name.
FILE = Path(__file__).parent / "nets.npz"
