"""A few examples that no engine, no order and no sharding changes."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.errors import DataError

pytestmark = pytest.mark.slow

ROWS = [{"x": float(number), "label": number} for number in range(300)]


@pytest.fixture(scope="module")
def split(tmp_path_factory, write_records_to):
    """Returns a function that writes examples to so many files, and returns the split."""
    from tfx_tflite.components.examples.splits import SplitFiles

    def write(rows: list[dict], files: int) -> SplitFiles:
        directory = tmp_path_factory.mktemp("split")
        parts = [rows[start::files] for start in range(files)]
        paths = [
            write_records_to(directory / f"{number}.gz", part) for number, part in enumerate(parts)
        ]
        return SplitFiles("eval", tuple(map(str, paths)), None, "test")

    return write


def records_of(batch) -> list[bytes]:
    from tfx_tflite.components.examples.tensors import RAW_RECORD_COLUMN

    column = batch.column(batch.schema.get_field_index(RAW_RECORD_COLUMN))
    return column.flatten().to_pylist()


def chosen(source, count: int, workers=None) -> list[bytes]:
    from tfx_tflite.components.examples.lowest_digests import lowest_digests

    return records_of(lowest_digests(source, count, workers))


def test_they_are_those_with_the_lowest_digests_in_any_order_and_any_files(split):
    everything = [record for batch in split(ROWS, 1).batches() for record in records_of(batch)]
    expected = sorted(everything, key=example_digest)[:20]
    backwards = ROWS[::-1]
    for source in (split(ROWS, 1), split(backwards, 1), split(backwards, 7)):
        assert chosen(source, 20) == expected


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_parts_merge_in_any_order(parts: int):
    from tfx_tflite.components.examples.lowest_digests import LowestDigests

    records = [b"%d" % number for number in range(200)]
    places = np.random.default_rng(parts).permutation(200)
    combine = LowestDigests(9)
    accumulators = []
    for part in np.array_split(places, parts):
        accumulator = combine.create_accumulator()
        for place in part.tolist():
            accumulator = combine.add_input(accumulator, (place, [records[place]]))
        accumulators.append(accumulator)
    found = combine.extract_output(combine.merge_accumulators(accumulators))
    lowest = sorted(range(200), key=lambda place: example_digest(records[place]))[:9]
    assert found == [(place, records[place]) for place in lowest]


def test_of_copies_each_is_chosen_once_and_named_by_its_first_place(split):
    from tfx_tflite.components.examples.lowest_digests import lowest_digests
    from tfx_tflite.components.examples.tensors import place_of

    source = split([ROWS[0], ROWS[1], ROWS[1], ROWS[0], ROWS[1]], 1)
    batch = lowest_digests(source, 4, None)
    assert batch.num_rows == 2
    assert {place_of(batch, row) for row in range(2)} == {"record 0 of 0.gz", "record 1 of 0.gz"}


def test_workers_choose_the_same_of_a_large_split(split, tmp_path: Path, monkeypatch):
    import apache_beam as beam

    from tfx_tflite.components.examples import lowest_digests as module
    from tfx_tflite.components.examples.lowest_digests import Workers

    monkeypatch.setattr(module, "_READ_HERE", 0)
    source = split(ROWS, 5)
    workers = Workers(lambda: beam.Pipeline(runner="FnApiRunner"), str(tmp_path / "there"))
    assert chosen(source, 20, workers) == chosen(source, 20)
    # No example stays where only figures are to be.
    assert list((tmp_path / "there").iterdir()) == []


def test_a_split_without_examples_is_an_error(split):
    with pytest.raises(DataError, match="split 'eval' holds no examples"):
        chosen(split([], 2), 3)


def test_a_damaged_file_is_named(split):
    source = split(ROWS, 2)
    damaged = Path(source.files[1])
    damaged.write_bytes(damaged.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"split 'eval' cannot be read: .*1.gz .*breaks off after"):
        chosen(source, 3)


def test_an_example_that_cannot_be_decoded_is_named(split):
    source = split([*ROWS[:3], {"x": "text", "label": 1}], 2)
    with pytest.raises(DataError, match=r"record 1 of .*1.gz has BYTES in feature 'x', expected F"):
        chosen(source, 4)


def test_the_program_in_the_docs_finds_an_example_by_its_digest(
    split, tmp_path: Path, monkeypatch, capsys
):
    page = (ROOT / "docs" / "report.md").read_text()
    [program] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    source = split(ROWS[:9], 2)
    [record] = chosen(source, 1)
    file = tmp_path / "find_example.py"
    file.write_text(program)
    monkeypatch.setattr("sys.argv", [str(file), example_digest(record).hex(), *source.files])
    runpy.run_path(str(file))
    found, _, example = capsys.readouterr().out.partition("\n")
    assert re.fullmatch(r"record \d of .*/[01]\.gz", found) and 'key: "label"' in example
