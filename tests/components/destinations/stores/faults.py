"""A proxy between a client and an object store that does to one request what networks do."""

import enum
import http.client
import socket
import socketserver
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

_UPSTREAM_LIMIT = 20.0
_NO_BODY = {204, 304}
_OF_ONE_CONNECTION = {"connection", "transfer-encoding", "keep-alive"}


class Fault(enum.Enum):
    """What happens to a request."""

    CUT_BEFORE = "the connection is cut before it reaches the store"
    CUT_AFTER = "the store has done it, the connection is cut before the answer"
    SLOW = "the answer is late, but in time"
    TOO_LATE = "the store has done it, the answer comes when nobody waits any more"
    HALF = "half of the answer's body, then the connection is cut"
    TOO_SHORT = "an answer of which the length says less than there is"
    TOO_LONG = "an answer of which the length says more than there is"
    GARBLED = "a page of somebody else in place of the answer"
    WRONG_REGION = 400
    DENIED = 403
    NOT_FOUND = 404
    CONFLICT = 412
    TOO_MANY = 429
    INTERNAL = 500
    UNAVAILABLE = 503
    MOVED = "301, to another page"
    FOUND = "302, to another page"
    ELSEWHERE = "307, to where nobody listens"
    NOWHERE = "301, without saying where to"


_BODIES = {
    400: b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is "
    b"malformed; the region 'us-east-1' is wrong</Message></Error>",
    403: b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    # Of something between: it does not say what is not there.
    404: b"<html>404 page not found</html>",
    412: b"<Error><Code>PreconditionFailed</Code><Message>Did not hold</Message></Error>",
    429: b"<Error><Code>TooManyRequests</Code><Message>Slow down</Message></Error>",
    500: b"<Error><Code>InternalError</Code><Message>We do not know</Message></Error>",
    503: b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>",
}
_PAGE = b"<html>Please log in to the network</html>"


@dataclass(frozen=True)
class Request:
    """A request, with all of its body."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer, with all of its body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class FaultyProxy:
    """Forwards requests, and does something to some of them.

    Args:
        port: Of the store on this machine.
        slow: Seconds that are late, but in time.
        too_late: Seconds after which nobody waits any more.
    """

    def __init__(self, port: int, slow: float = 0.2, too_late: float = 2.0):
        self._upstream = port
        self._slow, self._too_late = slow, too_late
        self._guard = threading.Lock()
        self._plan: Mapping[int, Fault] = {}
        self._seen = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "FaultyProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def seen(self) -> int:
        """How many requests have come since the last plan."""
        return self._seen

    def plan(self, faults: Mapping[int, Fault]) -> None:
        """Says what happens to which of the requests from now on, counted from 0."""
        with self._guard:
            self._plan, self._seen = faults, 0

    def fault(self) -> Fault | None:
        """Returns what happens to the next request."""
        with self._guard:
            self._seen += 1
            return self._plan.get(self._seen - 1)

    def answer(self, request: Request, fault: Fault | None) -> Answer | None:
        """Returns the answer to a request; None if the connection is cut instead."""
        if fault is Fault.CUT_BEFORE:
            return None
        if fault is not None and isinstance(fault.value, int):
            return Answer(fault.value, (("Content-Type", "application/xml"),), _BODIES[fault.value])
        if fault is Fault.GARBLED:
            return Answer(200, (("Content-Type", "text/html"), ("ETag", '"0"')), _PAGE)
        if fault in (Fault.MOVED, Fault.FOUND, Fault.ELSEWHERE, Fault.NOWHERE):
            return self._redirection(request, fault)
        answer = self._forwarded(request)
        if fault is Fault.CUT_AFTER:
            return None
        if fault is Fault.SLOW:
            time.sleep(self._slow)
        if fault is Fault.TOO_LATE:
            time.sleep(self._too_late)
        return answer

    def _redirection(self, request: Request, fault: Fault) -> Answer:
        if fault is Fault.NOWHERE:
            return Answer(301, (), b"")
        if fault is Fault.ELSEWHERE:
            return Answer(307, (("Location", f"http://127.0.0.1:9{request.path}"),), b"")
        status = 301 if fault is Fault.MOVED else 302
        return Answer(status, (("Location", f"{self.endpoint}/login"),), b"")

    def _forwarded(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, _UPSTREAM_LIMIT)
        try:
            connection.putrequest(
                request.method, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name.lower() not in _OF_ONE_CONNECTION:
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
            headers = tuple(
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in {*_OF_ONE_CONNECTION, "content-length"}
            )
            return Answer(response.status, headers, body)
        except OSError:
            return Answer(502, (), b"<html>Bad gateway</html>")
        finally:
            connection.close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    proxy: FaultyProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: that connections break is what this is for."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Answers one request after another until the connection ends."""
        while True:
            line = self.rfile.readline()
            if not line.strip():
                return
            method, path, _ = line.decode("latin-1").split(" ", 2)
            headers = http.client.parse_headers(self.rfile)
            body = self.rfile.read(int(headers.get("Content-Length", 0)))
            if path == "/login":
                self._send(method, Answer(200, (("ETag", '"0"'),), _PAGE), None)
                continue
            fault = self.server.proxy.fault()
            answer = self.server.proxy.answer(Request(method, path, headers, body), fault)
            if answer is None or not self._send(method, answer, fault):
                self._cut()
                return

    def _send(self, method: str, answer: Answer, fault: Fault | None) -> bool:
        """Sends an answer, and returns whether the connection goes on."""
        length, body = len(answer.body), answer.body
        if fault is Fault.HALF:
            body = body[: length // 2]
        elif fault is Fault.TOO_SHORT:
            length //= 2
            body = body[:length]
        elif fault is Fault.TOO_LONG:
            length += 10
        head = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Odd')}"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        if answer.status not in _NO_BODY:
            head.append(f"Content-Length: {length}")
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        if method != "HEAD" and answer.status not in _NO_BODY:
            self.wfile.write(body)
        return fault not in (Fault.HALF, Fault.TOO_LONG, Fault.TOO_SHORT)

    def _cut(self) -> None:
        self.wfile.flush()
        # With a reset, as a machine that is gone.
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        self.connection.close()
