"""A connection to a Kubeflow Pipelines server: every request has a time limit, every error a line.

Credentials are the KFP client's own business: its environment variables (`KF_PIPELINES_…`), its
context file and the service account's token. None are taken from a config, and none are logged.
Requests go by the API's own paths (v2beta1), which are the same in every release; the names of the
generated client's functions are not.
"""

import contextlib
import json
import logging
import os
import random
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, JsonValue, ValidationError

from tfx_tflite.components.documents import json_value
from tfx_tflite.components.errors import ConfigError, NotKnownError, TfxTfliteError, listed
from tfx_tflite.components.presence import ABSENT, Presence
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig

if TYPE_CHECKING:
    import kfp
    from kfp_server_api import ApiClient, ApiException, Configuration
    from urllib3.util.retry import Retry

# A document of the API: what is sent may hold parts that are typed elsewhere.
Document: TypeAlias = Mapping[str, object]

GONE = 404
# Google's code of what is not there, which an error page of somebody else does not have.
_NOT_FOUND = 5
_API = "/apis/v2beta1"
_SERVER_SAYS = 300
_PAGE = 100
# Seconds until a server that has not answered is given up, if nobody says otherwise.
DEFAULT_TIMEOUT = 30.0
# Seconds to be connected, and between the first two attempts.
_CONNECT_LIMIT = 10.0
_PAUSE = 0.25
_ATTEMPTS = 4
_SHORTEST = 0.001
_REPEATABLE = ("GET", "DELETE")
# What passes: too many requests, and what proxies say of a server that is just starting.
_PASSING = (429, 502, 503, 504)
# Errors of the server itself have no details for the user.
_INTERNAL = 13
# What urllib3 puts first: the connection's address in memory, or host and port once more.
_CONNECTION = re.compile(r"^(?:<.*?>|HTTPS?Connection(?:Pool)?\(.*?\)): ")
_GO_FRAME = re.compile(r"^\S.*\n\t\S.*$", re.MULTILINE)


class ServerError(TfxTfliteError):
    """The Kubeflow Pipelines server cannot be reached, or refuses what is asked of it.

    Args:
        message: What is wrong, for the user.
        status: The HTTP status, where the server answered.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Gone(ServerError):
    """The server says itself that what was asked for is not there."""


class AnswerLost(ServerError):
    """A request was sent but never answered: what it asked for may have been done."""


class UnreadableList(ServerError, NotKnownError):
    """A list was answered that cannot be read as a whole, which is not an empty one."""


def connect(kubeflow: KubeflowConfig, host: str, timeout: float = DEFAULT_TIMEOUT) -> "Connection":
    """Returns a connection to a server that answers.

    Args:
        kubeflow: Whose namespace is used.
        host: The server's URL.
        timeout: Seconds until a request that was not answered is given up.

    Raises:
        ConfigError: That is no URL of a server, or the KFP client's context file cannot be used.
        ServerError: Nothing answers there, or it does not take the credentials.
    """
    _check_host(host)
    with _explained(host, kubeflow.namespace, timeout):
        client = _client(host, kubeflow.namespace, timeout)
        health = client.get_kfp_healthz()
    namespace = kubeflow.namespace or client.get_user_namespace() or None
    if health.multi_user and not namespace:
        raise ConfigError(
            f"kubeflow.namespace: {host} has many users; say in whose namespace this is, here or "
            f"in {client._LOCAL_KFP_CONTEXT}"
        )
    return Connection(client, host, namespace, timeout)


def _check_host(host: str) -> None:
    # Without one, KFP's client would look for a cluster by itself.
    try:
        parts = urlsplit(host)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError("--host: expected a URL, like https://kubeflow.example.com")
    if "@" in parts.netloc:
        raise ConfigError(
            "--host: credentials do not belong in the URL; they are the KFP client's own, see "
            "docs/kubeflow.md"
        )
    if parts.query or "#" in host:
        raise ConfigError(
            "--host: expected the address of the server, not of one of its pages: leave out "
            "everything from ? or # on"
        )


class _Health(BaseModel):
    """What a server says of itself; KFP's client looks at `multi_user`."""

    multi_user: bool | None = None


