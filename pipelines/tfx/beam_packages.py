"""What TFX gives Beam's workers to install. Importing this loads TFX."""

from collections.abc import Iterator
from contextlib import contextmanager

from tfx.utils import dependency_utils


@contextmanager
def no_package_of_tfx() -> Iterator[None]:
    """Keeps TFX from packing itself for Beam's workers while the block runs.

    For every Beam job whose arguments name neither packages nor an image, TFX writes a source
    package of itself: 2.5 s and 57 MB that it never deletes. Workers in this process or on this
    machine do not install it, and others need this package besides: their image has both.
    """
    pack = dependency_utils.make_beam_dependency_flags
    dependency_utils.make_beam_dependency_flags = list
    try:
        yield
    finally:
        dependency_utils.make_beam_dependency_flags = pack
