"""The check of the open tasks: an accuracy to reach on images that the learner has not seen."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks import images as unseen
from helpers.checks.images import unseen_images
from helpers.checks.task import expect
from helpers.data import emoji10
from helpers.profiles import Profile, find_profile

import keras


def room_for_more(labels: np.ndarray, answer: np.ndarray) -> str:
    """Return the advice for an accuracy that is well above guessing and well below the target."""
    return (
        "Which part has room: the scaling, the model and its settings, where a network is trained the epochs and the "
        "learning rate, or, where the task leaves it open, the number of training pictures?"
    )


def check_training(
    targets: Mapping[str, float],
    train: Callable,
    profile: Profile | str = "auto",
    seed: int = 0,
    *,
    advise: Callable[[np.ndarray, np.ndarray], str] = room_for_more,
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
    return check_classifier(classify, profile, seed, targets, advise)


def check_classifier(
    classify: Callable,
    profile: Profile | str,
    seed: int,
    targets: Mapping[str, float],
    advise: Callable[[np.ndarray, np.ndarray], str] = room_for_more,
) -> str:
    """Judge a classifier on unseen images of a profile's data set.

    Args:
        classify: takes images ``(n, 32, 32, 3)`` uint8 in [0, 255]; returns ``(n,)`` labels.
        profile: a profile or its name; with the reader's ``seed`` it says which images are unseen.
        targets: the accuracy to reach, by the profile's name.
        advise: takes true labels and answers, returns what to look at.

    Raises:
        Wrong: it misses the target (the message says by how much), or returns something else than labels.
    """
    profile = find_profile(profile)
    message = judge_labels(classify, *unseen_images(profile, seed), targets[profile.name], advise)
    if profile.dataset == "emoji10":
        expect_no_look_up(classify, new_emoji, targets[profile.name])
    return message


def new_emoji(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 500 images of Emoji-10 and their labels."""
    return emoji10.load_split("test", 500, seed)


def expect_no_look_up(classify: Callable, draw: Callable[[int], tuple[np.ndarray, np.ndarray]], target: float) -> None:
    """Where marks are given, judge a classifier on images that nobody can have seen, too.

    The images of the check are made by the course, which a learner has: their labels can be looked up. A classifier
    that has learned is not more than four standard errors below its target on others.

    Args:
        classify: see ``check_classifier``.
        draw: takes a seed, returns images and labels.
        target: the accuracy to reach on the images of the check.

    Raises:
        Wrong: it knows the images of the check only.
    """
    if not unseen.GRADING:
        return
    images, labels = draw(secrets.randbelow(2**31))
    answer = _labels_of(classify, images)
    accuracy = float(np.mean(answer == labels))
    error = (target * (1 - target) / len(labels)) ** 0.5
    expect(
        accuracy >= target - 4 * error,
        f"On {len(labels)} new pictures of the same kind the accuracy is {accuracy:.3f}, far below what it is on the "
        "pictures of the check. Does your function look up their labels?",
    )


def judge_labels(
    classify: Callable,
    images: np.ndarray,
    labels: np.ndarray,
    target: float,
    advise: Callable[[np.ndarray, np.ndarray], str] = room_for_more,
) -> str:
    """Judge a classifier on unseen images ``(n, 32, 32, 3)`` uint8 with labels ``(n,)``, as ``check_classifier``."""
    answer = _labels_of(classify, images)
    accuracy = float(np.mean(answer == labels))
    error = (target * (1 - target) / len(labels)) ** 0.5
    if accuracy < 0.15:
        advice = "That is about guessing: do the labels fit the pictures, and are the pixels what the network expects?"
    elif target - accuracy < 2 * error:
        advice = "That is close: less than two standard errors."
    else:
        advice = advise(labels, answer)
    expect(
        accuracy >= target,
        f"Accuracy {accuracy:.3f} on {len(labels)} unseen pictures; the target is {target:.2f}, so "
        f"{100 * (target - accuracy):.1f} points are missing. {advice}",
    )
    return f"Accuracy {accuracy:.3f} on {len(labels)} unseen pictures; the target was {target:.2f}."


def _labels_of(classify: Callable, images: np.ndarray) -> np.ndarray:
    """Return the labels ``(n,)`` that a classifier gives, as an array of integers, or floats that are whole.

    Raises:
        Wrong: it gives something else than one whole number for each image.
    """
    given = classify(images.copy())
    expect(given is not None, "The function that you return gives nothing back for pictures. Does it end with return?")
    answer = np.array(given, subok=False)
    expect(
        answer.ndim != 2 or answer.shape[1] == 1,
        f"For {len(images)} pictures your function returns an array of shape {answer.shape}: scores for each class? "
        "Wanted is one label for each picture.",
    )
    answer = answer.reshape(-1)
    expect(
        len(answer) == len(images),
        f"For {len(images)} pictures your function returns {len(answer)} labels.",
    )
    expect(
        answer.dtype.kind in "iu" or (answer.dtype.kind == "f" and np.array_equal(answer, answer.round())),
        f"Your function returns values of the type {answer.dtype}. Wanted are labels: whole numbers.",
    )
    return answer