class _Detail(BaseModel):
    message: JsonValue = None


class _Refusal(BaseModel):
    """What a server says of an error; what stands before it may say it in another form."""

    code: JsonValue = None
    message: JsonValue = None
    error: JsonValue = None
    details: tuple[_Detail, ...] | None = None


def _client(host: str, namespace: str | None, timeout: float) -> "kfp.Client":
    """Returns KFP's client, which has the credentials and the settings of its context file."""
    import kfp
    from kfp import client as kfp_client
    from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

    class Client(kfp.Client):
        """KFP's client, which asks a server how it is once and not again for half a minute."""

        _health: _Health | None = None

        def _load_config(self, *args: object, **kwargs: object) -> "Configuration":
            settings = super()._load_config(*args, **kwargs)
            settings.retries = _retries()
            return settings

        def get_kfp_healthz(self, sleep_duration: int = 0) -> _Health:
            if self._health is None:
                document = _answer_to(self._healthz_api.api_client, timeout, "GET", "healthz")
                self._health = _Health.model_validate(_server_document(document, host))
            return self._health

    # KFP takes the token of a service account by itself only where it is given no host.
    token = (
        os.environ.get(kfp_client.KF_PIPELINES_SA_TOKEN_ENV)
        or Path(kfp_client.KF_PIPELINES_SA_TOKEN_PATH).exists()
    )
    credentials = ServiceAccountTokenVolumeCredentials() if token else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check_context(Path(kfp.Client._LOCAL_KFP_CONTEXT))
        return Client(host=host, namespace=namespace or "kubeflow", credentials=credentials)


