"""Sums of floating-point numbers that no order and no grouping changes, on whole arrays.

Workers add up parts of the data in whatever order they come, and a plain sum differs in its last
digits then. Here numbers are split into layers whose sums are exact (the extraction of S. M. Rump,
T. Ogita and S. Oishi, "Accurate floating-point summation part I", SIAM J. Sci. Comput. 31, 2008),
and only the last step, the total, is rounded.

Only NumPy is imported here, because workers import this module.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tfx_tflite.components.examples.tensors import Array

# Numbers from here on, and those that are none, are added up as they come.
_LARGE = 2.0**900
# How many layers may wait before they are brought down to a few.
_MOST_WAITING = 16


def exact_layers(values: Array) -> Array:
    """Returns numbers as sums of layers, in each of which the sum of any rows is exact.

    Args:
        values: float64 of shape (n, columns).

    Returns:
        float64 of shape (layers, n, columns), whose sum over the layers is `values`.
    """
    rest = values.astype(np.float64)
    layers = []
    ordinary = np.abs(rest) < _LARGE
    if not ordinary.all():
        layers.append(np.where(ordinary, 0.0, rest))
        rest[~ordinary] = 0.0
    # So many bits more than the largest number of a column have room for the sum of all rows.
    room = len(values).bit_length() + 2
    while rest.any():
        _, exponents = np.frexp(np.abs(rest).max(axis=0))
        anchor = np.ldexp(1.0, exponents + room)
        layer = (rest + anchor) - anchor
        rest -= layer
        layers.append(layer)
    return np.stack(layers) if layers else np.zeros((0, *values.shape))


@dataclass(frozen=True, slots=True)
class ExactSums:
    """The exact sums of columns of numbers.

    Attributes:
        parts: float64 of shape (parts, columns); the sum over the parts is the sum of the numbers.
    """

    parts: Array

    @classmethod
    def of(cls, layers: Array) -> "ExactSums":
        """Returns the sums of some numbers' columns.

        Args:
            layers: Rows of what `exact_layers` gave, shape (layers, rows, columns).
        """
        return cls(layers.sum(axis=1))

    @classmethod
    def merged(cls, sums: Iterable["ExactSums"]) -> "ExactSums":
        """Returns the sums of all together."""
        parts = np.concatenate([entry.parts for entry in sums])
        return cls.of(exact_layers(parts)) if len(parts) > _MOST_WAITING else cls(parts)

    def totals(self) -> Array:
        """Returns the sums, each correctly rounded, shape (columns,)."""
        return np.array([_total(column) for column in self.parts.T])


def _total(column: Array) -> float:
    try:
        return math.fsum(column)
    except (OverflowError, ValueError):  # Beyond the largest number, or opposite infinities.
        with np.errstate(over="ignore", invalid="ignore"):
            return float(column.sum())
