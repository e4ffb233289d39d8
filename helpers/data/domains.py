"""Ten-class data sets that lie near to, or far from, what a network was pretrained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from helpers.data.datasets import ImageData, stratified_indices

_SIDE = 32  # pixels


@dataclass(frozen=True)
class Domain:
    """Images of one kind.

    Attributes:
        name: what they show.
        x_train: training images, ``(n, 32, 32, 3)`` uint8 in [0, 255].
        y_train: their labels, ``(n,)`` integers 0 to 9, the same number of each.
        x_test: test images, likewise.
        y_test: their labels.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def make_domains(data: ImageData, train_size: int, test_size: int, seed: int = 0) -> list[Domain]:
    """Make four domains of the same size: that of ``data``, handwritten digits, gratings and noise.

    Args:
        data: the profile's own data set; its training and test images are drawn from.
        train_size, test_size: images of each domain, multiples of 10, together at most 1,700 (the digits are few).
        seed: which images.

    Raises:
        ValueError: a size is no multiple of 10, or there are too few images.
    """
    (train,) = stratified_indices(data.y_train, [train_size], seed)
    (test,) = stratified_indices(data.y_test, [test_size], seed)
    near = Domain(data.name, data.x_train[train], data.y_train[train], data.x_test[test], data.y_test[test])
    labels = np.repeat(np.arange(10), (train_size + test_size) // 10)
    random = np.random.default_rng(seed)
    others = {
        "digits": _digits(),
        "gratings": (gratings(labels, random), labels),
        "noise": (_noise(labels, random), labels),
    }
    return [near, *(_split(name, *arrays, train_size, test_size, seed) for name, arrays in others.items())]


def _split(name: str, images: np.ndarray, labels: np.ndarray, train_size: int, test_size: int, seed: int) -> Domain:
    """Divide images at random into training and test images, with the same mix of classes."""
    train, test = stratified_indices(labels, [train_size, test_size], seed)
    return Domain(name, images[train], labels[train], images[test], labels[test])


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's 1,797 handwritten digits, 8 × 8 grey values, enlarged four times: images and labels."""
    images, labels = load_digits(return_X_y=True)
    grey = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return _to_colour(np.kron(grey, np.ones((1, _SIDE // 8, _SIDE // 8), np.uint8))), labels


def gratings(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw stripes: the class is their direction (five) and width (two); the place is random, and noise is added.

    Args:
        labels: ``(n,)`` integers 0 to 9.
        random: where the random numbers come from.

    Returns:
        ``(n, 32, 32, 3)`` uint8.
    """
    angle = (labels % 5 * np.pi / 5 + random.normal(0, 0.1, len(labels)))[:, None, None]
    period = np.where(labels < 5, 5, 8)[:, None, None]  # pixels
    phase = random.uniform(0, 2 * np.pi, len(labels))[:, None, None]
    y, x = np.mgrid[:_SIDE, :_SIDE]
    stripes = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + phase)
    return _to_pixels(128 + 40 * stripes + random.normal(0, 60, stripes.shape))


def _noise(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw clouds of noise: the class is how smooth they are, the power falling as 1 / frequency**(0 to 2.7).

    Args:
        labels: ``(n,)`` integers 0 to 9.
        random: where the random numbers come from.

    Returns:
        ``(n, 32, 32, 3)`` uint8.
    """
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None])
    frequency[0, 0] = 1  # the mean, which is taken away
    white = np.fft.rfft2(random.normal(size=(len(labels), _SIDE, _SIDE)))
    white[:, 0, 0] = 0
    clouds = np.fft.irfft2(white * frequency ** (-0.15 * labels[:, None, None]), s=(_SIDE, _SIDE))
    return _to_pixels(128 + 50 * clouds / clouds.std(axis=(1, 2), keepdims=True))


def _to_pixels(grey: np.ndarray) -> np.ndarray:
    """Turn grey values of any range into colour images, cut to [0, 255]."""
    return _to_colour(np.clip(grey, 0, 255).astype(np.uint8))


def _to_colour(grey: np.ndarray) -> np.ndarray:
    """Repeat ``(n, height, width)`` grey values for red, green and blue."""
    return np.repeat(grey[..., None], 3, axis=-1)
