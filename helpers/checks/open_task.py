"""The check of the open tasks: an accuracy to reach on images that the learner has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.images import unseen_images
from helpers.checks.task import expect
from helpers.profiles import Profile, find_profile

import keras


def check_training(
    targets: Mapping[str, float], train: Callable, profile: Profile | str = "auto", seed: int = 0
) -> str:
    """Let a learner's function train a classifier, and judge it; see ``check_classifier``."""
    classify = train()
    expect(
        callable(classify),
        f"Your function must return a function of pictures; it returns {type(classify).__name__}.",
    )
    expect(
        not isinstance(classify, keras.Model),
        "Your function returns the network. Wanted is a function that returns labels, not scores.",
    )
    return check_classifier(classify, profile, seed, targets)


def check_classifier(classify: Callable, profile: Profile | str, seed: int, targets: Mapping[str, float]) -> str:
    """Judge a classifier on unseen images of a profile's data set.

    Args:
        classify: takes images ``(n, 32, 32, 3)`` uint8 in [0, 255]; returns ``(n,)`` labels.
        profile: a profile or its name; with the reader's ``seed`` it says which images are unseen.
        targets: the accuracy to reach, by the profile's name.

    Raises:
        Wrong: it misses the target (the message says by how much), or returns something else than labels.
    """
    profile = find_profile(profile)
    return judge_labels(classify, *unseen_images(profile, seed), targets[profile.name])


def judge_labels(classify: Callable, images: np.ndarray, labels: np.ndarray, target: float) -> str:
    """Judge a classifier on unseen images ``(n, 32, 32, 3)`` uint8 with labels ``(n,)``, as ``check_classifier``."""
    answer = np.asarray(classify(images.copy()))
    expect(
        answer.ndim != 2 or answer.shape[1] == 1,
        f"For {len(images)} pictures your function returns an array of shape {answer.shape}: scores for each class? "
        "Wanted is one label for each picture.",
    )
    answer = answer.reshape(-1)
    expect(
        len(answer) == len(labels),
        f"For {len(images)} pictures your function returns {len(answer)} labels.",
    )
    accuracy = float(np.mean(answer == labels))
    error = (target * (1 - target) / len(labels)) ** 0.5
    if accuracy < 0.15:
        advice = "That is about guessing: do the labels fit the pictures, and are the pixels what the network expects?"
    elif target - accuracy < 2 * error:
        advice = "That is close: less than two standard errors."
    else:
        advice = "Which part has room: the pictures' size, the scaling, the model, the number of training pictures?"
    expect(
        accuracy >= target,
        f"Accuracy {accuracy:.3f} on {len(labels)} unseen pictures; the target is {target:.2f}, so "
        f"{100 * (target - accuracy):.1f} points are missing. {advice}",
    )
    return f"Accuracy {accuracy:.3f} on {len(labels)} unseen pictures; the target was {target:.2f}."
