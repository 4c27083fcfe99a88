"""The converter's process imports what it needs of TensorFlow, set up as all of it is."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.generations]

PROGRAM = str(Path(__file__).with_name("imports_of_the_child.py"))


def test_the_converters_process_imports_neither_beam_nor_keras_nor_all_of_tensorflow():
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "tensorflow.lite, eager execution"
