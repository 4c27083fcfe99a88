"""Places in object stores, by their URIs. Importing this loads no client of a store."""

import posixpath
from dataclasses import dataclass

# The schemes of the stores that there is a client for.
SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
# Those whose URIs are a bucket and a name, and nothing else; artifacts may be there.
PLAIN_SCHEMES = ("s3", "gs", "az")
# Seconds until a store that has not answered is given up.
TIMEOUT = 30.0


@dataclass(frozen=True)
class Place:
    """A place in a bucket.

    Attributes:
        bucket: The URI of the bucket.
        name: The name of an object, or the folder that names of objects begin with; empty for the
            bucket itself.
    """

    bucket: str
    name: str

    @classmethod
    def of(cls, uri: str) -> "Place":
        """Returns the place that a URI names.

        Raises:
            ValueError: It names no bucket.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, name = rest.partition("/")
        if not bucket:
            raise ValueError(f"{uri} names no bucket; write {scheme}://BUCKET/FOLDER")
        clean = posixpath.normpath(f"/{name}").lstrip("/")
        return cls(f"{scheme}://{bucket}", clean)

    @property
    def uri(self) -> str:
        """The URI, without a slash at its end."""
        return f"{self.bucket}/{self.name}".rstrip("/")


def scheme_of(uri: str) -> str:
    """Returns the scheme of a URI; empty for a path on this machine."""
    scheme, separator, _ = uri.partition("://")
    return scheme if separator else ""
