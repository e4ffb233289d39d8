"""A backbone cut at a block: the same losses on stored maps as through the whole, and one model afterwards."""

from dataclasses import replace

import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.data import load_data, make_dataset, make_map_dataset
from helpers.models import build_backbone, extract_maps, features, split_at, splitting
from helpers.profiles import PROFILES

import keras
from keras import layers

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 32, 32, 3), np.uint8)
LABELS = RANDOM.integers(0, 10, 40)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "maps"


def unfreeze_last(backbone, count, batch_norm=False):
    """Let the last blocks learn; BatchNorm in them only if ``batch_norm``."""
    chosen = backbone.layers_of(*list(backbone.blocks)[-count:])
    for layer in backbone.model.layers:
        is_batch_norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = layer in chosen and (batch_norm or not is_batch_norm)


def train(network, profile, side, count, on_maps, batch_norm=False):
    """Fine-tune the last blocks for two epochs; return the losses, the whole model and the second part with the head.

    The second part is None where the images go through the whole model.
    """
    data = load_data(profile)
    backbone = build_backbone(network, profile, image_size=side)
    unfreeze_last(backbone, count, batch_norm)
    keras.utils.set_random_seed(0)
    head = [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    whole, short = keras.Sequential([backbone.model, *head]), None
    if on_maps:
        first, second = split_at(backbone, list(backbone.blocks)[-count])
        maps, validation_maps = (extract_maps(first, images) for images in (data.x_train, data.x_validation))
        training = make_map_dataset(maps, data.y_train, shuffle=True, seed=3)
        validation = make_map_dataset(validation_maps, data.y_validation)
        short = keras.Sequential([second, *head])
    else:
        training = make_dataset(data.x_train, data.y_train, image_size=side, shuffle=True, seed=3)
        validation = make_dataset(data.x_validation, data.y_validation, image_size=side)
    model = short or whole
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(training, validation_data=validation, epochs=2, shuffle=False, verbose=0).history
    return history, whole, short


CASES = {
    "mini_vgg, last block": ("mini_vgg", 1, False),
    "mini_mobilenet, last two blocks": ("mini_mobilenet", 2, False),
    "mini_mobilenet, last two blocks, BatchNorm learns": ("mini_mobilenet", 2, True),
}


def assert_equal_losses(stored, through):
    assert stored.keys() == through.keys() == {"loss", "val_loss"}
    for name, losses in through.items():
        np.testing.assert_allclose(stored[name], losses, rtol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "count", "batch_norm"), CASES.values(), ids=CASES)
def test_training_on_maps_is_training_the_whole(network, count, batch_norm, tmp_path):
    profile = replace(PROFILES["mini"], train_size=100, validation_size=20)
    through, _, _ = train(network, profile, 32, count, on_maps=False, batch_norm=batch_norm)
    stored, whole, short = train(network, profile, 32, count, on_maps=True, batch_norm=batch_norm)
    assert_equal_losses(stored, through)

    untrained = build_backbone(network, profile)
    first, _ = split_at(untrained, list(untrained.blocks)[-count])
    expected = short(extract_maps(first, IMAGES))
    whole.save(tmp_path / "whole.keras")
    for model in (whole, keras.models.load_model(tmp_path / "whole.keras")):
        np.testing.assert_allclose(model(IMAGES.astype("float32")), expected, rtol=1e-5, atol=1e-5)
    pairs = zip(whole.layers[0].get_weights(), untrained.model.get_weights(), strict=True)
    moved = [not np.array_equal(trained, weight) for trained, weight in pairs]
    assert 0 < sum(moved) < len(moved)


@pytest.mark.slow
def test_training_vgg16_on_maps_is_training_the_whole(bundle):
    profile = replace(PROFILES["cifar10-cpu"], train_size=40, validation_size=20)
    through, stored = (train("vgg16", profile, 48, 1, on_maps)[0] for on_maps in (False, True))
    assert_equal_losses(stored, through)


