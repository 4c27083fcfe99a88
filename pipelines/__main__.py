"""`python -m tfx_tflite.pipelines`: the command line, for clocks that know an interpreter only."""

from tfx_tflite.pipelines.cli import main

if __name__ == "__main__":
    main(prog_name="tfx-tflite")
