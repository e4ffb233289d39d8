"""Images on which open tasks are judged: none on which the exercises of a profile train, validate or test."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from helpers.data import emoji10
from helpers.data.datasets import load_data
from helpers.profiles import Profile

_COUNT = 1000
UNSEEN_SEED = 987_654_321  # no reader's seed
GRADING = False  # True where marks are given: then ``expect_no_look_up`` takes other images, too


def unseen_images(profile: Profile, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images ``(n, 32, 32, 3)`` uint8 and labels ``(n,)`` of a profile's data set.

    Emoji-10: composed with a seed of their own. CIFAR-10: training images that the profile does not use with this
    ``seed`` of the reader, or, where it uses all of them, test images: those that choose may not judge.
    """
    if profile.dataset == "emoji10":
        images, labels = _unseen_emoji()
        return images.copy(), labels.copy()
    try:
        data = load_data(replace(profile, validation_size=profile.validation_size + _COUNT), seed)
    except ValueError:  # there are not that many
        data = load_data(replace(profile, test_size=_COUNT), seed)
        return data.x_test, data.y_test
    known = {image.tobytes() for image in load_data(profile, seed).x_validation}
    unseen = np.array([image.tobytes() not in known for image in data.x_validation])
    return data.x_validation[unseen], data.y_validation[unseen]


@cache
def _unseen_emoji() -> tuple[np.ndarray, np.ndarray]:
    """Return pictures and labels of Emoji-10; composing them takes longer than most checks."""
    return emoji10.load_split("test", _COUNT, UNSEEN_SEED)
