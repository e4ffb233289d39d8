"""Feed images to a network in small batches, resized on the way.

All of CIFAR-10 as float32 at 224 pixels would be 30 GB. A pipeline keeps the small uint8 originals and
resizes a few batches at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import helpers.quiet  # noqa: F401

import keras
import tensorflow as tf


def make_dataset(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    image_size: int | None,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    augment: keras.layers.Layer | Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Make a ``tf.data`` pipeline: shuffle, batch, resize, augment, prefetch.

    Args:
        images: ``(n, height, width, 3)`` uint8 in [0, 255]. They are not copied.
        labels: ``(n,)`` integers, ``(n, classes)`` one-hot, or None for images alone.
        image_size: side of the images that come out, in pixels; None for images as they are.
        batch_size: images in a batch; the last batch may be smaller.
        shuffle: another order in each epoch.
        seed: of the shuffle; together with the seed of the session (``begin``) it decides the orders.
        augment: a Keras layer, which is called as in training, or a function of batches of images. It comes after
            everything that could be cached, so each epoch gets new random images. ``MixUp`` and ``CutMix`` blend labels
            as well: they need one-hot labels, and no ``Sequential`` around them.

    Returns:
        Batches ``(b, image_size, image_size, 3)`` float32 in [0, 255]; with labels, pairs of images
        and labels.

    Raises:
        ValueError: the images have another shape or dtype, the numbers of images and labels differ, or ``augment``
            blends labels that are not one-hot.
    """
    check_images(images)
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"There are {len(images)} pictures but {len(labels)} labels; each needs one.")

    def fetch(indices: np.ndarray) -> np.ndarray:
        return images[indices]

    def load(indices: tf.Tensor):
        # The images stay in the NumPy array: a tensor of them would be a second copy.
        batch = tf.numpy_function(fetch, [indices], tf.uint8, stateful=False)
        batch.set_shape((None, *images.shape[1:]))
        batch = tf.cast(batch, tf.float32)
        if image_size is not None and batch.shape[1:3] != (image_size, image_size):
            batch = tf.image.resize(batch, (image_size, image_size))
        return batch if labels is None else (batch, tf.gather(labels, indices))

    dataset = _batches(len(images), load, batch_size, shuffle, seed)
    if augment is not None:
        # One batch at a time: random layers count their numbers, so the order must be the same in each run.
        dataset = dataset.map(_augmentation(augment, labels))
    return dataset.prefetch(2)


def make_map_dataset(
    maps: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
) -> tf.data.Dataset:
    """Make a ``tf.data`` pipeline of stored feature maps (``helpers.models.extract_maps``): shuffle, batch, prefetch.

    With the same labels, batch size and seed, the batches have the order of those of ``make_dataset``.

    Args:
        maps: ``(n, height, width, channels)`` float32 or float16, in memory or memory-mapped. They are not copied.
        labels: ``(n,)`` integers, or None for maps alone.
        batch_size: images in a batch; the last batch may be smaller.
        shuffle: another order in each epoch.
        seed: of the shuffle, as in ``make_dataset``.

    Returns:
        Batches ``(b, height, width, channels)`` float32; with labels, pairs of maps and labels.

    Raises:
        ValueError: the maps are no floating-point numbers, or the numbers of maps and labels differ.
    """
    if not np.issubdtype(maps.dtype, np.floating):
        raise ValueError(
            f"Maps must be floating-point numbers, not {maps.dtype}. For images, take make_dataset, or compute their "
            "maps first, with extract_maps."
        )
    if labels is not None and len(labels) != len(maps):
        raise ValueError(f"There are maps of {len(maps)} images but {len(labels)} labels; each needs one.")

    def fetch(indices: np.ndarray) -> np.ndarray:
        return maps[indices].astype(np.float32, copy=False)

    def load(indices: tf.Tensor):
        batch = tf.numpy_function(fetch, [indices], tf.float32, stateful=False)
        batch.set_shape((None, *maps.shape[1:]))
        return batch if labels is None else (batch, tf.gather(labels, indices))

    return _batches(len(maps), load, batch_size, shuffle, seed).prefetch(2)


def _batches(count: int, load: Callable, batch_size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
    """Make batches of the numbers from 0 to ``count`` - 1, and turn each batch into data with ``load``."""
    indices = tf.data.Dataset.range(count)
    if shuffle:
        indices = indices.shuffle(count, seed=seed, reshuffle_each_iteration=True)
    return indices.batch(batch_size).map(load, num_parallel_calls=2, deterministic=True)


def _augmentation(augment: Callable, labels: np.ndarray | None) -> Callable:
    """Return what ``augment`` does with a batch, or with a batch and its labels.

    Raises:
        ValueError: it would blend images whose labels it cannot blend.
    """
    if not isinstance(augment, keras.layers.Layer):
        return lambda batch, *rest: (augment(batch), *rest) if rest else augment(batch)
    if not _blends(augment):
        return lambda batch, *rest: (augment(batch, training=True), *rest) if rest else augment(batch, training=True)
    if labels is None or np.ndim(labels) != 2:
        raise ValueError(
            f"{augment.name} blends pictures, and so their labels: it needs one-hot labels (n, classes). Give "
            "keras.ops.one_hot(labels, classes) as labels, and CategoricalCrossentropy as loss."
        )
    if isinstance(augment, keras.Model):
        raise ValueError(
            f"{augment.name} passes no labels on to the layer that blends pictures in it. Give keras.layers.Pipeline "
            "instead of keras.Sequential, or that layer alone."
        )

    def blend(batch: tf.Tensor, batch_labels: tf.Tensor):
        both = augment({"images": batch, "labels": tf.cast(batch_labels, tf.float32)}, training=True)
        return both["images"], both["labels"]

    return blend


def _blends(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer, or one inside it, blends several images into one."""
    blending = tuple(getattr(keras.layers, name) for name in ("MixUp", "CutMix") if hasattr(keras.layers, name))
    return isinstance(layer, blending) or any(map(_blends, getattr(layer, "layers", ())))


def check_images(images: np.ndarray) -> None:
    """Raise a ValueError if ``images`` is not ``(n, height, width, 3)`` uint8."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"Pictures must be an array (n, height, width, 3) of uint8 in [0, 255], not {images.shape} of "
            f"{images.dtype}. Give the original pixels: preprocessing is part of the backbone."
        )
