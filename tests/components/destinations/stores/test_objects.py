"""A destination on a real S3 server on this machine."""

import functools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner

from tests.components.destinations.interruption import (
    TRUST,
    StoppedRequests,
    killed_at_request,
    make_candidate,
    push_to,
)
from tests.conftest import CONFIGS
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.stores.objects import ObjectStore
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError
from tfx_tflite.components.object_stores.requests import (
    ConflictError,
    ObjectRequests,
    ObjectVersion,
)
from tfx_tflite.pipelines.cli.main import main

pytestmark = pytest.mark.slow
# Seconds after which a killed push is taken over here.
SHORT = 0.6


@pytest.fixture
def uri(s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{tmp_path.name}"


@pytest.fixture
def bucket(s3: Mapping[str, str]):
    """The bucket, as another tool sees it."""
    return boto3.resource(
        "s3",
        endpoint_url=s3["S3_ENDPOINT"],
        region_name=s3["AWS_REGION"],
        aws_access_key_id=s3["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3["AWS_SECRET_ACCESS_KEY"],
    ).Bucket("models")


def put(bucket, uri: str, name: str, content: bytes) -> None:
    bucket.put_object(Key=f"{uri.removeprefix('s3://models/')}/{name}", Body=content)


def names(bucket, uri: str) -> Iterator[str]:
    directory = f"{uri.removeprefix('s3://models/')}/"
    for entry in bucket.objects.filter(Prefix=directory):
        yield entry.key.removeprefix(directory)


def test_pushes_rolls_back_keeps_and_verifies(uri: str, bucket, candidate):
    to = Destination.open(uri)
    a, b, again, c = (to.push(candidate(content)).number for content in (b"a", b"b", b"b", b"c"))
    assert a < b == again < c and to.versions() == [a, b, c]
    assert to.read(c, "../LATEST") == b"%d\n" % c and to.read(a, "model.tflite") == b"a"
    assert destination_problems(to) == []
    assert to.roll_back()[:2] == (c, b) and to.push(candidate(b"c")).outcome == "withdrawn"
    to.sign_off(a)
    last = to.push(candidate(b"d"), keep=1).number
    assert to.versions() == [a, last] and to.current() == last
    events = [event.kind for event in to.events()]
    assert events[:4] == ["releases_counted", "released", "released", "released"]
    assert events[4:] == ["rolled_back", "signed_off", "released", "removed", "removed"]
    put(bucket, uri, f"{last}/model.tflite", b"changed")
    [problem] = destination_problems(to)
    assert "/model.tflite was changed" in problem
    assert ".lock" not in names(bucket, uri)


def test_what_a_killed_push_left_is_no_version_and_is_removed_and_nothing_else_is(
    uri: str, bucket, candidate
):
    to = Destination.open(uri)
    first = to.push(candidate(b"a")).number
    # A push writes the marker first and the manifest last.
    put(bucket, uri, f"{first + 1}/.unfinished", b"")
    put(bucket, uri, f"{first + 1}/model.tflite", b"half")
    put(bucket, uri, "123/saved_model.pb", b"of another tool")
    assert to.versions() == [first] and to.current() == first
    second = to.push(candidate(b"b")).number
    assert to.versions() == [first, second] and destination_problems(to) == []
    left = {name.partition("/")[0] for name in names(bucket, uri)}
    assert left == {"123", ".history", "LATEST", str(first), str(second)}


def test_markers_of_directories_that_tensorflow_has_left_are_no_files(uri: str, bucket, candidate):
    to = Destination.open(uri)
    number = to.push(candidate(b"a")).number
    for marker in ("", f"{number}/", f"{number}/golden/", "123/"):
        put(bucket, uri, marker, b"")
    assert to.versions() == [number] and destination_problems(to) == []
    assert to.files(number) == ["golden/input_0.bin", "manifest.json", "model.tflite"]


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_killed_between_any_two_objects_the_store_is_that_of_before_or_after(
    uri: str, s3: Mapping[str, str], tmp_path: Path, is_signed: bool
):
    for content in (b"a", b"b"):
        push_to(ObjectRequests(uri), uri, tmp_path, content, is_signed)
    counting = StoppedRequests(uri)
    push_to(counting, uri, tmp_path, b"c", is_signed)
    # It is the next one that removes what was left, and takes the lock over.
    to = Destination(ObjectStore(uri, lifetime=0.2), TRUST if is_signed else None)
    assert counting.points > 12
    # Signing adds requests, of which every other is enough here.
    for point in range(0, counting.points, 2 if is_signed else 1):
        before, current = set(to.versions()), to.current()
        assert killed_at_request(point, s3, uri, tmp_path, is_signed)
        after = set(to.versions())
        # Between signed pointer and LATEST, or an event and its pointer, that is told.
        stopped = [p for p in destination_problems(to) if "stopped" in p]
        assert destination_problems(to) == stopped and (is_signed or not stopped)
        assert to.current() in ({current} | (after - before)) and len(after - before) <= 1
        start = time.monotonic()
        to.push(make_candidate(tmp_path, b"next %d" % point, {}), keep=2)
        assert time.monotonic() - start < 20
        assert destination_problems(to) == [] and to.current() == max(to.versions())


def test_two_pushers_never_hold_the_lock_at_once(uri: str):
    holders: set[int] = set()
    most: list[int] = []

    def work(worker: int) -> None:
        store = ObjectStore(uri)
        for _ in range(3):
            with store.lock():
                holders.add(worker)
                most.append(len(holders))
                holders.discard(worker)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9


def test_a_push_that_is_at_work_is_waited_for_and_not_taken_over(uri: str):
    with (
        ObjectStore(uri, lifetime=SHORT).lock(),
        pytest.raises(TimeoutError, match="another push has been at work for 3 s"),
        ObjectStore(uri, patience=3 * SHORT + 1.2, lifetime=SHORT).lock(),
    ):
        pass


class CutOff(ObjectRequests):
    """A connection that a process loses after it has the lock."""

    cut = False

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        if self.cut:
            raise OSError(5, "error sending request", name)
        return super().update(name, content, version)


def test_a_push_that_stood_still_while_another_took_over_writes_nothing_more(uri: str):
    requests = CutOff(uri)
    slow, other = ObjectStore(uri, requests, lifetime=SHORT), ObjectStore(uri, lifetime=SHORT)
    with slow.lock():
        requests.cut = True
        with other.lock():
            requests.cut = False
            with pytest.raises(OSError, match="another has taken over; try again"):
                slow.replace("LATEST", b"1\n")
            other.replace("LATEST", b"2\n")
        assert other.read("LATEST") == b"2\n"


class LostAnswers(ObjectRequests):
    """A network in which a request arrives twice, because its answer was lost."""

    def create(self, name: str, content: bytes) -> ObjectVersion:
        super().create(name, content)
        return super().create(name, content)

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        super().update(name, content, version)
        return super().update(name, content, version)


def test_a_push_whose_requests_arrive_twice_lands(uri: str, candidate):
    to = Destination(ObjectStore(uri, LostAnswers(uri), lifetime=SHORT))
    pushed = to.push(candidate(b"a"))
    assert to.current() == pushed.number and destination_problems(to) == []


class Unconditional(ObjectRequests):
    """A store that writes whatever the condition."""

    def create(self, name: str, content: bytes) -> ObjectVersion:
        self.put(name, content)
        return self.get(name)[1]

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        return self.create(name, content)


class NoUpdate(Unconditional):
    """A store that heeds only that an object is there already."""

    def create(self, name: str, content: bytes) -> ObjectVersion:
        return ObjectRequests.create(self, name, content)

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        return Unconditional.create(self, name, content)


@pytest.mark.parametrize("requests", [Unconditional, NoUpdate])
def test_a_store_without_conditional_writes_is_refused(uri: str, candidate, requests):
    to = Destination(ObjectStore(uri, requests(uri)))
    with pytest.raises(PushError, match=r"the store ignores conditions of writes \(If-None-Match"):
        to.push(candidate(b"a"))
    assert to.versions() == []
    with pytest.raises(DestinationError, match="cannot be changed: the store ignores conditions"):
        to.check_writable()


@pytest.mark.parametrize(("place", "code"), [("{uri}", 0), ("s3://nowhere/x", 1)])
def test_validate_tries_a_destination_if_it_is_asked_to(
    uri: str, place: str, code: int, tmp_path: Path
):
    settings = [f"push.destination={place.format(uri=uri)}", f"root={tmp_path}/root"]
    options = [part for text in settings for part in ("--set", text)]
    done = CliRunner().invoke(
        main, ["validate", str(CONFIGS / "digits.yaml"), "--destination", *options]
    )
    assert done.exit_code == code
    assert ("nothing is current; it can be changed" in done.stdout) == (code == 0)
    assert ("cannot read s3://nowhere/x" in done.stderr) == (code == 1)


def test_a_version_that_is_there_already_is_never_overwritten(uri: str, bucket, tmp_path: Path):
    store = ObjectStore(uri)
    (tmp_path / "manifest.json").write_bytes(b"mine")
    put(bucket, uri, "7/manifest.json", b"somebody else's")
    with store.lock(), pytest.raises(ConflictError):
        store.publish(tmp_path, "7")
    assert store.read("7/manifest.json") == b"somebody else's"


def test_commands_on_it_end_with_their_own_exit_codes(uri: str, candidate):
    number = Destination.open(uri).push(candidate(b"a")).number
    history, rollback = (
        subprocess.run(
            [sys.executable, "-m", "tfx_tflite.pipelines", command, uri],
            capture_output=True,
            text=True,
        )
        for command in ("history", "rollback")
    )
    assert (history.returncode, rollback.returncode) == (0, 1)
    # No library has a word beside the table.
    assert str(number) in history.stdout and history.stderr == ""
    assert f"has no version before {number}" in rollback.stderr


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("s3://nowhere/x", "no such bucket (The specified bucket does not exist)"),
        ("nosuch://bucket/x", "there is no object store for nosuch://"),
    ],
    ids=["no_such_bucket", "no_such_file_system"],
)
def test_a_place_that_is_not_there_is_one_line(uri: str, candidate, place: str, reason: str):
    with pytest.raises(PushError) as error:
        Destination.open(place).push(candidate(b"a"))
    assert str(error.value).startswith("the model was not pushed: ")
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_a_scheme_without_a_file_system_is_said_before_anything_is_pushed():
    with pytest.raises(NotKnownError, match="there is no object store for foo://"):
        Destination.open("foo://bucket/models").numbers()


