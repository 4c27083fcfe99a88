"""Terminals of any width, made of pseudo-terminals, and what is read from them."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Iterator
from typing import IO
from unittest import mock

# Colours, and how the line that a stage runs in is drawn again and again.
COMMANDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """A pseudo-terminal whose output is kept.

    Args:
        columns: How wide it is; 0 for one that does not know it.
    """

    def __init__(self, columns: int):
        self._ours, self.descriptor = pty.openpty()
        self.resize(columns)
        self._read = bytearray()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def resize(self, columns: int) -> None:
        """Gives it another width, as a person does."""
        size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)

    def _keep(self) -> None:
        # At its end a pseudo-terminal fails instead of being empty.
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65536):
                self._read += data

    def so_far(self) -> str:
        """Returns what was printed until now, with all commands."""
        return self._read.decode(errors="replace")

    def close(self) -> None:
        """Waits until all is read that was printed."""
        os.close(self.descriptor)
        self._thread.join(timeout=60)
        os.close(self._ours)


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[IO[str], Terminal]]:
    """Yields a stream to a terminal, and the terminal, whose output is whole after the block."""
    made = Terminal(columns)
    stream = os.fdopen(os.dup(made.descriptor), "w", encoding="utf-8")
    try:
        with stream, mock.patch.dict(os.environ):
            # Whoever sets it has his width, and libraries of other tests do.
            os.environ.pop("COLUMNS", None)
            yield stream, made
    finally:
        made.close()


def lines_of(text: str) -> list[str]:
    """Returns the lines of a terminal's output without its commands."""
    return COMMANDS.sub("", text).splitlines()
