"""`python -m tfx_tflite.pipelines`: the command line, for clocks that know an interpreter only."""

from tfx_tflite.pipelines.cli.entry import command_line

if __name__ == "__main__":
    command_line()
