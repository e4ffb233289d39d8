"""The shape of what a reader has written, which may be anything."""

import numpy as np
from numpy.typing import ArrayLike


def shape_of(answer: ArrayLike) -> tuple[int, ...] | str:
    """Return the shape of an answer as NumPy sees it, or "ragged" where its rows have different lengths.

    ``numpy.shape`` raises ValueError for the latter: https://numpy.org/doc/stable/reference/generated/numpy.shape.html
    """
    try:
        return np.shape(answer)
    except ValueError:
        return "ragged"
