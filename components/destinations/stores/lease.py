"""A lock in an object store: an object that its holder keeps renewing.

There are no locks in such stores, but two writes that come only once: an object is put if there is
none, and replaced only if it is still the version that was read. Who waits watches the object; if
it was not renewed for a lifetime, by the waiting process's own clock, its holder is gone and it is
taken over. So no clocks of two machines are compared, and a killed process does not count for long.
"""

import contextlib
import functools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from tfx_tflite.components.destinations.stores.conditional_writes import ConditionalWrites, once
from tfx_tflite.components.object_stores.requests import (
    ConflictError,
    ObjectRequests,
    ObjectVersion,
)
from tfx_tflite.components.presence import ABSENT, Presence

# It is renewed four times in a lifetime, so that one request may fail.
_RENEWALS = 4


class Lease:
    """The right to change what is in an object store.

    Args:
        requests: To the store.
        name: The object's.
        lifetime: Seconds after which a lease that was not renewed is taken over.
    """

    def __init__(self, requests: ObjectRequests, name: str, lifetime: float):
        self._requests, self._name = requests, name
        self._writes = ConditionalWrites(requests)
        self._lifetime = lifetime
        self._holder = uuid.uuid4().hex
        self._renewals = 0
        self._renewed_at = 0.0
        self._version: ObjectVersion | None = None
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, patience: float) -> Iterator[None]:
        """Keeps the lease while the block runs.

        Args:
            patience: Seconds to wait for another process.

        Raises:
            TimeoutError: Another process has kept it for that long.
            OSError: The store fails, or ignores conditions.
        """
        self._acquire(patience)
        ended = threading.Event()
        renewing = threading.Thread(target=self._keep_renewing, args=(ended,), daemon=True)
        renewing.start()
        try:
            self._check_conditions()
            yield
        finally:
            ended.set()
            renewing.join()
            self._release()

    def check(self) -> None:
        """Makes sure that no other process has taken over.

        Raises:
            OSError: One has, because this one stood still for too long; or the store fails.
        """
        with self._guard:
            if time.monotonic() - self._renewed_at > self._lifetime / _RENEWALS:
                self._renew()

    def _acquire(self, patience: float) -> None:
        start = time.monotonic()
        seen: ObjectVersion | None = None
        since = start
        while not self._created():
            version, now = self._look(), time.monotonic()
            if version != seen:
                seen, since = version, now
            elif version is not None and now - since > self._lifetime and self._took_over(version):
                return
            if now - start > patience:
                raise TimeoutError(f"another push has been at work for {patience:.0f} s; try again")
            time.sleep(random.uniform(0.1, 1.0) * min(1.0, self._lifetime / _RENEWALS))

    def _created(self) -> bool:
        return self._wrote(ABSENT)

    def _took_over(self, version: ObjectVersion) -> bool:
        return self._wrote(version)

    def _wrote(self, instead_of: Presence[ObjectVersion]) -> bool:
        try:
            version = once(lambda: self._writes.write(self._name, self._content(), instead_of))
        except ConflictError:
            return False
        self._version, self._renewed_at = version, time.monotonic()
        return True

    def _look(self) -> ObjectVersion | None:
        try:
            return self._requests.get(self._name)[1]
        except FileNotFoundError:
            return None

    def _content(self) -> bytes:
        return json.dumps({"holder": self._holder, "renewals": self._renewals}).encode("ascii")

    def _renew(self) -> None:
        if self._version is None:
            raise _lost()
        self._renewals += 1
        if not self._took_over(self._version):
            self._version = None
            raise _lost()

    def _keep_renewing(self, ended: threading.Event) -> None:
        while not ended.wait(self._lifetime / _RENEWALS):
            # What cannot be renewed now is tried again, or found lost by `check`.
            with self._guard, contextlib.suppress(OSError):
                self._renew()

    def _check_conditions(self) -> None:
        """Raises OSError if the store writes whatever the condition."""
        with self._guard:
            first = self._version
            self._renew()
            assert first is not None
            create = functools.partial(self._requests.create, self._name, self._content())
            update = functools.partial(self._requests.update, self._name, self._content(), first)
            if not (_is_refused(create) and _is_refused(update)):
                raise OSError(
                    95,
                    "the store ignores conditions of writes (If-None-Match, If-Match), so two "
                    "pushes could overwrite each other; take one that heeds them",
                )

    def _release(self) -> None:
        # One that stays is not kept for ever.
        with contextlib.suppress(OSError):
            self.check()
            self._requests.delete(self._name)
        self._version, self._renewed_at = None, 0.0


def _is_refused(write: Callable[[], ObjectVersion]) -> bool:
    try:
        write()
    except ConflictError:
        return True
    return False


def _lost() -> TimeoutError:
    return TimeoutError("this process stood still for too long, another has taken over; try again")
