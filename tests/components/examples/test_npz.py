"""NumPy's .npz files as examples: what becomes of each type, and what is refused."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples import npz


def columns(file: Path) -> dict[str, list]:
    """Returns the values of all examples of a file, by feature."""
    found: dict[str, list] = {}
    for batch in npz.batches(str(file)):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            found.setdefault(name, []).extend(column.to_pylist())
    return found


@pytest.fixture
def saved(tmp_path: Path):
    """Saves arrays by name as a file."""

    def save(name: str = "a.npz", **arrays: object) -> Path:
        path = tmp_path / name
        np.savez(path, **arrays)
        return path

    return save


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (np.array([0, 200], np.uint8), [[0], [200]]),
        (np.array([-1, 2**62], np.int64), [[-1], [2**62]]),
        (np.array([1, 2], ">i4"), [[1], [2]]),
        (np.array([True, False]), [[1], [0]]),
        (np.array([0.5, 0.0], np.float16), [[0.5], [0.0]]),
        (np.array([0.1], np.float64), [[np.float32(0.1).item()]]),
        (np.array([np.inf, -np.inf]), [[np.inf], [-np.inf]]),
        (np.array(["straße", ""]), [["straße".encode()], [b""]]),
        (np.array([b"\xff\x00\x01"]), [[b"\xff\x00\x01"]]),
        # An image stays numbers, in row-major order.
        (np.arange(8, dtype=np.uint8).reshape(2, 2, 2), [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (np.asfortranarray(np.arange(6.0).reshape(3, 2)), [[0, 1], [2, 3], [4, 5]]),
    ],
)
def test_each_type_becomes_what_a_tf_example_has_for_it(saved, array: np.ndarray, values: list):
    assert columns(saved(x=array)) == {"x": values}


def test_compressed_files_are_read_alike(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3))
    assert columns(tmp_path / "a.npz") == {"x": [[0], [1], [2]]}


def test_many_and_large_examples_are_read_in_batches_in_order(saved):
    file = saved(x=np.arange(2500), y=np.zeros((2500, 40_000), np.uint8))
    batches = list(npz.batches(str(file)))
    assert len(batches) > 5
    numbers = [row[0] for batch in batches for row in batch.column(0).to_pylist()]
    assert numbers == list(range(2500))


def test_a_file_may_hold_no_examples(saved):
    assert columns(saved(x=np.zeros((0, 3)))) == {}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array([{}, 1], object)}, "'x' of .*a.npz holds Python objects, which are never"),
        (
            {"x": np.zeros(3), "y": np.zeros((2, 4))},
            r"differ in the length .*: x \[3\], y \[2, 4\]",
        ),
        ({"x": np.float32(1)}, "'x' of .* is a single value, expected one for each example"),
        ({"x": np.zeros(2, np.complex64)}, "'x' of .* has type complex64"),
        ({"x": np.array(["2020-01-01"], "M8[D]")}, "'x' of .* has type datetime64"),
        ({"x": np.zeros(2, np.longdouble)}, "'x' of .* has type float128"),
        ({"x": np.zeros(2, [("a", "i4")])}, "'x' of .* has type .*a"),
        ({"x": np.zeros((3, 0))}, r"hold no values: x \[3, 0\]"),
        ({}, "holds no array"),
        ({"x": np.array([1, 2**63], np.uint64)}, r"'x' of .* holds a number beyond 2\*\*63"),
        ({"x": np.array([1e300])}, r"'x' of .* holds 1e\+300, which is too large for a float"),
    ],
)
def test_arrays_that_make_no_examples_are_refused_by_name(saved, arrays: dict, message: str):
    with pytest.raises(DataError, match=message):
        columns(saved(**arrays))


def test_objects_are_refused_without_running_what_the_file_says(saved, tmp_path: Path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was-run",)

    file = saved(x=np.array([Touch()], object))
    with pytest.raises(DataError, match="never loaded"):
        columns(file)
    assert not (tmp_path / "was-run").exists()


def test_a_single_array_is_refused_with_what_to_do(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"a single array \(.npy\); save it .* np.savez"):
        columns(tmp_path / "a.npy")


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "a.npz").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"a.npz is not an .npz file"):
        columns(tmp_path / "a.npz")


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_or_changed_is_damaged(saved, where: float):
    file = saved(x=np.random.default_rng(0).normal(size=(100, 10)), y=np.arange(100))
    whole = file.read_bytes()
    place = int(len(whole) * where)
    file.write_bytes(whole[:place])
    with pytest.raises(DataError, match="breaks off"):
        columns(file)
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    with pytest.raises(DataError, match=r"a.npz"):
        columns(file)


@pytest.mark.parametrize("shape", ["(4,)", "(2,)", "(1000000000000000, 1000000)", "(-3,)"])
def test_a_header_that_lies_about_the_shape_is_found(saved, shape: str):
    file = saved(x=np.arange(3))
    with zipfile.ZipFile(file) as archive:
        content = archive.read("x.npy")
    header = content[10:].partition(b"\n")[0]
    changed = header.replace(b"(3,)", shape.encode()).strip()
    padded = changed.ljust(len(header)) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        size = len(padded).to_bytes(2, "little")
        archive.writestr("x.npy", content[:8] + size + padded + content[11 + len(header) :])
    with pytest.raises(DataError, match="'x' of"):
        columns(file)


def test_another_file_in_the_archive_is_named(saved):
    file = saved(x=np.arange(3))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"holds 'readme.txt', which is no NumPy array"):
        columns(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"there is no file .*a.npz"):
        columns(tmp_path / "a.npz")


def test_a_header_that_numpy_cannot_even_split_into_words_is_damage(tmp_path: Path):
    header = b"(" * 100
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    file = tmp_path / "damaged.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("image.npy", magic + header)
    with pytest.raises(DataError, match=r"array 'image' of .*damaged\.npz is no NumPy array"):
        npz.headers(str(file))
