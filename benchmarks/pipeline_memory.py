"""Peak memory of the pipeline over 20,000 pictures at 96 px, against the naive float32 array.

Each way runs in a process of its own. What counts is the growth over that process' memory with TensorFlow loaded and
the uint8 originals in place.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys

import numpy as np

IMAGES, SIZE, BATCH = 20000, 96, 64


def peak() -> float:
    """Return the peak memory of this process so far, in megabytes."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def originals() -> np.ndarray:
    """Return pictures as CIFAR-10's: ``(20000, 32, 32, 3)`` uint8."""
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)


def one_batch_of_each_kind(images: np.ndarray) -> None:
    """Resize one batch, so that what TensorFlow loads at first use is not counted."""
    from helpers.data.pipelines import make_dataset

    for _ in make_dataset(images[:BATCH], image_size=SIZE, batch_size=BATCH):
        pass


def stream() -> float:
    """Run all pictures through the pipeline; return the growth in megabytes."""
    from helpers.data.pipelines import make_dataset

    images = originals()
    one_batch_of_each_kind(images)
    before = peak()
    for _ in make_dataset(images, image_size=SIZE, batch_size=BATCH):
        pass
    return peak() - before


def naive() -> float:
    """Make the whole float32 array, as many tutorials do; return the growth in megabytes."""
    images = originals()
    one_batch_of_each_kind(images)
    import tensorflow as tf  # loaded by now, without a message

    before = peak()
    tf.image.resize(images.astype("float32") / 255.0, (SIZE, SIZE)).numpy()
    return peak() - before


def main() -> None:
    """Measure both ways, and print the growths and their ratio."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        streamed, whole = pool.apply(stream), pool.apply(naive)
    array = IMAGES * SIZE * SIZE * 3 * 4 / 2**20
    print(f"{IMAGES} pictures at {SIZE} px; the float32 array alone is {array:.0f} MB")
    print(f"growth of peak memory: pipeline {streamed:.0f} MB, naive {whole:.0f} MB")
    print(f"pipeline / naive array: {streamed / array:.3f}")


if __name__ == "__main__":
    main()
