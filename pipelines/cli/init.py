"""`tfx-tflite init`: a first config, of what a model and data are, or of a shipped example."""

import contextlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tfx_tflite.components.errors import ConfigError, TfxTfliteError
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line
from tfx_tflite.pipelines.cli.text import printable, say
from tfx_tflite.pipelines.first_config.shipped import EXAMPLES, write_example


@examples(
    "tfx-tflite init mine --model export/model --data data/",
    "tfx-tflite init mine --model export/model --data 'data/*.csv' --label species",
    "tfx-tflite init digits --example digits",
)
@click.command(short_help="Write a config that runs, for a model and data.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--model",
    type=click.Path(),
    help="The float model: the folder of a SavedModel, a Keras file or a float .tflite file.",
)
@click.option(
    "--data",
    type=click.Path(),
    help="The examples: a folder, a file or a pattern; TFRecords, CSV, Parquet or .npz.",
)
@click.option(
    "--label", default="", help="The feature that is the label, if it cannot be told from the data."
)
@click.option(
    "--scheme",
    type=click.Choice([scheme.value for scheme in Scheme]),
    help="The scheme to quantize to; int8, unless a terminal is asked.",
)
@click.option(
    "--example",
    type=click.Choice(sorted(EXAMPLES)),
    help="Write a shipped example with its trainer, instead of looking at a model and data.",
)
def init(
    directory: Path,
    model: str | None,
    data: str | None,
    label: str,
    scheme: str | None,
    example: str | None,
) -> None:
    """Write a config into DIRECTORY that runs, with comments, from a MODEL and DATA.

    Looks at the model's signatures, the data's features and what the model says to the first
    examples. Asks only on a terminal; otherwise it decides, and says what it decided. Nothing is
    ever overwritten.
    """
    with errors_in_a_line():
        if example is not None:
            if model or data:
                raise ConfigError("give --example, or --model and --data, not both")
            path = write_example(example, directory)
        else:
            path = _of_model_and_data(directory, model, data, label, scheme)
        say(f"wrote {path}")
        say(f"run it: tfx-tflite run {path}")


def _of_model_and_data(
    directory: Path, model: str | None, data: str | None, label: str, scheme: str | None
) -> Path:
    if model is None or data is None:
        missing = "--model" if model is None else "--data"
        raise ConfigError(f"{missing} is needed, or --example NAME for a shipped example")
    from tfx_tflite.pipelines.first_config.places import find_data

    target = directory / "config.yaml"
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already, and nothing is overwritten")
    place = find_data(data)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_libraries(), warnings.catch_warnings():
        # Google's packages announce with every import that Python 3.10 ends; nobody asked.
        warnings.simplefilter("ignore", FutureWarning)
        # Loads TensorFlow, which tries the model.
        from tfx_tflite.pipelines.first_config.writing import Wishes, write_config

        wishes = Wishes(model, label, None if scheme is None else Scheme(scheme))
        return write_config(directory, place, wishes, _ask, say)


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """Keeps what libraries write to stderr from being seen, unless they end the block.

    TensorFlow 2.21 logs from C++ as it is loaded, whatever TF_CPP_MIN_LOG_LEVEL says.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as written, os.fdopen(os.dup(2), "wb") as terminal:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except (TfxTfliteError, click.Abort, KeyboardInterrupt):
            raise
        except BaseException:
            sys.stderr.flush()
            written.seek(0)
            shutil.copyfileobj(written, terminal)
            raise
        finally:
            sys.stderr.flush()
            terminal.flush()
            os.dup2(terminal.fileno(), 2)


def _ask(question: str, choices: Sequence[str], default: str) -> str:
    """Returns what the terminal answers; without one, what is likely."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return default
    answer: str = click.prompt(
        printable(question),
        type=click.Choice(list(choices)),
        default=default or None,
    )
    return answer
