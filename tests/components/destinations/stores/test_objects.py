"""A destination on a real S3 server, through TFX's file I/O and TensorFlow's own S3 plugin.

The plugin aborts the process that has used it when it ends, so each test's work is done in one of
its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import DestinationError

pytestmark = pytest.mark.slow


def run(s3: dict[str, str], tmp_path: Path, code: str) -> dict:
    """Runs code with a destination `to` and `candidate`; returns what it puts into `found`."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import json, os, sys
from pathlib import Path
from tests.components.destinations.interruption import make_candidate
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.object_store import ObjectStore
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import TfxTfliteError
from tfx.dsl.io import fileio
URI = "s3://models/{tmp_path.name}"
to = Destination.open(URI)
def candidate(content):
    return make_candidate(Path({str(tmp_path)!r}), content, {{"golden/o.bin": b"g" + content}})
def put(name, content):
    with fileio.open(URI + "/" + name, "wb") as file:
        file.write(content)
found = {{}}
{code}
print("FOUND" + json.dumps(found), flush=True)
os._exit(0)
""")
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **s3, "PYTHONPATH": str(Path(__file__).parents[4])},
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[-1].removeprefix("FOUND"))


def test_pushes_rolls_back_keeps_and_verifies(s3, tmp_path: Path):
    found = run(
        s3,
        tmp_path,
        """
numbers = [to.push(candidate(content)).number for content in (b"a", b"b", b"b", b"c")]
found["numbers"] = numbers
found["versions"] = to.versions()
found["latest"] = to.read(numbers[-1], "../LATEST").decode()
found["problems"] = destination_problems(to)
found["model"] = to.read(numbers[0], "model.tflite").decode()
found["back"] = to.roll_back()
found["again"] = to.push(candidate(b"c")).outcome
to.sign_off(numbers[0])
last = to.push(candidate(b"d"), keep=1).number
found["kept"] = to.versions() == [numbers[0], last] and to.current() == last
found["events"] = [event.kind for event in to.events()]
put(f"{last}/model.tflite", b"changed")
found["changed"] = destination_problems(to)
found["locks"] = fileio.exists(URI + "/.locks") and fileio.listdir(URI + "/.locks")
""",
    )
    a, b, again, c = found["numbers"]
    assert a < b == again < c and found["versions"] == [a, b, c]
    assert found["latest"] == f"{c}\n" and found["problems"] == [] and found["model"] == "a"
    assert found["back"] == [c, b] and found["again"] == "withdrawn" and found["kept"]
    assert found["events"] == ["rolled_back", "signed_off", "removed", "removed"]
    assert len(found["changed"]) == 1 and "/model.tflite was changed" in found["changed"][0]
    assert not found["locks"]


def test_what_a_killed_push_left_is_no_version_and_is_removed_and_nothing_else_is(
    s3, tmp_path: Path
):
    found = run(
        s3,
        tmp_path,
        """
first = to.push(candidate(b"a")).number
# A push writes the marker first and the manifest last.
put(f"{first + 1}/.unfinished", b"")
put(f"{first + 1}/model.tflite", b"half")
put("123/saved_model.pb", b"of another tool")
found["before"] = to.versions() == [first] and to.current() == first
second = to.push(candidate(b"b")).number
found["after"] = to.versions() == [first, second]
found["left"] = sorted(fileio.listdir(URI))
found["problems"] = destination_problems(to)
found["numbers"] = [first, second]
""",
    )
    first, second = found["numbers"]
    assert found["before"] and found["after"] and found["problems"] == []
    assert sorted({"123", "LATEST", str(first), str(second)}) == [
        name for name in found["left"] if name != ".locks"
    ]


def test_killed_between_any_two_objects_the_store_is_that_of_before_or_after(s3, tmp_path: Path):
    found = run(
        s3,
        tmp_path,
        """
class Killed(BaseException): pass
first = to.push(candidate(b"first")).number
put_object, delete = ObjectStore.replace, ObjectStore._delete
known, found["points"] = {first}, 0
for point in range(100):
    left = [point]
    def step(original):
        def act(self, *arguments):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return original(self, *arguments)
        return act
    ObjectStore.replace, ObjectStore._delete = step(put_object), step(delete)
    try:
        to.push(candidate(b"model %d" % point))
        ended = True
    except Killed:
        ended = False
    finally:
        ObjectStore.replace, ObjectStore._delete = put_object, delete
    assert known <= set(to.versions()) and destination_problems(to) == [], point
    assert to.current() in to.versions()
    # The lock of a process that is gone is held until it is old, or removed by hand.
    if fileio.exists(URI + "/.locks"):
        fileio.rmtree(URI + "/.locks")
    known = set(to.versions())
    found["points"] += 1
    if ended:
        break
found["current"] = to.current() == max(known)
""",
    )
    assert found["points"] > 8 and found["current"]


def test_two_pushers_never_hold_the_lock_at_once(s3, tmp_path: Path):
    found = run(
        s3,
        tmp_path,
        """
import threading
holders, most, done = set(), [], []
def work(worker):
    store = ObjectStore(URI)
    for _ in range(3):
        with store.lock():
            holders.add(worker)
            most.append(len(holders))
            holders.discard(worker)
    done.append(worker)
threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
found["most"], found["done"], found["held"] = max(most), len(done), len(most)
""",
    )
    assert found == {"most": 1, "done": 3, "held": 9}


def test_commands_on_it_end_with_their_own_exit_codes(s3, tmp_path: Path):
    """TensorFlow's plugin aborts at the end of a process that has used it."""
    found = run(
        s3, tmp_path, 'found["uri"], found["number"] = URI, to.push(candidate(b"a")).number'
    )
    command = [sys.executable, "-m", "tfx_tflite.pipelines"]
    done = [
        subprocess.run(
            [*command, *arguments], env={**os.environ, **s3}, capture_output=True, text=True
        )
        for arguments in (["history", found["uri"]], ["rollback", found["uri"]])
    ]
    assert [process.returncode for process in done] == [0, 1]
    assert str(found["number"]) in done[0].stdout
    assert f"has no version before {found['number']}" in done[1].stderr


@pytest.mark.parametrize(
    ("uri", "named"),
    [("s3://nowhere/x", "s3://nowhere/x"), ("nosuch://bucket/x", "nosuch")],
    ids=["no_such_bucket", "no_such_file_system"],
)
def test_a_place_that_is_not_there_is_one_line(s3, tmp_path: Path, uri: str, named: str):
    found = run(
        s3,
        tmp_path,
        f"""
try:
    Destination.open("{uri}").push(candidate(b"a"))
except TfxTfliteError as error:
    found["error"] = str(error)
""",
    )
    assert found["error"].startswith("the model was not pushed: ")
    assert named in found["error"] and "\n" not in found["error"]


def test_a_scheme_without_a_file_system_is_said_before_anything_is_pushed():
    with pytest.raises(DestinationError, match="TensorFlow has no file system for foo://"):
        Destination.open("foo://bucket/models").numbers()