def test_a_store_that_does_not_answer_is_an_error_and_not_an_empty_one(monkeypatch):
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with pytest.raises(NotKnownError, match="cannot list s3://models/x: unreachable"):
        Destination.open("s3://models/x", timeout=1).versions()


def without_scheme(endpoint: str) -> dict[str, str]:
    return {"S3_ENDPOINT": endpoint.removeprefix("http://"), "S3_USE_HTTPS": "0"}


def named_as(name: str, endpoint: str) -> dict[str, str]:
    return {name: endpoint}


@pytest.mark.parametrize(
    "variables",
    [
        without_scheme,
        functools.partial(named_as, "S3_ENDPOINT"),
        functools.partial(named_as, "AWS_ENDPOINT_URL"),
        functools.partial(named_as, "AWS_ENDPOINT_URL_S3"),
    ],
    ids=["host_and_port", "S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"],
)
def test_the_endpoint_comes_from_the_environment(
    uri: str, s3: Mapping[str, str], candidate, monkeypatch, variables
):
    monkeypatch.delenv("S3_ENDPOINT")
    monkeypatch.delenv("S3_USE_HTTPS")
    for name, value in variables(s3["S3_ENDPOINT"]).items():
        monkeypatch.setenv(name, value)
    pushed = Destination.open(uri).push(candidate(b"a"))
    assert pushed.outcome == "pushed"


