"""Read one image file, of any kind that Pillow reads, as a square of RGB pixels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_NOT_IMAGES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # formats that Pillow knows by name only, and programs
_MOST_PIXELS = 250_000_000  # a decoded image of this size takes 0.75 GB
_BITS = (8, 10, 12, 14, 16)
_BEGINNINGS = {
    b"%PDF": "a PDF file",
    b"<!doctype html": "a web page: was its download refused?",
    b"<html": "a web page: was its download refused?",
    b"<svg": "a drawing (SVG)",
    b"<?xml": "a text in XML, such as a drawing (SVG)",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: run git lfs pull",
}
_HEIC = "a HEIC file, as iPhones write it: convert it to JPEG, or install pillow-heif and register it"


class UnusableImage(ValueError):
    """An image is whole, but its values cannot be used; the message says why."""


@functools.cache
def image_formats() -> tuple[str, ...]:
    """Return the names of all formats that Pillow reads on this machine, such as "JPEG"."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_IMAGES)


def image_endings() -> set[str]:
    """Return the endings of the files of all these formats, such as ".jpg"."""
    from PIL import Image

    formats = image_formats()
    return {ending for ending, name in Image.registered_extensions().items() if name in formats}


def why_not_an_image(file: Path) -> str:
    """Return why a file is not worth reading, or nothing. What stands in it decides later, whatever its ending says."""
    ending = file.suffix.lower()
    if ending and ending not in image_endings():
        return _HEIC if ending in (".heic", ".heif") else "not a picture file that Pillow reads"
    try:
        if not file.is_file():
            return "it is no file, or a link to none"
        with open(file, "rb"):
            return ""
    except OSError as error:
        return f"it cannot be opened ({error.strerror})"


def read_image(file: Path | str, side: int, white: float | None = None) -> np.ndarray:
    """Read one image file as ``(side, side, 3)`` uint8, RGB in [0, 255]; see ``load_image_folder``.

    Args:
        file: of any format that Pillow reads.
        side: of the image that comes out, in pixels.
        white: of a grey image of more than 8 bits, the value that becomes 255; None: found from this image alone. To
            treat an image as those of a folder, give the folder's ``white``.

    Raises:
        Exception: of many kinds, if the file is no image or damaged.
    """
    with any_size():
        pixels = read_or_measure(file, side, white)
        return pixels if isinstance(pixels, np.ndarray) else _read(file, side, white_of([pixels]))


def read_or_measure(file: Path | str, side: int, white: float | None = None) -> np.ndarray | float:
    """Do ``read_image``; but of a grey image of more than 8 bits, return the largest value if ``white`` is None."""
    if white is not None:
        return _read(file, side, white)
    from PIL import Image

    with Image.open(file, formats=image_formats()) as opened:
        return _largest_value(opened) if _is_deep(opened) else _to_square(opened, side, None)


def white_of(largest: Iterable[float]) -> float:
    """Return the value that becomes 255, from the largest values of all grey images of more than 8 bits.

    It is the largest number of as few bits as hold all values: of 8, 10, 12, 14 or 16. A folder whose values all are
    fractions up to 1 has 1.

    Raises:
        UnusableImage: there are larger values.
    """
    most = max(largest)
    if isinstance(most, float) and most <= 1:
        return 1.0
    for bits in _BITS:
        if most < 2**bits:
            return 2**bits - 1
    raise UnusableImage(f"its values go up to {most:,.0f}, which is more than 16 bits: convert it to 8 or 16 bits")


@contextlib.contextmanager
def any_size() -> Iterator[None]:
    """Let Pillow open images of any size; ``_to_square`` has a limit of its own."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def what_it_is(file: Path) -> str:
    """Return what a file is that Pillow does not know, as half a sentence."""
    with open(file, "rb") as opened:
        beginning = opened.read(64)
    if beginning[4:8] == b"ftyp" and beginning[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"):
        return _HEIC
    text = beginning.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    known = (what for sign, what in _BEGINNINGS.items() if text.startswith(sign.lower()))
    return next(known, "it is no picture, or its beginning is damaged")


def _is_deep(image: Any) -> bool:
    """Tell whether a Pillow image is grey and has more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def _largest_value(image: Any) -> float:
    """Return the largest value of a grey image of more than 8 bits: an integer, or a float if the image is of floats.

    Raises:
        UnusableImage: values are below 0, or no numbers.
    """
    _check_size(image)
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise UnusableImage("some of its values are no numbers: convert it to 8 or 16 bits")
    if values.min() < 0:
        raise UnusableImage(f"its values begin at {values.min():,.0f}, below 0: convert it to 8 or 16 bits")
    return values.max().item()


def _read(file: Path | str, side: int, white: float | None) -> np.ndarray:
    from PIL import Image

    with Image.open(file, formats=image_formats()) as opened:
        return _to_square(opened, side, white)


def _to_square(opened: Any, side: int, white: float | None) -> np.ndarray:
    """Turn an opened Pillow image into ``(side, side, 3)`` uint8."""
    from PIL import Image, ImageOps

    opened.draft("RGB", (side, side))  # a large JPEG is decoded at a fraction of its size
    _check_size(opened)
    sixteen_bits = any("16" in str(tile[-1]) for tile in getattr(opened, "tile", ()))
    image: Image.Image = ImageOps.exif_transpose(opened)
    if _is_deep(image):
        assert white is not None
        image = Image.fromarray((np.asarray(image, np.float64) * (255 / white)).round().clip(0, 255).astype(np.uint8))
    elif "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif sixteen_bits and np.asarray(image).max() < 64:  # of 16 bits in colour, Pillow keeps the upper 8
        raise UnusableImage("16 bits a colour, of which the upper ones are empty: convert it to 8 bits")
    return np.asarray(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC))


def _check_size(image: Any) -> None:
    pixels = image.width * image.height
    if pixels > _MOST_PIXELS:
        raise UnusableImage(
            f"{pixels / 1e6:,.0f} million pixels; up to {_MOST_PIXELS / 1e6:.0f} are read: make it smaller"
        )
