"""Make an offline bundle; ``helpers.files.bundle`` says what that is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from course.offline.check_bundle import count_rarest, damage_of_weights, shortage_of_labels
from course.offline.needs import IMAGES, WITHOUT_IT, Need, needs_of, training_images_of
from helpers.data.datasets import read_cifar10
from helpers.files.bundle import MissingSourceError, SourceError, bundle_place, digest_of
from helpers.files.cache import write_beside
from helpers.files.downloads import Source, get_file
from helpers.files.hub_modules import HubModuleError, find_module, first_module
from helpers.profiles import Profile


@dataclass(frozen=True)
class Part:
    """What a bundle gets for one need.

    Attributes:
        name: its path in the bundle: of a file, or of the folder of a hub module.
        note: what it is, for the manifest.
        path: the file or folder that is copied; None for the pictures.
        arrays: the pictures: "x_train", "y_train", "x_test" and "y_test", all uint8; empty for other parts.
    """

    name: str
    note: str
    path: Path | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def make_bundle(folder: Path, profile: Profile, train_images: int | None = None) -> dict[str, dict]:
    """Make a bundle with all that a profile needs, from COURSE_BUNDLE, the caches and the network, in this order.

    All is looked for, and downloaded, before anything is written. The bundle is written beside ``folder`` and then
    renamed. The same sources give the same bytes.

    Args:
        folder: the new bundle; it may exist if it is empty.
        profile: whose needs.
        train_images: how many training pictures of CIFAR-10 to keep, the same number of each class, in the official
            order; None for all that the source has. All test pictures are kept.

    Returns:
        The manifest's ``files``; an optional file that cannot be had is left out, and a line says so.

    Raises:
        SourceError: ``folder`` is taken or cannot be written; something cannot be had, or is damaged; the number of
            pictures does not fit.
    """
    if not needs_of(profile):
        raise SourceError(f"The profile {profile.name} needs no bundle: its data and networks are part of the course.")
    check_place(folder)
    check_count(train_images, profile)
    parts = find_parts(profile, train_images)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with write_beside(folder) as building:
            for part in parts:
                write_part(part, building)
            names = sorted(path.relative_to(building).as_posix() for path in building.rglob("*") if path.is_file())
            files = {name: describe(building / name) for name in names}
            manifest = {"what": {part.name: part.note for part in parts}, "files": files}
            (building / "MANIFEST.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            if folder.exists():
                folder.rmdir()  # it is empty, and Windows renames onto nothing that exists
    except OSError as error:
        raise SourceError(
            f"The bundle cannot be written to {folder} ({error.strerror or error}). Make room there, or name a folder "
            "that you can write. Nothing was left behind."
        ) from error
    return files


def check_place(folder: Path) -> None:
    """Make sure that a bundle can be written to ``folder``."""
    if os.path.ismount(folder) or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise SourceError(
            f"{folder} is not empty, or not a folder, or a whole disk. Name a folder that does not exist yet, "
            f"such as {folder.with_name('new-bundle')}."
        )
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(above, os.W_OK):  # said now, not after all downloads
        raise SourceError(f"The bundle cannot be written to {folder}. Name a folder that you can write.")


def check_count(train_images: int | None, profile: Profile) -> None:
    """Make sure that a number of training pictures can serve the profile."""
    needed = training_images_of(profile)
    if train_images is not None and (train_images % 10 or train_images < needed):
        raise SourceError(
            f"--train-images {train_images} does not fit. The lessons of the profile {profile.name} need {needed:,} "
            f"training pictures (lesson 09 the most), so name a multiple of 10 from {needed} on."
        )


def find_parts(profile: Profile, train_images: int | None) -> list[Part]:
    """Find all parts of the bundle: in COURSE_BUNDLE, in the caches, or on the network.

    Raises:
        SourceError: some that are not optional are nowhere, or damaged; the message names each.
    """
    parts, failures = [], []
    for need in needs_of(profile):
        try:
            if need.handles:
                part = find_hub_part(need)
            elif need.packed[0] == IMAGES:
                part = find_images(profile, train_images)
            elif need.source:
                part = find_file(need.packed[0], need.source)
        except (MissingSourceError, HubModuleError) as error:
            reasons = str(error).split("Tried:\n")[-1]
            if need.optional:
                print(f"• left out: {need.packed[0]} ({WITHOUT_IT}); it cannot be had now:\n{reasons}")
            else:
                failures.append(f"{need.packed[0]}\n{reasons}")
        else:
            print(f"✔ found: {part.name}")
            parts.append(part)
    if failures:
        raise SourceError(
            f"No bundle was made, because the profile {profile.name} needs files that cannot be had now. Connect to "
            "the network, or set COURSE_BUNDLE to a bundle that has them; then start again.\n" + "\n".join(failures)
        )
    return parts


def find_images(profile: Profile, train_images: int | None) -> Part:
    """Return CIFAR-10, or a balanced part of its training pictures."""
    x_train, y_train, x_test, y_test = read_cifar10()
    if words := shortage_of_labels(y_train, y_test, profile):
        raise SourceError(
            f"The profile {profile.name} needs {words}. Choose another profile, or unset COURSE_BUNDLE: then the whole "
            "CIFAR-10 is taken from Keras' cache or the network."
        )
    rarest = count_rarest(y_train)
    if (train_images or 0) > 10 * rarest:
        raise SourceError(
            f"--train-images {train_images} is too much: the CIFAR-10 at hand has {rarest:,} training pictures of its "
            f"rarest class, so at most {10 * rarest} can be chosen, the same number of each class."
        )
    balance = ""
    if train_images:
        kept = np.sort(np.concatenate([np.flatnonzero(y_train == label)[: train_images // 10] for label in range(10)]))
        x_train, y_train = x_train[kept], y_train[kept]
        balance = f", the first {train_images // 10:,} of each class"
    note = (
        f"CIFAR-10, lossless, in the official order: {len(y_train):,} training pictures{balance}, and {len(y_test):,} "
        "test pictures; x_train, y_train, x_test, y_test, uint8, channels last"
    )
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return Part(IMAGES, note, arrays={name: array.astype(np.uint8) for name, array in arrays.items()})


def find_file(name: str, source: Source) -> Part:
    """Return one file, to be ``name`` in the bundle, checked as far as that is possible.

    Raises:
        MissingSourceError: it is nowhere, or damaged.
    """
    path = get_file(source)
    if path.suffix == ".h5" and (damage := damage_of_weights(path)):
        raise MissingSourceError(f"  {path} is damaged ({damage}). Delete it; it will be downloaded again.")
    return Part(name, note_on(name, f"from {source.urls[0]}"), path)


def find_hub_part(need: Need) -> Part:
    """Return the folder of the hub module. One that has no checksum is loaded, to see that it is whole."""
    handle = first_module(need.handles)
    folder = find_module(handle)
    if "://" not in handle:
        return Part(f"hub/{handle}", note_on(f"hub/{handle}", "a hub module"), folder)
    from helpers.hub.layer import load_module

    load_module(str(folder))
    return Part(f"hub/{need.handles[0]}", f"from {handle}", folder)


def note_on(name: str, default: str) -> str:
    """Return what the manifest of COURSE_BUNDLE says on a file, or ``default``: where it came from is kept."""
    bundle = bundle_place()
    if bundle is None:
        return default
    notes = json.loads((bundle / "MANIFEST.json").read_text(encoding="utf-8-sig")).get("what")
    return notes.get(name, default) if isinstance(notes, dict) else default


def write_part(part: Part, bundle: Path) -> None:
    """Write one part. Only contents are copied: rights and times are new, so that others can read the bundle."""
    target = bundle / part.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if part.path is None:
        np.savez(target, **part.arrays)  # type: ignore[arg-type]  # none of them is called allow_pickle
        return
    files = [path for path in part.path.rglob("*") if path.is_file()] or [part.path]
    for path in files:
        copy = target / path.relative_to(part.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def describe(path: Path) -> dict:
    """Return the manifest's entry for a file."""
    return {"bytes": path.stat().st_size, "sha256": digest_of(path)}
