"""Emoji-10: CIFAR-10's ten classes, drawn with emoji, composed on the fly.

Every image is one emoji on a random background, with random size, place, tilt, flip, colour mix,
brightness and noise. The same seed gives the same bytes on every machine: random numbers come from
``RandomState`` (the one NumPy generator whose stream is frozen for ever), and the arithmetic uses only
operations that IEEE 754 rounds exactly.

See ``helpers/assets/emoji10/DATA_CARD.md`` for sources, splits, licences and limits.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers import ASSETS

ATLAS_PNG = ASSETS / "emoji10" / "atlas.png"
ATLAS_INDEX = ASSETS / "emoji10" / "atlas.json"
SPRITE_SIZE = 28
_IMAGE_SIZE = 32
_SEEN_ARTISTS = ("noto", "fluent_flat", "fluent_modern")
_UNSEEN_ARTIST = "twemoji"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# How strongly colours are mixed (0 to 1), and the largest amplitudes of clutter and noise (in grey levels).
_COLOUR_MIX, _CLUTTER, _NOISE = 0.35, 45, 45

# split -> number of images, random stream (so that no two splits share an image), artists.
_SPLITS = {
    "train": (2000, 1, _SEEN_ARTISTS),
    "validation": (500, 2, _SEEN_ARTISTS),
    "test": (1000, 3, _SEEN_ARTISTS),
    "unseen_artist": (1000, 4, (_UNSEEN_ARTIST,)),
}
_SOURCE_STREAM = 5


@dataclass(frozen=True)
class DrawnImages:
    """Images that were composed, and what each one shows.

    Attributes:
        images: ``(n, 32, 32, 3)`` uint8 in [0, 255].
        labels: ``(n,)`` int64.
        details: "artist" and "emoji", ``(n,)`` texts: who drew it, and its name; "size", ``(n,)`` float32: the side of
            the drawing in pixels, 13 to 28; "object", ``(n, 32, 32)`` bool: the pixels of which the drawing covers at
            least half.
    """

    images: np.ndarray
    labels: np.ndarray
    details: dict[str, np.ndarray]


@functools.cache
def _load_atlas() -> tuple[np.ndarray, list[dict]]:
    """Return the sprites and what each one shows.

    Returns:
        ``(n, 28, 28, 4)`` uint8, colours multiplied by alpha; and, for each sprite, its ``task``
        ("target" or "source"), ``class``, ``name`` and ``artist``.
    """
    from PIL import Image

    index = json.loads(ATLAS_INDEX.read_text(encoding="utf-8"))
    sheet = np.asarray(Image.open(ATLAS_PNG))
    rows, columns = sheet.shape[0] // SPRITE_SIZE, sheet.shape[1] // SPRITE_SIZE
    sprites = sheet.reshape(rows, SPRITE_SIZE, columns, SPRITE_SIZE, 4).swapaxes(1, 2)
    return sprites.reshape(-1, SPRITE_SIZE, SPRITE_SIZE, 4)[: len(index)], index


def _grow(grid: np.ndarray) -> np.ndarray:
    """Enlarge ``(n, k, k, c)`` to ``(n, 32, 32, c)`` with linear interpolation."""
    cells = grid.shape[1] - 1
    place = np.arange(_IMAGE_SIZE, dtype=np.float32) * np.float32(cells / _IMAGE_SIZE)
    left = place.astype(np.int64)
    weight = (place - left).astype(np.float32)
    wide = grid[:, :, left] * (1 - weight)[:, None] + grid[:, :, left + 1] * weight[:, None]
    weight = weight[:, None, None]
    return wide[:, left] * (1 - weight) + wide[:, left + 1] * weight


def _sample_sprites(sprites: np.ndarray, which: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Look up sprite colours at fractional places with bilinear interpolation.

    Args:
        sprites: ``(m, s, s, 4)`` uint8.
        which: ``(n,)`` the sprite of each image.
        x, y: ``(n, 32, 32)`` float32, places in sprite pixels; outside the sprite is transparent.

    Returns:
        ``(n, 32, 32, 4)`` float32 in [0, 255].
    """
    size = sprites.shape[1] + 2
    padded = np.pad(sprites, ((0, 0), (1, 1), (1, 1), (0, 0)))
    flat = np.ascontiguousarray(padded).view(np.uint32).reshape(-1)  # four bytes in one look-up
    x = np.clip(x + 1, 0, size - 1.001, dtype=np.float32)
    y = np.clip(y + 1, 0, size - 1.001, dtype=np.float32)
    left, top = x.astype(np.int32), y.astype(np.int32)
    across, down = (x - left)[..., None], (y - top)[..., None]
    corner = which.astype(np.int32)[:, None, None] * (size * size) + top * size + left

    def colour(offset: int) -> np.ndarray:
        return flat[corner + offset][..., None].view(np.uint8).astype(np.float32)

    upper = colour(0) * (1 - across) + colour(1) * across
    lower = colour(size) * (1 - across) + colour(size + 1) * across
    return upper * (1 - down) + lower * down


