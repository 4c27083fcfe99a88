"""What of TensorFlow a conversion needs, imported without the rest.

`import tensorflow` imports all that is public, and Keras: three times what a conversion takes. The
names here are those that the public ones stand for; in a process that has imported TensorFlow they
are the same objects.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfx_tflite.components.deferred_imports import (
    OF_KERAS,
    TENSORFLOW,
    deferred_imports,
    uncollected_imports,
)


@contextmanager
def imported_in_parts() -> Iterator[None]:
    """Imports of TensorFlow what is asked for, while the block runs.

    The package itself is imported when something of it is first used. What it sets up when it is
    imported is set up here.
    """
    # TensorFlow's modules look at it when they are imported.
    os.environ["TF2_BEHAVIOR"] = "1"
    with deferred_imports((*OF_KERAS, *TENSORFLOW)), uncollected_imports():
        try:
            yield
        except ImportError:
            # The package says best what is wrong with it.
            _import_the_rest()
            raise
        # Tests put something else than TensorFlow behind the converter's process.
        if "tensorflow.python" in sys.modules:
            from tensorflow.python.compat import v2_compat

            v2_compat.enable_v2_behavior()


def load_saved_model(path: str) -> Any:
    """Returns a SavedModel as `tf.saved_model.load` does.

    Some need what only all of TensorFlow brings: Keras 2 saves optimizers, for which it registers
    classes, and plugins register operators. So one that cannot be loaded is loaded once more with
    that.

    Args:
        path: The SavedModel's directory.
    """
    from tensorflow.python.saved_model.load import load

    try:
        return load(path)
    except Exception:
        if not _import_the_rest():
            raise
    return load(path)


def _import_the_rest() -> bool:
    """Imports the rest of TensorFlow, and returns whether it was not there yet."""
    import tensorflow as tf

    was_whole = "lite" in vars(tf) and "keras" in vars(tf)
    if not was_whole:
        # Using anything of it makes a deferred package import itself.
        _ = tf.keras
    return not was_whole
