"""The recipe that a config names a file of."""

from pathlib import Path

from tfx_tflite.components.errors import ConfigError, NotKnownError
from tfx_tflite.components.quantization.recipe import Recipe


def given_recipe(path: str | None) -> Recipe | None:
    """Returns the recipe in a file; None if there is no file to be read.

    Args:
        path: The file.

    Raises:
        ConfigError: It is not there, or is no recipe.
        NotKnownError: It cannot be read.
    """
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"quantization.recipe: there is no file {path}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotKnownError(f"quantization.recipe: cannot read {path}: {reason}") from error
    return Recipe.parse(content, f"quantization.recipe: {path}")
