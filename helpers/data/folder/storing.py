"""Read image files of many kinds, and keep them at one size in one file."""

from __future__ import annotations

import hashlib
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.data.folder.near_duplicates import SIDE
from helpers.files.cache import cache_folder, write_beside

# An MPO file is a JPEG with further images inside; many cameras write it as .jpg.
_FORMATS = {"JPEG": (".jpg", ".jpeg"), "MPO": (".mpo",), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",)}
ENDINGS = tuple(ending for endings in _FORMATS.values() for ending in endings)

# Part of each stored file's name. Raise it when the same image files give other pixels or thumbnails than before (a
# change in ``read_image``), or when the file is laid out in another way: older files are then no longer read.
_FORMAT = 1


@dataclass(frozen=True)
class StoredImages:
    """Images of one size in one file.

    Attributes:
        path: holds ``(n, side, side, 3)`` uint8, nothing else; see ``ImageFile``.
        unreadable: file -> why it is not among them.
        thumbnails: ``(n, SIDE, SIDE, 3)`` uint8, each image again, very small.
    """

    path: Path
    unreadable: dict[Path, str]
    thumbnails: np.ndarray


def store_images(files: list[Path], root: Path, side: int) -> StoredImages:
    """Write all images, made square, into one file in the cache folder, unless an earlier call has done so.

    Raises:
        OSError: a file cannot be read for a reason outside it, or nothing can be written.
    """
    import PIL
    from PIL import Image
    from tqdm.auto import tqdm

    described = [(str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps([_FORMAT, described, side, PIL.__version__]).encode())
    stored = cache_folder("folders") / f"{key.hexdigest()[:20]}.pixels"
    notes = stored.with_suffix(".npz")
    if stored.exists() and notes.exists():
        with np.load(notes) as arrays:
            reasons = {root / name: reason for name, reason in json.loads(str(arrays["reasons"])).items()}
            return StoredImages(stored, reasons, arrays["thumbnails"])
    unreadable, small = {}, []
    with (
        write_beside(stored) as temporary,
        open(temporary, "wb") as output,
        ThreadPoolExecutor(2) as pool,
        warnings.catch_warnings(),
        tqdm(total=len(files), desc="reading pictures", unit=" files") as bar,
    ):
        warnings.simplefilter("ignore")  # of odd EXIF data and the like
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(files), 64):  # so that few decoded images wait to be written
            part = files[start : start + 64]
            for file, answer in zip(part, pool.map(lambda file: _read_or_explain(file, side), part), strict=True):
                if isinstance(answer, str):
                    unreadable[file] = answer
                else:
                    output.write(answer.tobytes())
                    small.append(np.asarray(Image.fromarray(answer).resize((SIDE, SIDE), Image.Resampling.BOX)))
            bar.update(len(part))
    thumbnails = np.array(small, np.uint8).reshape(-1, SIDE, SIDE, 3)
    reasons = {str(file.relative_to(root)): reason for file, reason in unreadable.items()}
    with write_beside(notes) as temporary:
        np.savez(temporary, reasons=json.dumps(reasons), thumbnails=thumbnails)
    return StoredImages(stored, unreadable, thumbnails)


def _read_or_explain(file: Path, side: int) -> np.ndarray | str:
    """Return an image as ``read_image`` does, or what is wrong with the file.

    Raises:
        OSError: the system cannot read it now, such as from a disk that is gone; that says nothing about the file.
    """
    from PIL import UnidentifiedImageError

    if file.stat().st_size == 0:
        return "the file is empty"
    try:
        return read_image(file, side)
    except UnidentifiedImageError:
        return "it is no picture, or its beginning is damaged"
    except Exception as error:  # a damaged file fails in many ways
        if isinstance(error, OSError) and error.errno:
            error.filename = str(file)
            raise
        return f"it is damaged ({(str(error).splitlines() or [type(error).__name__])[0]})"


def read_image(file: Path | str, side: int) -> np.ndarray:
    """Read one image file as ``(side, side, 3)`` uint8, RGB in [0, 255]; see ``load_image_folder``.

    Raises:
        Exception: of many kinds, if the file is no image or damaged.
    """
    from PIL import Image, ImageOps

    with Image.open(file) as opened:
        if opened.format not in _FORMATS:
            raise ValueError(f"a {opened.format} file, whatever its name says")
        opened.draft("RGB", (side, side))  # a large JPEG is decoded at a fraction of its size
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits of grey
            image = Image.fromarray((np.asarray(image, np.float32) / 257).clip(0, 255).astype(np.uint8))
        elif "A" in image.mode or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC))
