"""Read picture files of many kinds, and keep them at one size in one file."""

from __future__ import annotations

import hashlib
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.cache import cache_folder, write_beside
from helpers.near_duplicates import SIDE

# An MPO file is a JPEG with further pictures inside; many cameras write it as .jpg.
FORMATS = {"JPEG": (".jpg", ".jpeg"), "MPO": (".mpo",), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",)}
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)


@dataclass(frozen=True)
class StoredPictures:
    """Pictures of one size in one file.

    Attributes:
        path: holds ``(n, side, side, 3)`` uint8, nothing else; see ``PictureFile``.
        unreadable: file -> why it is not among them.
        thumbnails: ``(n, SIDE, SIDE, 3)`` uint8, each picture again, very small.
    """

    path: Path
    unreadable: dict[Path, str]
    thumbnails: np.ndarray


def store_pictures(files: list[Path], root: Path, side: int) -> StoredPictures:
    """Write all pictures, made square, into one file in the cache folder, unless an earlier call has done so.

    Raises:
        OSError: a file cannot be read for a reason outside it, or nothing can be written.
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
            reasons = {root / name: reason for name, reason in json.loads(str(arrays["reasons"])).items()}
            return StoredPictures(stored, reasons, arrays["thumbnails"])
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
    return StoredPictures(stored, unreadable, thumbnails)


def read_or_explain(file: Path, side: int) -> np.ndarray | str:
    """Return a picture as ``read_picture`` does, or what is wrong with the file.

    Raises:
        OSError: the system cannot read it now, such as from a disk that is gone; that says nothing about the file.
    """
    from PIL import UnidentifiedImageError

    if file.stat().st_size == 0:
        return "the file is empty"
    try:
        return read_picture(file, side)
    except UnidentifiedImageError:
        return "it is no picture, or its beginning is damaged"
    except Exception as error:  # a damaged file fails in many ways
        if isinstance(error, OSError) and error.errno:
            error.filename = str(file)
            raise
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