def test_keys_come_from_amazons_file_if_the_environment_has_none(
    uri: str, candidate, monkeypatch, tmp_path: Path
):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    path = tmp_path / "credentials"
    path.write_text("[models]\naws_access_key_id = test\naws_secret_access_key = test\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_PROFILE", "models")
    assert Destination.open(uri).push(candidate(b"a")).outcome == "pushed"


def test_objects_that_others_have_put_are_read_though_they_say_no_digest(uri: str, bucket):
    put(bucket, uri, "of/another", b"tool")
    assert ObjectStore(uri).read("of/another") == b"tool"


class CountedRequests(ObjectRequests):
    """Requests that count what is listed."""

    listings = 0

    def children(self, directory: str) -> tuple[list[str], list[str]]:
        self.listings += 1
        return super().children(directory)

    def descendants(self, directory: str) -> dict[str, int]:
        self.listings += 1
        return super().descendants(directory)


def test_what_was_left_is_looked_for_as_fast_among_ten_times_as_many_versions(uri: str, bucket):
    listings = []
    for versions in (3, 30):
        numbers = [str(number) for number in range(1, versions + 1)]
        for number in numbers:
            put(bucket, uri, f"{number}/manifest.json", b"{}")
        put(bucket, uri, "1/.unfinished", b"")
        requests = CountedRequests(uri)
        store = ObjectStore(uri, requests)
        with store.lock():
            store.clean(numbers)
        assert "1/.unfinished" not in names(bucket, uri)
        listings.append(requests.listings)
    assert listings[0] == listings[1]


def test_an_object_whose_e_tag_is_not_its_md5_is_known_by_its_listing(
    uri: str, bucket, s3: Mapping[str, str]
):
    client = bucket.meta.client
    key = f"{uri.removeprefix('s3://models/')}/in_parts"
    upload = client.create_multipart_upload(Bucket="models", Key=key)["UploadId"]
    where = {"Bucket": "models", "Key": key, "UploadId": upload}
    part = client.upload_part(PartNumber=1, Body=b"content", **where)
    parts = [{"ETag": part["ETag"], "PartNumber": 1}]
    client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    assert ObjectStore(uri).read("in_parts") == b"content"
