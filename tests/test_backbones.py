import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helpers.quiet  # noqa: F401
from helpers.data import emoji10
from helpers.files.bundle import SourceError
from helpers.models.backbones import BACKBONES, build_backbone
from helpers.models.classifiers import load_source_classifier
from helpers.profiles import PROFILES

import keras

CPU, MINI = PROFILES["cifar10-cpu"], PROFILES["mini"]


@pytest.mark.parametrize("name", BACKBONES)
def test_preprocessing_is_that_of_the_network(name):
    backbone = build_backbone(name, CPU, image_size=64, weights=None)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    core = keras.Model(backbone.preprocessing.output, backbone.model.output)
    family = getattr(keras.applications, BACKBONES[name].preprocessing)
    expected = core(family.preprocess_input(pixels.copy()))
    np.testing.assert_allclose(backbone.model(pixels), expected, atol=1e-5)
    assert backbone.model.output_shape[-1] == backbone.feature_size


@pytest.mark.parametrize("name", BACKBONES)
def test_blocks_hold_each_layer_once(name):
    backbone = build_backbone(name, CPU, image_size=64, weights=None)
    named = [layer for names in backbone.blocks.values() for layer in names]
    assert sorted(named) == sorted(layer.name for layer in backbone.model.layers[2:])


def test_layers_of_blocks_come_in_order():
    backbone = build_backbone("mini_mobilenet", MINI)
    names = [layer.name for layer in backbone.layers_of("block_2", "stem")]
    assert names == backbone.blocks["stem"] + backbone.blocks["block_2"]
    with pytest.raises(ValueError, match=r"no block 'block_7', 'top'\. Its blocks are: stem, block_1, .*block_6"):
        backbone.layers_of("block_6", "block_7", "top")


def test_real_networks_rescale_uint8_pictures_too():
    backbone = build_backbone("mobilenet", CPU, weights=None)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    np.testing.assert_allclose(backbone.model(images), backbone.model(images.astype("float32")), atol=1e-6)


def test_mini_profile_puts_embedded_networks_in_the_place_of_large_ones():
    assert build_backbone("mobilenet", MINI).name == "mini_mobilenet"
    vgg = build_backbone("vgg16", MINI)
    assert vgg.name == "mini_vgg"
    real = build_backbone("vgg16", CPU, image_size=32, weights=None)
    assert [layer.name for layer in vgg.model.layers[2:]] == [layer.name for layer in real.model.layers[2:]]


@pytest.mark.parametrize("name", ["mini_mobilenet", "mini_vgg", "mini_mobilenet_unlabelled"])
def test_embedded_networks_are_small(name):
    assert build_backbone(name, MINI).model.count_params() <= 250_000


def test_embedded_network_knows_its_source_task():
    top = load_source_classifier(500, seed=0)
    assert top.accuracy(top.model.predict(top.images, verbose=0)) > 0.9


def test_network_without_labels_has_features_and_the_architecture_of_the_one_with():
    one, other = (build_backbone(name, MINI) for name in ("mini_mobilenet", "mini_mobilenet_unlabelled"))
    assert one.blocks == other.blocks
    assert [each.shape for each in one.model.weights] == [each.shape for each in other.model.weights]
    random = build_backbone("mini_mobilenet", MINI, weights=None).model
    images, labels = emoji10.load_split("test", 400)
    accuracy = {}
    for kind, model in (("unlabelled", other.model), ("random", random)):
        features = model.predict(images, verbose=0).mean(axis=(1, 2))
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        accuracy[kind] = head.fit(features[:200], labels[:200]).score(features[200:], labels[200:])
    assert accuracy["unlabelled"] > 0.4 > accuracy["random"]


def test_newer_networks_take_pixels_and_rescale_them_inside():
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    for name in ("efficientnet_v2_b0", "convnext_tiny"):
        model = build_backbone(name, CPU, image_size=32, weights=None).model
        inside = [each for each in model.layers if isinstance(each, keras.layers.Normalization)]
        spread = np.asarray(keras.Model(model.input, inside[-1].output)(pixels)).std()
        assert 0.5 < spread < 2


def test_additions_without_a_name_belong_to_the_block_before_them():
    blocks = build_backbone("convnext_tiny", CPU, image_size=32, weights=None).blocks
    assert list(blocks) == ["stem", "stage_0", "stage_1", "stage_2", "stage_3", "last"]
    assert not any(name.startswith("add") for name in blocks["last"])


def test_a_saved_model_keeps_its_preprocessing(tmp_path):
    model = build_backbone("vgg16", MINI).model
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(pixels), model(pixels), atol=1e-5)


def test_unknown_network_lists_the_known_ones():
    with pytest.raises(ValueError, match="mini_mobilenet, mini_vgg, mini_mobilenet_unlabelled, mobilenet"):
        build_backbone("vgg61", MINI)


def test_missing_weights_without_network_say_what_to_do(no_network):
    with pytest.raises(SourceError, match="COURSE_BUNDLE"):
        build_backbone("vgg16", CPU)


def test_a_width_without_weights_lists_those_that_exist():
    with pytest.raises(ValueError, match=r"0\.75, 0\.5, 0\.25"):
        build_backbone("mobilenet", CPU, alpha=0.3)


def test_a_damaged_weights_file_says_so(tmp_path):
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF")
    with pytest.raises(SourceError, match="cannot be read"):
        build_backbone("vgg16", CPU, image_size=32, weights=tmp_path / "cut.h5")


def test_bundle_weights_are_used(bundle, no_network):
    backbone = build_backbone("mobilenet", CPU)
    assert not np.allclose(
        backbone.model.get_layer("conv1").get_weights()[0],
        build_backbone("mobilenet", CPU, weights=None).model.get_layer("conv1").get_weights()[0],
    )
