"""What is asked of an object store, one request a method, through obstore.

Tests put a class of their own in its place, which stops the process between any two requests.
"""

import configparser
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import S3Store, from_url

from tfx_tflite.components.destinations.stores.answers import Answer

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
# Endpoints of S3 by the names that TensorFlow's plugin and Amazon's tools give them.
_ENDPOINTS = ("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# Nothing puts an object of this name.
_NEVER_THERE = ".none"


class ConflictError(OSError):
    """An object is there already, or is not the one that was to be replaced."""


@dataclass(frozen=True)
class ObjectVersion:
    """Tells what an object holds from what it held before.

    Attributes:
        e_tag: The store's digest of it.
        version: The store's number of it; None if it does not number.
    """

    e_tag: str | None
    version: str | None

    @classmethod
    def of(cls, answer: "PutResult | ObjectMeta") -> "ObjectVersion":
        """Returns the version in a store's answer."""
        return cls(answer["e_tag"], answer["version"])

    def condition(self) -> "UpdateVersion":
        """Returns the condition that an object is still this version."""
        condition: UpdateVersion = {}
        if self.e_tag is not None:
            condition["e_tag"] = self.e_tag
        if self.version is not None:
            condition["version"] = self.version
        return condition


class ObjectRequests:
    """Requests to the objects below a URI; each raises OSError if the store fails.

    Args:
        uri: The URI, of one of `SCHEMES`.
    """

    def __init__(self, uri: str):
        self._uri = uri

    @cached_property
    def _store(self) -> "ObjectStore":
        scheme = self._uri.partition("://")[0]
        if scheme not in SCHEMES:
            raise OSError(
                95, f"there is no object store for {scheme}://; known are {', '.join(SCHEMES)}"
            )
        # A store that does not answer is said to be so within half a minute.
        retries: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
        if scheme == "s3":
            config, client = _s3_options(os.environ)
            return S3Store.from_url(
                self._uri, config=config, client_options=client, retry_config=retries
            )
        return from_url(self._uri, client_options=_client_options(), retry_config=retries)

    def children(self, directory: str) -> tuple[list[str], list[str]]:
        """Returns the names of the objects, and of the directories, in a directory."""
        with self._errors(directory):
            found = obstore.list_with_delimiter(self._store, directory or None)
        objects = [meta["path"] for meta in found["objects"]]
        return _below(directory, objects), _below(directory, found["common_prefixes"])

    def descendants(self, directory: str) -> list[str]:
        """Returns the names of all objects below a directory, relative to it."""
        with self._errors(directory):
            batches = list(obstore.list(self._store, directory))
        found = _below(directory, [meta["path"] for batch in batches for meta in batch])
        # TensorFlow's plugin, which earlier versions pushed with, puts objects for directories.
        directories = {str(parent) for name in found for parent in PurePosixPath(name).parents}
        return [name for name in found if name not in directories]

    def get(self, name: str) -> tuple[bytes, ObjectVersion]:
        """Returns an object's bytes and version; FileNotFoundError if it is not there."""
        with self._errors(name):
            found = obstore.get(self._store, name)
            return found.bytes().to_bytes(), ObjectVersion.of(found.meta)

    def put(self, name: str, content: bytes) -> None:
        """Puts an object, in place of one that is there."""
        with self._errors(name):
            obstore.put(self._store, name, content)

    def create(self, name: str, content: bytes) -> ObjectVersion:
        """Puts an object if there is none of the name; else ConflictError."""
        with self._errors(name):
            return ObjectVersion.of(obstore.put(self._store, name, content, mode="create"))

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        """Puts an object in place of one version of it; ConflictError if it is another by now."""
        with self._errors(name):
            mode = version.condition()
            return ObjectVersion.of(obstore.put(self._store, name, content, mode=mode))

    def delete(self, name: str) -> None:
        """Deletes an object, or finds it gone."""
        with self._errors(name), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def check_bucket(self) -> None:
        """Makes sure that there is a bucket: a server may list one that is not there as empty."""
        with contextlib.suppress(FileNotFoundError):
            self.get(_NEVER_THERE)

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Raises OSError for the errors of obstore; FileNotFoundError only for a missing object."""
        path = f"{self._uri}/{name}".rstrip("/")
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise ConflictError(17, "another process has changed it", path) from error
        except (exceptions.BaseError, FileNotFoundError) as error:
            answer = Answer.of(error)
            if answer.says_there_is_no_object:
                raise FileNotFoundError(2, "there is no such object", path) from error
            raise OSError(5, answer.reason, path) from error


def _below(directory: str, paths: Iterable[str]) -> list[str]:
    """Returns paths relative to a directory, which may be there as an object of its own."""
    names = (path.removeprefix(directory).strip("/") for path in paths)
    return sorted(name for name in names if name)


def _client_options() -> "ClientConfig":
    return {"connect_timeout": timedelta(seconds=10)}


def _s3_options(environment: Mapping[str, str]) -> tuple["S3Config", "ClientConfig"]:
    """Returns what obstore does not read from the environment by itself."""
    config, client = _shared_credentials(environment), _client_options()
    endpoint = next((environment[name] for name in _ENDPOINTS if environment.get(name)), None)
    if endpoint is not None:
        plain = environment.get("S3_USE_HTTPS") == "0"
        if "://" not in endpoint:
            endpoint = f"{'http' if plain else 'https'}://{endpoint}"
        config["endpoint"] = endpoint
        client["allow_http"] = endpoint.startswith("http://")
    if region := environment.get("AWS_REGION") or environment.get("S3_REGION"):
        config["region"] = region
    if environment.get("S3_VERIFY_SSL") == "0":
        client["allow_invalid_certificates"] = True
    if authority := environment.get("S3_CA_FILE"):
        client["root_certificate"] = Path(authority).read_bytes()
    return config, client


def _shared_credentials(environment: Mapping[str, str]) -> "S3Config":
    """Returns the keys of the profile in Amazon's file if the environment has none."""
    config: S3Config = {}
    if environment.get("AWS_ACCESS_KEY_ID"):
        return config
    default = Path(environment.get("HOME", "/")) / ".aws" / "credentials"
    profiles = configparser.RawConfigParser()
    profiles.read(environment.get("AWS_SHARED_CREDENTIALS_FILE", default))
    profile = environment.get("AWS_PROFILE", "default")
    if profiles.has_option(profile, "aws_access_key_id"):
        config["access_key_id"] = profiles.get(profile, "aws_access_key_id")
        config["secret_access_key"] = profiles.get(profile, "aws_secret_access_key")
        if profiles.has_option(profile, "aws_session_token"):
            config["session_token"] = profiles.get(profile, "aws_session_token")
    return config
