import numpy as np
import pytest
from pydantic import TypeAdapter

from tfx_tflite.components.judgement.saturation import InputRange, InputsSeen, Saturation, adequacy

RANGES = (InputRange("x", -1.0, 1.0), InputRange("y", 0.0, 255.0))
INPUTS = {
    "x": np.array([[0.0, 2.0], [0.5, 0.5], [-3.0, 3.0]]),
    "y": np.array([[10.0], [20.0], [250.0]]),
}


def saturation(inputs=INPUTS, groups=((0, 1), (2,))) -> Saturation:
    rows = {(): np.arange(len(inputs["x"]))}
    rows |= {(("group", index),): np.array(group) for index, group in enumerate(groups)}
    return seen_by_slice(InputsSeen.of(inputs, RANGES), rows)


def seen_by_slice(seen: InputsSeen, rows: dict) -> Saturation:
    return Saturation(
        {key: seen.outside[numbers].sum(axis=0) for key, numbers in rows.items()},
        seen.lowest.min(axis=0),
        seen.highest.max(axis=0),
    )


def test_counts_the_values_outside_by_example_and_slice():
    found = saturation()
    np.testing.assert_allclose(found.outside[()], [1.5, 0])
    np.testing.assert_allclose(found.outside[(("group", 0),)], [0.5, 0])
    np.testing.assert_allclose(found.outside[(("group", 1),)], [1.0, 0])
    assert (found.lowest.tolist(), found.highest.tolist()) == ([-3, 10], [3, 250])


def test_parts_add_up_to_the_whole():
    whole, parts = saturation(), Saturation()
    for index in range(3):
        seen = InputsSeen.of({n: v[index : index + 1] for n, v in INPUTS.items()}, RANGES)
        parts.merge(seen_by_slice(seen, {(): np.array([0])}))
    np.testing.assert_allclose(parts.outside[()], whole.outside[()])
    np.testing.assert_array_equal(parts.lowest, whole.lowest)


def test_survives_json():
    form = TypeAdapter(Saturation)
    again = form.validate_json(form.dump_json(saturation()))
    assert again.outside.keys() == saturation().outside.keys()
    np.testing.assert_array_equal(again.highest, saturation().highest)


def test_warns_of_values_outside_the_range():
    x, y = adequacy(saturation(), RANGES, 3)
    assert x.outside == 0.5
    assert "'x' was calibrated for -1 to 1, but 50.00% of the eval split's" in x.warning()
    assert y.warning() == ""


@pytest.mark.parametrize("factor", [0.001, 0.2])
def test_warns_of_a_scale_far_below_the_calibrated_one(factor: float):
    inputs = {"x": np.clip(INPUTS["x"], -1, 1), "y": factor * INPUTS["y"]}
    _, y = adequacy(saturation(inputs), RANGES, 3)
    assert "are the scales the same?" in y.warning()


def test_nothing_seen_says_nothing():
    assert adequacy(Saturation(), RANGES, 0) == ()
