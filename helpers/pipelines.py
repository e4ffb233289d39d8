"""Feed pictures to a network in small batches, resized on the way.

All of CIFAR-10 as float32 at 224 pixels would be 30 GB. A pipeline keeps the small uint8 originals and
resizes a few batches at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import helpers.quiet  # noqa: F401

import tensorflow as tf


def make_dataset(
    pictures: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    image_size: int,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    augment: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Make a ``tf.data`` pipeline: shuffle, batch, resize, augment, prefetch.

    Args:
        pictures: ``(n, height, width, 3)`` uint8 in [0, 255]. They are not copied.
        labels: ``(n,)`` integers, or None for pictures alone.
        image_size: side of the pictures that come out, in pixels.
        batch_size: pictures in a batch; the last batch may be smaller.
        shuffle: another order in each epoch.
        seed: of the shuffle; together with the seed of the session (``begin``) it decides the orders.
        augment: a function or a Keras layer for batches of pictures. It comes after everything that could
            be cached, so each epoch gets new random pictures.

    Returns:
        Batches ``(b, image_size, image_size, 3)`` float32 in [0, 255]; with labels, pairs of pictures
        and labels.

    Raises:
        ValueError: the pictures have another shape or dtype, or the numbers of pictures and labels differ.
    """
    check_pictures(pictures)
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"There are {len(pictures)} pictures but {len(labels)} labels; each needs one.")

    def fetch(indices: np.ndarray) -> np.ndarray:
        return pictures[indices]

    def load(indices: tf.Tensor):
        # The pictures stay in the NumPy array: a tensor of them would be a second copy.
        batch = tf.numpy_function(fetch, [indices], tf.uint8, stateful=False)
        batch.set_shape((None, *pictures.shape[1:]))
        batch = tf.cast(batch, tf.float32)
        if batch.shape[1:3] != (image_size, image_size):
            batch = tf.image.resize(batch, (image_size, image_size))
        if augment is not None:
            batch = augment(batch)
        return batch if labels is None else (batch, tf.gather(labels, indices))

    indices = tf.data.Dataset.range(len(pictures))
    if shuffle:
        indices = indices.shuffle(len(pictures), seed=seed, reshuffle_each_iteration=True)
    return indices.batch(batch_size).map(load, num_parallel_calls=2, deterministic=True).prefetch(2)


def check_pictures(pictures: np.ndarray) -> None:
    """Raise a ValueError if ``pictures`` is not ``(n, height, width, 3)`` uint8."""
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8:
        raise ValueError(
            f"Pictures must be an array (n, height, width, 3) of uint8 in [0, 255], not {pictures.shape} of "
            f"{pictures.dtype}. Give the original pixels: preprocessing is part of the backbone."
        )
