import pytest

from tfx_tflite.components.errors import (
    ConfigError,
    DataError,
    TfxTfliteError,
    in_one_line,
    telling_line,
    user_error_in,
)

BEAM_TEXT = """Traceback (most recent call last):
  File "common.py", line 1499, in process
tfx_tflite.components.errors.DataError: feature 'x' is missing; give a value

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "common.py", line 1500, in process
tfx_tflite.components.errors.DataError: feature 'x' is missing; give a value [while running 'A/B']
"""


def test_finds_an_error_among_the_causes():
    try:
        try:
            raise DataError("the data is bad")
        except DataError as cause:
            raise RuntimeError("a runner wrapped it") from cause
    except RuntimeError as error:
        found = user_error_in(error)
    assert isinstance(found, DataError)
    assert str(found) == "the data is bad"


def test_finds_an_error_in_the_text_that_a_beam_worker_sent():
    found = user_error_in(RuntimeError(BEAM_TEXT))
    assert type(found) is DataError
    assert str(found) == "feature 'x' is missing; give a value"


def test_drops_where_in_beams_graph_an_error_was_raised():
    found = user_error_in(DataError("the data is bad [while running 'Sample/Combine']"))
    assert str(found) == "the data is bad"


def test_finds_nothing_in_a_programming_error():
    assert user_error_in(KeyError("x")) is None
    assert user_error_in(RuntimeError("Traceback\nKeyError: 'x'")) is None


def test_config_errors_are_value_errors_for_pydantic():
    assert issubclass(ConfigError, ValueError) and issubclass(ConfigError, TfxTfliteError)


def test_the_telling_line_of_tensorflow_is_what_went_wrong_not_where_in_the_graph():
    message = (
        "Graph execution error:\n\nDetected at node loss/mul defined at (most recent call last):\n"
        '  File "fit.py", line 3, in <module>\n\n'
        "Received a label value of 9 which is outside the valid range of [0, 4).\n"
        "\t [[{{node loss/mul}}]] [Op:__inference_one_step_377]"
    )
    expected = "Received a label value of 9 which is outside the valid range of [0, 4)."
    assert telling_line(message) == expected


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no model\nand more"), "ValueError: no model"),
        (
            RuntimeError(
                "Traceback (most recent call last):\n  File x\n"
                "tensorflow.errors.NotFoundError: a.tflite [while running 'Read']"
            ),
            "NotFoundError: a.tflite",
        ),
        (KeyError("split"), "KeyError: 'split'"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_any_exception_is_told_in_one_line(error: Exception, line: str):
    assert in_one_line(error) == line
