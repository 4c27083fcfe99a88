"""SeaweedFS, a real object store that speaks S3: built once where Go is, and run on this machine.

`build.sh` builds it into a cache outside the checkout; `.ci/run` begins with that.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.pipelines.metadata.servers import free_port, wait_for
from tfx_tflite.components.locks import locked

HERE = Path(__file__).parent
IDENTITIES = HERE / "identities.json"
_BUILD_LIMIT = 900.0
_TRIES = 100


class NotThereError(Exception):
    """SeaweedFS cannot be had here."""


def cache() -> Path:
    """Returns the directory, outside the checkout, in which servers for tests are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tfx-tflite"


def weed() -> Path:
    """Returns the program, which is built if it is not there and Go is.

    Raises:
        NotThereError: There is no Go, or it cannot build it (without a network, for instance).
    """
    directory = cache() / "weed"
    program = directory / "weed"
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise NotThereError(f"there is no {program}, and no Go to build SeaweedFS with")
    directory.mkdir(parents=True, exist_ok=True)
    with (
        locked(directory / ".lock", _BUILD_LIMIT),
        contextlib.suppress(subprocess.TimeoutExpired),
    ):
        subprocess.run(["sh", HERE / "build.sh", directory], timeout=_BUILD_LIMIT)
    if not program.exists():
        raise NotThereError(f"SeaweedFS cannot be built, see {directory / 'build.log'}")
    return program


class SeaweedFS:
    """A server with a bucket `models`; each identity's secret is its name with `-secret`.

    Args:
        directory: Where its data and its log are.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        self._grpc = {name: free_port() for name in self._ports}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Of S3."""
        return self._ports["s3"]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, with what was in it when it was killed; returns when it answers."""
        data = self._directory / "data"
        data.mkdir(exist_ok=True)
        log = self._directory / "log"
        ports = [
            option
            for name in self._ports
            for option in (
                f"-{name}.port={self._ports[name]}",
                f"-{name}.port.grpc={self._grpc[name]}",
            )
        ]
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [
                    weed(),
                    "server",
                    f"-dir={data}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    *ports,
                    "-filer",
                    "-s3",
                    f"-s3.config={IDENTITIES}",
                    "-s3.autoCreateBucket=false",
                    "-s3.iam=false",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    # One server needs no long election, which is 10 s at each start otherwise.
                    "-master.electionTimeout=1s",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=0",
                    # By default it takes nothing on a disk that is 99 % full, and clients wait.
                    "-volume.minFreeSpace=256MiB",
                ],
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        wait_for(self.port, self._process, log)

    def kill(self) -> None:
        """Ends it as `kill -9` does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kills it and starts it again; returns when it takes writes."""
        self.kill()
        self.start()
        self.make_bucket("again")

    def environment(self, identity: str = "all", endpoint: str | None = None) -> dict[str, str]:
        """Returns the variables with which an identity reaches it.

        Args:
            identity: Its name; any other is unknown to the server.
            endpoint: What stands between; None for nothing.
        """
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": identity,
            "AWS_SECRET_ACCESS_KEY": f"{identity}-secret",
            "AWS_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> None:
        """Makes a bucket, as soon as the server can."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        variables = self.environment()
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        for _ in range(_TRIES):
            with contextlib.suppress(BotoCoreError, ClientError):
                client.create_bucket(Bucket=name)
            with contextlib.suppress(BotoCoreError, ClientError):
                client.put_object(Bucket=name, Key="ready", Body=b"ready")
                client.get_object(Bucket=name, Key="ready")["Body"].read()
                return
            time.sleep(0.2)
        raise NotThereError(f"SeaweedFS does not make a bucket, see {self._directory / 'log'}")


@contextlib.contextmanager
def running(directory: Path) -> Iterator[SeaweedFS]:
    """Runs a server while the block does.

    Raises:
        NotThereError: It cannot be had here.
    """
    weed()
    server = SeaweedFS(directory)
    try:
        server.start()
        server.make_bucket("models")
        yield server
    finally:
        server.kill()
