"""What is asked of an object store, one request a method, through obstore.

Tests put a class of their own in its place, which stops the process between any two requests.
"""

import configparser
import contextlib
import hashlib
import itertools
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import S3Store, from_url

from tfx_tflite.components.object_stores.answers import Answer
from tfx_tflite.components.object_stores.places import SCHEMES, TIMEOUT

if TYPE_CHECKING:
    from obstore import (
        Attributes,
        GetOptions,
        GetResult,
        ObjectMeta,
        PutMode,
        PutResult,
        UpdateVersion,
    )
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

# Endpoints of S3 by the names that TensorFlow's plugin and Amazon's tools give them.
_ENDPOINTS = ("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
# Nothing puts an object of this name.
_NEVER_THERE = ".none"
# An attribute of objects: the digest of what they hold.
_DIGEST = "sha256"
# How often what came garbled is asked for.
_READS = 3
_NOT_FOUND = 404
# Of a file that is read or written piece by piece.
_CHUNK = 1 << 20

# Requests in a row that may be tried for the whole timeout, and seconds for each that follows.
_PATIENCE = 2
_CONNECT = 10.0
# A part of 5 MB may take so many times as long as an answer.
_UPLOADS = 10
_SHORT = 3.0


class ConflictError(OSError):
    """An object is there already, or is not the one that was to be replaced."""


class RequestError(OSError):
    """A store fails.

    Args:
        reason: What it said.
        path: Where.
        was_lost: Whether it said nothing: what was sent may have been done, or may still be.
        may_have_been_done: Whether what was asked for may have been done.
        status: Of HTTP; 0 if nothing was answered.
    """

    def __init__(
        self,
        reason: str,
        path: str,
        was_lost: bool = False,
        may_have_been_done: bool = False,
        status: int = 0,
    ):
        super().__init__(5, reason, path)
        self.status = status
        self.was_lost = was_lost
        self.may_have_been_done = may_have_been_done


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


@dataclass(frozen=True)
class ObjectState:
    """What a store says of an object without giving it.

    Attributes:
        size: In bytes.
        changed: When it was written, in seconds since 1970.
        e_tag: The store's digest of it; None if it has none.
    """

    size: int
    changed: float
    e_tag: str | None


@dataclass(frozen=True)
class _Limits:
    """How long a request may take.

    Attributes:
        tries: Seconds within which it may be sent again.
        answer: Seconds to be connected, and for each piece of an answer.
    """

    tries: float
    answer: float

    @classmethod
    def within(cls, timeout: float) -> "_Limits":
        """Returns the limits of a request that ends within some seconds, if nothing answers.

        The last try begins when two thirds of them have passed, and has the last third.
        """
        return cls(tries=timeout * 2 / 3, answer=timeout / 3)

    def for_uploads(self) -> "_Limits":
        """Returns the limits of requests whose answer only comes when all was sent."""
        return _Limits(tries=self.tries, answer=self.answer * _UPLOADS)

    def client_options(self) -> "ClientConfig":
        return {
            "connect_timeout": timedelta(seconds=min(self.answer, _CONNECT)),
            "read_timeout": timedelta(seconds=self.answer),
            # Of a whole request with all of its answer; it is the pieces that are waited for.
            "timeout": timedelta(hours=6),
        }

    def retries(self) -> "RetryConfig":
        return {
            "max_retries": 100,
            "retry_timeout": timedelta(seconds=self.tries),
            "backoff": {
                "init_backoff": timedelta(seconds=min(0.1, self.tries / 10)),
                "max_backoff": timedelta(seconds=max(0.1, self.tries / 5)),
                "base": 2,
            },
        }


class ObjectRequests:
    """Requests to the objects below a URI; each raises OSError if the store fails.

    Args:
        uri: The URI, of one of `SCHEMES`.
        timeout: Seconds until a store that does not answer is given up.
    """

    def __init__(self, uri: str, timeout: float = TIMEOUT):
        self._uri = uri
        self.timeout = timeout
        self._lost = 0

    @property
    def _store(self) -> "ObjectStore":
        """Asks again for as long as the timeout is, but not once more for each request in a row."""
        return self._patient if self._lost < _PATIENCE else self._impatient

    @cached_property
    def _patient(self) -> "ObjectStore":
        return self._opened(_Limits.within(self.timeout))

    @cached_property
    def _impatient(self) -> "ObjectStore":
        return self._opened(_Limits.within(min(_SHORT, self.timeout)))

    @cached_property
    def _for_uploads(self) -> "ObjectStore":
        return self._opened(_Limits.within(self.timeout).for_uploads())

    def _opened(self, limits: "_Limits") -> "ObjectStore":
        scheme = self._uri.partition("://")[0]
        if scheme not in SCHEMES:
            raise OSError(
                95, f"there is no object store for {scheme}://; known are {', '.join(SCHEMES)}"
            )
        client, retries = limits.client_options(), limits.retries()
        if scheme != "s3":
            client["allow_http"] = _has_plain_endpoint(os.environ)
            return from_url(self._uri, client_options=client, retry_config=retries)
        config, options = _s3_options(os.environ)
        return S3Store.from_url(
            self._uri, config=config, client_options={**client, **options}, retry_config=retries
        )

    def place(self, name: str) -> str:
        """Returns the URI of an object or a directory."""
        return f"{self._uri}/{name}".rstrip("/")

    def children(self, directory: str) -> tuple[list[str], list[str]]:
        """Returns the names of the objects, and of the directories, in a directory."""
        with self._errors(directory):
            found = obstore.list_with_delimiter(self._store, directory or None)
        objects = [meta["path"] for meta in found["objects"]]
        return _below(directory, objects), _below(directory, found["common_prefixes"])

    def descendants(self, directory: str) -> dict[str, int]:
        """Returns the sizes of all objects below a directory, by their names relative to it."""
        with self._errors(directory):
            batches = list(obstore.list(self._store, directory))
        found = {
            name: meta["size"]
            for batch in batches
            for meta in batch
            for name in _below(directory, [meta["path"]])
        }
        # TensorFlow's plugin, which earlier versions pushed with, puts objects for directories.
        directories = {str(parent) for name in found for parent in PurePosixPath(name).parents}
        return {name: found[name] for name in sorted(found) if name not in directories}

    def get(self, name: str) -> tuple[bytes, ObjectVersion]:
        """Returns an object's bytes and version; FileNotFoundError if it is not there.

        What something between here and the store has cut, or answered in its place, is asked for
        again.
        """
        for _ in range(_READS):
            with self._errors(name):
                found = obstore.get(self._store, name)
                content = found.bytes().to_bytes()
            received = _Received()
            received.add(content)
            if self._is_genuine(name, received, found.meta, found.attributes):
                return content, ObjectVersion.of(found.meta)
        raise _garbled(self.place(name))

    def download(self, name: str, file: IO[bytes]) -> None:
        """Writes an object's bytes to a file, however many; FileNotFoundError if it is not there.

        What came garbled is asked for again, as `get` does.

        Args:
            name: The object.
            file: An empty file; after an error there may be anything in it.
        """
        for _ in range(_READS):
            file.seek(0)
            file.truncate()
            received = _Received()
            with self._errors(name):
                found = obstore.get(self._store, name)
                for chunk in found.stream(min_chunk_size=_CHUNK):
                    received.add(bytes(chunk))
                    file.write(chunk)
            if self._is_genuine(name, received, found.meta, found.attributes):
                return
        raise _garbled(self.place(name))

    def get_part(self, name: str, start: int, length: int, e_tag: str | None) -> bytes:
        """Returns some of an object's bytes, which nothing but their number is checked of.

        Args:
            name: The object.
            start: The place of the first byte.
            length: The number of bytes.
            e_tag: Of the object that is read, so that all its parts are of one version; None if
                its store has no such thing.

        Raises:
            ConflictError: The object is another one now.
        """
        options: GetOptions = {"range": (start, start + length)}
        if e_tag is not None:
            options["if_match"] = e_tag
        for _ in range(_READS):
            with self._errors(name):
                content = obstore.get(self._store, name, options=options).bytes()
            if len(content) == length:
                return content.to_bytes()
        raise _garbled(self.place(name))

    def state(self, name: str) -> ObjectState:
        """Returns what the store says of an object; FileNotFoundError if it is not there."""
        found = self._head(name).meta
        return ObjectState(found["size"], found["last_modified"].timestamp(), found["e_tag"])

    def digest(self, name: str) -> str | None:
        """Returns the SHA-256 digest that an object was put with; None if it has none."""
        return self._head(name).attributes.get(_DIGEST)

    def _head(self, name: str) -> "GetResult":
        """Returns what the store says of an object without giving it."""
        try:
            with self._errors(name):
                return obstore.get(self._store, name, options={"head": True})
        except RequestError as error:
            if error.status != _NOT_FOUND:
                raise
        # Such an answer has no words, so that it does not say whether there is a bucket.
        self.get(name)
        raise _garbled(self.place(name))

    def _is_genuine(
        self, name: str, received: "_Received", meta: "ObjectMeta", attributes: "Attributes"
    ) -> bool:
        """Returns whether the store keeps these bytes, by the digest that they were put with.

        Objects of others, and of earlier versions of this program, have none. Most stores tell the
        MD5 digest of such ones as their e-tag; of the others the listing tells e-tag and size.
        """
        digest = attributes.get(_DIGEST)
        if digest is not None:
            return digest == received.sha256.hexdigest()
        e_tag = _plain(meta["e_tag"])
        if e_tag == received.md5.hexdigest():
            return True
        with self._errors(name):
            entry = self._listed(name)
        return (
            entry is not None and entry["size"] == received.size and _plain(entry["e_tag"]) == e_tag
        )

    def _listed(self, name: str) -> "ObjectMeta | None":
        """Returns an object as the listing of its directory has it; None if that has it not.

        A prefix is a directory here, so a single object cannot be listed. The listing begins just
        before it instead: each of many files would otherwise be looked for among all of them.
        """
        directory = posixpath.dirname(name) or None
        # Not all stores list in the order of the names, so the second one begins at the beginning.
        for offset in (name[:-1], None):
            batches = obstore.list(self._store, directory, offset=offset)
            listed = itertools.chain.from_iterable(batches)
            found = next((entry for entry in listed if entry["path"] == name), None)
            if found is not None:
                return found
        return None

    def put(self, name: str, content: bytes) -> None:
        """Puts an object, in place of one that is there."""
        with self._errors(name):
            # In parts, of which one at a time has the line to itself.
            obstore.put(
                self._for_uploads,
                name,
                content,
                attributes=_attributes(content),
                max_concurrency=1,
            )

    def upload(self, name: str, file: IO[bytes]) -> None:
        """Puts what a file holds as an object, in place of one that is there, whole or not at all.

        Args:
            name: The object.
            file: A file that can be read from its beginning.
        """
        received = _Received()
        file.seek(0)
        while chunk := file.read(_CHUNK):
            received.add(chunk)
        file.seek(0)
        with self._errors(name):
            obstore.put(
                self._for_uploads,
                name,
                file,
                attributes={_DIGEST: received.sha256.hexdigest()},
                max_concurrency=1,
            )

    def copy(self, source: str, target: str) -> None:
        """Puts an object's bytes as another one, in place of one that is there."""
        with self._errors(source):
            obstore.copy(self._for_uploads, source, target)

    def create(self, name: str, content: bytes) -> ObjectVersion:
        """Puts an object if there is none of the name; else ConflictError."""
        return self._put_if("create", name, content)

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        """Puts an object in place of one version of it; ConflictError if it is another by now."""
        return self._put_if(version.condition(), name, content)

    def _put_if(self, mode: "PutMode", name: str, content: bytes) -> ObjectVersion:
        with self._errors(name):
            answer = obstore.put(
                self._store, name, content, attributes=_attributes(content), mode=mode
            )
        return ObjectVersion.of(answer)

    def is_directory(self, name: str) -> bool:
        """Returns whether there are objects whose names begin with that of a directory."""
        with self._errors(name):
            batches = obstore.list(self._store, name or None, chunk_size=2)
            return any(_below(name, (meta["path"] for meta in batch)) for batch in batches)

    def delete(self, name: str) -> None:
        """Deletes an object, or finds it gone."""
        with self._errors(name), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def check_bucket(self) -> None:
        """Makes sure that there is a bucket: a server may list one that is not there as empty."""
        try:
            self.get(_NEVER_THERE)
        except FileNotFoundError:
            return
        raise _garbled(self.place(_NEVER_THERE))

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Raises OSError for the errors of obstore; FileNotFoundError only for a missing object."""
        path = self.place(name)
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            self._lost = 0
            raise ConflictError(17, "another process has changed it", path) from error
        except (exceptions.BaseError, FileNotFoundError) as error:
            answer = Answer.of(error)
            self._lost = self._lost + 1 if answer.is_none else 0
            if answer.says_there_is_no_object:
                raise FileNotFoundError(2, "there is no such object", path) from error
            raise RequestError(
                answer.reason, path, answer.is_none, answer.may_have_been_done, answer.status
            ) from error
        self._lost = 0


class _Received:
    """What came of an object so far."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)

    def add(self, chunk: bytes) -> None:
        """Adds the next bytes."""
        self.size += len(chunk)
        self.sha256.update(chunk)
        self.md5.update(chunk)


def _garbled(path: str) -> RequestError:
    reason = "not understood (what came is not what the store keeps)"
    return RequestError(reason, path, was_lost=True, may_have_been_done=True)


def _attributes(content: bytes) -> "Attributes":
    return {_DIGEST: hashlib.sha256(content).hexdigest()}


def _plain(e_tag: str | None) -> str:
    """Returns an e-tag as listings and answers both have it."""
    return (e_tag or "").removeprefix("W/").strip('"')


def _below(directory: str, paths: Iterable[str]) -> list[str]:
    """Returns paths relative to a directory, which may be there as an object of its own."""
    names = (path.removeprefix(directory).strip("/") for path in paths)
    return sorted(name for name in names if name)


def _s3_options(environment: Mapping[str, str]) -> tuple["S3Config", "ClientConfig"]:
    """Returns what obstore does not read from the environment by itself."""
    config = _shared_credentials(environment)
    client: ClientConfig = {}
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


def _has_plain_endpoint(environment: Mapping[str, str]) -> bool:
    """Returns whether the endpoint of Azure in the environment has no TLS: one on this machine."""
    return any(environment.get(name, "").startswith("http://") for name in _AZURE_ENDPOINTS)


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
