"""Keep all images of a folder at one size in one file."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from helpers.data.folder.near_duplicates import SIDE
from helpers.data.folder.reading import UnusableImage, any_size, read_or_measure, what_it_is, white_of
from helpers.files.bundle import digest_of
from helpers.files.cache import cache_folder, write_beside

# Part of each stored file's name. Raise it when the same image files give other pixels or thumbnails than before (a
# change in ``helpers.data.folder.reading``), or when the file is laid out anew: older ones are no longer read.
_FORMAT = 2


@dataclass(frozen=True)
class StoredImages:
    """Images of one size in one file.

    Attributes:
        path: holds ``(n, side, side, 3)`` uint8, nothing else; see ``ImageFile``.
        unreadable: file -> why it is not among them.
        thumbnails: ``(n, SIDE, SIDE, 3)`` uint8, each image again, very small.
        white: of grey images of more than 8 bits, the value that became 255; None if there are none.
    """

    path: Path
    unreadable: dict[Path, str]
    thumbnails: np.ndarray
    white: float | None


def store_images(files: list[Path], root: Path, side: int) -> StoredImages:
    """Write all images, made square, into one file in the cache folder, unless an earlier call has done so.

    What an earlier call wrote is used only if it is still what was written: its digest is computed again.

    Raises:
        OSError: a file cannot be read for a reason outside it, or nothing can be written.
    """
    import PIL

    described = [(str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps([_FORMAT, described, side, PIL.__version__]).encode())
    stored = cache_folder("folders") / f"{key.hexdigest()[:20]}.pixels"
    notes = stored.with_suffix(".npz")
    if stored.exists() or notes.exists():
        known = _read_stored(stored, notes, root)
        if known is not None:
            return known
        print(f"The stored pictures in {stored} are damaged; the files are read again.")
        for each in (stored, notes):
            shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
    with write_beside(stored) as temporary:
        unreadable, thumbnails, white = _write_pixels(files, side, temporary)
        digest = digest_of(temporary)
    reasons = {str(file.relative_to(root)): reason for file, reason in unreadable.items()}
    with write_beside(notes) as temporary:
        values = json.dumps({"reasons": reasons, "white": white, "digest": digest})
        np.savez(temporary, values=values, thumbnails=thumbnails)
    return StoredImages(stored, unreadable, thumbnails, white)


def _read_stored(stored: Path, notes: Path, root: Path) -> StoredImages | None:
    """Return what an earlier call has stored, or None if it is not whole."""
    try:
        with np.load(notes) as arrays:
            values, thumbnails = json.loads(str(arrays["values"])), arrays["thumbnails"]
        if digest_of(stored) != values["digest"]:
            return None
        unreadable = {root / name: reason for name, reason in values["reasons"].items()}
        return StoredImages(stored, unreadable, thumbnails, values["white"])
    except Exception:  # a damaged archive fails in many ways
        return None


def _write_pixels(files: list[Path], side: int, path: Path) -> tuple[dict[Path, str], np.ndarray, float | None]:
    """Write the pixels of all readable files, in order; return what could not be read, the thumbnails, and the white.

    Grey images of more than 8 bits are read in a second round: one rule holds for all of them.
    """
    from PIL import Image

    unreadable: dict[Path, str] = {}
    small: list[np.ndarray] = []
    deep: dict[Path, tuple[int, float]] = {}  # the place in the file, and the largest value

    def write(images: Iterator[tuple[Path, np.ndarray | str | float]], output: IO[bytes]) -> None:
        for file, answer in images:
            if isinstance(answer, str):
                unreadable[file] = answer
                continue
            if not isinstance(answer, np.ndarray):
                deep[file] = len(small), answer
                answer = np.zeros((side, side, 3), np.uint8)
            output.write(answer.tobytes())
            small.append(np.asarray(Image.fromarray(answer).resize((SIDE, SIDE), Image.Resampling.BOX)))

    with (
        open(path, "wb") as output,
        warnings.catch_warnings(),
        any_size(),
    ):
        warnings.simplefilter("ignore")  # of odd EXIF data and the like
        write(_read_all(files, side), output)
        white = white_of(largest for _, largest in deep.values()) if deep else None
        for file, answer in _read_all(list(deep), side, white):
            if not isinstance(answer, np.ndarray):
                raise OSError(None, f"it was changed while it was read ({answer})", str(file))
            place = deep[file][0]
            output.seek(place * answer.nbytes)
            output.write(answer.tobytes())
            small[place] = np.asarray(Image.fromarray(answer).resize((SIDE, SIDE), Image.Resampling.BOX))
    return unreadable, np.array(small, np.uint8).reshape(-1, SIDE, SIDE, 3), white


def _read_all(
    files: list[Path], side: int, white: float | None = None
) -> Iterator[tuple[Path, np.ndarray | str | float]]:
    """Yield each file with what ``_read_or_explain`` gives for it."""
    from tqdm.auto import tqdm

    with (
        ThreadPoolExecutor(2) as pool,
        tqdm(total=len(files), desc="reading pictures", unit=" files", file=sys.stdout, disable=not files) as bar,
    ):
        for start in range(0, len(files), 64):  # so that few decoded images wait to be written
            part = files[start : start + 64]
            yield from zip(part, pool.map(lambda file: _read_or_explain(file, side, white), part), strict=True)
            bar.update(len(part))


def _read_or_explain(file: Path, side: int, white: float | None) -> np.ndarray | str | float:
    """Do ``read_or_measure``, or return what is wrong with the file.

    Raises:
        OSError: the system cannot read it now, such as from a disk that is gone; that says nothing about the file.
    """
    from PIL import UnidentifiedImageError

    if file.stat().st_size == 0:
        return "the file is empty"
    try:
        answer = read_or_measure(file, side, white)
        if not isinstance(answer, np.ndarray):
            white_of([answer])  # says whether there is one
        return answer
    except UnidentifiedImageError:
        return what_it_is(file)
    except UnusableImage as error:
        return str(error)
    except Exception as error:  # a damaged file fails in many ways
        if isinstance(error, OSError) and error.errno:
            error.filename = str(file)
            raise
        return f"it is damaged ({(str(error).splitlines() or [type(error).__name__])[0]})"
