"""A process that converts with a stand-in and is meant to be ended while it does.

Run as `python parent_of_converter.py DIRECTORY BEHAVIOUR [early]`; with `early` the stand-in is
started early and nobody asks it anything.
"""

import signal
import sys
import time
from pathlib import Path

from tfx_tflite.components.quantization.conversion import early_start
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme


def main(directory: Path, behaviour: str, is_early: bool) -> None:
    stand_in = Path(__file__).with_name("stand_in.py")
    early_start.COMMAND = (sys.executable, str(stand_in), behaviour)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_early:
        with early_start.early_converter() as early:
            early.start()
            child = early._started.result()
            print(child._process.pid, flush=True)
            time.sleep(60)
    with Converter(directory) as converter:
        converter.quantize(b"", Recipe(Scheme.INT8))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], "early" in sys.argv[3:])
