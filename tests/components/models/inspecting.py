"""Inspects a model on two targets, and fails if that has loaded what is slow to load.

Run it as `python -m tests.components.models.inspecting MODEL.tflite`.
"""

import sys
from pathlib import Path

from tfx_tflite.components.models.inspection import inspect
from tfx_tflite.components.models.target import Target

HEAVY = ("tensorflow", "tfx", "apache_beam", "tensorflow_model_analysis", "kfp", "sklearn")

if __name__ == "__main__":
    content = Path(sys.argv[1]).read_bytes()
    found = inspect(content, sys.argv[1], (Target(), Target(runtime="tflite-micro")))
    assert all(facts.arena for facts in found.targets)
    assert not [name for name in HEAVY if name in sys.modules]
