"""What the folders of a data set mean: which are classes, and which are a split that is there already."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from helpers.data.folder.reading import image_endings, why_not_an_image

SPLITS = ("train", "validation", "test")
_WORDS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validating", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
_LEFTOVERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "__pycache__"}
_WANTED = "Wanted is a folder with one folder for each class, such as pets/cat and pets/dog."


class ImageFolderError(ValueError):
    """A folder cannot be used as a data set; the message says why, and how it should look."""


@dataclass
class Layout:
    """The image files of a folder, in order, and what their places say.

    Attributes:
        class_names: in the order of the labels.
        files: the files that may be images.
        classes: of each file, the name of its class.
        splits: of each file "train", "validation" or "test", where the folder has a split; else None.
        skipped: file or folder -> why it is not among them.
    """

    class_names: tuple[str, ...] = ()
    files: list[Path] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)

    def add(self, folder: Path, name: str, split: str | None) -> None:
        """Add all images in a folder, and in those inside, to a class."""
        files, skipped = list_images(folder)
        self.skipped |= skipped
        self.files += files
        self.classes += [name] * len(files)
        self.splits += [split] * len(files)


def find_images(path: Path, classes: Sequence[str] | None = None) -> Layout:
    """Find out what the folders in ``path`` mean, and list their images.

    The rules: Each folder is a class, unless the folders hold folders of the same names. Then one of the two levels
    is a split. It is the level whose names say so: train, validation, test, or words with them, such as
    ``Training`` or ``seg_test``. That split is used as it is. If the names do not say, nothing is guessed.

    Args:
        path: the folder.
        classes: names of the folders that are classes, whatever is in them; other folders are left out.

    Raises:
        ImageFolderError: this is no folder of class folders, or it cannot be told what its folders mean.
    """
    folders, loose = _look_into(path)
    layout = Layout(skipped={file: "it is in no class folder" for file in loose})
    if classes is not None:
        missing = [name for name in classes if path / name not in folders]
        if missing:
            raise ImageFolderError(f"In {path} there is no folder {', '.join(missing)}. {_WANTED}")
        layout.skipped |= {folder: "it is none of the classes" for folder in folders if folder.name not in classes}
        places: list[tuple[Path, str, str | None]] = [(path / name, name, None) for name in classes]
        layout.class_names = tuple(classes)
    else:
        places = _split_at_the_top(folders, layout) or _split_inside(folders) or [(f, f.name, None) for f in folders]
        layout.class_names = tuple(sorted({name for _, name, _ in places}))
    _check_names(layout.class_names, path)
    for folder, name, split in places:
        layout.add(folder, name, split)
    return layout


def split_of_name(name: str) -> str | None:
    """Return which split a folder's name means, or None: "Training" and "seg_train" mean "train"."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def list_images(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Return the image files in a folder and in those inside, in order, and why others are left out.

    Hidden files and folders are ignored, and so are those that archives and systems leave behind.
    """
    files, left_out = [], {}

    def note(error: OSError) -> None:
        left_out[Path(error.filename)] = f"the folder cannot be read ({error.strerror})"

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if _counts(name)]
        links = [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        left_out |= dict.fromkeys(links, "it is a link to a folder, which is not followed")
        for file in (Path(place, name) for name in names if _counts(name)):
            reason = why_not_an_image(file)
            if reason:
                left_out[file] = reason
            else:
                files.append(file)
    return sorted(files), left_out


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _LEFTOVERS and name.casefold() != "thumbs.db"


def _folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, in the order of their names."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and _counts(entry.name))


def _look_into(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders in ``path``, two at least, and the images beside them.

    Raises:
        ImageFolderError: there are fewer.
    """
    check_is_folder(path)
    folders = _folders_in(path)
    others = [entry for entry in path.iterdir() if entry not in folders and _counts(entry.name)]
    loose = sorted(entry for entry in others if entry.suffix.lower() in image_endings())
    if not folders:
        found = f"has {len(loose)} pictures, but no folders" if loose else "has no folders" if others else "is empty"
        advice = " If a table names the class of each picture, give it as labels='table.csv'." if loose else ""
        raise ImageFolderError(f"{path} {found}. {_WANTED}{advice}")
    if len(folders) == 1:
        inside = [folder.name for folder in _folders_in(folders[0])]
        hint = f" If its folders {', '.join(inside[:5])} are the classes, give {folders[0]}." if inside else ""
        raise ImageFolderError(
            f"{path} has one class only, {folders[0].name}; at least two are needed. {_WANTED}{hint}"
        )
    return folders, loose


