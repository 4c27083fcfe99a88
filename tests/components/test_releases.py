"""Releases as numbers."""

import pytest

from tfx_tflite.components.releases import release_name, release_number


def test_releases_order_by_their_parts_and_not_as_texts_or_decimals():
    releases = ["1.15.0", "2.1.0", "2.9.0", "2.10.0", "2.14.4", "2.14.10", "2.21.0", "10.0.0"]
    assert sorted(set(releases), key=release_number) == releases


@pytest.mark.parametrize("release", ["2.14.0", "0.0.1", "1.5.0", "999.999.999"])
def test_a_number_has_the_name_of_its_release(release: str):
    assert release_name(release_number(release)) == release


def test_the_third_part_may_be_left_out():
    assert release_number("2.14") == release_number("2.14.0")


@pytest.mark.parametrize("text", ["", "2", "2.14.0.1", "v2.14", "2.14-rc1", "2.1000", "2.1\n"])
def test_what_is_no_release_is_refused(text: str):
    with pytest.raises(ValueError, match=r"is not a release: write it as 2\.14\.0"):
        release_number(text)
