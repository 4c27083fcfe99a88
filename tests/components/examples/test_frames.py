"""The frames of TFRecord files: every one is checked, and what is wrong is named with its place."""

import gzip
import io
import struct
import tracemalloc

import google_crc32c
import numpy as np
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples import frames
from tfx_tflite.components.examples.first_records import masked_checksum
from tfx_tflite.components.examples.frames import SeveralMembersError, frames_of

RECORDS = (b"first", b"", b"the third", b"x" * 300, b"last")


def frame(record: bytes) -> bytes:
    """A record as TensorFlow writes it."""
    length = struct.pack("<Q", len(record))
    masked = [struct.pack("<I", masked_checksum(part)) for part in (length, record)]
    return length + masked[0] + record + masked[1]


WHOLE = b"".join(map(frame, RECORDS))
# Where each record begins, and where the last one ends.
PLACES = np.cumsum([0, *(len(frame(record)) for record in RECORDS)]).tolist()


def read(content: bytes, name: str = "a.tfrecord", **settings) -> list[bytes]:
    """Returns the records of a file."""
    found = frames_of(io.BytesIO(content), name, **settings)
    return [part.record(number) for part in found for number in range(len(part))]


@pytest.fixture(params=[1, 7, 16, 1 << 20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes are read at once."""
    monkeypatch.setattr(frames, "CHUNK", request.param)
    return request.param


def test_records_are_read_in_order_whatever_is_read_at_once(chunk: int):
    assert read(WHOLE) == list(RECORDS)
    assert read(gzip.compress(WHOLE), "a.gz") == list(RECORDS)


def test_what_is_taken_is_the_file_as_it_is_stored(chunk: int):
    zipped, taken = gzip.compress(WHOLE), []
    read(zipped, "a.gz", taken=taken.append)
    assert b"".join(taken) == zipped


def test_all_records_together_are_the_content_of_the_file(chunk: int):
    assert b"".join(part.whole for part in frames_of(io.BytesIO(WHOLE), "a")) == WHOLE


def test_checksums_are_those_of_the_records():
    [found] = frames_of(io.BytesIO(WHOLE), "a")
    assert found.checksums.tolist() == [masked_checksum(record) for record in RECORDS]
    # What is computed in C is what TensorFlow's files have.
    assert google_crc32c.value(b"123456789") == 0xE3069283


def problem_of(content: bytes) -> str:
    """Returns what is said of a file."""
    with pytest.raises(DataError) as caught:
        read(content)
    return str(caught.value)


def test_a_file_that_is_cut_anywhere_breaks_off_after_the_records_before():
    for size in {*range(1, len(WHOLE))} - {*PLACES}:
        before = sum(place <= size for place in PLACES) - 1
        place = f"it breaks off after {before} examples, at byte {PLACES[before]:,}; fetch or write"
        expected = place if size >= 12 else "a.tfrecord is not a TFRecord file"
        assert expected in problem_of(WHOLE[:size]), size


def test_a_file_that_is_cut_between_records_is_a_whole_one():
    for number, size in enumerate(PLACES):
        assert read(WHOLE[:size]) == list(RECORDS[:number])


def test_a_byte_that_is_another_anywhere_is_named_with_its_record():
    for place in range(len(WHOLE)):
        content = bytearray(WHOLE)
        content[place] ^= 0x40
        number = sum(start <= place for start in PLACES) - 1
        expected = f"record {number} of a.tfrecord, at byte {PLACES[number]:,}, is damaged: its"
        if place < 12:
            expected = "a.tfrecord is not a TFRecord file: the length of its first"
        assert problem_of(bytes(content)).startswith(expected), place


def test_of_several_damages_the_first_is_named(chunk: int):
    content = bytearray(WHOLE)
    content[PLACES[2] + 14] ^= 1
    content[PLACES[4]] ^= 1
    with pytest.raises(DataError, match=r"record 2 of a.tfrecord, at byte 37, is damaged: its"):
        read(bytes(content))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"label,x\n1,2\n3,4\n", "is a text file, not TFRecords; CSV needs data.format: csv"),
        (b"x\n", "is a text file"),
        (b"PK\x03\x04" + bytes(30), "is a zip archive"),
        (b"PAR1" + bytes(30), "is a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "fetch the file itself with `git lfs"),
        (bytes(100), "is not a TFRecord file"),
        (gzip.compress(WHOLE), "is gzipped, but its name does not end in .gz; rename it"),
    ],
)
def test_another_file_is_named_for_what_it_is(content: bytes, what: str):
    with pytest.raises(DataError) as caught:
        read(content)
    assert what in str(caught.value)


def test_a_length_that_no_example_has_is_damage_and_asks_for_no_memory():
    length = struct.pack("<Q", 1 << 40)
    header = length + struct.pack("<I", masked_checksum(length))
    with pytest.raises(DataError, match=r"record 5 of a.tfrecord, .* 1,099,511,627,776 bytes, wh"):
        read(WHOLE + header + bytes(30))


@pytest.mark.parametrize("name", ["a.tfrecord", "a.gz"])
def test_a_file_without_a_single_byte_has_no_records(name: str):
    assert read(b"", name) == []


def test_a_file_that_is_not_gzipped_though_its_name_says_so_is_named():
    with pytest.raises(DataError, match=r"a.gz is not gzipped, though its name says so"):
        read(WHOLE, "a.gz")


def test_a_gzip_file_may_have_several_parts_empty_ones_and_zeros_at_its_end(chunk: int):
    parts = [gzip.compress(part) for part in (b"", WHOLE[:50], WHOLE[50:], b"")]
    zipped = b"".join(parts) + bytes(20)
    assert read(zipped, "a.gz") == list(RECORDS)
    with pytest.raises(SeveralMembersError):
        read(zipped, "a.gz", is_one_member=True)


def test_a_gzip_file_that_is_cut_breaks_off_even_between_records():
    zipped = gzip.compress(WHOLE)
    for size in range(2, len(zipped)):
        with pytest.raises(DataError, match="it breaks off after") as caught:
            read(zipped[:size], "a.gz")
    # All its records are there, and the end of the gzip file is not.
    assert f"after {len(RECORDS)} examples" in str(caught.value)


def test_a_gzip_file_with_another_byte_is_damaged():
    zipped = bytearray(gzip.compress(WHOLE))
    zipped[len(zipped) // 2] ^= 0x40
    with pytest.raises(DataError, match=r"a.gz"):
        read(bytes(zipped), "a.gz")


def test_a_long_record_is_not_put_together_anew_at_each_chunk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frames, "CHUNK", 10)
    looked_at = []
    original = frames._FrameReader._frames

    def counted(self, content: bytes):
        looked_at.append(len(content))
        return original(self, content)

    monkeypatch.setattr(frames._FrameReader, "_frames", counted)
    for size in (1_000, 10_000):
        looked_at.clear()
        assert read(frame(bytes(size))) == [bytes(size)]
        assert len(looked_at) <= 3 and sum(looked_at) < 1.1 * size


def test_memory_is_bounded_by_a_chunk_and_not_by_the_file():
    zipped = gzip.compress(frame(bytes(1000)) * (20 << 10))
    tracemalloc.start()
    try:
        assert sum(len(part) for part in frames_of(io.BytesIO(zipped), "a.gz")) == 20 << 10
        assert tracemalloc.get_traced_memory()[1] < 6 * frames.CHUNK
    finally:
        tracemalloc.stop()
