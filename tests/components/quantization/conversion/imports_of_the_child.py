"""Prints which of some packages the converter's process imports before its first request.

Run as `python imports_of_the_child.py`.
"""

import sys

from tfx_tflite.components.deferred_imports import TENSORFLOW
from tfx_tflite.components.quantization.conversion.parts_of_tensorflow import imported_in_parts

with imported_in_parts():
    from tfx_tflite.components.quantization.conversion import from_ranges, stock  # noqa: F401

from tensorflow.python.eager import context

found = [name for name in ("apache_beam", "keras", "tensorflow.lite") if name in sys.modules]
if any(vars(sys.modules[name]).get("__version__") for name in TENSORFLOW):
    found.append("all of tensorflow")
if context.executing_eagerly():
    found.append("eager execution")
print(", ".join(found))
