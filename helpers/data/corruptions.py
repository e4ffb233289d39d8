"""Corrupt images in four ways at five severities, as test data from another distribution.

After Hendrycks and Dietterich (2019), Benchmarking Neural Network Robustness to Common Corruptions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from helpers.data.pipelines import check_images

SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: np.ndarray, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """Corrupt images: blur, noise, low contrast or occlusion, a little or much.

    Args:
        images: ``(n, height, width, 3)`` uint8 in [0, 255].
        kind: a key of ``CORRUPTIONS``.
        severity: 1 (weak) to 5 (strong).
        seed: decides what is random in it, such as the noise.

    Returns:
        New images, of the same shape and dtype.

    Raises:
        ValueError: there is no such corruption or severity, or the images have another shape or dtype.
    """
    check_images(images)
    if kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(
            f"There is no corruption {kind!r} of severity {severity!r}. "
            f"Kinds: {', '.join(CORRUPTIONS)}. Severities: {SEVERITIES[0]} to {SEVERITIES[-1]}."
        )
    spoilt = CORRUPTIONS[kind](images.astype(np.float32), severity, np.random.default_rng(seed))
    return np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)


def _blur(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian whose width grows with the severity, 1 to 5 percent of the image's side."""
    width = 0.01 * severity * images.shape[1]
    return ndimage.gaussian_filter(images, (0, width, width, 0))


def _noise(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, standard deviation 10 to 50 levels, to each pixel and colour."""
    return images + random.normal(0, 10 * severity, images.shape).astype(np.float32)


def _contrast(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Draw each image towards its mean: 84 down to 20 percent of its contrast are left."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 - 0.16 * severity) * (images - mean)


def _occlusion(images: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Cover a square at a random place with grey; its side is 12 to 60 percent of the image's."""
    spoilt = images.copy()
    side = round(0.12 * severity * images.shape[1])
    corners = random.integers(0, images.shape[1] - side + 1, (len(images), 2))
    for image, (top, left) in zip(spoilt, corners, strict=True):
        image[top : top + side, left : left + side] = 128
    return spoilt


CORRUPTIONS: dict[str, Callable] = {"blur": _blur, "noise": _noise, "contrast": _contrast, "occlusion": _occlusion}
