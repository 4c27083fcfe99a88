"""After a refusal the terminal says in one line what to try next."""

import io

from tests.pipelines.cli.results import RESULT
from tfx_tflite.pipelines.cli.console import RunPrinter
from tfx_tflite.pipelines.runs.results import RunResult


def printed(result: RunResult) -> str:
    stream = io.StringIO()
    RunPrinter(stream).result(result)
    return stream.getvalue()


def test_the_first_of_the_next_steps_is_printed_after_the_reasons():
    steps = ("Try the scheme int16x8.", "Train on more examples.")
    refused = RESULT.model_copy(update={"reasons": ("it is worse",), "next_steps": steps})
    text = printed(refused)
    assert text.index("refused: it is worse") < text.index("try next: Try the scheme int16x8.\n")
    assert "Train on more examples" not in text


def test_a_pushed_model_has_no_next_step():
    assert "try next" not in printed(RESULT)


def test_json_has_all_next_steps():
    assert RESULT.model_copy(update={"next_steps": ("a", "b")}).to_keys()["next_steps"] == [
        "a",
        "b",
    ]
