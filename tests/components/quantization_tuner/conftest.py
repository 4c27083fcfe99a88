import pytest


@pytest.fixture
def quantizes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has searches quantize in this process: the converter's takes longer to start than to search.

    That it is a process of its own, which may end, is tested where it is at home.
    """
    from tests.components.quantization.workshops import InThisProcess
    from tfx_tflite.components.quantization_tuner import search

    monkeypatch.setattr(search, "Converter", lambda *_: InThisProcess())
