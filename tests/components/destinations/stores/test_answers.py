"""Whatever a store answers all the time, or something in its place, is an error and not empty."""

from collections.abc import Iterator, Mapping

import pytest

from tests.components.destinations.stores.faults import Fault, FaultyProxy
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import NotKnownError, PushError
from tfx_tflite.components.object_stores.answers import Answer

TIMEOUT = 1.0
# What is said of each; others than these are late or cut, which depends on what is asked for.
REASONS: Mapping[Fault, str] = {
    Fault.WRONG_REGION: "redirected, the region or the endpoint is wrong (The authorization header",
    Fault.DENIED: "denied (Access Denied)",
    Fault.NOT_FOUND: "the store answered 404",
    Fault.TOO_MANY: "the store answered 429 (Slow down)",
    Fault.INTERNAL: "the store answered 500 (We do not know)",
    Fault.UNAVAILABLE: "the store answered 503 (Reduce your rate)",
    Fault.NOWHERE: "redirected, the region or the endpoint is wrong",
    Fault.GARBLED: "not understood (what came is not what the store keeps)",
    Fault.MOVED: "not understood (what came is not what the store keeps)",
    Fault.FOUND: "not understood (what came is not what the store keeps)",
    Fault.CUT_BEFORE: "unreachable",
    Fault.ELSEWHERE: "unreachable",
}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy with no store behind."""
    with FaultyProxy(9) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        yield proxy


@pytest.mark.parametrize("fault", REASONS, ids=lambda fault: fault.name)
def test_what_is_answered_to_all_is_said_and_not_taken_for_an_empty_store(
    fault: Fault, proxy: FaultyProxy, candidate
):
    proxy.plan(dict.fromkeys(range(10_000), fault))
    to = Destination.open("s3://models/x", TIMEOUT)
    for act, operation in ((to.versions, "list"), (to.pointer, "read"), (to.events, "list")):
        with pytest.raises(NotKnownError) as error:
            act()
        assert str(error.value).startswith(f"cannot {operation} s3://models/x")
        assert REASONS[fault] in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(PushError, match="the model was not pushed: "):
        to.push(candidate(b"a"))


def test_keys_are_said_to_be_missing_if_neither_environment_nor_machine_has_any():
    # As obstore said it where the machine had no role either.
    error = Exception(
        "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1.3ms - "
        "Server returned non-2xx status code: 403 Forbidden: denied\n\nDebug source:\nGeneric {}"
    )
    assert "there are no keys, neither in the environment nor" in Answer.of(error).reason
