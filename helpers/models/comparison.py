"""What is known of a pretrained network before it is chosen: size, published accuracy, time on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

import helpers.quiet  # noqa: F401
from helpers.models.backbones import BACKBONES, build_backbone
from helpers.profiles import PROFILES

import keras

_KERAS_TABLE = "https://keras.io/api/applications/"
# (network, width multiplier) -> top-1 accuracy on the ImageNet validation set, and who published it.
_PUBLISHED_ACCURACY = {
    ("mobilenet", 0.25): (0.506, "Howard et al. 2017, table 6, arXiv:1704.04861"),
    ("mobilenet", 1.0): (0.704, _KERAS_TABLE),
    ("mobilenet_v2", 1.0): (0.713, _KERAS_TABLE),
    ("vgg16", None): (0.713, _KERAS_TABLE),
    ("vgg19", None): (0.713, _KERAS_TABLE),
    ("resnet50", None): (0.749, _KERAS_TABLE),
    ("efficientnet_b0", None): (0.771, _KERAS_TABLE),
}


def compare_networks(networks: Sequence[tuple[str, float | None]], batch: int = 8, repeats: int = 3) -> pd.DataFrame:
    """Build networks without their top, with random weights, and measure them on this machine.

    Args:
        networks: names of ``BACKBONES``, each with its width multiplier or None.
        batch: images in a batch.
        repeats: batches that are timed; the fastest counts.

    Returns:
        A table with a row for each network and the columns "parameters", "megabytes" (float32), "image_size" (pixels),
        "milliseconds" (per image), "published_accuracy" (top 1 on ImageNet; missing where nobody
        published one) and "source".
    """
    rows = {}
    for name, alpha in networks:
        network = BACKBONES[name]
        backbone = build_backbone(name, PROFILES["cifar10-gpu"], image_size=network.size, alpha=alpha, weights=None)
        accuracy, source = _PUBLISHED_ACCURACY.get((name, alpha), (np.nan, "another task; see its model card"))
        parameters = backbone.model.count_params()
        rows[name if alpha is None else f"{name} α {alpha:g}"] = {
            "parameters": parameters,
            "megabytes": parameters * 4 / 1e6,
            "image_size": network.size,
            "milliseconds": 1000 * _time_batch(backbone.model, network.size, batch, repeats) / batch,
            "published_accuracy": accuracy,
            "source": source,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _time_batch(model: keras.Model, size: int, batch: int, repeats: int) -> float:
    """Return the seconds that one batch takes, the fastest of several; the first call, which traces, is left out."""
    images = np.zeros((batch, size, size, 3), np.float32)
    model.predict_on_batch(images)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict_on_batch(images)
        times.append(time.perf_counter() - start)
    return min(times)
