"""Images that stay on disk: indexed as an array is, but only what is asked for is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class ImageFile:
    """Images of one size in one file of raw bytes, or some of them.

    It serves wherever the course takes an array of images: ``make_dataset`` and ``extract_features`` read it
    batch by batch, so memory does not grow with the number of images.

    Args:
        path: holds ``(n, side, side, 3)`` uint8, nothing else.
        side: of each image, in pixels.
        rows: ``(m,)`` integers, which of the n images, in which order; None for all.

    Raises:
        ValueError: the file does not hold whole images of this size.
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

    def __getitem__(self, which) -> np.ndarray:
        """Read one image ``(side, side, 3)``, or those of a slice or of a list of numbers ``(k, side, side, 3)``."""
        rows = self.rows[which]
        images = np.empty((np.size(rows), *self.image_shape), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for image, row in zip(images, np.atleast_1d(rows), strict=True):
                file.seek(int(row) * self.bytes_each)
                file.readinto(image.reshape(-1).data)
        return images if np.ndim(rows) else images[0]
