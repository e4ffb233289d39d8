import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from helpers.files.hub_modules import find_module
from helpers.hub import KerasLayer, export_hub_module
from tests.answers.networks import fine_tuned, logits_loss

import keras
import tensorflow as tf
from keras import layers


# 7.1
def classifier(*before, after=(), **arguments):
    """Return a `hub_classifier` with these layers before the module, and these behind the head."""

    def hub_classifier(handle, image_size, classes):
        hub_layer = KerasLayer(handle, **arguments)
        ends = [make() for make in after]
        starts = [make() for make in before]
        return keras.Sequential(
            [keras.Input((image_size, image_size, 3)), *starts, hub_layer, layers.Dense(classes), *ends]
        )

    return hub_classifier


def scaled():
    return layers.Rescaling(1 / 255)


def functional(handle, image_size, classes):
    pixels = keras.Input((image_size, image_size, 3))
    extractor = keras.Model(pixels, KerasLayer(handle, trainable=True)(pixels / 255))
    extractor.trainable = False
    return keras.Model(pixels, layers.Dropout(0.2)(layers.Dense(classes)(extractor(pixels))))


class Wrapper(layers.Layer):
    def __init__(self, module, **arguments):
        super().__init__(**arguments)
        self.module = module

    def call(self, pixels):
        return self.module(pixels)

    def compute_output_shape(self, shape):
        return (shape[0], 5)


def plain_wrapper(handle, image_size, classes):
    wrapper = Wrapper(tf.saved_model.load(str(find_module(handle))))
    model = keras.Sequential([scaled(), wrapper, layers.Dense(classes)])
    model(np.zeros((1, image_size, image_size, 3), "float32"))
    return model


def without_head(handle, image_size, classes):
    return keras.Sequential([keras.Input((image_size, image_size, 3)), scaled(), KerasLayer(handle)])


# 7.2
def tuned(rate=1e-3, loss=None, head=True, find=lambda layer: isinstance(layer, KerasLayer)):
    """Return a `start_fine_tuning`."""

    def start_fine_tuning(model):
        for layer in model.layers:
            if find(layer):
                layer.trainable = True
        model.layers[-1].trainable = head
        model.compile(keras.optimizers.Adam(rate), loss or logits_loss())

    return start_fine_tuning


def whole_model(model):
    """The flag of the model is True already: in Keras 3, setting it again unfreezes no layer inside."""
    model.trainable = True
    model.compile(keras.optimizers.Adam(1e-4), logits_loss())


def layer_by_layer(model):
    for layer in model.layers:
        layer.trainable = True
    model.compile(optimizer=keras.optimizers.SGD(5e-4), loss=logits_loss(), metrics=["accuracy"])


def the_second_layer(model):
    model.layers[1].trainable = True
    model.compile(keras.optimizers.Adam(1e-4), logits_loss())


def the_module_alone(model):
    for layer in model.layers[:-1]:
        layer.trainable = isinstance(layer, KerasLayer)
    model.compile(keras.optimizers.Adam(1e-4), logits_loss())


def not_compiled(model):
    next(layer for layer in model.layers if isinstance(layer, KerasLayer)).trainable = True


def compiled_before_the_flags(model):
    model.compile(keras.optimizers.Adam(1e-4), logits_loss())
    not_compiled(model)


# 7.3
def unfreeze_and_look(layer):
    flag, layer.trainable = layer.trainable, True
    try:
        return bool(layer.trainable_weights)
    finally:
        layer.trainable = flag


def by_copy(layer):
    """Look at the weights that are trainable in a copy, where the layer can be copied."""
    before = layer.trainable
    layer.trainable = True
    count = sum(int(np.prod(weight.shape)) for weight in layer.trainable_variables)
    layer.trainable = before
    return count > 0


def leaves_it_unfrozen(layer):
    layer.trainable = True
    return len(layer.trainable_weights) > 0


def freezes_it(layer):
    answer = unfreeze_and_look(layer)
    layer.trainable = False
    return answer


# 7.4
def save_and_load(model, path):
    model.save(path)
    return keras.models.load_model(path)


def with_functions(model, path):
    keras.saving.save_model(model, str(path))
    loaded = keras.saving.load_model(str(path), compile=False)
    return loaded


def same_object(model, path):
    model.save(path)
    return model


def same_layers(model, path):
    model.save(path)
    return keras.Sequential([keras.Input(model.input_shape[1:]), *model.layers])


def fresh(model, path):
    model.save(path)
    return keras.models.clone_model(model)


def weights_only(model, path):
    import shutil

    weights = path.with_name("my.weights.h5")
    model.save_weights(weights)
    shutil.copy(weights, path)
    other = keras.models.clone_model(model)
    other.load_weights(weights)
    return other


def elsewhere(model, path):
    return save_and_load(model, path.with_name("other.keras"))


