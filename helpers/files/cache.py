"""The course's own folder for what is costly to make again, and how files are written.

The folder is the usual cache folder of the system; the variable ``COURSE_CACHE`` names another one.
Everything in it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from helpers.files.bundle import digest_of
from helpers.files.home import without_tilde

_A_DAY = 24 * 60 * 60  # seconds


class CacheFolderError(OSError):
    """A folder cannot be written."""


def cache_folder(*parts: str) -> Path:
    """Return the folder ``parts`` inside the course's cache folder, and make it if it is missing.

    Raises:
        CacheFolderError: nothing can be written there.
    """
    return writable_folder(cache_root().joinpath(*parts), "the variable COURSE_CACHE")


def cache_root() -> Path:
    """Return the course's cache folder; it may not exist."""
    import platformdirs

    root = os.environ.get("COURSE_CACHE") or platformdirs.user_cache_dir("finetuning-course")
    return without_tilde(root)


def writable_folder(folder: Path, setting: str) -> Path:
    """Make a folder if it is missing, and make sure that files can be written there.

    Args:
        folder: its path.
        setting: what names another folder, for the message, such as "the variable KERAS_HOME".

    Raises:
        CacheFolderError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheFolderError(
            f"The folder {folder} cannot be written ({error.strerror or error}). "
            f"Set {setting} to a folder that you can write, and start again."
        ) from error
    return folder


@contextlib.contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it to ``path`` when the block ends well.

    A reader sees the old file or the new one, never half a file, also after the machine has lost its power; an error
    leaves nothing behind. What a killed process left is removed by the next writer of the same path, a day later.

    Raises:
        CacheFolderError: there is a folder where the file should be.
    """
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            if path.is_dir():
                raise CacheFolderError(f"{path} is a folder, but a file should be there. Delete it, and try again.")
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of ``path`` that nobody has written to for a day."""
    pattern = re.compile(re.escape(f".{path.stem}-") + r"\d+-\d+" + re.escape(path.suffix))
    with contextlib.suppress(OSError):
        for other in path.parent.iterdir():
            if pattern.fullmatch(other.name) and other.stat().st_mtime < time.time() - _A_DAY:
                shutil.rmtree(other) if other.is_dir() else other.unlink()


@contextlib.contextmanager
def write_checked(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    """Do ``write_beside`` for a file whose name will hold the digest of its content; ``find_checked`` finds it."""
    unnamed = folder / f"{stem}{suffix}"
    with write_beside(unnamed) as temporary:
        yield temporary
    os.replace(unnamed, folder / f"{stem}.{digest_of(unnamed)[:16]}{suffix}")


def find_checked(folder: Path, stem: str, suffix: str) -> Path | None:
    """Return the file that ``write_checked`` wrote, or None if there is none; one that has changed is removed."""
    for path in sorted(folder.glob(f"{stem}.*{suffix}")):
        if path.is_file() and path.name == f"{stem}.{digest_of(path)[:16]}{suffix}":
            return path
        print(f"{path} is damaged: it is made again.")
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None
