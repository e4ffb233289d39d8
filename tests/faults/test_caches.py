"""Caches: what changed is found by the key or by a look at the content; what is damaged is made again."""

import errno
import os
import time

import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.files import cache
from helpers.files.cache import CacheFolderError, write_beside
from helpers.models import extract_features, extract_maps

import keras

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
KEEPING = {"features": extract_features, "maps": extract_maps}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=KEEPING)
def extract(request):
    return KEEPING[request.param]


def with_layer(layer):
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layer(inputs))


def own_layer(body):
    """An own layer as a notebook defines it again: the same name and configuration, other code."""
    names = {}
    exec(f"def call(self, x):\n    return {body}", {"keras": keras}, names)
    return type("Scale", (keras.layers.Layer,), {"call": names["call"]})(name="scale")


CHANGES = [
    ("x / 255 / 255", "x / 255"),
    ("x", "x[..., ::-1]"),
    ("x * 2.0", "x * 2.001"),
    ("x", "keras.ops.relu(x - 9)"),
]


@pytest.mark.parametrize("bodies", CHANGES)
@pytest.mark.parametrize("make", ["lambda", "layer"])
def test_changed_code_gives_new_features(extract, bodies, make):
    for body in bodies:
        function = eval(f"lambda x: {body}", {"keras": keras})
        layer = own_layer(body) if make == "layer" else keras.layers.Lambda(function, name="prepare")
        expected = np.asarray(with_layer(layer)(IMAGES.astype("float32")))
        np.testing.assert_allclose(extract(with_layer(layer), IMAGES), expected, rtol=1e-5)


def test_a_layer_that_reads_a_variable_of_the_notebook(extract):
    setting = {"scale": 1.0}
    for scale in (1.0, 0.5):
        setting["scale"] = scale
        features = extract(with_layer(keras.layers.Lambda(lambda x: x * setting["scale"])), IMAGES)
        np.testing.assert_allclose(features, IMAGES * scale)


def test_normalization_that_was_adapted_again(extract):
    layer = keras.layers.Normalization()
    for part in (IMAGES[:2], IMAGES[4:]):
        layer.adapt(part.astype("float32"))
        model = with_layer(layer)
        np.testing.assert_allclose(extract(model, IMAGES), np.asarray(model(IMAGES.astype("float32"))), atol=1e-4)


DAMAGE = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-40]),
    "emptied": lambda file: file.write_bytes(b""),
    "one byte": lambda file: file.write_bytes(file.read_bytes()[:-30] + b"x" + file.read_bytes()[-29:]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"more"),
    "text": lambda file: file.write_text("no array"),
    "folder": lambda file: (file.unlink(), file.mkdir(), (file / "x").touch()),
    "other width": lambda file: save(file, np.zeros((9, 3), np.float32)),
    "not numbers": lambda file: save(file, np.full((9, 8, 8, 3), np.nan, np.float32)),
    "float64": lambda file: save(file, np.zeros((9, 8, 8, 3))),
    "fewer": lambda file: save(file, np.zeros((5, 8, 8, 3), np.float32)),
    "another name": lambda file: file.rename(file.with_name(file.name.replace(".", ".0", 1))),
}


def save(file, array):
    np.savez(file, features=array) if file.suffix == ".npz" else np.save(file, array)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_again_with_a_line(extract, folder, capsys, damage):
    model = with_layer(keras.layers.Rescaling(1 / 255))
    right = np.array(extract(model, IMAGES))
    (file,) = (folder / ("features" if extract is extract_features else "maps")).iterdir()
    DAMAGE[damage](file)
    capsys.readouterr()
    assert np.array_equal(extract(model, IMAGES), right)
    assert "made again" in capsys.readouterr().out
    assert np.array_equal(extract(model, IMAGES), right) and not capsys.readouterr().out


@pytest.mark.parametrize("array", [np.full((9, 8, 8, 3), np.nan, np.float32), np.zeros((9, 8, 8, 3), np.float32)])
def test_an_entry_with_a_right_name_and_wrong_numbers(extract, folder, capsys, array):
    model = with_layer(keras.layers.Rescaling(1 / 255))
    right = np.array(extract(model, IMAGES))
    (file,) = (folder / ("features" if extract is extract_features else "maps")).iterdir()
    file.unlink()
    stem = file.name.split(".")[0]
    with cache.write_checked(file.parent, stem, file.suffix) as temporary:
        save(temporary, array)
    assert np.array_equal(extract(model, IMAGES), right)
    assert "not what the network gives" in capsys.readouterr().out


def test_a_full_disk_loses_no_features(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = with_layer(keras.layers.Rescaling(1 / 255))
    monkeypatch.setattr("numpy.savez", full)
    assert extract_features(model, IMAGES).shape == IMAGES.shape
    assert "cannot be kept" in capsys.readouterr().out and "No space" not in capsys.readouterr().err


def test_maps_without_room_on_the_disk_are_held_in_memory(monkeypatch, capsys, folder):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert extract_maps(with_layer(keras.layers.Rescaling(1 / 255)), IMAGES).shape == IMAGES.shape
    assert "held in memory" in capsys.readouterr().out and not list((folder / "maps").iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Flatten()]), "functional or sequential"),
        (lambda: type("Own", (keras.Model,), {"call": lambda self, x: x})(), "functional or sequential"),
        (lambda: with_layer(lambda x: [x, x + 1]), "2 outputs"),
        (lambda: keras.Sequential([keras.Input((8, 4, 3)), keras.layers.Flatten()]), "square colour"),
        (lambda: keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]), "square colour"),
        (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]), "functional or sequential"),
        (lambda: np.mean, "keras.Model"),
    ],
)
def test_models_that_are_no_extractors_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        extract_features(make(), IMAGES)


def test_a_network_for_any_size_takes_the_images_as_they_are():
    inputs = keras.Input((None, None, 3))
    features = extract_features(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)), IMAGES)
    np.testing.assert_allclose(features, IMAGES.mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path, kind):
    old, fresh, other = (tmp_path / name for name in (".a-1-2.npz", ".a-3-4.npz", ".ab-1-2.npz"))
    for path in (old, fresh, other):
        path.mkdir() if kind == "folder" else path.touch()
    for path in (old, other):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    with write_beside(tmp_path / "a.npz") as temporary:
        temporary.write_text("x")
    assert not old.exists() and fresh.exists() and other.exists() and (tmp_path / "a.npz").read_text() == "x"


def test_a_folder_in_the_place_of_a_file_is_said(tmp_path):
    (tmp_path / "a.json").mkdir()
    with (
        pytest.raises(CacheFolderError, match="is a folder, but a file should be there"),
        write_beside(tmp_path / "a.json") as file,
    ):
        file.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
