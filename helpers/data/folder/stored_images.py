"""Images that stay on disk: indexed as an array is, but only what is asked for is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class ImageFile(np.lib.mixins.NDArrayOperatorsMixin):
    """Images of one size in one file of raw bytes, or some of them.

    It serves wherever the course takes an array of images: ``make_dataset`` and ``extract_features`` read it
    batch by batch, so memory does not grow with the number of images. Everything else that an array can do works, too:
    ``np.asarray(images)``, ``images / 255``, ``images.mean()``, ``model.fit(images, labels)``; this reads all of them
    into memory, and gives an ordinary array.

    Args:
        path: holds ``(n, side, side, 3)`` uint8, nothing else.
        side: of each image, in pixels.
        rows: ``(m,)`` integers, which of the n images, in which order; None for all.

    Raises:
        ValueError: the file does not hold whole images of this size.
        OSError: when images are read, and the file is not what it was.
    """

    ndim, dtype = 4, np.dtype(np.uint8)

    def __init__(self, path: Path, side: int, rows: np.ndarray | None = None) -> None:
        self.path, self.image_shape = path, (side, side, 3)
        self.bytes_each = side * side * 3
        count, rest = divmod(path.stat().st_size, self.bytes_each)
        if rest:
            raise ValueError(f"{path} does not hold whole pictures of {side} x {side} pixels. Delete it.")
        self.rows = np.arange(count) if rows is None else np.asarray(rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that all images together would be."""
        return (len(self.rows), *self.image_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> np.ndarray:
        """Read what ``array[which]`` would give: only the images that this asks for."""
        first, *rest = which if isinstance(which, tuple) else (which,)
        if first is Ellipsis or first is None:
            return np.asarray(self)[which]
        rows = self.rows[first]
        images = np.empty((np.size(rows), *self.image_shape), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for image, row in zip(images, np.ravel(rows), strict=True):
                file.seek(int(row) * self.bytes_each)
                if file.readinto(image.reshape(-1).data) != self.bytes_each:
                    raise OSError(f"{self.path} was cut or deleted since it was written. Call load_image_folder again.")
        images = images.reshape(*np.shape(rows), *self.image_shape)
        if not rest:
            return images
        return images[(*(slice(None),) * np.ndim(rows), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [np.asarray(each) if isinstance(each, ImageFile) else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"Images of a folder have no {name!r}, as arrays have none.")
        return getattr(np.asarray(self), name)
