"""`python -m tfx_tflite`: the command line.

`tfx_tflite` is a namespace package: `components` and `pipelines` are installed below it, and it has
no `__init__.py` of its own. `setup.py` installs this folder, which holds nothing else, as it.
"""

from tfx_tflite.pipelines.cli.entry import command_line

if __name__ == "__main__":
    command_line()
