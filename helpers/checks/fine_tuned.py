"""The check of the open tasks that fine-tune a network: it has moved, and it reaches an accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_classifier
from helpers.checks.task import expect
from helpers.models.backbones import build_backbone
from helpers.profiles import Profile

import keras


def check_fine_tuned(
    train_classifier: Callable, network: str, image_size: int, profile: Profile, seed: int, targets: Mapping[str, float]
) -> str:
    """Let a learner's function fine-tune a pretrained network, and judge the model that it returns.

    Args:
        train_classifier: returns a model from pixels ``(batch, image_size, image_size, 3)`` in [0, 255] to logits
            ``(batch, 10)``, with the network in it.
        network: its name in ``helpers.models.backbones.BACKBONES``.
        image_size: side of the images, in pixels.
        profile, seed, targets: see ``check_classifier``.

    Raises:
        Wrong: it is no such model, its backbone is another one or has not moved, or it misses the target.
    """
    model = train_classifier()
    expect(
        isinstance(model, keras.Model),
        f"Your function returns {type(model).__name__}, not a keras.Model. Return the trained model itself.",
    )
    size = (image_size, image_size)
    takes = tuple(getattr(model, "input_shape", (None, *size, 3))[1:])  # a subclass of keras.Model does not say
    expect(
        takes in ((*size, 3), (None, None, 3)),
        f"Your model takes {takes}. The pictures of this profile are {(*size, 3)}.",
    )
    _check_moved(model, build_backbone(network, profile, image_size=image_size).model)

    def classify(images):
        return _classify_in_batches(model, images, size)

    return check_classifier(classify, profile, seed, targets)


def _check_moved(model: keras.Model, pretrained: keras.Model) -> None:
    """Raise ``Wrong`` unless some convolution kernel of the pretrained network is another one in ``model``."""
    kernels = {weight.numpy().tobytes() for weight in pretrained.trainable_weights if len(weight.shape) == 4}
    expect(
        not kernels <= {weight.numpy().tobytes() for weight in model.weights},
        "No kernel of the backbone has moved: they are exactly as they were pretrained. Was it unfrozen, and the model "
        "compiled again?",
    )


def _classify_in_batches(model: keras.Model, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the labels ``(n,)`` that a model gives to images ``(n, 32, 32, 3)``, resized to ``size``.

    Raises:
        Wrong: the model gives something else than 10 logits for each image.
    """
    parts = []
    for start in range(0, len(images), 100):  # all of them at once would need much memory
        batch = images[start : start + 100].astype("float32")
        if batch.shape[1:3] != size:
            batch = keras.ops.image.resize(batch, size)
        parts.append(np.asarray(model(batch, training=False)))
    scores = np.concatenate(parts)
    expect(
        scores.ndim == 2 and scores.shape[1] == 10,
        f"For {len(images)} pictures your model gives an array of shape {scores.shape}. Wanted are 10 logits for each.",
    )
    expect_logits(scores)
    return scores.argmax(axis=1)


def expect_logits(scores: np.ndarray) -> None:
    """Raise ``Wrong`` if the scores ``(n, classes)`` of a model are probabilities."""
    expect(
        not (np.allclose(scores.sum(axis=1), 1, atol=1e-3) and scores.min() >= 0),
        "Your model gives probabilities. Wanted are logits: no softmax at the end, and a loss that knows it.",
    )
