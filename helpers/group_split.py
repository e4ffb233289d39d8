"""Divide pictures into training, validation and test pictures, so that those that belong together stay together."""

from __future__ import annotations

import numpy as np


def split(labels: np.ndarray, groups: np.ndarray, validation: float, test: float, seed: int) -> list[np.ndarray]:
    """Divide pictures by class, and never a group.

    Large groups go to the training pictures: no split becomes larger than its part, as far as the groups allow.

    Args:
        labels: ``(n,)`` integers. groups: ``(n,)`` integers, the group of each picture.
        validation, test: parts of each class.
        seed: which pictures.

    Returns:
        The rows of the training, validation and test pictures, each in random order. A class of three groups or more
        has pictures in each split.
    """
    random = np.random.RandomState(seed)
    _, first_of_group, sizes = np.unique(groups, return_index=True, return_counts=True)
    split_of_group = np.zeros(len(sizes), np.int64)
    for label in np.unique(labels):
        of_class = random.permutation(np.flatnonzero(labels[first_of_group] == label))
        total = int(np.sum(labels == label))
        quotas = [max(1, round(part * total)) for part in (test, validation)]
        for_test, for_validation = choose_groups(sizes[of_class], quotas)
        split_of_group[of_class[for_test]] = 2
        split_of_group[of_class[for_validation]] = 1
    split_of_picture = split_of_group[np.unique(groups, return_inverse=True)[1]]
    return [random.permutation(np.flatnonzero(split_of_picture == number)) for number in range(3)]


def choose_groups(sizes: np.ndarray, quotas: list[int]) -> list[list[int]]:
    """Fill each quota with the first groups that fit; one large group, and one for each later quota, must remain.

    Args:
        sizes: ``(n,)`` pictures of each group. quotas: pictures that are wanted, by split.

    Returns:
        The numbers of the groups of each split; where none fits, it is the smallest one that is left.
    """
    left = list(range(len(sizes)))
    if left:
        left.remove(max(left, key=lambda group: (sizes[group], group)))
    chosen = []
    for later, quota in zip(reversed(range(len(quotas))), quotas, strict=True):
        taken, rest = [], []
        for number, group in enumerate(left):
            spare = len(rest) + len(left) - number - 1  # groups that remain if this one is taken
            if sizes[group] <= quota and spare >= later:
                taken.append(group)
                quota -= sizes[group]
            else:
                rest.append(group)
        if not taken and len(rest) > later:
            taken = [min(rest, key=lambda group: sizes[group])]
            rest.remove(taken[0])
        left = rest
        chosen.append(taken)
    return chosen
