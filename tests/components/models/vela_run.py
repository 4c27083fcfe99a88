"""Compiles the model in a file with one of the programs of `false_vela`, to be interrupted."""

import sys
from pathlib import Path

from tfx_tflite.components.models.vela import accelerate

if __name__ == "__main__":
    accelerate(Path(sys.argv[1]).read_bytes(), "ethos-u55-128", command=sys.argv[2:])
