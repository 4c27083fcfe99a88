"""Azurite, Microsoft's own stand-in for Azure's store of objects, where Node is."""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.components.destinations.stores.seaweedfs.server import NotThereError, cache
from tests.pipelines.metadata.servers import free_port, wait_for
from tfx_tflite.components.locks import locked

_PACKAGE = "azurite@3.37.0"
_INSTALL_LIMIT = 300.0
_API = "2021-08-06"
# Those that every Azurite has; Microsoft's documentation names them.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def program() -> Path:
    """Returns the program, which is installed into the tests' cache if it is not there.

    Raises:
        NotThereError: There is no Node, or it cannot be installed (without a network).
    """
    directory = cache() / "azurite"
    found = directory / "node_modules" / ".bin" / "azurite-blob"
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        raise NotThereError("there is no Node to run Azurite with")
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / ".lock", _INSTALL_LIMIT):
        if not found.exists():
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", directory, _PACKAGE]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, timeout=_INSTALL_LIMIT)
    if not found.exists():
        raise NotThereError(f"Azurite cannot be installed into {directory}")
    return found


def environment(port: int) -> dict[str, str]:
    """Returns the variables with which a server at a port is reached."""
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
    }


@contextlib.contextmanager
def running(directory: Path) -> Iterator[int]:
    """Runs a server with a container `models`, and yields its port.

    Raises:
        NotThereError: It cannot be had here.
    """
    port, log = free_port(), directory / "log"
    options = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [program(), *options, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
            cwd=directory,
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for(port, process, log)
        _make_container(port, "models")
        yield port
    finally:
        process.kill()
        process.wait()


def _make_container(port: int, name: str) -> None:
    date = email.utils.formatdate(usegmt=True)
    lines = ["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{_API}"]
    lines += [f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"]
    digest = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{ACCOUNT}/{name}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": _API,
            "Authorization": f"SharedKey {ACCOUNT}:{signature}",
        },
    )
    urllib.request.urlopen(request).close()
