"""Cut a pretrained network at a block: compute the frozen part once for each image, and train only the rest.

What the frozen part gives for an image, a stack of feature maps, is called its *maps*.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.files.cache import cache_folder, find_checked, write_checked
from helpers.models.backbones import Backbone
from helpers.models.features import agrees, cache_key, check_extractor, compute_features

import keras

_LARGE = 2**30  # bytes of float32 maps; more than this is kept as float16
_CHUNK = 512  # images whose maps are in memory at a time
_SPARE = 2**28  # bytes of the disk that stay free
_LIMIT = 4 * 2**30  # bytes of all files of maps in the cache; those used longest ago go first


def split_at(backbone: Backbone, block: str) -> tuple[keras.Model, keras.Model]:
    """Cut a backbone in two, before one of its blocks.

    Both parts consist of the backbone's own layers; nothing is copied. So training the second part trains the backbone,
    and there is nothing to join afterwards: ``backbone.model``, and every model that holds it, has the new weights,
    and gives the predictions of the first part followed by the second.

    The cut changes no ``trainable`` flag. The maps of the first part hold as long as its weights stay as they are:
    so train no layer of it, and freeze its BatchNorm layers, before you compare with training the whole.

    Args:
        backbone: from ``build_backbone``.
        block: a name in ``backbone.blocks``: the first block of the second part.

    Returns:
        The first part, from pixels ``(batch, image_size, image_size, 3)`` to the maps that enter ``block``,
        preprocessing included; and the second part, from these maps to the feature maps of the backbone.

    Raises:
        ValueError: there is no such block, or more than one tensor enters it and the blocks behind it.
    """
    crossing = _crossing(backbone, block)
    if len(crossing) > 1:
        possible = [name for name in backbone.blocks if len(_crossing(backbone, name)) == 1]
        raise ValueError(
            f"{backbone.name} cannot be cut before {block!r}: {len(crossing)} tensors cross this place, because a "
            f"connection leads round some layers. Cut before one of: {', '.join(possible)}."
        )
    return keras.Model(backbone.model.input, crossing[0]), keras.Model(crossing[0], backbone.model.output)


def extract_maps(
    first_part: keras.Model, images: np.ndarray, *, batch_size: int = 128, dtype: str | None = None
) -> np.ndarray:
    """Compute the maps of images, or find them in the cache of an earlier run.

    Feed them to the second part with ``helpers.data.make_map_dataset``.

    Args:
        first_part: the first model that ``split_at`` returns: from ``(batch, size, size, 3)`` pixels in [0, 255].
        images: ``(n, height, width, 3)`` uint8; resized to what ``first_part`` takes.
        batch_size: images computed at a time.
        dtype: "float32": training gives the losses of training the whole. "float16", half as large: the losses of the
            first epoch differ by about a thousandth, later ones as those of another seed do. None: float16 where
            float32 would take more than 1 GiB, else float32.

    Returns:
        ``(n, height, width, channels)``: the outputs of ``first_part`` in inference mode, read from a file when they
        are needed; they cannot be written to. The name of the file depends on everything that the maps depend on, as
        in ``extract_features``. Where all files of maps take more than 4 GiB, those used longest ago are removed.

    Raises:
        CacheFolderError: the cache folder cannot be written.
        ValueError: the images have another shape or dtype; or a map has numbers too large for float16.
    """
    check_extractor(first_part)
    shape = (len(images), *first_part.output_shape[1:])
    kept_as = np.dtype(dtype or ("float16" if math.prod(shape) * 4 > _LARGE else "float32"))
    folder, stem = cache_folder("maps"), f"{cache_key(first_part, images)}_{kept_as}"
    path = find_checked(folder, stem, ".npy")
    if path is not None:
        maps = np.load(path, mmap_mode="r")
        if (maps.shape, maps.dtype) == (shape, kept_as) and agrees(first_part, images, maps):
            with contextlib.suppress(FileNotFoundError):  # another process has made room
                os.utime(path)  # it was used now
            return maps
        del maps
        path.unlink()
    if shutil.disk_usage(folder).free < math.prod(shape) * kept_as.itemsize + _SPARE:
        print(f"The maps do not fit on the disk of {folder}: they are held in memory, and computed each time.")
        return _compute_maps(first_part, images, batch_size, np.empty(shape, kept_as))
    with write_checked(folder, stem, ".npy") as temporary:
        file = np.lib.format.open_memmap(temporary, mode="w+", dtype=kept_as, shape=shape)
        _compute_maps(first_part, images, batch_size, file)
        del file  # writes what is still in memory, and closes the file
    (path,) = folder.glob(f"{stem}.*.npy")
    _make_room(path)
    return np.load(path, mmap_mode="r")


def _compute_maps(first_part: keras.Model, images: np.ndarray, batch_size: int, maps: np.ndarray) -> np.ndarray:
    """Fill ``maps`` with the outputs of a network, chunk by chunk.

    Raises:
        ValueError: a number is too large for the dtype of ``maps``.
    """
    for start in range(0, len(images), _CHUNK):
        chunk = compute_features(first_part, images[start : start + _CHUNK], batch_size)
        if np.abs(chunk).max() > np.finfo(maps.dtype).max:
            raise ValueError(
                f"A number in the maps is {np.abs(chunk).max():.3g}, more than float16 can hold. Set "
                'dtype="float32", or cut at another block.'
            )
        maps[start : start + _CHUNK] = chunk
    return maps


def _crossing(backbone: Backbone, block: str) -> list[keras.KerasTensor]:
    """Return the tensors that enter a block, or a block behind it, from the layers before it."""
    first = backbone.layers_of(block)  # raises an error if there is no such block
    names = list(backbone.blocks)
    behind = first + backbone.layers_of(*names[names.index(block) + 1 :])
    inside = {id(tensor) for layer in behind for tensor in keras.tree.flatten(layer.output)}
    entering = [tensor for layer in behind for tensor in keras.tree.flatten(layer.input)]
    return list({id(tensor): tensor for tensor in entering if id(tensor) not in inside}.values())


def _make_room(newest: Path) -> None:
    """Remove the maps used longest ago until all are within the limit. The newest stay, however large."""
    used = {}
    for path in newest.parent.glob("[!.]*.npy"):
        with contextlib.suppress(FileNotFoundError):  # removed by another process
            used[path] = path.stat()
    too_much = sum(status.st_size for status in used.values()) - _LIMIT
    for path in sorted(used.keys() - {newest}, key=lambda path: used[path].st_mtime_ns):
        if too_much <= 0:
            break
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink(missing_ok=True)
        too_much -= used[path].st_size