@pytest.mark.parametrize("network", ["mobilenet", "mobilenet_v2", "resnet50"])
def test_the_two_parts_are_the_backbone(network):
    backbone = build_backbone(network, "cifar10-cpu", image_size=64, weights=None)
    pixels = RANDOM.integers(0, 256, (2, 64, 64, 3)).astype("float32")
    expected = backbone.model(pixels, training=False).numpy()
    names = list(backbone.blocks)
    for block in (names[0], names[1], names[len(names) // 2], names[-1]):
        first, second = split_at(backbone, block)
        inside = {layer.name for layer in second.layers[1:]}  # the first one is its input
        assert inside == {name for after in names[names.index(block) :] for name in backbone.blocks[after]}
        result = second(first(pixels, training=False), training=False).numpy()
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_a_place_that_a_shortcut_leads_round_is_refused():
    backbone = build_backbone("mobilenet_v2", "cifar10-cpu", image_size=64, weights=None)
    names = [name for block in backbone.blocks.values() for name in block]
    place = names.index("block_2_depthwise")  # the end of this block adds what has come in
    backbone = replace(backbone, blocks={"front": names[:place], "back": names[place:]})
    with pytest.raises(ValueError, match=r"2 tensors cross .* Cut before one of: front\."):
        split_at(backbone, "back")


def test_an_unknown_block_is_named():
    with pytest.raises(ValueError, match=r"no block 'block9'\. Its blocks are: block1"):
        split_at(build_backbone("mini_vgg", "mini"), "block9")


def test_the_cut_changes_no_flag():
    backbone = build_backbone("mini_mobilenet", "mini")
    unfreeze_last(backbone, 2)
    before = [layer.trainable for layer in backbone.model.layers]
    _, second = split_at(backbone, "block_5")
    assert [layer.trainable for layer in backbone.model.layers] == before
    assert len(second.trainable_weights) == 4  # two depthwise and two pointwise convolutions


def test_maps_are_computed_once(folder, monkeypatch):
    first, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    maps = extract_maps(first, IMAGES)
    assert maps.shape == (40, 2, 2, 40) and maps.dtype == np.float32 and isinstance(maps, np.memmap)
    np.testing.assert_allclose(maps, first.predict(IMAGES.astype("float32"), verbose=0), atol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        maps[0] = 0
    monkeypatch.setattr(splitting, "compute_features", lambda *_: pytest.fail("computed again"))
    again, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    np.testing.assert_array_equal(extract_maps(again, IMAGES), maps)
    assert len(list(folder.iterdir())) == 1


def test_maps_in_several_portions_are_the_same(monkeypatch):
    first, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    expected = features.compute_features(first, IMAGES, 128)
    monkeypatch.setattr(splitting, "_CHUNK", 16)
    np.testing.assert_allclose(extract_maps(first, IMAGES), expected, atol=1e-5)


def test_large_maps_are_float16_unless_asked_for(folder, monkeypatch):
    first, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    exact = extract_maps(first, IMAGES)
    monkeypatch.setattr(splitting, "_LARGE", exact.nbytes - 1)
    rounded = extract_maps(first, IMAGES)
    assert rounded.dtype == np.float16
    np.testing.assert_allclose(rounded, exact, rtol=1e-3, atol=1e-3)
    assert extract_maps(first, IMAGES, dtype="float32").dtype == np.float32
    ((batch, _),) = make_map_dataset(rounded, LABELS, batch_size=40)
    assert batch.dtype == "float32"


def test_numbers_too_large_for_float16_are_refused(folder):
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1000.0)])
    with pytest.raises(ValueError, match='dtype="float32"'):
        extract_maps(model, IMAGES, dtype="float16")
    assert list(folder.iterdir()) == []


def test_the_maps_used_longest_ago_make_room(folder, monkeypatch):
    first, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    extract_maps(first, IMAGES)
    (oldest,) = folder.iterdir()
    extract_maps(first, IMAGES[::-1])
    (other,) = set(folder.iterdir()) - {oldest}
    extract_maps(first, IMAGES)  # now the oldest has been used last
    monkeypatch.setattr(splitting, "_LIMIT", 2 * oldest.stat().st_size)
    extract_maps(first, 255 - IMAGES)
    assert len(list(folder.iterdir())) == 2 and oldest.exists() and not other.exists()
    monkeypatch.setattr(splitting, "_LIMIT", 0)
    extract_maps(first, 128 - IMAGES // 2)  # the newest stays
    assert len(list(folder.iterdir())) == 1 and not oldest.exists()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no array" * 99])
def test_a_damaged_file_is_computed_again(folder, capsys, damage):
    first, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    maps = np.array(extract_maps(first, IMAGES))
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(extract_maps(first, IMAGES), maps)
    assert "damaged" in capsys.readouterr().out
    assert list(folder.iterdir()) == [path]


def test_float_images_are_refused():
    first, _ = split_at(build_backbone("mini_vgg", "mini"), "block5")
    with pytest.raises(ValueError, match="preprocessing is part of the backbone"):
        extract_maps(first, IMAGES / 255.0)


def test_batches_of_maps_come_in_the_order_of_those_of_images():
    maps = RANDOM.normal(size=(40, 2, 2, 3)).astype("float16")
    numbers = np.arange(40)
    images = make_dataset(IMAGES, numbers, image_size=32, batch_size=7, shuffle=True, seed=5)
    stored = make_map_dataset(maps, numbers, batch_size=7, shuffle=True, seed=5)
    for _ in range(2):  # each epoch has an order of its own
        for (_, expected), (batch, labels) in zip(images, stored, strict=True):
            np.testing.assert_array_equal(labels, expected)
            np.testing.assert_array_equal(batch, maps[expected])


def test_senseless_maps_are_refused():
    with pytest.raises(ValueError, match=r"not uint8.*make_dataset"):
        make_map_dataset(IMAGES, LABELS)
    with pytest.raises(ValueError, match="maps of 40 images but 39 labels"):
        make_map_dataset(IMAGES.astype("float32"), LABELS[:39])
