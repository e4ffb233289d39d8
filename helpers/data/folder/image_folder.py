"""Your own images: a folder with one folder for each class becomes a data set like those of the lessons."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from helpers.data.datasets import ImageData
from helpers.data.folder.group_split import split
from helpers.data.folder.near_duplicates import group_numbers, near_duplicates
from helpers.data.folder.stored_images import ImageFile
from helpers.data.folder.storing import ENDINGS, StoredImages, store_images
from helpers.files.cache import CacheFolderError

_SPLITS = ("train", "validation", "test")
_LEAST_IMAGES = 3  # of a class: one for each split


class ImageFolderError(ValueError):
    """A folder cannot be used as a data set; the message says why, and how it should look."""


@dataclass(frozen=True)
class ImageFolder(ImageData):
    """A data set from a folder.

    Attributes:
        files: the file of each image, by split: "train", "validation", "test"; in the order of the images.
        skipped: file -> why it is not in the data set.
        near_duplicates: pairs of files that show nearly the same, as few as join all that do. Both are in the same
            split, unless too few images of their class differ; a warning says so.
    """

    files: dict[str, list[Path]] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    near_duplicates: list[tuple[Path, Path]] = field(default_factory=list)


def load_image_folder(
    path: Path | str, image_size: int = 224, *, seed: int = 0, validation: float = 0.15, test: float = 0.15
) -> ImageFolder:
    """Read the images of a folder once, and split them by class into training, validation and test images.

    The images stay on disk, at their new size (in the course's cache folder), so memory does not grow with their
    number. The longer side is cut to a square around the middle. Images are turned as their EXIF data say;
    transparent parts become white; of an animation, the first image counts.

    Args:
        path: holds one folder for each class, with JPEG, PNG, WebP or GIF files (also in folders inside). Hidden files
            are ignored. What cannot be read is skipped, and named in one warning.
        image_size: side of the images that come out, in pixels.
        seed: which images go into which split; a whole number from 0 on.
        validation, test: the parts of each class that go there, above 0; together below 1. Images that are nearly
            the same count once.

    Returns:
        Like the data of the lessons: ``x_train`` and its like are indexed as arrays ``(n, image_size, image_size, 3)``
        uint8 are; see ``ImageFile``.

    Raises:
        ImageFolderError: there is no such folder, it has fewer than two classes, a class has fewer than three
            readable images, an argument makes no sense, or the disk fails.
        CacheFolderError: the cache folder cannot be written.
    """
    _check_arguments(path, image_size, seed, validation, test)
    path = Path(path).expanduser()
    files, skipped = _find_images(path)
    stored = _store(files, path, int(image_size))
    skipped |= stored.unreadable
    files = [file for file in files if file not in stored.unreadable]
    _warn_of_skipped(skipped, path, len(files))
    names = tuple(class_folder.name for class_folder in _class_folders(path))
    labels = np.array([names.index(file.relative_to(path).parts[0]) for file in files], np.int64)
    _check_counts(labels, names, path)
    pairs = near_duplicates(stored.thumbnails)
    split_of = split(labels, group_numbers(pairs, len(labels)), validation, test, seed)
    _warn_of_near_duplicates(pairs, files, labels, split_of, path)
    order = np.random.RandomState(seed).permutation(len(labels))
    rows = {part: order[split_of[order] == number] for number, part in enumerate(_SPLITS)}
    print(f"{len(files):,} pictures in {len(names)} classes: " + ", ".join(f"{len(rows[s]):,} {s}" for s in _SPLITS))
    arrays: dict = {f"x_{part}": ImageFile(stored.path, int(image_size), rows[part]) for part in _SPLITS}
    arrays |= {f"y_{part}": labels[rows[part]] for part in _SPLITS}
    return ImageFolder(
        name=path.name,
        class_names=names,
        **arrays,
        files={part: [files[row] for row in rows[part]] for part in _SPLITS},
        skipped=skipped,
        near_duplicates=[(files[a], files[b]) for a, b in pairs],
    )


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


def _class_folders(path: Path) -> list[Path]:
    """Return the folders of the classes, in the order of their names."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _find_images(path: Path) -> tuple[list[Path], dict[Path, str]]:
    """Return the image files of all classes in order, and why each other file is skipped.

    Raises:
        ImageFolderError: this is no folder of class folders.
    """
    wanted = "Wanted is a folder with one folder for each class, such as pets/cat and pets/dog."
    if not path.exists():
        raise ImageFolderError(f"There is no folder {path}. {wanted}")
    if not path.is_dir():
        raise ImageFolderError(f"{path} is a file, not a folder. {wanted}")
    classes = _class_folders(path)
    others = [entry for entry in path.iterdir() if entry not in classes]
    loose = [entry for entry in others if entry.suffix.lower() in ENDINGS]
    if not classes:
        found = f"has {len(loose)} pictures, but no folders" if loose else "has no folders" if others else "is empty"
        raise ImageFolderError(f"{path} {found}. {wanted}")
    if {entry.name.lower() for entry in classes} <= {"train", "training", "val", "valid", "validation", "test"}:
        raise ImageFolderError(
            f"{path} is split already: it has {', '.join(entry.name for entry in classes)}. Give the folder of one "
            f"split; its pictures are then split anew. {wanted}"
        )
    if len(classes) == 1:
        raise ImageFolderError(f"{path} has one class only, {classes[0].name}; at least two are needed. {wanted}")
    skipped = {file: "it is in no class folder" for file in loose if not file.name.startswith(".")}
    images = []
    for folder in classes:
        files, unread = _list_files(folder)
        skipped |= unread
        for file in files:
            reason = _why_not_an_image(file)
            if reason:
                skipped[file] = reason
            else:
                images.append(file)
    return images, skipped


def _list_files(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Return all files in a folder and in those inside, in order, and why a folder inside is left out."""
    files, left_out = [], {}

    def note(error: OSError) -> None:
        left_out[Path(error.filename)] = f"the folder cannot be read ({error.strerror})"

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        left_out |= dict.fromkeys(links, "it is a link to a folder, which is not followed")
        files += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(files), left_out


def _why_not_an_image(file: Path) -> str:
    """Return why a file is not worth reading, or nothing."""
    if file.suffix.lower() not in ENDINGS:
        return "not a JPEG, PNG, WebP or GIF file"
    try:
        if not file.is_file():
            return "it is no file, or a link to none"
        with open(file, "rb"):
            return ""
    except OSError as error:
        return f"it cannot be opened ({error.strerror})"


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


def _check_counts(labels: np.ndarray, names: tuple[str, ...], root: Path) -> None:
    """Raise ImageFolderError if a class has too few images."""
    counts = Counter(labels.tolist())
    few = [f"{name} has {counts[label]}" for label, name in enumerate(names) if counts[label] < _LEAST_IMAGES]
    if few:
        raise ImageFolderError(
            f"In {root}, each class needs at least {_LEAST_IMAGES} readable pictures, one for each of training, "
            f"validation and test, but {', '.join(few)}. Add pictures (a warning names the files that were skipped), "
            "or move the folder away."
        )


def _warn_of_near_duplicates(
    pairs: np.ndarray, files: list[Path], labels: np.ndarray, split_of: np.ndarray, root: Path
) -> None:
    """Say which images are nearly the same, which of them are in two classes, and which in two splits."""
    if not len(pairs):
        return
    first, second = pairs.T
    mixed, torn = np.sum(labels[first] != labels[second]), np.sum(split_of[first] != split_of[second])
    text = (
        f"{len(pairs)} pairs of pictures are nearly the same. Each pair is kept in one split: a test picture with a "
        "twin among the training pictures would test nothing."
    )
    if mixed:
        text += f" Of these, {mixed} have two different labels: one of the two must be wrong."
    if torn:
        text += (
            f" But {torn} pairs are in two splits, as in some class too few pictures differ: its test accuracy will be "
            "too good. Delete copies, and add pictures that differ."
        )
    shown = [f"  {files[a].relative_to(root)} and {files[b].relative_to(root)}" for a, b in pairs[:5]]
    more = [f"  and {len(pairs) - 5} more, in near_duplicates"] if len(pairs) > 5 else []
    warnings.warn("\n".join([text, *shown, *more]), stacklevel=3)
