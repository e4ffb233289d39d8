"""Peak memory of ``load_image_folder`` for 3,000 pictures against 300, each in a process of its own.

What counts is the growth over that process' memory with a small folder read.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.pipeline_memory import peak

SIZE = 224


def write_folder(root: Path, count: int) -> None:
    """Write ``count`` JPEG files of noise in two classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        file = root / f"class_{number % 2}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (240, 320, 3), np.uint8)).save(file)


def growth(count: int) -> float:
    """Load a folder of ``count`` pictures, read all of them once, and return the growth in megabytes."""
    from helpers.data.folder.image_folder import load_image_folder

    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSE_CACHE"] = f"{folder}/cache"
        write_folder(Path(folder) / "warm", 20)
        write_folder(Path(folder) / "pictures", count)
        load_image_folder(Path(folder) / "warm", SIZE)
        before = peak()
        data = load_image_folder(Path(folder) / "pictures", SIZE)
        for start in range(0, len(data.x_train), 64):
            data.x_train[start : start + 64]
        return peak() - before


def main() -> None:
    """Measure both folders, and print the growths and their ratio to the pixels of the larger one."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        small, large = pool.apply(growth, (300,)), pool.apply(growth, (3000,))
    pixels = 3000 * SIZE * SIZE * 3 / 2**20
    print(f"growth of peak memory: 300 pictures {small:.0f} MB, 3,000 pictures {large:.0f} MB (pixels {pixels:.0f} MB)")
    print(f"growth / pixels of 3,000 pictures: {large / pixels:.3f}")


if __name__ == "__main__":
    main()
