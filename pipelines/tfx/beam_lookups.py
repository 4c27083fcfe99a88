"""The signatures of functions, which Beam asks for while it builds and runs a pipeline.

For every transform it looks at all methods of the DoFn, some ten times. With few examples that is a
fifth of what a pipeline costs; and the signature of a method follows from its function.
"""

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

_Arguments: TypeAlias = tuple[list[str], list[Any]]


class RememberedSignatures:
    """Beam's function for the arguments of a method and their defaults, with a memory.

    Args:
        look: Beam's own.
    """

    def __init__(self, look: Callable[[Callable[..., object]], _Arguments]):
        self._look = look
        self._known: WeakKeyDictionary[FunctionType, _Arguments] = WeakKeyDictionary()

    def __call__(self, function: Callable[..., object]) -> _Arguments:
        """Returns the names of the arguments, without a bound one, and the defaults."""
        if not isinstance(function, MethodType) or not isinstance(function.__func__, FunctionType):
            return self._look(function)
        found = self._known.get(function.__func__)
        if found is None:
            found = self._known[function.__func__] = self._look(function)
        names, defaults = found
        return list(names), list(defaults)
