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
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from tfx_tflite.components.errors import ConfigError, TfxTfliteError
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig

if TYPE_CHECKING:
    import kfp
    from kfp_server_api import ApiClient, ApiException, Configuration
    from urllib3.util.retry import Retry

# A document of the API: what is sent may hold parts that are typed elsewhere.
Document: TypeAlias = Mapping[str, object]

GONE = 404
_API = "/apis/v2beta1"
_LIST = TypeAdapter(list[JsonValue])
_SERVER_SAYS = 300
_PAGE = 100
# Seconds, to be connected and for each answer.
CONNECT_LIMIT = 10
ANSWER_LIMIT = 30
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


class AnswerLost(ServerError):
    """A request was sent but never answered: what it asked for may have been done."""


def connect(kubeflow: KubeflowConfig, host: str) -> "Connection":
    """Returns a connection to a server that answers.

    Args:
        kubeflow: Whose namespace is used.
        host: The server's URL.

    Raises:
        ConfigError: That is no URL of a server, or the KFP client's context file cannot be used.
        ServerError: Nothing answers there, or it does not take the credentials.
    """
    _check_host(host)
    with _explained(host, kubeflow.namespace):
        client = _client(host, kubeflow.namespace)
        health = client.get_kfp_healthz()
    namespace = kubeflow.namespace or client.get_user_namespace() or None
    if health.multi_user and not namespace:
        raise ConfigError(
            f"kubeflow.namespace: {host} has many users; say in whose namespace this is, here or "
            f"in {client._LOCAL_KFP_CONTEXT}"
        )
    return Connection(client, host, namespace)


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


def _client(host: str, namespace: str | None) -> "kfp.Client":
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
                document = _answer_to(self._healthz_api.api_client, "GET", "healthz")
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
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the KFP client's settings cannot be read: {error}") from error
    if not isinstance(document, dict) or "namespace" not in document:
        raise ConfigError(
            f'{path}: the KFP client needs a "namespace" there; "" is none in particular'
        )


def _server_document(document: JsonValue, host: str) -> dict[str, JsonValue]:
    if not isinstance(document, dict):
        raise ServerError(
            f"what answers at {host} is not a Kubeflow Pipelines server; a page to log in at?"
        )
    return document


def _answer_to(
    api_client: "ApiClient",
    method: str,
    path: str,
    query: Mapping[str, str | int] | None = None,
    body: Document | None = None,
) -> JsonValue:
    """Returns the document that answers a request; text where it is no JSON."""
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
            _request_timeout=(CONNECT_LIMIT, ANSWER_LIMIT),
        )
    return answer


def _retries() -> "Retry":
    """Returns that what can be asked twice is asked once more; what creates something never is."""
    from urllib3.util.retry import Retry

    return Retry(total=None, connect=1, read=1, redirect=3, status=0, other=0)


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
    """

    def __init__(self, client: "kfp.Client", host: str, namespace: str | None):
        self._client = client
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
        with _explained(self.host, self.namespace):
            api_client = self._client._healthz_api.api_client
            return _server_document(_answer_to(api_client, method, path, query, body), self.host)

    def find(self, path: str) -> dict[str, JsonValue] | None:
        """Returns the document at a path of the API; None if nothing is there.

        Args:
            path: The path, relative to the API's.

        Raises:
            ServerError: The server refuses it or is gone.
        """
        try:
            return self.ask("GET", path)
        except ServerError as error:
            if error.status != GONE:
                raise
            return None

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
        while True:
            page = self.ask("GET", path, query=asked)
            yield from _LIST.validate_python(page.get(key, []))
            if not page.get("next_page_token"):
                return
            asked["page_token"] = str(page["next_page_token"])

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
        try:
            self.ask("DELETE", path)
        except ServerError as error:
            if error.status != GONE:
                raise


def _filter(where: Mapping[str, str]) -> str:
    """Returns a filter as the API takes it: escaped once more than the rest of a query."""
    predicates = [
        {"operation": "EQUALS", "key": key, "stringValue": value} for key, value in where.items()
    ]
    return quote(json.dumps({"predicates": predicates}))


@contextlib.contextmanager
def _explained(host: str, namespace: str | None) -> Iterator[None]:
    """Turns what the client raises into a line."""
    import urllib3
    from google.auth.exceptions import GoogleAuthError
    from kfp_server_api import ApiException

    try:
        yield
    except ApiException as error:
        raise ServerError(_refusal(host, namespace, error), error.status) from error
    except urllib3.exceptions.HTTPError as error:
        raise _unanswered(host, error) from error
    except TfxTfliteError:
        raise
    except (GoogleAuthError, ValueError, OSError) as error:
        raise ServerError(f"{host}: {_shortened(str(error))}") from error


def _unanswered(host: str, error: Exception) -> ServerError:
    """Returns the error of a server that does not answer."""
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    cause = getattr(error, "reason", None) or error
    if isinstance(cause, ReadTimeoutError):
        return AnswerLost(f"{host} did not answer within {ANSWER_LIMIT} seconds")
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
