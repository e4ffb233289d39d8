"""The images of a profile, as NumPy arrays: training, validation, test, and what else the data set has."""

from __future__ import annotations

import pickle
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.data import emoji10
from helpers.data.emoji10 import CLASS_NAMES
from helpers.files.bundle import SourceError, bundle_file
from helpers.files.downloads import SOURCES, get_file
from helpers.profiles import Profile, find_profile


@dataclass(frozen=True)
class ImageData:
    """A data set, divided into training, validation and test images.

    Attributes:
        name: "emoji10" or "cifar10".
        class_names: the class of each label.
        x_train: training images, ``(n, 32, 32, 3)`` uint8 in [0, 255].
        y_train: their labels, ``(n,)`` int64, indices into ``class_names``.
        x_validation: validation images, likewise.
        y_validation: their labels.
        x_test: test images, likewise.
        y_test: their labels.
        shifted: other test sets, by name, from another distribution: ``(images, labels)``.
        details: what else is known of each image, for slices: split ("train", "validation", "test", or a name in
            ``shifted``) -> name -> an array with an entry for each image. Emoji-10: "artist", "emoji", "size" (side of
            the drawing in pixels) and "object" (``(n, 32, 32)`` bool: its pixels). Empty where nothing is known.
    """

    name: str
    class_names: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    shifted: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    details: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def load_data(profile: Profile | str, seed: int = 0) -> ImageData:
    """Load the data of a profile.

    Args:
        profile: a profile or its name; says which data set, and how many images of it.
        seed: another seed gives other images (emoji10), or another choice of training and validation
            images (cifar10). Validation images always come from the training data, never from the
            test data.

    Raises:
        SourceError: CIFAR-10 is not in the bundle and not in Keras' cache, and cannot be downloaded.
        ValueError: the data set has fewer images than the profile asks for.
    """
    profile = find_profile(profile)
    return {"emoji10": _load_emoji10, "cifar10": _load_cifar10}[profile.dataset](profile, seed)


def _load_emoji10(profile: Profile, seed: int) -> ImageData:
    """Compose Emoji-10."""
    sizes = {
        "train": profile.train_size,
        "validation": profile.validation_size,
        "test": profile.test_size,
        "unseen_artist": profile.test_size,
    }
    drawn = {split: emoji10.draw_split(split, size, seed) for split, size in sizes.items()}
    train, validation, test, unseen = drawn.values()
    return ImageData(
        "emoji10",
        CLASS_NAMES,
        train.images,
        train.labels,
        validation.images,
        validation.labels,
        test.images,
        test.labels,
        shifted={"unseen_artist": (unseen.images, unseen.labels)},
        details={split: each.details for split, each in drawn.items()},
    )


def _load_cifar10(profile: Profile, seed: int) -> ImageData:
    """Choose from CIFAR-10: training and validation images from its training data, test from its test data."""
    x, y, x_test, y_test = read_cifar10()
    wanted = [profile.train_size, profile.validation_size]
    train, validation = stratified_indices(y, wanted, seed)
    (test,) = stratified_indices(y_test, [profile.test_size], seed)
    return ImageData(
        "cifar10", CLASS_NAMES, x[train], y[train], x[validation], y[validation], x_test[test], y_test[test]
    )


def stratified_indices(labels: np.ndarray, sizes: list[int], seed: int) -> list[np.ndarray]:
    """Choose groups of images without overlap, each with the same number of every class.

    Args:
        labels: ``(n,)`` integers.
        sizes: the size of each group; a multiple of the number of classes.
        seed: which choice.

    Returns:
        For each size, that many indices into ``labels``, in random order.

    Raises:
        ValueError: a size is no multiple of the number of classes, or a class has too few images.
    """
    classes, counts = np.unique(labels, return_counts=True)
    for size in sizes:
        if size < 1 or size % len(classes):
            raise ValueError(f"{size} pictures cannot be shared equally by {len(classes)} classes; use a multiple.")
    if sum(sizes) // len(classes) > counts.min():
        scarce = classes[counts.argmin()]
        raise ValueError(
            f"{sum(sizes)} pictures were asked for, {sum(sizes) // len(classes)} of each class, "
            f"but class {scarce} has only {counts.min()}."
        )
    random = np.random.RandomState(seed)
    by_class = [random.permutation(np.flatnonzero(labels == label)) for label in classes]
    groups, start = [], 0
    for size in sizes:
        stop = start + size // len(classes)
        groups.append(random.permutation(np.concatenate([members[start:stop] for members in by_class])))
        start = stop
    return groups


def read_cifar10() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return all CIFAR-10 images at hand: ``x_train, y_train, x_test, y_test``.

    A bundle may hold fewer training images than the 50,000 of the official archive.
    """
    packed = bundle_file("datasets/cifar10.npz")
    if packed is None:
        return _read_cifar10_archive(get_file(SOURCES["cifar10"]))
    try:
        with np.load(packed) as arrays:
            x_train, y_train, x_test, y_test = (arrays[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    except Exception as error:
        raise SourceError(f"{packed} cannot be read ({error}). Copy the bundle again.") from error
    return x_train, y_train.reshape(-1).astype(np.int64), x_test, y_test.reshape(-1).astype(np.int64)


def _read_cifar10_archive(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read the official archive. It holds pickles: only open one whose sha256 was checked."""
    parts = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if "_batch" in member.name and (file := archive.extractfile(member)):
                parts[Path(member.name).name] = pickle.load(file, encoding="bytes")

    def join(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        images = np.concatenate([parts[name][b"data"] for name in names]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([parts[name][b"labels"] for name in names])
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), labels.astype(np.int64)

    x_train, y_train = join([f"data_batch_{number}" for number in range(1, 6)])
    return x_train, y_train, *join(["test_batch"])
