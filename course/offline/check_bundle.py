"""Check an offline bundle, and say which profiles it serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from course.offline.needs import IMAGES, WITHOUT_IT, Need, needs_of, training_images_of
from helpers.files.bundle import SourceError, check_file, read_manifest
from helpers.profiles import PROFILES, Profile

if TYPE_CHECKING:
    import numpy as np


LEFT_BY_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # macOS and Windows put them where they show a folder


def inspect_bundle(folder: Path) -> tuple[dict[str, str], list[str], dict[str, dict]]:
    """Check every file of a bundle.

    Returns:
        A message for each file that is missing, cut or changed, by its name; a message for each that the manifest does
        not name; and the manifest's entries of the files that are right.

    Raises:
        SourceError: there is no such folder, or it has no manifest.
    """
    if not folder.is_dir():
        raise SourceError(f"There is no folder {folder}. Name the folder of a bundle; it holds a MANIFEST.json.")
    files = read_manifest(folder)
    damaged, right = {}, {}
    for name, entry in sorted(files.items()):
        try:
            check_file(folder, name, entry)
        except SourceError as error:
            damaged[name] = str(error)
        else:
            right[name] = entry
    known = {folder / name for name in (*files, "MANIFEST.json")}
    unlisted = [
        f"The manifest does not name {path}, so nobody knows whether it is right. Delete it."
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in known and not is_left_by_system(path)
    ]
    return damaged, unlisted, right


def is_left_by_system(path: Path) -> bool:
    """Tell whether macOS or Windows made a file on its own; on other disks, macOS also makes ``._NAME`` for NAME."""
    return path.name in LEFT_BY_SYSTEMS or path.name.startswith("._")


def shortages(folder: Path, files: Mapping[str, dict], damaged: Mapping[str, str], profile: Profile) -> Iterator:
    """Yield each need of a profile that a bundle does not meet, and in words what is missing: ``(Need, str)``.

    Args:
        folder: the bundle.
        files: the files in it that are right.
        damaged: a message for each file that is not.
        profile: whose needs.
    """
    for need in needs_of(profile):
        packed = next((name for name in need.packed if name in files), None)
        if is_damaged(need, damaged):
            yield need, f"{need.packed[0]} (damaged)"
        elif packed is None:
            yield need, need.packed[0]
        elif packed == IMAGES and (words := shortage_of_images(folder / packed, profile)):
            yield need, words


def is_damaged(need: Need, damaged: Iterable[str]) -> bool:
    """Tell whether a damaged file of a bundle is what a need asks for, or a part of its hub module."""
    own = tuple(name.removesuffix("saved_model.pb") if need.handles else name for name in need.packed)
    return any(name.startswith(own) for name in damaged)


def shortage_of_images(path: Path, profile: Profile) -> str | None:
    """Return what is wrong with the pictures of a bundle, or None if they are enough for a profile."""
    import numpy as np

    try:
        with np.load(path) as arrays:
            return shortage_of_labels(arrays["y_train"], arrays["y_test"], profile)
    except Exception as error:  # a damaged archive fails in many ways
        return f"{IMAGES} cannot be read ({error})"


def shortage_of_labels(y_train: np.ndarray, y_test: np.ndarray, profile: Profile) -> str | None:
    """Say which pictures of each class a profile needs that are not there, or return None if they are enough.

    Args:
        y_train, y_test: labels in [0, 9], ``(n,)`` or ``(n, 1)``.
        profile: chooses the same number of each class.
    """
    needed = {"training": training_images_of(profile), "test": profile.test_size}
    for (kind, size), labels in zip(needed.items(), (y_train, y_test), strict=True):
        rarest = count_rarest(labels)
        if rarest < size // 10:
            return f"{size // 10:,} {kind} pictures of each class ({rarest:,} of the rarest are there)"
    return None


def count_rarest(labels: np.ndarray) -> int:
    """Return how many pictures the rarest of the ten classes has."""
    return min(int((labels == label).sum()) for label in range(10))


def report_on_bundle(folder: Path) -> int:
    """Print what is wrong with a bundle and which profiles it serves; return 0 if all is right and it serves one."""
    damaged, unlisted, right = inspect_bundle(folder)
    for problem in (*damaged.values(), *unlisted):
        print(f"✘ {problem}")
    print(f"{len(right)} files are right, {sum(entry['bytes'] for entry in right.values()) / 1e6:.1f} MB")
    lines = [serves(folder, right, damaged, profile) for profile in PROFILES.values()]
    print("\n".join(lines))
    useful = any(needs_of(profile) and line[0] == "✔" for profile, line in zip(PROFILES.values(), lines, strict=True))
    return 0 if useful and not damaged and not unlisted else 1


def serves(folder: Path, files: Mapping[str, dict], damaged: Mapping[str, str], profile: Profile) -> str:
    """Return a line that says whether a bundle serves a profile. A damaged file spoils only what needs it."""
    if not needs_of(profile):
        return f"✔ {profile.name}: needs no bundle"
    short = list(shortages(folder, files, damaged, profile))
    lacks = ", ".join(words for need, words in short if not need.optional)
    without = ", ".join(words for need, words in short if need.optional)
    if lacks:
        return f"✘ {profile.name}: not enough. Missing: {lacks}"
    return f"✔ {profile.name}: enough" + (f", but without {without}: {WITHOUT_IT}" if without else "")


def damage_of_weights(path: Path) -> str | None:
    """Return why a weights file cannot be opened, or None if it can: a file that was cut cannot."""
    import h5py

    try:
        with h5py.File(path) as file:
            return None if len(file) else "it is empty"
    except OSError as error:
        return str(error)
