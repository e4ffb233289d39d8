"""Divide images into training, validation and test images, so that those that belong together stay together."""

from __future__ import annotations

import numpy as np


def split(labels: np.ndarray, groups: np.ndarray, validation: float, test: float, seed: int) -> np.ndarray:
    """Divide images by class, and never a group, unless its class has fewer than three of them.

    A group counts once, however many images it has. The largest ones are for training: many shots of the same thing
    would only seem to be many test images. A class of fewer than three groups is divided image by image, as it
    could not be in all splits otherwise.

    Args:
        labels: ``(n,)`` integers. groups: ``(n,)`` integers, the group of each image. A group of several classes
            counts to that of its first image.
        validation, test: parts of each class; 0 for none.
        seed: which images.

    Returns:
        The split of each image ``(n,)``: 0 for training, 1 for validation, 2 for test. A class of three groups
        or more has at least one in each that is wanted; so has a class of three images that shares no group with
        another class.
    """
    random = np.random.RandomState(seed)
    _, first_of_group, group_of = np.unique(groups, return_index=True, return_inverse=True)
    class_of = labels[first_of_group][group_of]
    split_of = np.zeros(len(labels), np.int64)
    wanted = 1 + (validation > 0) + (test > 0)
    for label in np.unique(class_of):
        members = np.flatnonzero(class_of == label)
        unit_of = group_of[members]
        if len(np.unique(unit_of)) < wanted:
            unit_of = np.arange(len(members))
        units, sizes = np.unique(unit_of, return_counts=True)
        order = random.permutation(len(units))
        order = units[order[np.argsort(sizes[order], kind="stable")]]  # by size; those of one size at random
        tests = _share(test, len(units), len(units) - wanted + 1)
        validations = _share(validation, len(units), len(units) - tests - 1)
        split_of[members[np.isin(unit_of, order[:tests])]] = 2
        split_of[members[np.isin(unit_of, order[tests : tests + validations])]] = 1
    return split_of


def _share(part: float, count: int, most: int) -> int:
    """Return a part of ``count``: at least 1, unless the part is 0, and at most ``most``."""
    return int(np.clip(round(part * count), 1, max(1, most))) if part else 0
