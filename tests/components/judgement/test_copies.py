"""Examples that are copies of others: what is found, what is said, and what is not."""

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn import datasets

from tfx_tflite.components.judgement.copies import CopyFinder, CopySketch
from tfx_tflite.components.judgement.copies_found import Copies

RNG = np.random.default_rng(0)
DIGITS = datasets.load_digits()
IMAGES = DIGITS.data.astype(np.float32)


def found(rows: np.ndarray, batches: int = 3) -> Copies | None:
    finder = CopyFinder.of({"x": rows[:200]})
    if finder is None:
        return None
    total = CopySketch()
    for part in np.array_split(rows, min(batches, len(rows))):
        total.merge(CopySketch.of(finder.digests({"x": part})))
    return total.copies()


def warning(rows: np.ndarray) -> str:
    copies = found(rows)
    return "" if copies is None else copies.warning("eval", [0.95])


def shuffled(rows: np.ndarray) -> np.ndarray:
    return rows[np.random.default_rng(1).permutation(len(rows))]


def clips(noise: float, frames: int = 10) -> np.ndarray:
    """Returns frames of clips, which differ by noise, as a share of the values' deviation."""
    rows = IMAGES[:180].repeat(frames, axis=0)
    noisy = rows + RNG.normal(0, noise * IMAGES.std(), rows.shape)
    return shuffled(noisy.astype(np.float32))


@pytest.mark.parametrize(
    ("what", "rows"),
    [
        ("digits", IMAGES),
        ("digits by label", IMAGES[np.argsort(DIGITS.target)]),
        ("digits as images of bytes", DIGITS.images.astype(np.uint8)),
        ("flowers", datasets.load_iris().data),
        ("tumours", datasets.load_breast_cancer().data),
        ("rows of small numbers", RNG.integers(3, size=(2000, 8))),
        ("noise", RNG.normal(size=(5000, 40))),
        ("one example", IMAGES[:1]),
        ("a few per cent of copies", np.concatenate([IMAGES, IMAGES[:20]])),
    ],
)
def test_of_examples_that_stand_for_themselves_nothing_is_said(what: str, rows: np.ndarray):
    assert warning(rows) == ""


@pytest.mark.parametrize(
    ("what", "rows", "near"),
    [
        ("each twice", shuffled(IMAGES.repeat(2, axis=0)), False),
        ("twice, as bytes", shuffled(DIGITS.images.astype(np.uint8).repeat(2, axis=0)), False),
        ("a tenth twice", np.concatenate([IMAGES[:1000], IMAGES[:125]]), False),
        ("hardly noisy frames", clips(0.02), True),
        ("noisy frames", clips(0.1), True),
        ("frames of a long clip", clips(0.05, 100), True),
    ],
)
def test_copies_are_warned_of(what: str, rows: np.ndarray, near: bool):
    copies = found(rows)
    assert copies.near == near
    said = warning(rows)
    assert ("nearly copies of others" if near else "are copies of others") in said
    assert "a rule at 95% confidence errs in up to " in said and "evaluation.group_by" in said


def test_figures_of_exact_copies_are_those_of_their_multiplicities():
    counts = RNG.integers(1, 9, size=300)
    copies = found(shuffled(IMAGES[:300].repeat(counts, axis=0)))
    effect = np.square(counts).sum() / counts.sum()
    assert (copies.most, copies.near) == (counts.max(), False)
    assert copies.share == pytest.approx(1 - 300 / counts.sum())
    assert copies.design_effect == pytest.approx(effect)
    assert copies.error(0.95) == pytest.approx(ndtr(-1.6448536 / np.sqrt(effect)))


def test_the_error_is_that_of_a_test_that_takes_copies_for_draws():
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(4000):
        groups = rng.normal(size=60).repeat(4)
        rejected += groups.mean() / groups.std(ddof=1) * np.sqrt(240) < -1.645
    assert rejected / 4000 == pytest.approx(
        Copies(near=False, share=0.75, most=4, design_effect=4.0).error(0.95), abs=0.02
    )


@pytest.mark.parametrize("batches", [1, 7, 1800])
def test_batches_of_any_size_and_order_give_the_same(batches: int):
    rows = clips(0.05)
    finder = CopyFinder.of({"x": rows[:200]})
    assert found(rows, batches) == found(rows, 1)
    ones = np.concatenate([finder.digests({"x": part}) for part in np.array_split(rows, batches)])
    np.testing.assert_array_equal(ones, finder.digests({"x": rows}))


def test_of_more_examples_than_are_kept_the_figures_are_estimates_that_are_near():
    rows = RNG.normal(size=(20_000, 40)).astype(np.float32)
    copies = found(shuffled(np.concatenate([rows, rows[:5000], rows[:5000]])), 30)
    assert copies.share == pytest.approx(1 / 3, abs=0.03)
    assert copies.design_effect == pytest.approx((5000 * 9 + 15_000) / 30_000, rel=0.06)


def test_copies_are_those_of_all_inputs_together():
    other = RNG.normal(size=(300, 3)).astype(np.float32)
    same = {"a": np.zeros((300, 40), np.float32), "b": other}
    finder = CopyFinder.of(same)
    assert len(np.unique(finder.digests(same)[:, 0])) == 300
