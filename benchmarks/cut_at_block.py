"""Fine-tuning the last blocks on stored maps of the frozen ones, against through the whole network.

Real weights and images: set ``COURSE_BUNDLE``, or they are downloaded. Same first weights, same batches; both ways
validate after each epoch, with half as many images. Each way runs in a process of its own, and what counts is its CPU
time, user and system. The time of an epoch is the median without the first one, which traces; that of all epochs has
tracing and extraction in it. The gain of VGG16 grows with the images: on maps of 3 x 3, as at 48 px, the convolutions
of block 5 are slow for their size.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from dataclasses import replace

import numpy as np

from benchmarks.clock import cpu_seconds

EPOCHS = 6
# Network, side of the images in pixels, number of last blocks that learn, training images, batch size, learning rate.
CASES = (
    ("vgg16", 96, 1, 500, 64, 1e-4),
    ("vgg16", 48, 1, 1000, 32, 1e-4),  # as in lesson 11
    ("mobilenet", 96, 2, 4000, 64, 1e-4),
)


def train(case: tuple, kept_as: str | None) -> tuple[list[float], float, np.ndarray]:
    """Fine-tune the last blocks.

    Args:
        case: one of ``CASES``.
        kept_as: the dtype of the stored maps; None for the way through the whole network.

    Returns:
        CPU seconds of each epoch, CPU seconds of everything but building and loading, and the losses: training and
        validation, ``(2, EPOCHS)``.
    """
    import helpers.quiet  # noqa: F401
    from helpers.data import load_data, make_dataset, make_map_dataset
    from helpers.models import build_backbone, extract_maps, split_at
    from helpers.profiles import PROFILES

    import keras
    from keras import layers

    network, side, count, train_size, batch_size, learning_rate = case
    profile = replace(PROFILES["cifar10-cpu"], train_size=train_size, validation_size=train_size // 2)
    data = load_data(profile)
    backbone = build_backbone(network, profile, image_size=side)
    last = list(backbone.blocks)[-count:]
    learning = [x for x in backbone.layers_of(*last) if not isinstance(x, layers.BatchNormalization)]
    for layer in backbone.model.layers:
        layer.trainable = layer in learning
    keras.utils.set_random_seed(0)
    learner, parts = backbone.model, ((data.x_train, data.y_train), (data.x_validation, data.y_validation))

    start = cpu_seconds()
    if kept_as:
        first_part, learner = split_at(backbone, last[0])
        parts = tuple((extract_maps(first_part, images, dtype=kept_as), labels) for images, labels in parts)
        training = make_map_dataset(*parts[0], batch_size=batch_size, shuffle=True)
        validation = make_map_dataset(*parts[1], batch_size=128)
    else:
        training = make_dataset(*parts[0], image_size=side, batch_size=batch_size, shuffle=True)
        validation = make_dataset(*parts[1], image_size=side, batch_size=128)
    model = keras.Sequential([learner, layers.GlobalAveragePooling2D(), layers.Dense(10)])
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    ends = [cpu_seconds()]
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(cpu_seconds()))
    history = model.fit(
        training, validation_data=validation, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[clock]
    ).history
    return np.diff(ends).tolist(), cpu_seconds() - start, np.array([history["loss"], history["val_loss"]])


def main() -> None:
    """Measure each case in each way, and print a table of CPU seconds, ratios and differences between the losses."""
    print(f"{'':34}{'an epoch':>10}{f'{EPOCHS} epochs':>11}{'losses differ by at most':>28}")
    for case in CASES:
        network, side, count, train_size, batch_size, _ = case
        blocks = "last block" if count == 1 else f"last {count} blocks"
        print(f"{network} at {side} px, {blocks}, {train_size} + {train_size // 2} images, batches of {batch_size}")
        ways = {"through the whole network": None, "on float32 maps": "float32", "on float16 maps": "float16"}
        for way, kept_as in ways.items():
            with tempfile.TemporaryDirectory() as cache:
                os.environ["COURSE_CACHE"] = cache
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    epochs, total, losses = pool.apply(train, (case, kept_as))
            epoch = float(np.median(epochs[1:]))
            if kept_as is None:
                whole = epoch, total, losses
                print(f"  {way:32}{epoch:8.2f} s{total:9.1f} s")
            else:
                difference = np.abs(losses / whole[2] - 1).max()
                print(f"  {way:32}{epoch:8.2f} s{total:9.1f} s{difference:28.1e}")
                print(f"  {'times less':32}{whole[0] / epoch:8.1f}  {whole[1] / total:9.1f}")


if __name__ == "__main__":
    main()
