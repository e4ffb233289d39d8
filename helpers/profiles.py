"""Profiles: which data, which network and how much of both a run uses.

A profile is data. A lesson reads its fields and never asks for its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Profile", "UnknownProfileError"]


@dataclass(frozen=True)
class Profile:
    """One way to run the course.

    Attributes:
        name: how the profile is chosen.
        dataset: "emoji10" or "cifar10".
        train_size: number of training images, the same number of each class.
        validation_size: number of validation images, likewise.
        test_size: number of test images, likewise.
        backbone: name of the pretrained network in ``helpers.models.backbones.BACKBONES``.
        alphas: the width multiplier of each network that has one, by the network's name.
        image_size: side of the square images that the backbone sees, in pixels.
        batch_size: images per training step.
        head_epochs: epochs for a head on frozen features.
        head_learning_rate: its learning rate, with Adam.
        scratch_learning_rate: for a network from random weights, with Adam.
        hub_modules: handles of one TensorFlow Hub module in different places; the first one that can be reached is
            used. The first is its name in a bundle.
        hub_image_size: side of the images that this module takes, in pixels.
        vgg_image_size: side of the images that VGG16 sees, in pixels.
        vgg_train_size: training images of the lesson with VGG16.
        stand_ins: the embedded network that takes the place of a large one, by the large one's name.
    """

    name: str
    dataset: str
    train_size: int
    validation_size: int
    test_size: int
    backbone: str
    alphas: Mapping[str, float] = field(hash=False)
    image_size: int
    batch_size: int
    head_epochs: int
    head_learning_rate: float
    scratch_learning_rate: float
    hub_modules: tuple[str, ...]
    hub_image_size: int
    vgg_image_size: int
    vgg_train_size: int
    stand_ins: Mapping[str, str] = field(default_factory=dict, hash=False)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="mini",
            dataset="emoji10",
            train_size=2000,
            validation_size=500,
            test_size=1000,
            backbone="mini_mobilenet",
            alphas={},
            image_size=32,
            batch_size=32,
            head_epochs=20,
            head_learning_rate=1e-2,
            scratch_learning_rate=3e-3,
            hub_modules=("mini_mobilenet_hub",),
            hub_image_size=32,
            vgg_image_size=32,
            vgg_train_size=2000,
            stand_ins={"mobilenet": "mini_mobilenet", "vgg16": "mini_vgg"},
        ),
        Profile(
            name="cifar10-cpu",
            dataset="cifar10",
            train_size=10000,
            validation_size=2000,
            test_size=10000,
            backbone="mobilenet",
            alphas={"mobilenet": 0.25, "mobilenet_v2": 0.35},
            image_size=96,
            batch_size=64,
            head_epochs=20,
            head_learning_rate=1e-3,
            scratch_learning_rate=1e-3,
            hub_modules=(
                "mobilenet_v2_035_224_feature_vector",
                "https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow2/035-224-feature-vector/2",
                "https://tfhub.dev/google/imagenet/mobilenet_v2_035_224/feature_vector/5",
            ),
            hub_image_size=224,
            vgg_image_size=48,
            vgg_train_size=2000,
        ),
        Profile(
            name="cifar10-gpu",
            dataset="cifar10",
            train_size=45000,
            validation_size=5000,
            test_size=10000,
            backbone="mobilenet_v2",
            alphas={"mobilenet_v2": 1.0},
            image_size=160,
            batch_size=128,
            head_epochs=20,
            head_learning_rate=1e-3,
            scratch_learning_rate=1e-3,
            hub_modules=(
                "mobilenet_v2_100_224_feature_vector",
                "https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow2/100-224-feature-vector/2",
                "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5",
                "mobilenet_v2_035_224_feature_vector",
            ),
            hub_image_size=224,
            vgg_image_size=224,
            vgg_train_size=2000,
        ),
    )
}


class UnknownProfileError(ValueError):
    """The name is not that of a profile."""


def _gpu_is_visible() -> bool:
    """Tell whether TensorFlow sees a GPU."""
    import helpers.quiet  # noqa: F401

    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def choose_profile(name: str = "auto") -> tuple[Profile, str]:
    """Find a profile by name.

    Args:
        name: a key of ``PROFILES``, or "auto". With "auto", the variable ``COURSE_PROFILE`` decides;
            if that is not set (or "auto" too), the device decides.

    Returns:
        The profile, and why it was chosen, as half a sentence.

    Raises:
        UnknownProfileError: there is no such profile.
    """
    reason = "asked for by PROFILE"
    if name == "auto":
        name = os.environ.get("COURSE_PROFILE") or "auto"
        reason = "asked for by the variable COURSE_PROFILE"
    if name == "auto":
        name, reason = ("cifar10-gpu", "a GPU is visible") if _gpu_is_visible() else ("mini", "no GPU is visible")
    if not isinstance(name, str) or name not in PROFILES:
        raise UnknownProfileError(
            f"There is no profile {name!r}. Choose one of: {', '.join(['auto', *PROFILES])}. "
            'Write it in the parameters cell (PROFILE = "mini") or in the variable COURSE_PROFILE.'
        )
    return PROFILES[name], reason


def find_profile(profile: Profile | str) -> Profile:
    """Return ``profile`` itself, or the profile of that name.

    Raises:
        UnknownProfileError: there is no such profile.
    """
    return profile if isinstance(profile, Profile) else choose_profile(profile)[0]
