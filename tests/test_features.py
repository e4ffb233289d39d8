import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.files.cache import CacheFolderError, cache_folder, write_beside
from helpers.models import features
from helpers.models.features import cache_key, extract_features

import keras

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


def small_extractor(seed=0, size=8, scale=1 / 255):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Rescaling(scale),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def test_features_are_those_of_the_model(folder):
    extractor = small_extractor()
    expected = extractor.predict(IMAGES.astype("float32"), verbose=0)
    np.testing.assert_allclose(extract_features(extractor, IMAGES), expected, atol=1e-6)


def test_second_time_is_read_from_disk(folder, monkeypatch):
    first = extract_features(small_extractor(), IMAGES)
    monkeypatch.setattr(features, "compute_features", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(extract_features(small_extractor(), IMAGES), first)


def test_the_key_names_everything_that_matters(monkeypatch):
    changed = IMAGES.copy()
    changed[0, 0, 0, 0] ^= 1
    keys = {
        cache_key(small_extractor(), IMAGES),
        cache_key(small_extractor(seed=1), IMAGES),  # weights
        cache_key(small_extractor(size=16), IMAGES),  # size
        cache_key(small_extractor(scale=1 / 127.5), IMAGES),  # preprocessing
        cache_key(small_extractor(), changed),  # pictures
        cache_key(small_extractor(), IMAGES[::-1]),  # their order
    }
    monkeypatch.setattr(features, "_FORMAT", features._FORMAT + 1)
    keys.add(cache_key(small_extractor(), IMAGES))  # the format of the files
    monkeypatch.undo()
    assert len(keys) == 7
    assert cache_key(small_extractor(), IMAGES) in keys


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-60] + b"\0" * 60])
def test_a_damaged_file_is_computed_again(folder, capsys, damage):
    first = extract_features(small_extractor(), IMAGES)
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(extract_features(small_extractor(), IMAGES), first)
    assert "damaged" in capsys.readouterr().out
    assert features._read(path, len(IMAGES)) is not None
    assert list(folder.iterdir()) == [path]


def test_a_flipped_byte_is_noticed(folder):
    first = extract_features(small_extractor(), IMAGES)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    np.testing.assert_array_equal(extract_features(small_extractor(), IMAGES), first)


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheFolderError, match="COURSE_CACHE"):
        extract_features(small_extractor(), IMAGES)


def test_float_pictures_are_refused():
    with pytest.raises(ValueError, match="preprocessing is part of the backbone"):
        extract_features(small_extractor(), IMAGES / 255.0)


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), write_beside(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_cache_folder_is_made(tmp_path):
    assert cache_folder("a", "b") == tmp_path / "cache" / "a" / "b"
