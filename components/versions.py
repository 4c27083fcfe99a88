"""The versions of the code that computes, as part of what ML Metadata's cache is keyed by.

Without them an upgraded converter, audit or gate would be answered with an old result.
"""

from importlib.metadata import version


def code_version() -> str:
    """Returns the versions of this package and of what decides its results."""
    names = ("tfx-tflite", "tensorflow", "tensorflow-model-analysis")
    return ", ".join(f"{name} {version(name)}" for name in names)
