"""Pictures on which open tasks are judged: neither training, nor validation, nor test pictures of any lesson."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers import emoji10
from helpers.datasets import load_data
from helpers.profiles import Profile

COUNT = 1000
UNSEEN_SEED = 987_654_321  # no reader's seed


def unseen_pictures(profile: Profile, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures ``(n, 32, 32, 3)`` uint8 and labels ``(n,)`` of a profile's data set.

    Emoji-10: composed with a seed of their own. CIFAR-10: training pictures that the profile does not use with this
    ``seed`` of the reader, or, where it uses all of them, test pictures: those that choose may not judge.
    """
    if profile.dataset == "emoji10":
        return emoji10.load_split("test", COUNT, UNSEEN_SEED)
    try:
        data = load_data(replace(profile, validation_size=profile.validation_size + COUNT), seed)
    except ValueError:  # there are not that many
        data = load_data(replace(profile, test_size=COUNT), seed)
        return data.x_test, data.y_test
    known = {picture.tobytes() for picture in load_data(profile, seed).x_validation}
    unseen = np.array([picture.tobytes() not in known for picture in data.x_validation])
    return data.x_validation[unseen], data.y_validation[unseen]
