from dataclasses import replace

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.images import unseen_images
from helpers.data import datasets
from helpers.data.datasets import load_data
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


def test_a_profile_that_uses_all_pictures_is_judged_on_test_pictures(monkeypatch):
    random = np.random.default_rng(0)  # a part of CIFAR-10, its classes of unequal size, as a bundle may hold one
    labels = np.repeat(np.arange(10), random.integers(60, 90, 10))
    x, x_test = (random.integers(0, 256, (n, 32, 32, 3), np.uint8) for n in (len(labels), 1500))
    monkeypatch.setattr(datasets, "read_cifar10", lambda: (x, labels, x_test, np.arange(1500) % 10))
    profile = replace(PROFILES["cifar10-cpu"], train_size=500, validation_size=100, test_size=1000)
    images, _ = unseen_images(profile)
    data = load_data(profile)
    assert len(images) == 1000 and as_set(images) <= as_set(x_test)
    assert not as_set(images) & (as_set(data.x_train) | as_set(data.x_validation))


def test_unseen_emoji_are_in_no_split():
    images, labels = unseen_images(PROFILES["mini"])
    data = load_data("mini")
    assert len(images) == len(labels) == 1000
    assert not as_set(images) & (as_set(data.x_train) | as_set(data.x_validation) | as_set(data.x_test))
