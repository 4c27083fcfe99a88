"""Models of all kinds, as `make.py` has TensorFlow's converter make them."""

from pathlib import Path

_DIRECTORY = Path(__file__).parent


def inspected(name: str) -> bytes:
    """Returns a model by the name that `make.py` gives it."""
    return (_DIRECTORY / f"{name}.tflite").read_bytes()
