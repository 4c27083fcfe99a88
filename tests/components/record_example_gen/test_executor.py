"""RecordExampleGen beside TFX's ImportExampleGen: the same examples, and in their order."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.components.examples.test_copy_records import EXAMPLES
from tests.components.examples.test_frames import frame
from tfx_tflite.components.artifact_layout import CONTENT_DIGESTS, SPLIT_SIZES
from tfx_tflite.components.errors import DataError

pytestmark = [pytest.mark.slow, pytest.mark.generations]

# The content of files by name; those that end in `.gz` are gzipped.
Files = Mapping[str, bytes]
SPLITS = {"train": "train/*", "eval": "eval/*"}


def records(first: int, last: int) -> bytes:
    return b"".join(map(frame, EXAMPLES[first:last]))


def example_gen(base: Path, splits: Mapping[str, str], is_ours: bool, spans: int = 1):
    """Our component or TFX's, on the files below a directory."""
    from tfx.components import ImportExampleGen
    from tfx.proto import example_gen_pb2

    from tfx_tflite.components import RecordExampleGen, RollingRecordExampleGen

    config = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name=name, pattern=splits[name]) for name in splits]
    )
    if spans > 1:
        return RollingRecordExampleGen(str(base), config, spans=spans, rolled_splits=("train",))
    if is_ours:
        return RecordExampleGen(str(base), config)
    return ImportExampleGen(str(base), config, example_gen_pb2.Output())


def launched(component, output: Path):
    """Runs a component's driver and executor, and returns the artifact."""
    from tfx.components.example_gen.driver import update_output_artifact
    from tfx.types import standard_artifacts

    from tests.executors import on_beam

    found = component.DRIVER_CLASS(None).resolve_exec_properties(
        dict(component.exec_properties), None, None
    )
    artifact = standard_artifacts.Examples()
    artifact.uri = str(output)
    update_output_artifact(found, artifact.mlmd_artifact)
    executor = on_beam(component.EXECUTOR_SPEC.executor_class)
    executor.Do({}, {"examples": [artifact]}, found)
    return artifact


def read_by_tensorflow(artifact, split: str) -> list[bytes]:
    """Returns the examples of a split as TFX's components find and read them."""
    import tensorflow as tf
    from tfx.components.util import examples_utils

    [pattern] = examples_utils.get_split_file_patterns([artifact], split)
    files = sorted(tf.io.gfile.glob(pattern))
    return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


