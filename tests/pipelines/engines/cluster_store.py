"""An object store that the hosts of the cluster reach, and nobody else: moto on one of them."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from tests.pipelines.engines.cluster_hosts import Host

_BUCKET, _PORT = "models", 5555
# The object that makes a folder, which is no file of the run.
_FOLDER = ".folder"


class HostStore:
    """A store with a bucket.

    Args:
        host: Where it runs.
    """

    def __init__(self, host: Host):
        self._host = host
        self._endpoint = f"http://{host.address}:{_PORT}"

    @property
    def variables(self) -> Mapping[str, str]:
        """What says how it is reached."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self._endpoint,
        }

    def start(self, log: Path) -> None:
        """Starts it; the host ends it."""
        server = [sys.executable, "-m", "moto.server", "-H", self._host.address, "-p", str(_PORT)]
        self._host.start(server, log)
        self._host.wait_for(_PORT)
        self._host.call(lambda: self._client().create_bucket(Bucket=_BUCKET))

    def place(self, name: str) -> str:
        """Returns where a run keeps its artifacts, as in the config."""
        return f"s3://{_BUCKET}/{name}"

    def fetch(self, name: str, directory: Path) -> None:
        """Copies what is below a place to a directory."""
        self._host.call(lambda: self._fetch(name, directory))

    def _fetch(self, name: str, directory: Path) -> None:
        client = self._client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET, Prefix=f"{name}/")
        for key in (entry["Key"] for page in pages for entry in page["Contents"]):
            path = directory / key.removeprefix(f"{name}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.name != _FOLDER:
                # Not `download_file`, whose threads are not on the host.
                path.write_bytes(client.get_object(Bucket=_BUCKET, Key=key)["Body"].read())

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self._endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
