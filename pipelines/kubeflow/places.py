"""Where the containers of a compiled pipeline have things, and what of that is in their image."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig

BUILTIN_SCHEME = "builtin://"
_URI = re.compile(r"[a-z][a-z0-9+.-]*://")


class Places:
    """Puts the places of containers into values that name paths of this machine."""

    def __init__(self, config: PipelineConfig, places: Mapping[str, str]):
        self._places = dict(places)
        self._schemas = str(Path(config.root) / "schemas")
        self._schema = places.get(config.data.schema_file or "")

    def replaced(self, value: str) -> str:
        """Returns a value, plain or JSON, with the places of containers in it."""
        with contextlib.suppress(ValueError):
            document = json.loads(value)
            if isinstance(document, dict | list):
                found = self._within(document)
                return value if found == document else json.dumps(found)
        return self._plain(value)

    def _within(self, node: JsonValue) -> JsonValue:
        if isinstance(node, dict):
            # What was seen by earlier runs is noted below this machine's root.
            return {
                key: None if key == "seen_pointers" else self._within(entry)
                for key, entry in node.items()
            }
        if isinstance(node, list):
            return [self._within(entry) for entry in node]
        return self._plain(node) if isinstance(node, str) else node

    def _plain(self, value: str) -> str:
        # Locally the schema is used as a copy named by its digest.
        if self._schema is not None and value.startswith(f"{self._schemas}/"):
            return self._schema
        for path in sorted(self._places, key=len, reverse=True):
            if value == path or value.startswith(f"{path}/"):
                return self._places[path] + value.removeprefix(path)
        return value


def is_outside(text: str, kubeflow: KubeflowConfig) -> bool:
    """Returns whether a text names something that is not in the image: a URI or on a volume.

    Args:
        text: A value of a component's parameter.
        kubeflow: Which volumes there are.
    """
    if text.startswith(BUILTIN_SCHEME):
        return False
    mounts = (volume.mount.rstrip("/") for volume in kubeflow.volumes)
    return bool(_URI.match(text)) or any(f"{text}/".startswith(f"{mount}/") for mount in mounts)