@pytest.fixture
def data(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes files below a directory."""

    def write(files: Files) -> Path:
        for name, content in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return tmp_path / "data"

    return write


LAYOUTS: Mapping[str, tuple[Files, Mapping[str, str]]] = {
    "plain, gzipped, mixed sizes and an empty file among full ones": (
        {
            "train/b.tfrecord": records(4, 5),
            "train/a.gz": records(0, 4),
            "train/c": b"",
            "train/d.gz": b"",
            "train/e": records(5, 20),
            "eval/a": records(0, 1),
        },
        SPLITS,
    ),
    "spans": (
        {
            **{f"span-2/{split}/a": records(0, 3) for split in SPLITS},
            **{f"span-10/{split}/a": records(3, 9) for split in SPLITS},
        },
        {split: f"span-{{SPAN}}/{split}/*" for split in SPLITS},
    ),
    "dates with versions": (
        {
            **{f"2026-03-09-v1/{split}.gz": records(0, 3) for split in SPLITS},
            **{f"2026-03-10-v1/{split}.gz": records(3, 5) for split in SPLITS},
            **{f"2026-03-10-v2/{split}.gz": records(5, 9) for split in SPLITS},
        },
        {split: f"{{YYYY}}-{{MM}}-{{DD}}-v{{VERSION}}/{split}.gz" for split in SPLITS},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_what_import_example_gen_takes_and_says_the_same_of_it(
    data, tmp_path: Path, layout: str
):
    files, splits = LAYOUTS[layout]
    base = data(files)
    ours, theirs = (
        launched(example_gen(base, splits, is_ours), tmp_path / name)
        for name, is_ours in (("ours", True), ("theirs", False))
    )
    for split in splits:
        [name] = [path.name for path in (Path(ours.uri) / f"Split-{split}").iterdir()]
        assert name in [path.name for path in (Path(theirs.uri) / f"Split-{split}").iterdir()]
        found = read_by_tensorflow(ours, split)
        assert Counter(found) == Counter(read_by_tensorflow(theirs, split))
        # TFX's own come in any order.
        assert found == sorted(found, key=EXAMPLES.index)
    assert ours.split_names == theirs.split_names
    said, expected = (artifact.mlmd_artifact.custom_properties for artifact in (ours, theirs))
    assert {name: said[name] for name in expected} == dict(expected)
    sizes = json.loads(ours.get_string_custom_property(SPLIT_SIZES))
    assert sizes == {split: len(read_by_tensorflow(ours, split)) for split in splits}


def test_digests_are_those_that_whoever_reads_finds_and_no_file_was_read_again_for_them(
    data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tfx_tflite.components import artifact_digests

    base = data({"train/a": records(0, 3), "eval/a.gz": records(0, 1)})
    with monkeypatch.context() as patch:
        patch.setattr(artifact_digests, "_digest", None)
        artifact = launched(example_gen(base, SPLITS, is_ours=True), tmp_path / "ours")
    recorded = artifact.get_string_custom_property(CONTENT_DIGESTS)
    assert recorded == artifact_digests.described(artifact.uri)


def test_several_spans_follow_each_other_from_the_newest(data, tmp_path: Path):
    base = data(
        {
            "1/train/a": records(7, 9),
            "1/eval/a": records(0, 1),
            "3/train/b": records(4, 7),
            "3/train/a": records(0, 4),
            "3/eval/a": records(1, 2),
        }
    )
    splits = {split: f"{{SPAN}}/{split}/*" for split in SPLITS}
    artifact = launched(example_gen(base, splits, is_ours=True, spans=2), tmp_path / "ours")
    assert read_by_tensorflow(artifact, "train") == EXAMPLES[:9]
    assert read_by_tensorflow(artifact, "eval") == EXAMPLES[1:2]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def swap(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-10:-4] = reversed(content[-10:-4])
    content[-5] ^= 1
    file.write_bytes(content)


def replace(file: Path) -> None:
    file.write_text("label,x\n1,2\n" * 10)


DAMAGES: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "a": (cut, "{file} is not a whole TFRecord file: it breaks off after 2 examples, at byte 41;"),
    "b": (swap, "record 2 of {file}, at byte 41, is damaged: its content has a wrong checksum;"),
    "c": (replace, "{file} is a text file, not TFRecords; CSV needs data.format: csv"),
}


def test_bad_files_among_a_thousand_are_named_with_their_places(data, tmp_path: Path):
    base = data(
        {
            f"{split}/{number:04}.tfrecord": records(0, 3)
            for split in DAMAGES
            for number in range(334)
        }
    )
    said = []
    for split, (damage, message) in DAMAGES.items():
        file = base / split / "0217.tfrecord"
        damage(file)
        said.append(message.format(file=file))
    splits = {split: f"{split}/*" for split in DAMAGES}
    with pytest.raises(DataError, match=r"\(and at least 2 more are wrong\)$") as caught:
        launched(example_gen(base, splits, is_ours=True), tmp_path / "ours")
    assert str(caught.value).startswith(said[0])
    copied = json.loads((tmp_path / "ours" / "files.json").read_text())
    for shard, message in zip(copied["shards"], said, strict=True):
        assert shard["problem"].startswith(message) and not shard["files"]


def test_a_pattern_without_files_is_named(data, tmp_path: Path):
    base = data({"train/a": records(0, 3), "eval/a": records(0, 1)})
    component = example_gen(base, SPLITS, is_ours=True)
    (base / "eval" / "a").unlink()
    with pytest.raises(DataError, match=r"no file matches .*/data/eval/"):
        launched(component, tmp_path / "ours")


def test_a_division_by_hash_is_refused(data, tmp_path: Path):
    from tfx_tflite.components.example_records import RecordExecutor

    buckets = {"splitConfig": {"splits": [{"name": "train", "hashBuckets": 2}]}}
    properties = {"output_config": json.dumps(buckets), "input_base": "x", "input_config": "{}"}
    with pytest.raises(DataError, match="use TFX's ImportExampleGen"):
        RecordExecutor().Do({}, {"examples": []}, properties)
