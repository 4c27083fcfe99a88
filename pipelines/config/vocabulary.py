"""The strings that labels may be, from the config or from a file of it."""

from pathlib import Path

from tfx_tflite.components.errors import ConfigError, NotKnownError
from tfx_tflite.components.judgement.settings import OutputConfig


def vocabulary_of(judged: OutputConfig) -> tuple[str, ...]:
    """Returns the vocabulary of an output's label, none if labels are numbers.

    Raises:
        ConfigError: The file cannot be read, or lists an entry twice or none at all.
    """
    if isinstance(judged.vocabulary, str):
        return read_vocabulary(judged.vocabulary)
    return judged.vocabulary or ()


def read_vocabulary(path: str) -> tuple[str, ...]:
    """Returns the entries of a file, one a line in the order of the classes.

    Raises:
        ConfigError: It is not there, is not text, or lists an entry twice or none at all.
        NotKnownError: It cannot be read.
    """
    try:
        # Other signs that break lines may be part of an entry.
        text = Path(path).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"evaluation.vocabulary: there is no file {path}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotKnownError(f"evaluation.vocabulary: cannot read {path}: {reason}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"evaluation.vocabulary: {path} is not text in UTF-8") from error
    entries = tuple(text.rstrip("\n").split("\n"))
    if not all(entries):
        line = entries.index("") + 1
        raise ConfigError(
            f"evaluation.vocabulary: line {line} of {path} is empty; expected an entry a line"
        )
    if len(set(entries)) < len(entries):
        twice = next(entry for entry in entries if entries.count(entry) > 1)
        raise ConfigError(f"evaluation.vocabulary: {path} lists {twice!r} twice")
    return entries
