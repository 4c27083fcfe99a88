"""A store that counts what it is asked for."""

from collections import Counter
from pathlib import Path

from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.presence import Presence


class CountingStore(LocalStore):
    """A local store; in an object store each call would be a request at least."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.calls: Counter[str] = Counter()

    def entries(self, directory: str = "") -> list[str]:
        self.calls["list"] += 1
        return super().entries(directory)

    def read(self, name: str) -> Presence[bytes]:
        self.calls["read"] += 1
        return super().read(name)

    def replace(self, name: str, content: bytes) -> None:
        self.calls["write"] += 1
        super().replace(name, content)

    def delete(self, name: str) -> None:
        self.calls["delete"] += 1
        super().delete(name)
