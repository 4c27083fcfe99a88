"""What requests cost where there are many objects."""

from collections.abc import Iterator, Sequence

import obstore
import pytest
from obstore.store import MemoryStore

from tfx_tflite.components.object_stores.requests import ObjectRequests

LIST = obstore.list


class InMemory(ObjectRequests):
    """Objects of others, whose e-tags in memory are no digests: as in Google's stores."""

    _store = MemoryStore()  # type: ignore[assignment]


def looked_at(monkeypatch: pytest.MonkeyPatch, objects: int) -> float:
    """Returns how many entries of listings are looked at to read one in ten of so many objects."""
    seen: list[str] = []

    def counted(*arguments: object, **options: object) -> Iterator[Sequence[dict[str, str]]]:
        for batch in LIST(*arguments, **options):
            seen.extend(entry["path"] for entry in batch)
            yield batch

    monkeypatch.setattr(obstore, "list", counted)
    requests = InMemory("s3://bucket")
    names = [f"of-{objects}/part-{number:05}" for number in range(objects)]
    for name in names:
        obstore.put(requests._store, name, name.encode())
    for name in names[::10]:
        assert requests.get(name)[0] == name.encode()
    return len(seen) / len(names[::10])


def test_one_of_ten_times_as_many_files_costs_as_much(monkeypatch: pytest.MonkeyPatch):
    """It did not while the listing of the whole directory said what each of its files is."""
    few, many = (looked_at(monkeypatch, objects) for objects in (200, 2_000))
    assert 0 < many <= 1.2 * few