def _check_context(path: Path) -> None:
    if not path.exists():
        return
    try:
        document = json_value(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the KFP client's settings cannot be read: {error}") from error
    if not isinstance(document, dict) or "namespace" not in document:
        raise ConfigError(
            f'{path}: the KFP client needs a "namespace" there; "" is none in particular'
        )


def _server_document(document: JsonValue, host: str) -> dict[str, JsonValue]:
    if not isinstance(document, dict):
        raise ServerError(
            f"{host} does not answer like a Kubeflow Pipelines server; is it a login page?"
        )
    return document


def _answer_to(
    api_client: "ApiClient",
    timeout: float,
    method: str,
    path: str,
    query: Mapping[str, str | int] | None = None,
    body: Document | None = None,
) -> JsonValue:
    """Returns the document that answers a request; text where it is no JSON.

    What can be asked twice is asked again until the time is over; what creates something is only if
    it never reached the server.
    """
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    deadline = time.monotonic() + timeout
    pauses = _pauses()
    while True:
        try:
            return _asked_once(api_client, deadline, method, path, query, body)
        except (ApiException, HTTPError) as error:
            pause = next(pauses, None) if _may_ask_again(method, error) else None
            if pause is None or time.monotonic() + pause >= deadline:
                raise
        time.sleep(pause)


def _asked_once(
    api_client: "ApiClient",
    deadline: float,
    method: str,
    path: str,
    query: Mapping[str, str | int] | None,
    body: Document | None,
) -> JsonValue:
    left = max(deadline - time.monotonic(), _SHORTEST)
    with _without_warnings():
        answer: JsonValue = api_client.call_api(
            f"{_API}/{path}",
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            response_type="object",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
            _request_timeout=(min(_CONNECT_LIMIT, left), left),
        )
    return answer


def _pauses() -> Iterator[float]:
    """Yields seconds between attempts: longer each time, and never those of all others."""
    for attempt in range(_ATTEMPTS - 1):
        yield _PAUSE * 2**attempt * random.uniform(0.5, 1.5)


def _may_ask_again(method: str, error: Exception) -> bool:
    """Returns whether a request that failed can be sent once more without harm."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    cause = getattr(error, "reason", None) or error
    if isinstance(cause, NewConnectionError | ConnectTimeoutError):
        return True
    status = getattr(error, "status", None)
    return method in _REPEATABLE and (status is None or status in _PASSING)


def _retries() -> "Retry":
    """Returns that urllib3 itself asks nothing again: `_answer_to` does, and keeps to its time."""
    from urllib3.util.retry import Retry

    return Retry(total=None, connect=0, read=0, redirect=3, status=0, other=0)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps urllib3 from printing a line for each attempt; the last one's error is told."""
    logger = logging.getLogger("urllib3")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class Connection:
    """What can be asked of a server.

    Args:
        client: KFP's client.
        host: The server's URL.
        namespace: Whose things are meant; None on a server for one user.
        timeout: Seconds until a request that was not answered is given up.
    """

    def __init__(
        self,
        client: "kfp.Client",
        host: str,
        namespace: str | None,
        timeout: float = DEFAULT_TIMEOUT,
    ):
        self._client = client
        self._timeout = timeout
        self.host = host
        self.namespace = namespace

    def link(self, page: str) -> str:
        """Returns the address of a page of Kubeflow's own."""
        return f"{self._client._get_url_prefix().rstrip('/')}/#/{page}"

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Document | None = None,
    ) -> dict[str, JsonValue]:
        """Returns the document that answers a request.

        Args:
            method: The HTTP method.
            path: The path, relative to the API's.
            query: The query.
            body: The document that is sent.

        Raises:
            ServerError: The server refuses it or is gone.
        """
        with _explained(self.host, self.namespace, self._timeout):
            api_client = self._client._healthz_api.api_client
            answer = _answer_to(api_client, self._timeout, method, path, query, body)
        return _server_document(answer, self.host)

    def find(self, path: str) -> Presence[dict[str, JsonValue]]:
        """Returns the document at a path of the API; ABSENT if the server says that none is.

        Args:
            path: The path, relative to the API's.

        Raises:
            ServerError: The server refuses it or is gone.
        """
        try:
            return self.ask("GET", path)
        except Gone:
            return ABSENT

    def entries(
        self, path: str, key: str, where: Mapping[str, str] | None = None, **query: str | int | None
    ) -> Iterator[JsonValue]:
        """Yields the entries of a list, page by page.

        Args:
            path: The list's path.
            key: What the list is called in the answer.
            where: From fields to what they equal. The server compares without regard to case:
                whoever needs more compares again.
            query: The rest of the query; what is None is left out.

        Raises:
            ServerError: The server refuses it or is gone.
        """
        given = {"page_size": _PAGE, "filter": _filter(where) if where else None, **query}
        asked = {name: value for name, value in given.items() if value is not None}
        read, totals, tokens = 0, list[int](), set[str]()
        while True:
            page = self._page(path, key, asked)
            read += len(page.entries)
            totals.append(page.total)
            yield from page.entries
            if not page.token:
                break
            if page.token in tokens:
                raise self._unreadable(key, "its pages come again and again")
            tokens.add(page.token)
            asked["page_token"] = page.token
        # What somebody makes or deletes meanwhile is counted by some pages and not by others.
        if read < min(totals):
            raise self._unreadable(key, f"it ends after {read} of {min(totals)}")

    def _page(self, path: str, key: str, query: Mapping[str, str | int]) -> "_Page":
        """Returns a page of a list; nothing at all is what the server says of an empty one."""
        document = self.ask("GET", path, query=query)
        if document and key not in document:
            raise self._unreadable(key, f"it has {listed(document)} instead")
        try:
            return _Page.model_validate({**document, "entries": document.get(key, [])})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise self._unreadable(key, f"{place}: {first['msg']}") from error

    def _unreadable(self, key: str, reason: str) -> UnreadableList:
        return UnreadableList(
            f"cannot list {key} at {self.host}: the answer is no whole list: {reason}"
        )

    def post(self, path: str, body: Document | None = None) -> dict[str, JsonValue]:
        """Returns what answers a document that is sent to a path of the API.

        Raises:
            ServerError: The server refuses it or is gone.
            AnswerLost: The server was sent it, but its answer did not come.
        """
        return self.ask("POST", path, body=body)

    def delete(self, path: str) -> None:
        """Deletes what is at a path of the API; what is gone already is deleted.

        An answer may be lost: the request is sent again, and is answered that nothing is there.

        Raises:
            ServerError: The server refuses it or is gone.
        """
        with contextlib.suppress(Gone):
            self.ask("DELETE", path)