def _compose(which: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image for each entry of ``which`` (sprite numbers of the atlas).

    Returns:
        ``(n, 32, 32, 3)`` uint8 in [0, 255], and the "size" and the "object" of ``DrawnImages.details``.
    """
    images = np.empty((len(which), _IMAGE_SIZE, _IMAGE_SIZE, 3), np.uint8)
    sides, masks = np.empty(len(which), np.float32), np.empty(images.shape[:3], bool)
    for start in range(0, len(which), 256):  # small batches stay in the processor's cache
        part = slice(start, start + 256)
        images[part], sides[part], masks[part] = _compose_batch(which[part], random)
    return images, sides, masks


def _compose_batch(which: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image for each entry of ``which``, all at once; return what ``_compose`` does."""
    n = len(which)

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * random.random_sample((n, *shape))).astype(np.float32)

    # Where each image's pixels lie in its sprite: place, size, tilt and flip, inverted.
    side = uniform(13, 28, 1, 1)
    angle = uniform(-0.6, 0.6, 1, 1)
    # The last bits of cos and sin differ between machines, the first 16 do not.
    cos = np.round(np.cos(angle, dtype=np.float64) * 65536).astype(np.float32) / np.float32(65536)
    sin = np.round(np.sin(angle, dtype=np.float64) * 65536).astype(np.float32) / np.float32(65536)
    flip = np.where(uniform(0, 1, 1, 1) < 0.5, np.float32(-1), np.float32(1))
    reach = np.float32(_IMAGE_SIZE / 2) - side * np.float32(0.4)
    centre_x = np.float32(_IMAGE_SIZE / 2 - 0.5) + reach * uniform(-1, 1, 1, 1)
    centre_y = np.float32(_IMAGE_SIZE / 2 - 0.5) + reach * uniform(-1, 1, 1, 1)
    grid = np.arange(_IMAGE_SIZE, dtype=np.float32)
    dx, dy = grid[None, None, :] - centre_x, grid[None, :, None] - centre_y
    scale = np.float32(SPRITE_SIZE) / side
    middle = np.float32((SPRITE_SIZE - 1) / 2)
    x = (dx * cos + dy * sin) * scale * flip + middle
    y = (dy * cos - dx * sin) * scale + middle
    sprite = _sample_sprites(_load_atlas()[0], which, x, y)
    colour, alpha = sprite[..., :3], sprite[..., 3:] / np.float32(255)

    # Mix the sprite's colours: each new channel is a random blend of the three old ones.
    mix = uniform(-_COLOUR_MIX, _COLOUR_MIX, 3, 3)
    mix += np.eye(3, dtype=np.float32)
    colour = sum(colour[..., k : k + 1] * mix[:, None, None, :, k] for k in range(3))
    gain = uniform(0.6, 1.2, 1, 1, 1)

    # A dim or bright background with a tint, and smaller clutter on it.
    background = _grow(uniform(0, 255, 4, 4, 1) + uniform(-60, 60, 4, 4, 3))
    background += _grow(uniform(-_CLUTTER, _CLUTTER, 12, 12, 3))
    image = background * (1 - alpha) + colour * gain
    amplitude = uniform(0, _NOISE, 1, 1, 1)
    noise = np.frombuffer(random.bytes(2 * n * _IMAGE_SIZE * _IMAGE_SIZE * 3), np.uint8)
    noise = noise.reshape(2, n, _IMAGE_SIZE, _IMAGE_SIZE, 3).astype(np.float32)
    image += (noise[0] - noise[1]) * (amplitude / np.float32(255))  # triangular, mean 0
    pixels = np.clip(np.floor(image + np.float32(0.5)), 0, 255).astype(np.uint8)
    return pixels, side.reshape(-1), alpha[..., 0] >= np.float32(0.5)


