from dataclasses import replace

import helpers.quiet  # noqa: F401
from helpers.checks.images import unseen_images
from helpers.data.datasets import load_data, read_cifar10
from helpers.profiles import PROFILES


def as_set(images):
    return {image.tobytes() for image in images}


def test_unseen_pictures_are_in_no_split_of_cifar10(bundle):
    profile = PROFILES["cifar10-cpu"]
    for seed in (0, 3):
        images, labels = unseen_images(profile, seed)
        data = load_data(profile, seed)
        assert len(images) == len(labels) == 1000
        assert not as_set(images) & (as_set(data.x_train) | as_set(data.x_validation) | as_set(data.x_test))


def test_a_profile_that_uses_all_pictures_is_judged_on_test_pictures(bundle):
    x, _, x_test, _ = read_cifar10()
    profile = replace(PROFILES["cifar10-cpu"], train_size=len(x) - 4000, validation_size=4000)
    images, _ = unseen_images(profile)
    data = load_data(profile)
    assert len(images) == 1000 and as_set(images) <= as_set(x_test)
    assert not as_set(images) & (as_set(data.x_train) | as_set(data.x_validation))


def test_unseen_emoji_are_in_no_split():
    images, labels = unseen_images(PROFILES["mini"])
    data = load_data("mini")
    assert len(images) == len(labels) == 1000
    assert not as_set(images) & (as_set(data.x_train) | as_set(data.x_validation) | as_set(data.x_test))
