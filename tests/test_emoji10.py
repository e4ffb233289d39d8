import hashlib

import numpy as np
import pytest

from helpers.data import emoji10

# Same seed, same bytes on every machine.
DIGESTS = {
    "train": "aa43e2704cb8d2742b35dade6dbfa72228d3bdb149da9b54e7ceedfe6264516b",
    "validation": "c1017515afceca4fb01895a8d06c3762775d2777e7bff48789455307e2b4c9b2",
    "test": "add97a3653234488edd763c172cc1ac28452a7707a29b0d91dd26e31aaaa32a4",
    "unseen_artist": "9af15dd1ec6d7b043ac080eab78bf1a34494fb9ad1e09b263ec646ea7f8fa01a",
}


@pytest.mark.parametrize("split", emoji10._SPLITS)
def test_default_splits_are_the_same_bytes_everywhere(split):
    images, labels = emoji10.load_split(split)
    assert hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() == DIGESTS[split]


def test_shapes_and_balance():
    images, labels = emoji10.load_split("validation")
    assert images.shape == (500, 32, 32, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (np.bincount(labels) == 50).all()


def test_masks_say_where_the_emoji_lies(monkeypatch):
    drawn = emoji10.draw_split("test", 300, 5)
    images, masks = drawn.images, drawn.details["object"]
    assert masks.shape == images.shape[:3] and masks.dtype == bool
    shares = masks.mean(axis=(1, 2))
    assert shares.min() > 0.02 and shares.max() < 0.8
    # Other sprites in the same places, with the same random numbers: only pixels that an emoji touches differ.
    sprites, index = emoji10._load_atlas()
    inverted = sprites.copy()
    inverted[..., :3] = sprites[..., 3:] - sprites[..., :3]
    monkeypatch.setattr(emoji10, "_load_atlas", lambda: (inverted, index))
    differs = np.abs(images.astype(int) - emoji10.load_split("test", 300, 5)[0]).max(axis=-1) > 20
    assert (differs & ~masks).sum() < 0.2 * differs.sum() and (differs & masks).sum() > 0.8 * masks.sum()


def test_seed_changes_the_pictures():
    assert not np.array_equal(emoji10.load_split("test", 20, 0)[0], emoji10.load_split("test", 20, 1)[0])


def test_no_picture_is_in_two_splits():
    seen = set()
    total = 0
    for split in emoji10._SPLITS:
        images, _ = emoji10.load_split(split)
        seen |= {image.tobytes() for image in images}
        total += len(images)
    assert len(seen) == total


def test_the_unseen_artist_is_nowhere_else():
    assert all(emoji10._UNSEEN_ARTIST not in artists for _, _, artists in list(emoji10._SPLITS.values())[:3])
    artists = {entry["artist"] for entry in emoji10._load_atlas()[1] if entry["task"] == "source"}
    assert artists == set(emoji10._SEEN_ARTISTS)


def test_source_task_shares_no_emoji_with_the_ten_classes():
    index = emoji10._load_atlas()[1]
    target = {entry["name"] for entry in index if entry["task"] == "target"}
    assert not target & {entry["name"] for entry in index if entry["task"] == "source"}


def test_every_class_is_drawn_by_every_artist():
    index = emoji10._load_atlas()[1]
    for name in emoji10.CLASS_NAMES:
        artists = {entry["artist"] for entry in index if entry["class"] == name}
        assert artists == {*emoji10._SEEN_ARTISTS, emoji10._UNSEEN_ARTIST}


def test_unknown_split_lists_the_known_ones():
    with pytest.raises(ValueError, match="train, validation, test, unseen_artist"):
        emoji10.load_split("tset")


@pytest.mark.parametrize("split", ["test", "unseen_artist"])
def test_each_picture_tells_what_it_shows(split):
    drawn = emoji10.draw_split(split, 600, seed=3)
    images, labels = emoji10.load_split(split, 600, seed=3)
    assert np.array_equal(drawn.images, images) and np.array_equal(drawn.labels, labels)
    shapes = {"artist": (600,), "emoji": (600,), "size": (600,), "object": (600, 32, 32)}
    assert {name: values.shape for name, values in drawn.details.items()} == shapes
    known = {(entry["name"], entry["artist"]): entry["class"] for entry in emoji10._load_atlas()[1]}
    shown = [known[pair] for pair in zip(drawn.details["emoji"], drawn.details["artist"], strict=True)]
    assert shown == [emoji10.CLASS_NAMES[label] for label in labels]
    assert drawn.details["size"].min() >= 13 and drawn.details["size"].max() <= 28
    assert drawn.details["size"].std() > 3
