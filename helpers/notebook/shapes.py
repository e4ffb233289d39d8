"""The shape of what a reader has written, which may be anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this room is also used where NumPy is not
    from numpy.typing import ArrayLike


def shape_of(answer: ArrayLike) -> tuple[int, ...] | str:
    """Return the shape of an answer as NumPy sees it, or "ragged" where its rows have different lengths.

    ``numpy.shape`` raises ValueError for the latter: https://numpy.org/doc/stable/reference/generated/numpy.shape.html
    """
    import numpy as np

    try:
        return np.shape(answer)
    except ValueError:
        return "ragged"
