"""The course's own folder for what is costly to make again, and how files are written.

The folder is the usual cache folder of the system; the variable ``COURSE_CACHE`` names another one.
Everything in it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path


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
    return Path(root).expanduser()


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

    A reader sees the old file or the new one, never half a file; an error leaves nothing behind.
    """
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
