"""What TFX's cache goes by."""

import pytest


def test_the_key_has_the_root_and_not_who_asked(monkeypatch: pytest.MonkeyPatch):
    from tfx.orchestration.portable import cache_utils

    from tfx_tflite.pipelines.tfx.patches import cache_of_root

    keys = []
    monkeypatch.setattr(
        cache_utils, "get_cache_context", lambda parameters: keys.append(parameters)
    )
    with cache_of_root("root"):
        cache_utils.get_cache_context(parameters={"gate": "a gate", "provenance": "a command"})
    assert keys == [{"gate": "a gate", "pipeline_root": "root"}]