def load_split(split: str, size: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw one split of Emoji-10.

    Args:
        split: "train", "validation", "test" or "unseen_artist".
        size: number of images, the same for every class where ten divides it; None for the default.
        seed: another seed gives other images of the same emoji.

    Returns:
        Images ``(size, 32, 32, 3)`` uint8 in [0, 255] and labels ``(size,)`` int64 in [0, 9], in random
        order.

    Raises:
        ValueError: there is no such split.
    """
    drawn = draw_split(split, size, seed)
    return drawn.images, drawn.labels


def draw_split(split: str, size: int | None = None, seed: int = 0) -> DrawnImages:
    """Draw one split of Emoji-10, as ``load_split`` does, and tell what each image shows."""
    if split not in _SPLITS:
        raise ValueError(f"Emoji-10 has no split {split!r}. Choose one of: {', '.join(_SPLITS)}.")
    default_size, stream, artists = _SPLITS[split]
    return _draw("target", CLASS_NAMES, artists, default_size if size is None else size, (stream, seed))


def source_classes() -> list[str]:
    """Return the names of the source task's classes, in the order of their labels."""
    return list(dict.fromkeys(entry["class"] for entry in _load_atlas()[1] if entry["task"] == "source"))


def load_source(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of the source task, on which the mini networks were pretrained.

    Returns:
        Images ``(size, 32, 32, 3)`` uint8 in [0, 255] and labels ``(size,)`` int64, indices into
        ``source_classes()``.
    """
    drawn = _draw("source", source_classes(), _SEEN_ARTISTS, size, (_SOURCE_STREAM, seed))
    return drawn.images, drawn.labels


def source_drawings() -> np.ndarray:
    """Return the drawings of the source task by the artists that are seen, without what they show.

    Returns:
        ``(n, 28, 28, 4)`` uint8 in [0, 255]: red, green and blue multiplied by alpha, and alpha (0 where the ground is
        transparent).
    """
    sprites, index = _load_atlas()
    seen = [entry["task"] == "source" and entry["artist"] in _SEEN_ARTISTS for entry in index]
    return sprites[np.array(seen)]


def _draw(task: str, classes: Sequence[str], artists: Sequence[str], size: int, seed: tuple[int, int]) -> DrawnImages:
    """Draw ``size`` images, balanced over ``classes``, of emoji by ``artists``."""
    random = np.random.RandomState(seed)
    labels = np.argsort(random.random_sample(size), kind="stable") % len(classes)
    pools = [
        [
            number
            for number, entry in enumerate(_load_atlas()[1])
            if entry["task"] == task and entry["class"] == name and entry["artist"] in artists
        ]
        for name in classes
    ]
    choice = random.random_sample(size)
    sprites = [pools[label][int(part * len(pools[label]))] for label, part in zip(labels, choice, strict=True)]
    images, sides, masks = _compose(np.array(sprites, np.int64), random)
    shown = [_load_atlas()[1][number] for number in sprites]
    details = {
        "artist": np.array([entry["artist"] for entry in shown]),
        "emoji": np.array([entry["name"] for entry in shown]),
        "size": sides,
        "object": masks,
    }
    return DrawnImages(images, labels.astype(np.int64), details)
