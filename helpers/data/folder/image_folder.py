"""Your own images: a folder with one folder for each class becomes a data set like those of the lessons."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from helpers.data.datasets import ImageData
from helpers.data.folder.group_split import split
from helpers.data.folder.labels_table import find_labelled_images
from helpers.data.folder.layout import SPLITS, ImageFolderError, find_images
from helpers.data.folder.near_duplicates import group_numbers, near_duplicates
from helpers.data.folder.stored_images import ImageFile
from helpers.data.folder.storing import StoredImages, store_images
from helpers.files.cache import CacheFolderError
from helpers.files.home import without_tilde

_LEAST_IMAGES = 3  # of a class: one for each split
_FEW_IMAGES = 20  # of a class: below, its accuracy says little
_UNEQUAL = 3  # times more images in one class than in another


@dataclass(frozen=True)
class ImageFolder(ImageData):
    """A data set from a folder.

    Attributes:
        files: the file of each image, by split: "train", "validation", "test"; in the order of the images.
        skipped: file -> why it is not in the data set.
        near_duplicates: pairs of files that show nearly the same, as few as join all that do. Both are in the same
            split, unless too few images of their class differ, or the split is the folder's own; a warning says so.
        counts: split -> class -> how many images.
        white: the value that became 255 in grey images of more than 8 bits; None where there are none.
    """

    files: dict[str, list[Path]] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    near_duplicates: list[tuple[Path, Path]] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    white: float | None = None


def load_image_folder(
    path: Path | str,
    image_size: int = 224,
    *,
    seed: int = 0,
    validation: float = 0.15,
    test: float = 0.15,
    labels: Path | str | None = None,
    classes: Sequence[str] | None = None,
) -> ImageFolder:
    """Read the images of a folder once, and split them by class into training, validation and test images.

    The images stay on disk, at their new size (in the course's cache folder), so memory does not grow with their
    number. The longer side is cut to a square around the middle. Images are turned as their EXIF data say;
    transparent parts become white; of an animation, the first image counts. Grey images of more than 8 bits are
    all made darker by the same factor: ``white`` is the largest number of as few bits (8, 10, 12, 14, 16) as hold all
    their values, and becomes 255.

    A folder that is split already is used as it is: folders train, validation and test (or words with them, such as
    ``Training`` or ``seg_test``) with the classes inside, or classes with these inside. If one of the three is missing,
    it is taken from the training images. Other layouts with folders of the same names in several folders are refused,
    as nobody can tell which of them are classes.

    Args:
        path: holds one folder for each class, with files of any format that Pillow reads (also in folders inside).
            Hidden files are ignored. What cannot be read is skipped, and named in one warning.
        image_size: side of the images that come out, in pixels.
        seed: which images go into which split; a whole number from 0 on.
        validation, test: the parts of each class that go there, above 0; together below 1. Images that are nearly
            the same count once.
        labels: a CSV file that names the class of each image, where the folders do not; see
            ``helpers.data.folder.labels_table``.
        classes: names of the folders that are classes, in the order of the labels; None for all.

    Returns:
        Like the data of the lessons: ``x_train`` and its like are indexed as arrays ``(n, image_size, image_size, 3)``
        uint8 are, and ``np.asarray`` makes arrays of them; see ``ImageFile``.

    Raises:
        ImageFolderError: there is no such folder, it has fewer than two classes, a class has fewer than three
            readable images, it cannot be told what its folders mean, an argument makes no sense, or the disk fails.
        CacheFolderError: the cache folder cannot be written.
    """
    _check_arguments(path, image_size, seed, validation, test)
    path = without_tilde(path)
    layout = find_images(path, classes) if labels is None else find_labelled_images(path, Path(labels))
    stored = _store(layout.files, path, int(image_size))
    skipped = layout.skipped | stored.unreadable
    kept = [number for number, file in enumerate(layout.files) if file not in stored.unreadable]
    files = [layout.files[number] for number in kept]
    _warn_of_skipped(skipped, path, len(files))
    names = layout.class_names
    y = np.array([names.index(layout.classes[number]) for number in kept], np.int64)
    given = np.array([SPLITS.index(s) if (s := layout.splits[number]) else -1 for number in kept], np.int64)
    own_split = bool((given >= 0).any())
    _check_counts(y, names, path, given)
    pairs = near_duplicates(stored.thumbnails)
    split_of = _complete(given, y, group_numbers(pairs, len(y)), validation, test, seed)
    _warn_of_near_duplicates(pairs, files, y, split_of, path, own_split)
    counts = {
        part: {name: int(np.sum(y[split_of == number] == label)) for label, name in enumerate(names)}
        for number, part in enumerate(SPLITS)
    }
    _describe(counts, own_split, stored.white)
    _warn_of_counts(counts)
    order = np.random.RandomState(seed).permutation(len(y))
    rows = {part: order[split_of[order] == number] for number, part in enumerate(SPLITS)}
    arrays: dict = {f"x_{part}": ImageFile(stored.path, int(image_size), rows[part]) for part in SPLITS}
    arrays |= {f"y_{part}": y[rows[part]] for part in SPLITS}
    return ImageFolder(
        name=path.name,
        class_names=names,
        **arrays,
        files={part: [files[row] for row in rows[part]] for part in SPLITS},
        skipped=skipped,
        near_duplicates=[(files[a], files[b]) for a, b in pairs],
        counts=counts,
        white=stored.white,
    )


def _complete(
    given: np.ndarray, labels: np.ndarray, groups: np.ndarray, validation: float, test: float, seed: int
) -> np.ndarray:
    """Return the split of each image ``(n,)``: the given one, and for a split that has no image a part of the training.

    Args:
        given: ``(n,)`` integers, 0 to 2, or -1 for all if there is no split yet.
        labels, groups, validation, test, seed: as of ``split``.
    """
    split_of = np.maximum(given, 0)
    pool = np.flatnonzero(split_of == 0)
    missing = [part if not (given == number).any() else 0.0 for number, part in ((1, validation), (2, test))]
    if any(missing):
        split_of[pool] = split(labels[pool], groups[pool], missing[0], missing[1], seed)
    return split_of


def _describe(counts: dict[str, dict[str, int]], own_split: bool, white: float | None) -> None:
    """Print how many images there are, by split and by class."""
    by_class = _by_class(counts)
    parts = ", ".join(f"{sum(counts[part].values()):,} {part}" for part in SPLITS)
    own = " (the folder's own split)" if own_split else ""
    print(f"{sum(by_class.values()):,} pictures in {len(by_class)} classes: {parts}{own}")
    if len(by_class) <= 20:
        print("by class: " + ", ".join(f"{name} {count:,}" for name, count in by_class.items()))
    else:
        fewest, most = min(by_class, key=by_class.__getitem__), max(by_class, key=by_class.__getitem__)
        print(f"by class: from {by_class[fewest]:,} ({fewest}) to {by_class[most]:,} ({most})")
    if white is not None:
        print(f"In grey pictures of more than 8 bits, {white:,} became 255.")


def _by_class(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return how many images each class has, over all splits."""
    return {name: sum(counts[part][name] for part in SPLITS) for name in counts["train"]}


def _warn_of_counts(counts: dict[str, dict[str, int]]) -> None:
    """Warn if classes are unequal or tiny, or miss in a split."""
    by_class = _by_class(counts)
    fewest, most = min(by_class, key=by_class.__getitem__), max(by_class, key=by_class.__getitem__)
    texts = []
    if by_class[most] >= _UNEQUAL * by_class[fewest]:
        train = counts["train"]
        weights = [f"{sum(train.values()) / len(train) / max(1, count):.2f}" for count in train.values()]
        shown = ", ".join(f"{label}: {weight}" for label, weight in enumerate(weights[:10]))
        texts.append(
            f"The classes are unequal: {most} has {by_class[most]:,} pictures, {fewest} {by_class[fewest]:,}. "
            f"Always to say {most} is right for {by_class[most] / sum(by_class.values()):.1%} of all. "
            "Look at the recall of each class, not at the accuracy alone, and try "
            f"fit(…, class_weight={{{shown}{', …' if len(weights) > 10 else ''}}})."
        )
    tiny = [f"{name} ({count})" for name, count in by_class.items() if count < _FEW_IMAGES]
    if tiny:
        texts.append(
            f"Few pictures: {', '.join(tiny[:10])}{' and others' if len(tiny) > 10 else ''}. With so few test "
            "pictures, the accuracy of a class says little: judge by cross-validation (lesson 09)."
        )
    absent = [f"{name} ({part})" for part in SPLITS for name, count in counts[part].items() if not count]
    if absent:
        texts.append(f"Classes without a picture in a split: {', '.join(absent[:10])}.")
    if texts:
        warnings.warn("\n".join(texts), stacklevel=3)


def _check_arguments(path: object, image_size: object, seed: object, validation: object, test: object) -> None:
    """Raise ImageFolderError if an argument of ``load_image_folder`` makes no sense."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ImageFolderError(f"path={path!r} is no path: give that of a folder, such as 'pets'.")
    if not isinstance(image_size, Integral) or isinstance(image_size, bool) or image_size < 1:
        raise ImageFolderError(f"image_size={image_size!r} is no number of pixels: give a whole number such as 224.")
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise ImageFolderError(f"seed={seed!r} is no seed: give a whole number such as 0, not below 0.")
    parts = [float(part) for part in (validation, test) if isinstance(part, Real)]
    if not (len(parts) == 2 and min(parts) > 0 and sum(parts) < 1):
        raise ImageFolderError(
            f"validation={validation!r} and test={test!r} leave no training pictures, or are no parts: give numbers "
            "such as 0.15 and 0.15."
        )


def _store(files: list[Path], root: Path, side: int) -> StoredImages:
    """Do ``store_images``; raise ImageFolderError if the disk fails."""
    try:
        return store_images(files, root, side)
    except CacheFolderError:
        raise
    except OSError as error:
        raise ImageFolderError(
            f"The pictures cannot be stored: {error.strerror} ({error.filename or 'in the cache folder'}). Nothing is "
            "left half written. Make sure that the disk is there and has room, and call again; the variable "
            "COURSE_CACHE names another cache folder."
        ) from error


def _warn_of_skipped(skipped: dict[Path, str], root: Path, count: int) -> None:
    """Name each skipped file once, in one warning."""
    if skipped:
        lines = [f"  {file.relative_to(root)}: {reason}" for file, reason in sorted(skipped.items())]
        warnings.warn(f"{len(skipped)} of {len(skipped) + count} files are skipped:\n" + "\n".join(lines), stacklevel=3)


def _check_counts(labels: np.ndarray, names: tuple[str, ...], root: Path, given: np.ndarray) -> None:
    """Raise ImageFolderError if a class has too few images: where the folder is split, to train on."""
    own_split = bool((given >= 0).any())
    least = 3 - len(set(given[given > 0])) if own_split else _LEAST_IMAGES
    counts = Counter(labels[given <= 0].tolist())
    few = [f"{name} has {counts[label]}" for label, name in enumerate(names) if counts[label] < least]
    if few and own_split:
        raise ImageFolderError(
            f"In {root}, each class needs at least {least} readable training pictures, but {', '.join(few)}. Add "
            "pictures (a warning names the files that were skipped), or name the others as classes=[…]."
        )
    if few:
        raise ImageFolderError(
            f"In {root}, each class needs at least {_LEAST_IMAGES} readable pictures, one for each of training, "
            f"validation and test, but {', '.join(few)}. Add pictures (a warning names the files that were skipped), "
            "or move the folder away."
        )


def _warn_of_near_duplicates(
    pairs: np.ndarray, files: list[Path], labels: np.ndarray, split_of: np.ndarray, root: Path, own_split: bool
) -> None:
    """Say which images are nearly the same, which of them are in two classes, and which in two splits."""
    if not len(pairs):
        return
    first, second = pairs.T
    mixed, torn = np.sum(labels[first] != labels[second]), np.sum(split_of[first] != split_of[second])
    text = f"{len(pairs)} pairs of pictures are nearly the same."
    if own_split and torn:
        text += f" {torn} pairs are in two splits of the folder's own: its test accuracy will be too good."
    elif not own_split:
        text += (
            " Each pair is kept in one split: a test picture with a twin among the training pictures would test "
            "nothing."
        )
    if mixed:
        text += f" Of these, {mixed} have two different labels: one of the two must be wrong."
    if torn and not own_split:
        text += (
            f" But {torn} pairs are in two splits, as in some class too few pictures differ: its test accuracy will be "
            "too good. Delete copies, and add pictures that differ."
        )
    shown = [f"  {files[a].relative_to(root)} and {files[b].relative_to(root)}" for a, b in pairs[:5]]
    more = [f"  and {len(pairs) - 5} more, in near_duplicates"] if len(pairs) > 5 else []
    warnings.warn("\n".join([text, *shown, *more]), stacklevel=3)
