"""What a search keeps: every finished evaluation, and the recipe that the last one found.

Both are files below one directory, each written whole. A search is deterministic, so one that was
killed asks for the same candidates again and finds those that were finished.
"""

import hashlib
import posixpath
import uuid
from dataclasses import dataclass
from typing import ClassVar

from absl import logging
from tfx.dsl.io import fileio

from tfx_tflite.components.documents import Document
from tfx_tflite.components.errors import TfxTfliteError, in_one_line
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.tuning import Tried

_TRIED, _LAST = "tried", "last"


class _Kept(Document):
    """A finished evaluation in a file of its own."""

    kind: ClassVar[str] = "a finished evaluation"

    format: int = 1
    tried: Tried


@dataclass(frozen=True)
class Memory:
    """What is kept of one question: this model, these examples, these rules and settings.

    Attributes:
        directory: Where the files are.
        question: A digest of all that an evaluation depends on beside the candidate.
        kind: A digest of what stays when the model is trained again: its structure, the settings
            and the rules.
    """

    directory: str
    question: str
    kind: str

    def tried(self, candidate: str) -> Tried | None:
        """Returns a finished evaluation; None if there is none.

        Args:
            candidate: What names the candidate.
        """
        content = _read(self._tried_path(candidate))
        if content is None:
            return None
        try:
            return _Kept.parse(content, candidate).tried
        except TfxTfliteError as error:
            # Of another version, or damaged: it is done again.
            logging.warning("A kept evaluation is done again: %s", error)
            return None

    def keep(self, candidate: str, tried: Tried) -> None:
        """Keeps a finished evaluation."""
        _write(self._tried_path(candidate), _Kept(tried=tried).to_json())

    def last_recipe(self) -> Recipe | None:
        """Returns the recipe that the last search of this kind found; None if there was none."""
        content = _read(self._last_path())
        if content is None:
            return None
        try:
            return Recipe.parse(content, _LAST)
        except TfxTfliteError as error:
            logging.warning("The last recipe is not taken: %s", error)
            return None

    def remember(self, recipe: Recipe) -> None:
        """Keeps the recipe that was found for the next search of this kind."""
        _write(self._last_path(), recipe.to_json())

    def forget_others(self) -> None:
        """Drops the evaluations of other questions; nobody will ask them again."""
        below = posixpath.join(self.directory, _TRIED)
        try:
            for name in fileio.listdir(below) if fileio.exists(below) else ():
                if name.strip("/") != self.question:
                    fileio.rmtree(posixpath.join(below, name))
        except Exception as error:  # The same.
            logging.warning("%s cannot be tidied up: %s", below, in_one_line(error))

    def _tried_path(self, candidate: str) -> str:
        name = hashlib.sha256(candidate.encode()).hexdigest()
        return posixpath.join(self.directory, _TRIED, self.question, f"{name}.json")

    def _last_path(self) -> str:
        return posixpath.join(self.directory, _LAST, f"{self.kind}.json")


def _read(path: str) -> str | None:
    try:
        if not fileio.exists(path):
            return None
        with fileio.open(path, "r") as file:
            return str(file.read())
    except Exception as error:  # What is kept only saves time; file systems raise anything.
        logging.warning("%s cannot be read: %s", path, in_one_line(error))
        return None


def _write(path: str, content: str) -> None:
    try:
        fileio.makedirs(posixpath.dirname(path))
        unfinished = f"{path}.{uuid.uuid4().hex}"
        with fileio.open(unfinished, "w") as file:
            file.write(content)
        fileio.rename(unfinished, path, overwrite=True)
    except Exception as error:  # The same.
        logging.warning("%s cannot be written: %s", path, in_one_line(error))
