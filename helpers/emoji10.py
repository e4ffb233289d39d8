"""Emoji-10: CIFAR-10's ten classes, drawn with emoji, composed on the fly.

Every picture is one emoji on a random background, with random size, place, tilt, flip, colour mix,
brightness and noise. The same seed gives the same bytes on every machine: random numbers come from
``RandomState`` (the one NumPy generator whose stream is frozen for ever), and the arithmetic uses only
operations that IEEE 754 rounds exactly.

See ``helpers/assets/emoji10/DATA_CARD.md`` for sources, splits, licences and limits.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).with_name("assets") / "emoji10"
ATLAS_PNG = ASSETS / "atlas.png"
ATLAS_INDEX = ASSETS / "atlas.json"
SPRITE_SIZE = 28
IMAGE_SIZE = 32
SEEN_ARTISTS = ("noto", "fluent_flat", "fluent_modern")
UNSEEN_ARTIST = "twemoji"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# How strongly colours are mixed (0 to 1), and the largest amplitudes of clutter and noise (in grey levels).
COLOUR_MIX, CLUTTER, NOISE = 0.35, 45, 45

# split -> number of pictures, random stream (so that no two splits share a picture), artists.
SPLITS = {
    "train": (2000, 1, SEEN_ARTISTS),
    "validation": (500, 2, SEEN_ARTISTS),
    "test": (1000, 3, SEEN_ARTISTS),
    "unseen_artist": (1000, 4, (UNSEEN_ARTIST,)),
}
SOURCE_STREAM = 5


@functools.cache
def load_atlas() -> tuple[np.ndarray, list[dict]]:
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


def grow(grid: np.ndarray) -> np.ndarray:
    """Enlarge ``(n, k, k, c)`` to ``(n, 32, 32, c)`` with linear interpolation."""
    cells = grid.shape[1] - 1
    place = np.arange(IMAGE_SIZE, dtype=np.float32) * np.float32(cells / IMAGE_SIZE)
    left = place.astype(np.int64)
    weight = (place - left).astype(np.float32)
    wide = grid[:, :, left] * (1 - weight)[:, None] + grid[:, :, left + 1] * weight[:, None]
    weight = weight[:, None, None]
    return wide[:, left] * (1 - weight) + wide[:, left + 1] * weight


def sample_sprites(sprites: np.ndarray, which: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Look up sprite colours at fractional places with bilinear interpolation.

    Args:
        sprites: ``(m, s, s, 4)`` uint8.
        which: ``(n,)`` the sprite of each picture.
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


def compose(which: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Draw one picture for each entry of ``which`` (sprite numbers of the atlas).

    Returns:
        ``(n, 32, 32, 3)`` uint8 in [0, 255].
    """
    pictures = np.empty((len(which), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for start in range(0, len(which), 256):  # small batches stay in the processor's cache
        batch = which[start : start + 256]
        pictures[start : start + 256] = compose_batch(batch, random)
    return pictures


def compose_batch(which: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Draw one picture for each entry of ``which``, all at once."""
    n = len(which)

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * random.random_sample((n, *shape))).astype(np.float32)

    # Where each picture's pixels lie in its sprite: place, size, tilt and flip, inverted.
    side = uniform(13, 28, 1, 1)
    angle = uniform(-0.6, 0.6, 1, 1)
    # The last bits of cos and sin differ between machines, the first 16 do not.
    cos = np.round(np.cos(angle, dtype=np.float64) * 65536).astype(np.float32) / np.float32(65536)
    sin = np.round(np.sin(angle, dtype=np.float64) * 65536).astype(np.float32) / np.float32(65536)
    flip = np.where(uniform(0, 1, 1, 1) < 0.5, np.float32(-1), np.float32(1))
    reach = np.float32(IMAGE_SIZE / 2) - side * np.float32(0.4)
    centre_x = np.float32(IMAGE_SIZE / 2 - 0.5) + reach * uniform(-1, 1, 1, 1)
    centre_y = np.float32(IMAGE_SIZE / 2 - 0.5) + reach * uniform(-1, 1, 1, 1)
    grid = np.arange(IMAGE_SIZE, dtype=np.float32)
    dx, dy = grid[None, None, :] - centre_x, grid[None, :, None] - centre_y
    scale = np.float32(SPRITE_SIZE) / side
    middle = np.float32((SPRITE_SIZE - 1) / 2)
    x = (dx * cos + dy * sin) * scale * flip + middle
    y = (dy * cos - dx * sin) * scale + middle
    sprite = sample_sprites(load_atlas()[0], which, x, y)
    colour, alpha = sprite[..., :3], sprite[..., 3:] / np.float32(255)

    # Mix the sprite's colours: each new channel is a random blend of the three old ones.
    mix = uniform(-COLOUR_MIX, COLOUR_MIX, 3, 3)
    mix += np.eye(3, dtype=np.float32)
    colour = sum(colour[..., k : k + 1] * mix[:, None, None, :, k] for k in range(3))
    gain = uniform(0.6, 1.2, 1, 1, 1)

    # A dim or bright background with a tint, and smaller clutter on it.
    background = grow(uniform(0, 255, 4, 4, 1) + uniform(-60, 60, 4, 4, 3))
    background += grow(uniform(-CLUTTER, CLUTTER, 12, 12, 3))
    picture = background * (1 - alpha) + colour * gain
    amplitude = uniform(0, NOISE, 1, 1, 1)
    noise = np.frombuffer(random.bytes(2 * n * IMAGE_SIZE * IMAGE_SIZE * 3), np.uint8)
    noise = noise.reshape(2, n, IMAGE_SIZE, IMAGE_SIZE, 3).astype(np.float32)
    picture += (noise[0] - noise[1]) * (amplitude / np.float32(255))  # triangular, mean 0
    return np.clip(np.floor(picture + np.float32(0.5)), 0, 255).astype(np.uint8)


def load_split(split: str, size: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw one split of Emoji-10.

    Args:
        split: a key of ``SPLITS``.
        size: number of pictures, the same for every class where ten divides it; None for the default.
        seed: another seed gives other pictures of the same emoji.

    Returns:
        Pictures ``(size, 32, 32, 3)`` uint8 in [0, 255] and labels ``(size,)`` int64 in [0, 9], in random
        order.

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"Emoji-10 has no split {split!r}. Choose one of: {', '.join(SPLITS)}.")
    default_size, stream, artists = SPLITS[split]
    return draw("target", CLASS_NAMES, artists, default_size if size is None else size, (stream, seed))


def source_classes() -> list[str]:
    """Return the names of the source task's classes, in the order of their labels."""
    return list(dict.fromkeys(entry["class"] for entry in load_atlas()[1] if entry["task"] == "source"))


def load_source(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures of the source task, on which the mini networks were pretrained.

    Returns:
        Pictures ``(size, 32, 32, 3)`` uint8 in [0, 255] and labels ``(size,)`` int64, indices into
        ``source_classes()``.
    """
    return draw("source", source_classes(), SEEN_ARTISTS, size, (SOURCE_STREAM, seed))


def draw(
    task: str, classes: Sequence[str], artists: Sequence[str], size: int, seed: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``size`` pictures, balanced over ``classes``, of emoji by ``artists``."""
    random = np.random.RandomState(seed)
    labels = np.argsort(random.random_sample(size), kind="stable") % len(classes)
    pools = [
        [
            number
            for number, entry in enumerate(load_atlas()[1])
            if entry["task"] == task and entry["class"] == name and entry["artist"] in artists
        ]
        for name in classes
    ]
    choice = random.random_sample(size)
    sprites = [pools[label][int(part * len(pools[label]))] for label, part in zip(labels, choice, strict=True)]
    return compose(np.array(sprites, np.int64), random), labels.astype(np.int64)