def check_is_folder(path: Path) -> None:
    """Raise ImageFolderError unless there is a folder."""
    if not path.exists():
        raise ImageFolderError(f"There is no folder {path.absolute()}. {_WANTED}")
    if not path.is_dir():
        raise ImageFolderError(f"{path} is a file, not a folder. {_WANTED}")


def _split_at_the_top(folders: list[Path], layout: Layout) -> list[tuple[Path, str, str | None]]:
    """Return the class folders of a split such as train/cat and test/cat, with class and split; none if it is none.

    Raises:
        ImageFolderError: the folders hold folders of the same names, and their own do not say what they are.
    """
    roles = {folder: split_of_name(folder.name) for folder in folders}
    inside = {folder: _folders_in(_unwrap(folder)) for folder in folders}
    names = [{each.name.casefold() for each in inside[folder]} for folder in folders]
    shared = set().union(*(a & b for a, b in combinations(names, 2)))
    if not shared and not all(roles.values()):
        return []
    if shared and all(map(split_of_name, shared)):
        return []  # the split is inside the classes
    found = [role for role in roles.values() if role]
    listed = ", ".join(folder.name for folder in folders)
    if "train" not in found or len(set(found)) < 2 or len(set(found)) < len(found):
        raise ImageFolderError(
            f"It cannot be told which folders are classes in {folders[0].parent}: {listed}. Several of them hold "
            f"folders of the same names ({', '.join(sorted(shared)[:5]) or 'of a split'}). If this is a split, name "
            f"its parts train, validation and test. If {listed} are the classes, say so: "
            f"classes={[folder.name for folder in folders]!r}."
        )
    if not any(inside[folder] for folder in folders if roles[folder] == "train"):
        raise ImageFolderError(
            f"{folders[0].parent} is split already ({listed}), but the pictures in it are in no class folders, so they "
            f"have no labels. {_WANTED} If a table names the class of each picture, give it as labels='table.csv'."
        )
    places: list[tuple[Path, str, str | None]] = []
    for folder, role in roles.items():
        if role is None:
            layout.skipped[folder] = "the folder is split, and this is none of train, validation and test"
            continue
        places += [(each, each.name, role) for each in inside[folder]]
        loose = [file for file in sorted(_unwrap(folder).iterdir()) if file.is_file() and _counts(file.name)]
        layout.skipped |= dict.fromkeys(loose, "it is in no class folder, so it has no label")
    return places


def _split_inside(folders: list[Path]) -> list[tuple[Path, str, str | None]]:
    """Return the folders of a split inside the classes, such as cat/train and cat/test; none if there is none."""
    inside = {folder: _folders_in(folder) for folder in folders}
    roles = [split_of_name(each.name) for part in inside.values() for each in part]
    if not all(inside.values()) or not all(roles) or "train" not in roles or len(set(roles)) < 2:
        return []
    return [(each, folder.name, split_of_name(each.name)) for folder in folders for each in inside[folder]]


def _unwrap(folder: Path) -> Path:
    """Go down while a folder holds nothing but one folder that has folders: archives are often packed so."""
    inside = [entry for entry in folder.iterdir() if _counts(entry.name)]
    if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink() and _folders_in(inside[0]):
        return _unwrap(inside[0])
    return folder


def _check_names(names: tuple[str, ...], path: Path) -> None:
    """Raise ImageFolderError if two classes differ in capital letters or spaces only, or if there is one class."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            raise ImageFolderError(f"In {path}, {other!r} and {name!r} look like one class. Give both the same name.")
    if len(names) < 2:
        raise ImageFolderError(f"{path} has one class only, {', '.join(names)}; at least two are needed. {_WANTED}")
