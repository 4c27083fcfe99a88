"""Where the data that a user points to are: format, splits and their patterns."""

import codecs
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfx_tflite.components.errors import ConfigError, listed
from tfx_tflite.components.examples.settings import DataFormat
from tfx_tflite.components.examples.spans import local_glob
from tfx_tflite.components.uris import is_local

# How folders and files of a split are called, at the beginning of their names.
_SPLITS = {
    "train": r"train(ing)?",
    "eval": r"eval(uation)?|val(id(ation)?)?|dev",
    "test": r"test(ing)?",
}
# Into what the files of one pattern are divided: as TFX does it.
HASH_BUCKETS = {"train": 2, "eval": 1}
# The name of the one split that is divided.
_ALL = "all"
_HEAD = 1 << 12
_UNREADABLE = {
    b"\x93NUMPY": "a single NumPy array (.npy); save it with its label by np.savez",
    b"\x89HDF": "an HDF5 file; save its arrays by np.savez",
    b"SQLite": "a database; export its table as Parquet or CSV",
}


@dataclass(frozen=True)
class DataPlace:
    """The files of some data.

    Attributes:
        input_base: The directory that the patterns are relative to.
        data_format: The files' format.
        splits: Split to pattern.
        is_divided: Whether the one pattern is divided into `HASH_BUCKETS`.
        files: Split to files, sorted.
    """

    input_base: Path
    data_format: DataFormat
    splits: Mapping[str, str]
    is_divided: bool
    files: Mapping[str, Sequence[str]]

    @property
    def evaluated(self) -> str:
        """The split to evaluate on."""
        names = HASH_BUCKETS if self.is_divided else self.splits
        return next(name for name in ("eval", "test", *names) if name in names)

    @property
    def calibrated(self) -> str:
        """The split to calibrate with."""
        names = HASH_BUCKETS if self.is_divided else self.splits
        return "train" if "train" in names else next(iter(names))

    def files_of(self, split: str) -> Sequence[str]:
        """Returns the files that hold a split's examples."""
        return self.files[_ALL if self.is_divided else split]


def find_data(path: str) -> DataPlace:
    """Returns where the data are that a path names.

    Args:
        path: A folder, a file or a pattern.

    Raises:
        ConfigError: There are none, or of several formats.
        NotKnownError: A folder cannot be read.
    """
    if not is_local(path):
        raise ConfigError(
            f"--data {path}: only data on this machine can be looked at; copy a file of each split "
            "here, and write the URI into data.input_base afterwards"
        )
    place = Path(path).expanduser()
    if place.is_dir():
        return _of_folder(place.resolve())
    base, pattern = _base_and_pattern(place)
    return _place(base, {_ALL: pattern}, path)


def _base_and_pattern(place: Path) -> tuple[Path, str]:
    parts = place.absolute().parts
    first = next((i for i, part in enumerate(parts) if re.search(r"[*?[]", part)), len(parts) - 1)
    return Path(*parts[:first]), "/".join(parts[first:])


def _of_folder(folder: Path) -> DataPlace:
    entries = [path for path in sorted(folder.iterdir()) if path.name[0] not in "._"]
    for is_kind in (Path.is_dir, Path.is_file):
        splits = _named_splits([entry for entry in entries if is_kind(entry)])
        if len(splits) > 1:
            return _place(folder, splits, str(folder))
    files = [entry for entry in entries if entry.is_file()]
    if not files:
        folders = [entry for entry in entries if entry.is_dir()]
        if len(folders) == 1:
            return _of_folder(folders[0])
        raise ConfigError(
            f"--data {folder}: there are no data files, and no folders train and eval; it has: "
            f"{listed(entry.name for entry in entries)}"
        )
    return _place(folder, {_ALL: f"*{_common_ending(files)}"}, str(folder))


def _named_splits(entries: Sequence[Path]) -> dict[str, str]:
    """Returns the patterns of the splits that folders or files are named for."""
    found: dict[str, list[Path]] = {}
    for entry in entries:
        for split, names in _SPLITS.items():
            if re.match(rf"({names})(?![a-z])", entry.name, re.IGNORECASE):
                found.setdefault(split, []).append(entry)
    return {split: _pattern_of(paths) for split, paths in found.items()}


def _pattern_of(paths: Sequence[Path]) -> str:
    first = paths[0]
    if first.is_dir():
        files = [path for path in first.iterdir() if path.name[0] not in "._"]
        return f"{first.name}/*{_common_ending(files)}"
    if len(paths) == 1:
        return first.name
    names = sorted(path.name for path in paths)
    # What the first and the last have in common all have.
    pairs = zip(names[0], names[-1], strict=False)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    return f"{''.join(one for one, _ in same)}*{_common_ending(paths)}"


def _common_ending(paths: Sequence[Path]) -> str:
    """Returns the endings that all names have, such as `.tfrecord.gz`; empty if they have none."""
    endings = {"".join(re.findall(r"\.[A-Za-z]\w*", path.name)[-2:]) for path in paths}
    return (
        endings.pop()
        if len(endings) == 1
        and all(path.name.endswith(ending) for ending in endings for path in paths)
        else ""
    )


def _place(base: Path, splits: Mapping[str, str], named: str) -> DataPlace:
    files = {
        split: [
            f"{base}/{path}" for path in local_glob(str(base), pattern) if (base / path).is_file()
        ]
        for split, pattern in splits.items()
    }
    for split, found in files.items():
        if not found:
            where = f"{base}/{splits[split]}"
            raise ConfigError(f"--data {named}: no file matches {where}")
    formats = {file: format_of(file) for found in files.values() for file in found}
    kinds = {kind: file for file, kind in formats.items()}
    if len(kinds) > 1:
        # Among TFRecords a file without a byte is one without an example.
        if empty := next((file for file in formats if not Path(file).stat().st_size), None):
            raise ConfigError(f"--data {named}: {empty} is empty; remove it, or write it again")
        (one, first), (other, second), *_ = kinds.items()
        raise ConfigError(
            f"--data {named}: {first} is {one}, but {second} is {other}; name files of one format, "
            "by a pattern such as 'data/*.csv'"
        )
    [data_format] = kinds
    return DataPlace(base, data_format, splits, set(splits) == {_ALL}, files)


def format_of(file: str) -> DataFormat:
    """Returns the format that a file's beginning shows.

    Raises:
        ConfigError: It is of none that can be read.
    """
    with Path(file).open("rb") as stream:
        begin = stream.read(_HEAD)
    for magic, what in _UNREADABLE.items():
        if begin.startswith(magic):
            raise ConfigError(f"--data: {file} is {what}")
    if begin.startswith(b"PAR1"):
        return "parquet"
    if begin.startswith(b"PK"):
        return "npz"
    return "csv" if _is_text(begin) else "tfrecord"


def _is_text(begin: bytes) -> bool:
    if b"\0" in begin or not begin:
        return False
    try:
        # Unlike `bytes.decode`, it lets the last character be cut.
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return False
    return True
