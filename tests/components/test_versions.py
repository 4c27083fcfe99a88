"""What a cached result goes by: the versions of all that decides it."""

import pytest

from tfx_tflite.components import versions


@pytest.mark.parametrize("name", ["ai-edge-litert", "tensorflow", "tflite-micro", "ethos-u-vela"])
def test_another_version_of_what_gives_a_figure_is_another_key(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    before, installed = versions.code_version(), versions.version
    monkeypatch.setattr(versions, "version", lambda of: "99" if of == name else installed(of))
    assert versions.code_version() == before.replace(f"{name} {installed(name)}", f"{name} 99")
    assert versions.code_version() != before


def test_what_is_not_installed_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(versions, "_DECIDING", ("tfx-tflite", "no-such-distribution"))
    assert "no-such-distribution not installed" in versions.code_version()