def published_again(model, path):
    loaded = save_and_load(model, path)
    for layer in loaded.layers:
        if isinstance(layer, KerasLayer):
            layer.set_weights(KerasLayer(layer.handle).get_weights())
    return loaded


# 7.5
@cache
def own_module():
    """Return a folder that holds a fine-tuned network as a module, and lasts as long as the process."""
    backbone, _ = fine_tuned()
    pixels = keras.Input((32, 32, 3))
    features = layers.GlobalAveragePooling2D()(backbone.model(layers.Rescaling(255.0)(pixels)))
    folder = tempfile.TemporaryDirectory()
    export_hub_module(keras.Model(pixels, features), Path(folder.name) / "module")
    return folder


def exported(folder):
    shutil.copytree(Path(own_module().name) / "module", folder)


def without_the_helper(scale=1.0):
    """Return a `make_module` that writes the network as a module without an argument training."""

    def make_module(folder):
        own = tf.saved_model.load(str(Path(own_module().name) / "module"))
        module = tf.train.Checkpoint()
        signature = [tf.TensorSpec((None, 32, 32, 3), "float32")]
        module.__call__ = tf.function(lambda pixels: own(scale * pixels), input_signature=signature)
        module.variables, module.trainable_variables = own.variables, []
        tf.saved_model.save(module, str(folder))

    return make_module


def of_random_weights(*end, side=32):
    """Return a `make_module` that exports a small network that was never trained."""

    def make_module(folder):
        start = [keras.Input((side, side, 3)), layers.Conv2D(16, 8, strides=8, activation="relu")]
        export_hub_module(keras.Sequential([*start, *(make() for make in end)]), folder)

    return make_module


RIGHT = {
    "7.1": [classifier(scaled), functional],
    "7.2": [tuned(), layer_by_layer, tuned(rate=1e-4), compiled_before_the_flags],
    "7.3": [unfreeze_and_look, by_copy],
    "7.4": [save_and_load, with_functions],
    "7.5": [(exported, "mini"), (without_the_helper(), "mini")],
}
WRONG = {
    "7.1": [
        (classifier(), "rescaling is missing"),
        (classifier(scaled, scaled), "divides by 255 twice"),
        (classifier(lambda: layers.Rescaling(1 / 127.5, -1)), "to [-1, 1]"),
        (classifier(scaled, trainable=True), "module are trainable"),
        (classifier(scaled, after=[layers.Softmax]), "softmax"),
        (plain_wrapper, "does not know its weights"),
        (without_head, "an array of shape (80, 5)"),
        (classifier(scaled, after=[layers.ReLU]), "an activation"),
        (lambda *_: None, "returns nothing"),
    ],
    "7.2": [
        (the_module_alone, "The whole head should learn"),
        (not_compiled, "not compiled again"),
        (tuned(find=lambda layer: False), "still frozen"),
        (whole_model, "still frozen"),
        (the_second_layer, "another layer"),
        (tuned(rate=1e-2), "too high"),
        (tuned(rate=0.0), "learning rate is 0"),
        (tuned(head=False), "is frozen now"),
        (tuned(loss="sparse_categorical_crossentropy"), "logits, not"),
        (tuned(loss=keras.losses.CategoricalCrossentropy(from_logits=True)), "integer"),
    ],
    "7.3": [
        (lambda layer: layer.trainable, "A flag says what is wanted"),
        (lambda layer: len(layer.trainable_weights) > 0, "While a layer is frozen"),
        (lambda layer: isinstance(layer, KerasLayer) or layer.trainable, "A flag says what is wanted"),
        (lambda layer: True, "A flag says"),
        (lambda layer: False, "While a layer is frozen"),
        (lambda layer: len(layer.weights) > 0, "statistics only"),
        (lambda layer: isinstance(layer, KerasLayer), "a frozen Dense layer"),
        (leaves_it_unfrozen, "has changed from False to True"),
        (freezes_it, "has changed from True to False"),
        (lambda layer: layer.trainable_weights, "True or False"),
    ],
    "7.4": [
        (same_object, "model that it was given"),
        (same_layers, "weights of the given model itself"),
        (fresh, "other predictions"),
        (weights_only, "weights only"),
        (elsewhere, "no file at the path"),
        (published_again, "*published*"),
        (lambda model, path: model.save(path), "returns nothing"),
    ],
    "7.5": [
        ((of_random_weights(layers.GlobalAveragePooling2D), "mini"), "points are missing"),
        ((without_the_helper(scale=1 / 255), "mini"), "yours works better with [0, 255]"),
        ((of_random_weights(), "mini"), "feature maps"),
        ((of_random_weights(layers.Flatten, lambda: layers.Dense(10)), "mini"), "Are these logits"),
        ((of_random_weights(layers.Flatten, side=48), "mini"), "does not take pictures of 32 x 32"),
        ((os.mkdir, "mini"), "no hub module in the folder"),
    ],
}
