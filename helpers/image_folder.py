"""Your own pictures: a folder with one folder for each class becomes a data set like those of the lessons."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.cache import cache_folder, write_beside
from helpers.datasets import ImageData
from helpers.near_duplicates import SIDE, group_numbers, near_duplicates
from helpers.picture_files import PictureFile

FORMATS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",)}
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
SPLITS = ("train", "validation", "test")
LEAST_PICTURES = 3  # of a class: one for each split


class ImageFolderError(ValueError):
    """A folder cannot be used as a data set; the message says why, and how it should look."""


@dataclass(frozen=True)
class ImageFolder(ImageData):
    """A data set from a folder.

    Attributes:
        files: the file of each picture, by split: "train", "validation", "test"; in the order of the pictures.
        skipped: file -> why it is not in the data set.
        near_duplicates: pairs of files that show nearly the same. Both are always in the same split.
    """

    files: dict[str, list[Path]] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    near_duplicates: list[tuple[Path, Path]] = field(default_factory=list)


def load_image_folder(
    path: Path | str, image_size: int = 224, *, seed: int = 0, validation: float = 0.15, test: float = 0.15
) -> ImageFolder:
    """Read the pictures of a folder once, and split them by class into training, validation and test pictures.

    The pictures stay on disk, at their new size (in the course's cache folder), so memory does not grow with their
    number. The longer side is cut to a square around the middle. Pictures are turned as their EXIF data say;
    transparent parts become white; of an animation, the first picture counts.

    Args:
        path: holds one folder for each class, with JPEG, PNG, WebP or GIF files (also in folders inside). Hidden files
            are ignored. Files that cannot be read are skipped, and named in one warning.
        image_size: side of the pictures that come out, in pixels.
        seed: which pictures go into which split.
        validation, test: the parts of each class that go there, above 0; together below 1.

    Returns:
        Like the data of the lessons: ``x_train`` and its like are indexed as arrays ``(n, image_size, image_size, 3)``
        uint8 are; see ``PictureFile``.

    Raises:
        ImageFolderError: there is no such folder, it has fewer than two classes, a class has fewer than three
            readable pictures, or the parts are no parts.
        CacheFolderError: the cache folder cannot be written.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ImageFolderError(
            f"validation={validation} and test={test} leave no training pictures, or are no parts: give numbers such "
            "as 0.15 and 0.15."
        )
    path = Path(path).expanduser()
    files, skipped = find_pictures(path)
    stored, unreadable, thumbnails = store_pictures(files, path, image_size)
    skipped |= unreadable
    files = [file for file in files if file not in unreadable]
    warn_of_skipped(skipped, path, len(files))
    names = tuple(class_folder.name for class_folder in class_folders(path))
    labels = np.array([names.index(file.relative_to(path).parts[0]) for file in files], np.int64)
    check_counts(labels, names, path)
    pairs = near_duplicates(thumbnails)
    report_near_duplicates([(files[a], files[b], labels[a] == labels[b]) for a, b in pairs], path)
    rows = dict(zip(SPLITS, split(labels, group_numbers(pairs, len(labels)), validation, test, seed), strict=True))
    print(f"{len(files):,} pictures in {len(names)} classes: " + ", ".join(f"{len(rows[s]):,} {s}" for s in SPLITS))
    return ImageFolder(
        name=path.name,
        class_names=names,
        **{f"x_{part}": PictureFile(stored, image_size, rows[part]) for part in SPLITS},
        **{f"y_{part}": labels[rows[part]] for part in SPLITS},
        files={part: [files[row] for row in rows[part]] for part in SPLITS},
        skipped=skipped,
        near_duplicates=[(files[a], files[b]) for a, b in pairs],
    )


def class_folders(path: Path) -> list[Path]:
    """Return the folders of the classes, in the order of their names."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def find_pictures(path: Path) -> tuple[list[Path], dict[Path, str]]:
    """Return the picture files of all classes in order, and why each other file is skipped.

    Raises:
        ImageFolderError: this is no folder of class folders.
    """
    wanted = "Wanted is a folder with one folder for each class, such as pets/cat and pets/dog."
    if not path.exists():
        raise ImageFolderError(f"There is no folder {path}. {wanted}")
    if not path.is_dir():
        raise ImageFolderError(f"{path} is a file, not a folder. {wanted}")
    classes = class_folders(path)
    if not classes:
        loose = sum(entry.suffix.lower() in ENDINGS for entry in path.iterdir())
        found = f"has {loose} pictures, but no folders" if loose else "is empty"
        raise ImageFolderError(f"{path} {found}. {wanted}")
    if {entry.name.lower() for entry in classes} <= {"train", "training", "val", "valid", "validation", "test"}:
        raise ImageFolderError(
            f"{path} is split already: it has {', '.join(entry.name for entry in classes)}. Give the folder of one "
            f"split; its pictures are then split anew. {wanted}"
        )
    if len(classes) == 1:
        raise ImageFolderError(f"{path} has one class only, {classes[0].name}; at least two are needed. {wanted}")
    pictures, skipped = [], {}
    for folder in classes:
        for file in sorted(folder.rglob("*")):
            if file.is_dir() or any(part.startswith(".") for part in file.relative_to(path).parts):
                continue
            if file.suffix.lower() in ENDINGS:
                pictures.append(file)
            else:
                skipped[file] = "not a JPEG, PNG, WebP or GIF file"
    return pictures, skipped


def store_pictures(files: list[Path], root: Path, side: int) -> tuple[Path, dict[Path, str], np.ndarray]:
    """Write all pictures, made square, into one file in the cache folder, unless an earlier call has done so.

    Returns:
        That file; file -> reason of those that cannot be read; and a thumbnail ``(n, SIDE, SIDE, 3)`` of each other.
    """
    import PIL
    from PIL import Image
    from tqdm.auto import tqdm

    described = [(str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps([described, side, PIL.__version__]).encode() + Path(__file__).read_bytes())
    stored = cache_folder("folders") / f"{key.hexdigest()[:20]}.pixels"
    notes = stored.with_suffix(".npz")
    if stored.exists() and notes.exists():
        with np.load(notes) as arrays:
            reasons = json.loads(str(arrays["reasons"]))
            return stored, {root / name: reason for name, reason in reasons.items()}, arrays["thumbnails"]
    unreadable, thumbnails = {}, []
    with (
        write_beside(stored) as temporary,
        open(temporary, "wb") as output,
        ThreadPoolExecutor(2) as pool,
        warnings.catch_warnings(),
        tqdm(total=len(files), desc="reading pictures", unit=" files") as bar,
    ):
        warnings.simplefilter("ignore")  # of odd EXIF data and the like
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(files), 64):  # so that few decoded pictures wait to be written
            part = files[start : start + 64]
            for file, answer in zip(part, pool.map(lambda file: read_or_explain(file, side), part), strict=True):
                if isinstance(answer, str):
                    unreadable[file] = answer
                else:
                    output.write(answer.tobytes())
                    thumbnails.append(np.asarray(Image.fromarray(answer).resize((SIDE, SIDE), Image.Resampling.BOX)))
            bar.update(len(part))
    thumbnails = np.array(thumbnails, np.uint8).reshape(-1, SIDE, SIDE, 3)
    reasons = {str(file.relative_to(root)): reason for file, reason in unreadable.items()}
    with write_beside(notes) as temporary:
        np.savez(temporary, reasons=json.dumps(reasons), thumbnails=thumbnails)
    return stored, unreadable, thumbnails


def read_or_explain(file: Path, side: int) -> np.ndarray | str:
    """Return a picture as ``read_picture`` does, or why it cannot be read."""
    from PIL import UnidentifiedImageError

    if file.stat().st_size == 0:
        return "the file is empty"
    try:
        return read_picture(file, side)
    except UnidentifiedImageError:
        return "it is no picture, or its beginning is damaged"
    except Exception as error:  # a damaged file fails in many ways
        return f"it is damaged ({(str(error).splitlines() or [type(error).__name__])[0]})"


def read_picture(file: Path | str, side: int) -> np.ndarray:
    """Read one picture file as ``(side, side, 3)`` uint8, RGB in [0, 255]; see ``load_image_folder``.

    Raises:
        Exception: of many kinds, if the file is no picture or damaged.
    """
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        if image.format not in FORMATS:
            raise ValueError(f"a {image.format} file, whatever its name says")
        image.draft("RGB", (side, side))  # a large JPEG is decoded at a fraction of its size
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits of grey
            image = Image.fromarray((np.asarray(image, np.float32) / 257).clip(0, 255).astype(np.uint8))
        elif "A" in image.mode or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC))


def warn_of_skipped(skipped: dict[Path, str], root: Path, count: int) -> None:
    """Name each skipped file once, in one warning."""
    if skipped:
        lines = [f"  {file.relative_to(root)}: {reason}" for file, reason in sorted(skipped.items())]
        warnings.warn(f"{len(skipped)} of {len(skipped) + count} files are skipped:\n" + "\n".join(lines), stacklevel=3)


def check_counts(labels: np.ndarray, names: tuple[str, ...], root: Path) -> None:
    """Raise ImageFolderError if a class has too few pictures."""
    counts = Counter(labels.tolist())
    few = [f"{name} has {counts[label]}" for label, name in enumerate(names) if counts[label] < LEAST_PICTURES]
    if few:
        raise ImageFolderError(
            f"In {root}, each class needs at least {LEAST_PICTURES} readable pictures, one for each of training, "
            f"validation and test, but {', '.join(few)}. Add pictures, or move the folder away."
        )


def report_near_duplicates(pairs: list[tuple[Path, Path, bool]], root: Path) -> None:
    """Say which pictures are nearly the same, and which of them are in two classes."""
    if not pairs:
        return
    shown = [f"  {a.relative_to(root)} and {b.relative_to(root)}" for a, b, _ in pairs[:5]]
    more = [f"  and {len(pairs) - 5} more, in near_duplicates"] if len(pairs) > 5 else []
    torn = sum(not same_class for *_, same_class in pairs)
    text = (
        f"{len(pairs)} pairs of pictures are nearly the same. Each pair is kept in one split: a test picture with a "
        "twin among the training pictures would test nothing."
    )
    if torn:
        text += f" Of these, {torn} have two different labels: one of the two must be wrong."
    warnings.warn("\n".join([text, *shown, *more]), stacklevel=3)


def split(labels: np.ndarray, groups: np.ndarray, validation: float, test: float, seed: int) -> list[np.ndarray]:
    """Divide pictures by class, and never a group.

    Args:
        labels: ``(n,)`` integers. groups: ``(n,)`` integers, the group of each picture.
        validation, test: parts of each class.
        seed: which pictures.

    Returns:
        The rows of the training, validation and test pictures, each in random order. Each class has at least one
        picture in each, as far as its groups allow.
    """
    random = np.random.RandomState(seed)
    _, first_of_group = np.unique(groups, return_index=True)
    parts: list[list[int]] = [[], [], []]
    for label in np.unique(labels):
        of_class = random.permutation(groups[first_of_group[labels[first_of_group] == label]])
        total = int(np.sum(labels == label))
        quotas = [max(1, round(test * total)), max(1, round(validation * total))]
        for group in of_class:
            members = np.flatnonzero(groups == group).tolist()
            if quotas[0] > 0:
                parts[2] += members
                quotas[0] -= len(members)
            elif quotas[1] > 0:
                parts[1] += members
                quotas[1] -= len(members)
            else:
                parts[0] += members
    return [random.permutation(np.array(part, np.int64)) for part in parts]
