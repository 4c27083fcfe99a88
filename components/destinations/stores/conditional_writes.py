"""Writes that another process cannot come between, and whose lost answers are found out.

An object is put only if there is none, or only in place of the version that was read; the store
sees to that, and no clock. So a write may be sent again: if an earlier one arrived after all, the
store refuses the second, and what is there is what was to be written.
"""

import random
import time
from collections.abc import Callable

from tfx_tflite.components.destinations.stores.store import UnknownOutcomeError
from tfx_tflite.components.object_stores.requests import (
    ConflictError,
    ObjectRequests,
    ObjectVersion,
    RequestError,
)
from tfx_tflite.components.presence import ABSENT, Presence

# Seconds before a write is sent again for the first time; then twice as many, and so on.
_FIRST_PAUSE = 0.1


class ConditionalWrites:
    """Conditional writes to an object store.

    Args:
        requests: To the store.
    """

    def __init__(self, requests: ObjectRequests):
        self._requests = requests

    def write(
        self, name: str, content: bytes, instead_of: Presence[ObjectVersion]
    ) -> ObjectVersion:
        """Puts an object.

        Args:
            name: Its name.
            content: What it holds then; nothing else writes the same, so that it is known again.
            instead_of: The version that it replaces; ABSENT if there must be none.

        Returns:
            The version that was written.

        Raises:
            ConflictError: Another process has written it.
            UnknownOutcomeError: The store does not answer whether it was written.
            OSError: It was not written.
        """
        deadline, pause = time.monotonic() + self._requests.timeout, _FIRST_PAUSE
        while True:
            try:
                return self._confirmed(name, content, instead_of)
            except ConflictError as error:
                # An earlier try may be what it conflicts with.
                try:
                    return self._own(name, content, error)
                except RequestError as reason:
                    raise _unknown(reason) from error
            except RequestError as error:
                if not error.may_have_been_done:
                    raise
                is_last = time.monotonic() + pause > deadline
                try:
                    return self._own(name, content, error)
                except RequestError as reason:
                    if is_last:
                        raise _outcome(error, reason) from error
            time.sleep(random.uniform(pause / 2, pause))
            pause *= 2

    def _confirmed(
        self, name: str, content: bytes, instead_of: Presence[ObjectVersion]
    ) -> ObjectVersion:
        """Writes, and looks whether it was written: who follows a redirection is told so, too."""
        if instead_of is ABSENT:
            written = self._requests.create(name, content)
        else:
            written = self._requests.update(name, content, instead_of)
        try:
            found, version = self._requests.get(name)
        except FileNotFoundError:
            raise self._not_written(name) from None
        except OSError:
            return written
        if found != content and version == instead_of:
            raise self._not_written(name)
        # If it is another by now, somebody wrote it afterwards.
        return version if found == content else written

    def _own(self, name: str, content: bytes, error: OSError) -> ObjectVersion:
        """Returns the version of an object that holds what was to be written, or raises `error`."""
        try:
            found, version = self._requests.get(name)
        except FileNotFoundError:
            raise error from None
        if found != content:
            raise error
        return version

    def _not_written(self, name: str) -> RequestError:
        reason = "the store said that it was written, but it was not"
        return RequestError(reason, self._requests.place(name))


def _outcome(error: RequestError, reason: RequestError) -> OSError:
    """Returns the error of a write that failed.

    Args:
        error: Why it failed.
        reason: The same, or why it could not be looked whether it was done after all.
    """
    # What was lost on its way may arrive later.
    if reason is error and not error.was_lost:
        return error
    return _unknown(error)


def _unknown(error: RequestError) -> UnknownOutcomeError:
    return UnknownOutcomeError(error.errno, error.strerror, error.filename)


def once(write: Callable[[], ObjectVersion]) -> ObjectVersion:
    """Returns what a write returns; that its outcome is unknown is an error as others are.

    For writes after which nothing has happened that anybody is told of.
    """
    try:
        return write()
    except UnknownOutcomeError as error:
        raise OSError(error.errno, error.strerror, error.filename) from error
