"""What the answers of several exercises share: data, features, and networks that are trained once in a process.

The banks test the checks, not the training: the solutions train as a learner does. So the answers that reach a target
return one trained network in different forms, and those that only miss it are mostly not trained at all.
"""

from functools import cache

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.data import load_data
from helpers.models import build_backbone, extract_features, split_at

import keras
from keras import layers

# network -> the blocks that are trained, epochs, learning rate. The accuracies reached are above all targets.
RECIPES = {("mini_mobilenet", 1): (6, 3e-3), ("mini_mobilenet", 2): (4, 4e-3), ("mini_vgg", 2): (6, 2e-3)}


@cache
def shared_data():
    """Return the data of the mini profile. Its images and labels cannot be written to: others use them, too."""
    data = load_data("mini")
    for array in (data.x_train, data.y_train, data.x_validation, data.y_validation):
        array.flags.writeable = False
    return data


@cache
def shared_extractor():
    """Return mini_mobilenet with pooling. Nobody may change it."""
    return keras.Sequential([build_backbone("mini_mobilenet", "mini").model, layers.GlobalAveragePooling2D()])


def features_of(images):
    """Return the features of images; those that were computed before are read from the test's cache."""
    return extract_features(shared_extractor(), images)


def logits_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def untrained(network="mini_mobilenet", weights="pretrained"):
    """Return a backbone, and a head of random weights."""
    backbone = build_backbone(network, "mini", weights=weights)
    return backbone, keras.Sequential([keras.Input((backbone.feature_size,)), layers.Dense(10)])


def fine_tuned(network="mini_mobilenet", blocks=2):
    """Return a backbone whose last blocks are fine-tuned, and its head: new ones each time, so they may be changed."""
    backbone, head = untrained(network)
    of_backbone, of_head = weights_after_training(network, blocks)
    backbone.model.set_weights(of_backbone)
    head.set_weights(of_head)
    return backbone, head


@cache
def weights_after_training(network, blocks):
    """Fine-tune the last blocks of a network together with a head; return the weights of both."""
    epochs, rate = RECIPES[network, blocks]
    keras.utils.set_random_seed(0)
    data, (backbone, head) = shared_data(), untrained(network)
    first, second = split_at(backbone, list(backbone.blocks)[-blocks])
    for layer in second.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    maps = first.predict(data.x_train, batch_size=128, verbose=0)
    head.set_weights([np.zeros_like(array) for array in head.get_weights()])
    model = keras.Sequential([second, layers.GlobalAveragePooling2D(), head])
    falling = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(maps) // 32))
    model.compile(keras.optimizers.Adam(falling), logits_loss())
    model.fit(maps, data.y_train, epochs=epochs, verbose=0)
    return backbone.model.get_weights(), head.get_weights()
