"""Find images that are nearly the same: copies that were saved again, resized or brightened a little."""

from __future__ import annotations

import numpy as np

SIDE = 12  # of the thumbnails that are compared, in pixels
_LEAST_CORRELATION = 0.98  # copies of photographs as JPEG of quality 30 or at half the size: 98 of 100 are above it
_LEAST_GREY_CORRELATION = 0.9  # so are they above this one
_LARGEST_DIFFERENCE = 12  # mean over the thumbnail, in grey levels


def near_duplicates(thumbnails: np.ndarray) -> np.ndarray:
    """Compare each image with each other one.

    Two images count as nearly the same if their thumbnails correlate by 0.98 or more, in grey by 0.9 or more, and
    differ by at most 12 grey levels on average. Among 6,000 images of CIFAR-10, one pair does. Correlation alone
    would match every two clear skies; without that of the grey levels, every two images that are mostly red.
    Images of one colour match none.

    Args:
        thumbnails: ``(n, SIDE, SIDE, 3)`` uint8.

    Returns:
        ``(pairs, 2)`` integers, the smaller number first, in order: as few pairs as join all images that are alike.
    """
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    colour, grey = _standardized(flat), _standardized(thumbnails.mean(axis=-1).reshape(len(thumbnails), -1))
    pairs = np.empty((0, 2), np.int64)
    for start in range(0, len(flat), 256):  # all correlations at once would need memory by the square
        rows, others = slice(start, start + 256), slice(start, None)
        alike = colour[rows] @ colour[others].T >= _LEAST_CORRELATION
        alike &= grey[rows] @ grey[others].T >= _LEAST_GREY_CORRELATION
        found = np.argwhere(np.triu(alike, 1)) + start
        for part in np.array_split(found, len(found) // 4096 + 1):
            distance = np.abs(flat[part[:, 0]] - flat[part[:, 1]]).mean(axis=1)
            pairs = _fewest_pairs(np.concatenate([pairs, part[distance <= _LARGEST_DIFFERENCE]]), len(flat))
    return pairs


def _standardized(rows: np.ndarray) -> np.ndarray:
    """Return ``(n, k)`` rows with mean 0 and length 1, so that their products are correlations."""
    centred = (rows - rows.mean(axis=1, keepdims=True)).astype(np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(length, 1e-3)  # an image of one colour correlates with none


def _fewest_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """Return as few of the pairs as join the same images, of ``count`` in all."""
    from scipy.sparse.csgraph import minimum_spanning_tree

    return np.stack(minimum_spanning_tree(_graph(pairs, count)).nonzero(), axis=1).astype(np.int64)


def group_numbers(pairs: np.ndarray, count: int) -> np.ndarray:
    """Return for each of ``count`` images the number ``(count,)`` of its group: those joined by pairs share one."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(_graph(pairs, count), directed=False)[1]


def _graph(pairs: np.ndarray, count: int):
    """Return pairs of ``count`` images as a sparse matrix ``(count, count)`` with 1 for each pair."""
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