class _Page(BaseModel):
    """A page of a list.

    Attributes:
        entries: What is on it.
        token: What the next page is asked for with; empty after the last one.
        total: How many entries all pages have.
    """

    entries: list[dict[str, JsonValue]]
    token: str = Field(default="", alias="next_page_token")
    total: int = Field(default=0, alias="total_size", ge=0)


def _filter(where: Mapping[str, str]) -> str:
    """Returns a filter as the API takes it: escaped once more than the rest of a query."""
    predicates = [
        {"operation": "EQUALS", "key": key, "stringValue": value} for key, value in where.items()
    ]
    return quote(json.dumps({"predicates": predicates}))


@contextlib.contextmanager
def _explained(host: str, namespace: str | None, timeout: float) -> Iterator[None]:
    """Turns what the client raises into a line."""
    import urllib3
    from google.auth.exceptions import GoogleAuthError
    from kfp_server_api import ApiException

    try:
        yield
    except ApiException as error:
        document = _document(error)
        is_gone = document is not None and document.code == _NOT_FOUND
        kind = Gone if error.status == GONE and is_gone else ServerError
        raise kind(_refusal(host, namespace, error), error.status) from error
    except urllib3.exceptions.HTTPError as error:
        raise _unanswered(host, error, timeout) from error
    except TfxTfliteError:
        raise
    except RecursionError as error:
        raise ServerError(f"{host}: the answer has too many levels to be read") from error
    except (GoogleAuthError, ValueError, OSError) as error:
        raise ServerError(f"{host}: {_shortened(str(error))}") from error


def _unanswered(host: str, error: Exception, timeout: float) -> ServerError:
    """Returns the error of a server that does not answer."""
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    cause = getattr(error, "reason", None) or error
    if isinstance(cause, ReadTimeoutError):
        return AnswerLost(f"{host} did not answer within {timeout:g} seconds")
    if isinstance(cause, ProtocolError):
        return AnswerLost(f"{host} closed the connection without an answer: {_why(cause)}")
    return ServerError(f"no Kubeflow Pipelines server answers at {host}: {_why(cause)}")


def _why(error: object) -> str:
    return _shortened(_CONNECTION.sub("", str(error)))


def _refusal(host: str, namespace: str | None, error: "ApiException") -> str:
    document = _document(error)
    reason = f": {_shortened(_reason(document))}" if _reason(document) else ""
    if error.status == 401:
        return (
            f"{host} does not take the credentials (401{reason}); they are the KFP client's own, "
            "see docs/kubeflow.md"
        )
    if error.status == 403:
        where = f"namespace {namespace!r}" if namespace else "its namespace"
        return f"{host} does not allow this in {where} (403{reason}); is kubeflow.namespace right?"
    if error.status == 0:
        return f"no connection to {host} can be trusted: {_shortened(str(error.reason))}"
    if error.status == 404 and document is None:
        return (
            f"no Kubeflow Pipelines API is at {host}{_API} (404); --host is the address before "
            f"/apis: {_other_address(host)}"
        )
    return f"{host} refuses this ({error.status}{reason})"


def _other_address(host: str) -> str:
    """Returns what to try where the API is not at an address: with or without a path."""
    parts = urlsplit(host)
    if parts.path.strip("/"):
        return f"try {parts.scheme}://{parts.netloc}, without {parts.path}"
    return f"Kubeflow's own pages often have it at {host.rstrip('/')}/pipeline"


def _document(error: "ApiException") -> _Refusal | None:
    """Returns the document of an error; None if the server answered something else."""
    try:
        return _Refusal.model_validate_json(error.body or "")
    except ValidationError:
        return None


def _reason(document: _Refusal | None) -> str:
    """Returns what a server says of an error; empty if it says nothing.

    The details hold the cause alone, which the message repeats for every layer of the server. Of an
    error of the server itself they hold nothing, and the message may have a stack trace of Go.
    """
    if document is None:
        return ""
    if document.code != _INTERNAL and document.details and document.details[0].message:
        return str(document.details[0].message)
    message = str(document.message or document.error or "")
    return "; ".join(line for line in _GO_FRAME.sub("", message).splitlines() if line.strip())


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SERVER_SAYS else line[: _SERVER_SAYS - 1] + "…"
