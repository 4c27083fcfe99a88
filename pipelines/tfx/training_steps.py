"""How many steps Keras has trained, told while it trains.

Keras tells callbacks of each step, and takes callbacks only from the code that calls `fit`, which
is the user's. Its list of callbacks is told in any case, so that is where steps are counted.
"""

import operator
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Protocol

from tfx_tflite.components.progress import TRAINED, Step, tell

# Where Keras 3 and Keras 2 have the list of callbacks.
_MODULES = ("keras.src.callbacks.callback_list", "tf_keras.src.callbacks")
# Seconds between two lines about steps that may take less than a millisecond each.
_OFTEN = 0.1


class _CallbackList(Protocol):
    """What both generations of Keras have."""

    def on_train_begin(self, logs: object = None) -> None: ...

    def on_train_batch_end(self, batch: object, logs: object = None) -> None: ...


def _whole(value: object) -> int | None:
    """Returns a number of Python's; None of what is none.

    A loop of one's own may give Keras a number of NumPy's, a tensor, or nothing.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]  # That is what is asked.
    except (TypeError, ValueError):
        return None


@contextmanager
def told_training_steps() -> Iterator[None]:
    """Tells of the steps of each `fit` of a Keras that is imported by now, while the block runs."""
    with ExitStack() as stack:
        for name in _MODULES:
            if name in sys.modules:
                stack.enter_context(_told_by(sys.modules[name]))
        yield


@contextmanager
def _told_by(module: ModuleType) -> Iterator[None]:
    lists: type[_CallbackList] = module.CallbackList
    begin, end = lists.on_train_begin, lists.on_train_batch_end
    steps = _Steps()

    def begins(self: _CallbackList, logs: object = None) -> None:
        # A loop of one's own may give no parameters, and Keras 2 then has no attribute for them.
        steps.begin(getattr(self, "params", None))
        begin(self, logs)

    def ends(self: _CallbackList, batch: object, logs: object = None) -> None:
        end(self, batch, logs)
        steps.end(batch)

    _set_methods(lists, begins, ends)
    try:
        yield
    finally:
        _set_methods(lists, begin, end)


def _set_methods(lists: type, begin: Callable[..., None], end: Callable[..., None]) -> None:
    for name, method in (("on_train_begin", begin), ("on_train_batch_end", end)):
        setattr(lists, name, method)


class _Steps:
    """Steps that were done and not told yet.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._reset(None)

    def begin(self, params: Mapping[str, object] | None) -> None:
        """Tells that a `fit` begins.

        Args:
            params: As Keras gives them to callbacks: how many steps an epoch has, if that is known,
                and how many epochs there are.
        """
        known = params or {}
        steps, epochs = _whole(known.get("steps")), _whole(known.get("epochs"))
        self._reset(steps * epochs if steps and epochs else None)
        tell(Step(TRAINED, of=self._all, is_first=True))

    def _reset(self, steps: int | None) -> None:
        self._all = steps
        self._done = self._more = 0
        self._last = -1
        self._told_at = self._clock()

    def end(self, batch: object) -> None:
        """Counts the steps since the last one, and tells of them if it is time.

        Args:
            batch: The place of the last of them in its epoch. Keras may do several at once.
        """
        step = _whole(batch)
        if step is None:
            # It is the step after the last one, as far as can be told.
            step = self._last + 1
        more = step - self._last if step > self._last else step + 1
        self._last = step
        self._done += more
        self._more += more
        now = self._clock()
        if now - self._told_at >= _OFTEN or self._done == self._all:
            tell(Step(TRAINED, self._more))
            self._more, self._told_at = 0, now
