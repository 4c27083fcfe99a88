"""Tells Beam of the file systems of object stores, as soon as it is imported.

A worker of Beam is a process of its own, maybe on another machine, and what it runs may be all
TFX's, so that nothing there imports this by itself. Beam's option `--beam_plugin` is no help, as
only workers in containers look at it, and not those of a worker pool. So all that is sent to
workers while a run with such artifacts is at work is sent as `Sent`, which imports this first.

Beam has file systems for s3:// and gs://, too, and refuses two of one scheme. Its own for s3://
needs boto3, which nothing here depends on, and both take keys from pipeline options, which are
shown and logged; so they give up their schemes.
"""

from apache_beam.internal import pickler

# It defines Beam's own ones.
from apache_beam.io import filesystems  # noqa: F401
from apache_beam.io.filesystem import FileSystem

from tfx_tflite.components.object_stores.beam_files import NO_SCHEME, ObjectFileSystem


class Sent:
    """Something that is pickled for workers, which know object stores when they have unpickled it.

    Args:
        pickled: What Beam's pickler made of it.
    """

    def __init__(self, pickled: bytes):
        self._pickled = pickled

    def __reduce__(self) -> tuple[object, ...]:
        return received, (self._pickled,)


def received(pickled: bytes) -> object:
    """Returns what was sent."""
    found: object = pickler.loads(pickled)
    return found


class S3Files(ObjectFileSystem):
    """Objects at s3://."""

    @classmethod
    def scheme(cls) -> str:
        """Returns the scheme."""
        return "s3"


class GoogleFiles(ObjectFileSystem):
    """Objects at gs://."""

    @classmethod
    def scheme(cls) -> str:
        """Returns the scheme."""
        return "gs"


class AzureFiles(ObjectFileSystem):
    """Objects at az://."""

    @classmethod
    def scheme(cls) -> str:
        """Returns the scheme."""
        return "az"


FILE_SYSTEMS = (S3Files, GoogleFiles, AzureFiles)


def _take_schemes() -> None:
    schemes = {each.scheme() for each in FILE_SYSTEMS}
    for other in FileSystem.get_all_subclasses():
        if not issubclass(other, ObjectFileSystem) and other.scheme() in schemes:
            other.scheme = classmethod(lambda cls: NO_SCHEME)


_take_schemes()
