"""Build the sprite atlas of Emoji-10 from openly licensed emoji.

Students never need this: the atlas is committed. A maintainer who wants other emoji or other artists
installs the three sources first:

    apt-get install fonts-noto-color-emoji
    npm install @discordapp/twemoji fluentui-emoji

and then runs ``python -m course atlas --noto FILE --twemoji DIR --fluent DIR``.
"""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from helpers.data.emoji10 import ATLAS_INDEX, ATLAS_PNG, SPRITE_SIZE

EMOJI_LIST = Path(__file__).with_name("emoji.toml")
NOTO_PIXELS = 109  # the one bitmap size that the Noto colour font holds
COLUMNS = 32


def read_emoji_list(path: Path = EMOJI_LIST) -> list[tuple[str, str, str, str]]:
    """Return ``(task, class name, emoji name, emoji)`` for each emoji; ``task`` is "target" or "source"."""
    lists = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = [
        ("target", class_name, name, emoji)
        for class_name, members in lists["target"].items()
        for name, emoji in members.items()
    ]
    return rows + [("source", name, name, emoji) for name, emoji in lists["source"].items()]


def codepoint_names(emoji: str) -> list[str]:
    """Return the file stems twemoji may use for ``emoji``: with and without the variation selector."""
    points = [f"{ord(character):x}" for character in emoji]
    return ["-".join(points), "-".join(point for point in points if point != "fe0f")]


def draw_svg(path: Path) -> Image.Image:
    """Draw an SVG file, 256 pixels wide, as an RGBA picture."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_path=str(path), width=256, skip_system_fonts=True)
    return Image.open(io.BytesIO(png)).convert("RGBA")


def draw_noto(font: ImageFont.FreeTypeFont, emoji: str) -> Image.Image:
    """Draw one glyph of the Noto colour font as an RGBA picture."""
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((8, 8), emoji, font=font, embedded_color=True)
    return canvas


def to_sprite(image: Image.Image) -> np.ndarray:
    """Crop ``image`` to what is drawn, centre it in a square, and shrink it.

    Returns:
        ``(SPRITE_SIZE, SPRITE_SIZE, 4)`` uint8, colours already multiplied by alpha, so that a blend
        of neighbouring pixels has no dark rim.
    """
    box = image.getchannel("A").getbbox()
    if box is None:
        raise ValueError("the glyph is empty: does this font or package version hold the emoji?")
    image = image.crop(box)
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    # Pillow resizes RGBA with premultiplied colours, and hands back plain ones.
    small = np.asarray(square.resize((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS), np.uint16)
    alpha = small[..., 3:]
    return np.concatenate([(small[..., :3] * alpha + 127) // 255, alpha], axis=-1).astype(np.uint8)


def build_atlas(noto: Path, twemoji: Path, fluent: Path) -> None:
    """Draw every emoji of the list by every artist, and write the atlas and its index.

    Args:
        noto: the file ``NotoColorEmoji.ttf``.
        twemoji: the folder ``@discordapp/twemoji`` of npm.
        fluent: the folder ``fluentui-emoji`` of npm.
    """
    font = ImageFont.truetype(str(noto), NOTO_PIXELS)

    def find_twemoji(emoji: str) -> Path:
        stems = codepoint_names(emoji)
        return next(p for p in (twemoji / "dist" / "svg" / f"{stem}.svg" for stem in stems) if p.exists())

    artists = {
        "noto": lambda name, emoji: draw_noto(font, emoji),
        "fluent_flat": lambda name, emoji: draw_svg(fluent / "icons" / "flat" / f"{name}.svg"),
        "fluent_modern": lambda name, emoji: draw_svg(fluent / "icons" / "modern" / f"{name}.svg"),
        "twemoji": lambda name, emoji: draw_svg(find_twemoji(emoji)),
    }
    index, sprites = [], []
    for task, class_name, name, emoji in read_emoji_list():
        for artist, draw in artists.items():
            if task == "source" and artist == "twemoji":
                continue  # the unseen artist: left out of the source task too
            sprites.append(to_sprite(draw(name, emoji)))
            index.append({"task": task, "class": class_name, "name": name, "artist": artist})

    rows = -(-len(sprites) // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, SPRITE_SIZE, SPRITE_SIZE, 4), np.uint8)
    sheet[: len(sprites)] = sprites
    grid = sheet.reshape(rows, COLUMNS, SPRITE_SIZE, SPRITE_SIZE, 4).swapaxes(1, 2)
    picture = grid.reshape(rows * SPRITE_SIZE, COLUMNS * SPRITE_SIZE, 4)
    Image.fromarray(picture).save(ATLAS_PNG, optimize=True)
    lines = ",\n".join(json.dumps(entry) for entry in index)
    ATLAS_INDEX.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
