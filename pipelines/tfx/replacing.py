"""Putting something in the place of what a library has, for as long as a block runs."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replaced(owner: object, name: str, replacement: object) -> Iterator[None]:
    """Replaces an attribute while the block runs.

    Args:
        owner: A module or a class.
        name: The attribute.
        replacement: Its value in the block.
    """
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)
