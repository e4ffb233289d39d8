from dataclasses import replace

import helpers.quiet  # noqa: F401
from helpers.checks.pictures import unseen_pictures
from helpers.datasets import load_data
from helpers.profiles import PROFILES


def as_set(pictures):
    return {picture.tobytes() for picture in pictures}


def test_unseen_pictures_are_in_no_split_of_cifar10(bundle):
    profile = PROFILES["cifar10-cpu"]
    for seed in (0, 3):
        pictures, labels = unseen_pictures(profile, seed)
        data = load_data(profile, seed)
        assert len(pictures) == len(labels) == 1000
        assert not as_set(pictures) & (as_set(data.x_train) | as_set(data.x_validation) | as_set(data.x_test))


def test_a_profile_that_uses_all_pictures_is_judged_on_test_pictures(bundle):
    profile = replace(PROFILES["cifar10-cpu"], train_size=15000, validation_size=4000)
    pictures, _ = unseen_pictures(profile)
    data = load_data(profile)
    assert len(pictures) == 1000 and not as_set(pictures) & (as_set(data.x_train) | as_set(data.x_validation))


def test_unseen_emoji_are_in_no_split():
    pictures, labels = unseen_pictures(PROFILES["mini"])
    data = load_data("mini")
    assert len(pictures) == len(labels) == 1000
    assert not as_set(pictures) & (as_set(data.x_train) | as_set(data.x_validation) | as_set(data.x_test))
