"""Pictures that stay on disk: indexed as an array is, but only what is asked for is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class PictureFile:
    """Pictures of one size in one file of raw bytes, or some of them.

    It serves wherever the course takes an array of pictures: ``make_dataset`` and ``extract_features`` read it
    batch by batch, so memory does not grow with the number of pictures.

    Args:
        path: holds ``(n, side, side, 3)`` uint8, nothing else.
        side: of each picture, in pixels.
        rows: ``(m,)`` integers, which of the n pictures, in which order; None for all.

    Raises:
        ValueError: the file does not hold whole pictures of this size.
    """

    ndim, dtype = 4, np.dtype(np.uint8)

    def __init__(self, path: Path, side: int, rows: np.ndarray | None = None) -> None:
        self.path, self.picture_shape = path, (side, side, 3)
        self.bytes_each = side * side * 3
        count, rest = divmod(path.stat().st_size, self.bytes_each)
        if rest:
            raise ValueError(f"{path} does not hold whole pictures of {side} x {side} pixels. Delete it.")
        self.rows = np.arange(count) if rows is None else np.asarray(rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that all pictures together would be."""
        return (len(self.rows), *self.picture_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which) -> np.ndarray:
        """Read one picture ``(side, side, 3)``, or those of a slice or of a list of numbers ``(k, side, side, 3)``."""
        rows = self.rows[which]
        pictures = np.empty((np.size(rows), *self.picture_shape), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for picture, row in zip(pictures, np.atleast_1d(rows), strict=True):
                file.seek(int(row) * self.bytes_each)
                file.readinto(picture.reshape(-1).data)
        return pictures if np.ndim(rows) else pictures[0]
