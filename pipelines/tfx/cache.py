"""What a run may take from TFX's cache."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import cache_utils

from tfx_tflite.components.artifact_layout import PROVENANCE


@contextlib.contextmanager
def cache_of_root(root: str) -> Iterator[None]:
    """Keeps the runs of one root to the artifacts of that root while the block runs.

    A key of TFX's cache has the pipeline's name in it and not its root. In a store that several
    roots share, a run would be answered with artifacts that lie below another one's root, whose
    owner may remove them at any time. Artifacts that are gone from a run's own root are made anew:
    TFX looks whether they are there.

    Args:
        root: The directory below which the pipeline keeps its artifacts.
    """
    original = cache_utils.get_cache_context

    def with_root(
        *arguments: Any, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> metadata_store_pb2.Context:
        keyed = {**(parameters or {}), "pipeline_root": root}
        # Who asks decides nothing: the same model is judged the same from another command line.
        keyed.pop(PROVENANCE, None)
        return original(*arguments, parameters=keyed, **settings)

    cache_utils.get_cache_context = with_root
    try:
        yield
    finally:
        cache_utils.get_cache_context = original
