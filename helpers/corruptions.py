"""Spoil pictures in four ways at five strengths, as test data from another distribution.

After Hendrycks and Dietterich (2019), Benchmarking Neural Network Robustness to Common Corruptions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from helpers.pipelines import check_pictures

STRENGTHS = (1, 2, 3, 4, 5)


def corrupt(pictures: np.ndarray, kind: str, strength: int, seed: int = 0) -> np.ndarray:
    """Spoil pictures.

    Args:
        pictures: ``(n, height, width, 3)`` uint8 in [0, 255].
        kind: a key of ``CORRUPTIONS``.
        strength: 1 (weak) to 5 (strong).
        seed: of what is random in it.

    Returns:
        New pictures, of the same shape and dtype.

    Raises:
        ValueError: there is no such corruption or strength, or the pictures have another shape or dtype.
    """
    check_pictures(pictures)
    if kind not in CORRUPTIONS or strength not in STRENGTHS:
        raise ValueError(
            f"There is no corruption {kind!r} of strength {strength!r}. "
            f"Kinds: {', '.join(CORRUPTIONS)}. Strengths: {STRENGTHS[0]} to {STRENGTHS[-1]}."
        )
    spoilt = CORRUPTIONS[kind](pictures.astype(np.float32), strength, np.random.default_rng(seed))
    return np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)


def blur(pictures: np.ndarray, strength: int, random: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian whose width grows with the strength, 1 to 5 percent of the picture's side."""
    width = 0.01 * strength * pictures.shape[1]
    return ndimage.gaussian_filter(pictures, (0, width, width, 0))


def noise(pictures: np.ndarray, strength: int, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, standard deviation 10 to 50 levels, to each pixel and colour."""
    return pictures + random.normal(0, 10 * strength, pictures.shape).astype(np.float32)


def contrast(pictures: np.ndarray, strength: int, random: np.random.Generator) -> np.ndarray:
    """Draw each picture towards its mean: 84 down to 20 percent of its contrast are left."""
    mean = pictures.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 - 0.16 * strength) * (pictures - mean)


def occlusion(pictures: np.ndarray, strength: int, random: np.random.Generator) -> np.ndarray:
    """Cover a square at a random place with grey; its side is 12 to 60 percent of the picture's."""
    spoilt = pictures.copy()
    side = round(0.12 * strength * pictures.shape[1])
    corners = random.integers(0, pictures.shape[1] - side + 1, (len(pictures), 2))
    for picture, (top, left) in zip(spoilt, corners, strict=True):
        picture[top : top + side, left : left + side] = 128
    return spoilt


CORRUPTIONS: dict[str, Callable] = {"blur": blur, "noise": noise, "contrast": contrast, "occlusion": occlusion}
