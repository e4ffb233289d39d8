import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.hub.layer import KerasLayer
from helpers.models.backbones import build_backbone
from helpers.models.freezing import trainable_report
from helpers.notebook import plots

import keras
from keras import layers

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3)).astype("float32")


def nested_model():
    backbone = build_backbone("mini_mobilenet", "mini")
    top = [layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(10)]
    return backbone.model, keras.Sequential([backbone.model, *top])


def set_batch_norm(model, trainable):
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = trainable


STATES = {
    "frozen": lambda base: setattr(base, "trainable", False),
    "unfrozen": lambda base: None,
    "unfrozen, BatchNorm frozen": lambda base: set_batch_norm(base, False),
    "frozen, BatchNorm not": lambda base: setattr(base, "trainable", False) or set_batch_norm(base, True),
    "last block": lambda base: [setattr(layer, "trainable", "_6" in layer.name) for layer in base.layers],
}


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
def test_the_report_says_what_a_fit_then_does(state):
    base, model = nested_model()
    STATES[state](base)
    report = trainable_report(model).set_index("layer")
    assert report["parameters"].sum() == model.count_params()
    assert report["trainable"].sum() == sum(np.prod(weight.shape) for weight in model.trainable_weights)

    before = {layer.name: layer.get_weights() for layer in base.layers}
    model.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.arange(32) % 10, verbose=0)
    for layer in base.layers:
        moved = [not np.array_equal(a, b) for a, b in zip(before[layer.name], layer.get_weights(), strict=True)]
        if moved:
            expected = "nothing"
            if any(moved):
                is_batch_norm = isinstance(layer, layers.BatchNormalization)
                expected = "weights and statistics" if is_batch_norm and all(moved) else "weights"
            assert report.loc[f"mini_mobilenet/{layer.name}", "moves"] == expected, layer.name


def test_dropout_and_augmentation_are_listed():
    _, model = nested_model()
    model.trainable = False
    report = trainable_report(model).set_index("layer")
    assert report.loc[report["kind"] == "Dropout", "moves"].tolist() == ["random output"]
    augmented = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(), layers.Rescaling(2.0)])
    assert trainable_report(augmented)["moves"].tolist() == ["random output"]


def test_a_hub_layer_is_one_row():
    layer = KerasLayer("mini_mobilenet_hub", batch_norm_training=True)
    model = keras.Sequential([keras.Input((32, 32, 3)), layer])
    assert trainable_report(model)["moves"].tolist() == ["nothing"]
    layer.trainable = True
    assert trainable_report(model)["moves"].tolist() == ["weights and statistics"]


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match=r"keras\.Input"):
        trainable_report(keras.Sequential([layers.Dense(2)]))


def test_the_picture_has_a_bar_for_each_layer_in_each_state():
    base, model = nested_model()
    reports = {"unfrozen": trainable_report(model)}
    base.trainable = False
    reports["frozen"] = trainable_report(model)
    figure = plots.layer_states(reports)
    assert len(figure.axes[0].patches) == sum(len(report) for report in reports.values())
