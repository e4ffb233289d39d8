"""Checks of exercise 07, TensorFlow Hub."""

from __future__ import annotations

import tempfile
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.compiled import NotedModel, check_loss, train_one_step
from helpers.checks.open_task import check_classifier
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays
from helpers.data.datasets import load_data
from helpers.files.hub_modules import HubModuleError
from helpers.hub.export import export_hub_module
from helpers.hub.layer import KerasLayer
from helpers.profiles import Profile, find_profile

import keras
import tensorflow as tf

SIZE, FEATURES = 12, 5


@cache
def temporary_folder() -> tempfile.TemporaryDirectory:
    """Return a folder that lasts as long as this process."""
    return tempfile.TemporaryDirectory()


@cache
def small_module() -> str:
    """Return the handle of a module from pictures of 12 x 12 pixels in [0, 1] to 5 features; nobody has seen it."""
    keras.utils.set_random_seed(71)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(6, 4, strides=4, activation="tanh", bias_initializer="random_normal"),
            layers.BatchNormalization(),
            layers.Conv2D(FEATURES, 2, activation="tanh", bias_initializer="random_normal"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    folder = Path(temporary_folder().name) / "small_module"
    export_hub_module(model, folder)
    return str(folder)


def pixels_of_size(count: int) -> np.ndarray:
    """Return pictures ``(count, 12, 12, 3)`` float32 in [0, 255] that differ in brightness and contrast."""
    random = np.random.default_rng(72)
    level, contrast = random.uniform(60, 190, (count, 1, 1, 3)), random.uniform(5, 60, (count, 1, 1, 1))
    return np.clip(level + contrast * random.normal(size=(count, SIZE, SIZE, 3)), 0, 255).astype("float32")


@cache
def features_by_range() -> dict[str, np.ndarray]:
    """Return the module's features ``(80, 5)`` of pictures in several ranges, by what is wrong with the range."""
    images, layer = pixels_of_size(80), KerasLayer(small_module())
    ranges = {
        "": images / 255,
        "gives the module pixels in [0, 255]: the rescaling is missing": images,
        "divides by 255 twice: the module sees pictures that are almost black": images / 255**2,
        "scales the pixels to [-1, 1]": (images - 127.5) / 127.5,
    }
    return {words: np.asarray(layer(inputs)) for words, inputs in ranges.items()}


@cache
def published_weights() -> list[np.ndarray]:
    """Return the weights of the module, as a hub layer lists them."""
    return KerasLayer(small_module()).get_weights()


def is_linear_in(logits: np.ndarray, features: np.ndarray) -> bool:
    """Tell whether logits are a linear function of features."""
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1).astype("float64")
    solution = np.linalg.lstsq(features, logits, rcond=None)[0]
    error = logits - features @ solution
    return bool(np.abs(error).max() < 1e-3 * max(float(np.ptp(logits, axis=0).max()), 1e-6))


def check_hub_classifier(hub_classifier) -> str:
    """Check task 7.1."""
    handle, classes = small_module(), 4
    model = hub_classifier(handle, SIZE, classes)
    expect(model is not None, NOTHING)
    expect(isinstance(model, keras.Model), f"Your function returns {type(model).__name__}, not a keras.Model.")
    images = pixels_of_size(80)
    logits = np.asarray(model(images))
    expect(
        logits.shape == (80, classes),
        f"For 80 pictures and {classes} classes your model gives an array of shape {logits.shape}; wanted is "
        f"{(80, classes)}.",
    )
    expect(
        not (np.allclose(logits.sum(axis=1), 1, atol=1e-4) and logits.min() >= 0),
        "Your model gives probabilities: there is a softmax at its end. Wanted are logits.",
    )
    count = len(published_weights())
    expect(
        len(model.weights) >= count + 2,
        f"Keras sees {len(model.weights)} arrays of weights in your model; the module alone has {count}. "
        "The call of the module is wrapped in a layer that does not know its weights.",
    )
    shapes = sorted(tuple(weight.shape) for weight in model.trainable_weights)
    expect(
        len(shapes) < count,
        "The weights of the module are trainable. Wanted is a frozen module: only the head learns at first.",
    )
    expect(
        shapes == [(classes,), (FEATURES, classes)],
        f"Trainable in your model: arrays of shapes {shapes}. Wanted is one Dense layer on the features.",
    )
    for words, features in features_by_range().items():
        if is_linear_in(logits, features):
            expect(not words, f"Your model {words}. Hub modules for pictures expect [0, 1].")
            break
    else:
        raise Wrong(
            "The logits are no linear function of the module's features. What does your model do with the pixels "
            "before the module, and is there an activation behind it?"
        )
    return "Pixels are scaled to [0, 1], the module is frozen, and the head gives logits."


def model_with_frozen_module(before: tuple, after: tuple) -> tuple[NotedModel, KerasLayer]:
    """Return a model compiled with its module frozen, and the hub layer; there may be layers before and after it."""
    hub_layer = KerasLayer(small_module())
    head = keras.layers.Dense(3)
    model = NotedModel([keras.Input((SIZE, SIZE, 3)), *before, hub_layer, *after, head])
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, hub_layer


def check_start(start_fine_tuning) -> str:
    """Check task 7.2."""
    layers = keras.layers
    kinds = (
        ((layers.Rescaling(1 / 255),), ()),
        ((layers.Rescaling(1 / 127.5), layers.Rescaling(0.5)), (layers.Dense(4, "relu"),)),
    )
    for before, after in kinds:
        keras.utils.set_random_seed(73)
        model, hub_layer = model_with_frozen_module(before, after)
        optimizer, weights = model.optimizer, model.get_weights()
        names = ", ".join(type(layer).__name__ for layer in model.layers)
        start_fine_tuning(model)
        same = same_arrays(weights, model.get_weights())
        expect(same, "Your function changes weights of the model. It should only prepare the training, not train.")
        expect(
            hub_layer.trainable,
            f"The module is still frozen in a model with the layers {names}. Did your function unfreeze "
            "another layer, or set the flag of the whole model, which was True already?",
        )
        behind = model.layers[model.layers.index(hub_layer) + 1 :]
        expect(
            all(layer.trainable_weights for layer in behind),
            f"Of the {len(behind)} layers behind the module, at least one is frozen now. The whole head should learn "
            "with the module.",
        )
        expect(
            model.optimizer is not optimizer,
            "The module is unfrozen, but the model is not compiled again: it would train with the optimizer of before.",
        )
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        expect(rate > 0, "The learning rate is 0 in the first step: nothing would move. Let a warm-up begin above 0.")
        expect(
            rate <= 1.001e-3,
            f"The learning rate is {rate:g}. That is too high for pretrained weights; at most 0.001 is wanted.",
        )
        late = model.remark()
        noise = pixels_of_size(32), np.arange(32) % 3
        check_loss(model, *noise)
        module_weights = [np.copy(weight.numpy()) for weight in hub_layer.trainable_weights]
        train_one_step(model, *noise)
        moved = [
            not np.array_equal(old, new.numpy())
            for old, new in zip(module_weights, hub_layer.trainable_weights, strict=True)
        ]
        expect(all(moved), "The flags look right, but one fit did not move all the trainable weights of the module.")
    return f"One fit at the rate {rate:g} moved every trainable weight of the module, wherever its layer was." + late


class PlainWrapper(keras.layers.Layer):
    """The popular mistake of lesson 07: a layer that calls a module, and does not know its weights."""

    def __init__(self, module, trainable: bool) -> None:
        super().__init__(trainable=trainable)
        self.module = module

    def call(self, pixels, training=None):
        return self.module(pixels, training=bool(training))


def check_can_be_fine_tuned(can_be_fine_tuned) -> str:
    """Check task 7.3."""
    module = tf.saved_model.load(small_module())
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    dense.trainable = False
    statistics = keras.layers.Normalization()
    statistics.build((None, 3))
    cases = (
        (PlainWrapper(module, True), False, "a plain wrapper whose flag is True", "A flag says what is wanted, not "
         "that there is anything to train. What does Keras see in the layer?"),
        (KerasLayer(small_module()), True, "a frozen hub layer", "While a layer is frozen, what does its list of "
         "trainable weights say?"),
        (PlainWrapper(module, False), False, "a frozen plain wrapper", "Is there anything for which your function says "
         "False?"),
        (keras.layers.Lambda(lambda pixels: module(pixels)), False, "a Lambda layer around a module", "Keras does not "
         "see the module's weights in it."),
        (statistics, False, "a layer that has statistics only", "Its arrays are weights, but no gradient ever moves "
         "them: not every weight is trainable."),
        (KerasLayer(small_module(), trainable=True), True, "an unfrozen hub layer", "It has weights to train."),
        (dense, True, "a frozen Dense layer", "Unfrozen, it would have two trainable arrays."),
        (keras.layers.Rescaling(1 / 255), False, "a Rescaling layer", "It has no weights at all."),
    )  # fmt: skip
    for layer, expected, words, advice in cases:
        flag = layer.trainable
        answer = can_be_fine_tuned(layer)
        expect(
            isinstance(answer, bool | np.bool_),
            f"Your function returns {type(answer).__name__} for {words}. Wanted is True or False.",
        )
        expect(bool(answer) == expected, f"For {words}, your function says {answer}. {advice}")
        expect(
            layer.trainable == flag,
            f"After your function, the flag of {words} has changed from {flag} to {layer.trainable}. A question should "
            "leave things as they were.",
        )
    return "Your function tells hub layers from plain wrappers, and leaves every flag as it was."


def check_save_and_load(save_and_load) -> str:
    """Check task 7.4."""
    keras.utils.set_random_seed(74)
    hub_layer = KerasLayer(small_module(), trainable=True)
    model = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Rescaling(1 / 255), hub_layer, keras.layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    train_one_step(model, pixels_of_size(32), np.arange(32) % 3)
    images = pixels_of_size(16)
    tuned, weights = np.asarray(model(images)), model.get_weights()
    hub_weights = hub_layer.get_weights()
    hub_layer.set_weights(published_weights())
    published = np.asarray(model(images))
    hub_layer.set_weights(hub_weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my_model.keras"
        loaded = save_and_load(model, path)
        expect(loaded is not None, NOTHING)
        expect(loaded is not model, "Your function returns the model that it was given, not one that was loaded.")
        expect(isinstance(loaded, keras.Model), f"Your function returns {type(loaded).__name__}, not a keras.Model.")
        ours = {id(variable) for variable in model.variables}
        expect(
            not any(id(variable) in ours for variable in loaded.variables),
            "What your function returns uses the weights of the given model itself: it was not loaded from a file.",
        )
        expect(path.exists(), f"After your function, there is no file at the path that it was given ({path.name}).")
        try:
            again = keras.saving.load_model(path)
        except Exception as error:
            raise Wrong(
                f"There is a file, but no model can be loaded from it ({type(error).__name__}). Does it hold the "
                "weights only?"
            ) from error
        same = same_arrays(weights, model.get_weights())
        expect(same, "Your function changes weights of the model that it was given.")
        for judged, words in ((loaded, "The model that your function returns"), (again, "The model in the file")):
            found = np.asarray(judged(images))
            expect(
                found.shape == tuned.shape,
                f"{words} gives an array of shape {found.shape}, not {tuned.shape} as before.",
            )
            expect(
                not np.allclose(found, published, atol=1e-6),
                f"{words} has the values of the *published* module: what fine-tuning changed is lost.",
            )
            expect(
                np.allclose(found, tuned, atol=1e-6),
                f"{words} gives other predictions than before. Are its weights new ones?",
            )
    return "The loaded model gives equal predictions, with the fine-tuned weights, not the published ones."


@lru_cache(maxsize=1)
def _labelled_images(profile: Profile, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first 1,000 training pictures, and their labels."""
    data = load_data(profile, seed)
    return data.x_train[:1000].copy(), data.y_train[:1000]


def check_module(make_module, profile="auto", seed=0) -> str:
    """Check task 7.5."""
    profile = find_profile(profile)
    known, labels = _labelled_images(profile, seed)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "my_module"
        make_module(folder)
        try:
            layer = KerasLayer(folder)
        except HubModuleError as error:
            raise Wrong(
                f"There is no hub module in the folder that your function was given: {str(error).splitlines()[0]}"
            ) from error
    side = profile.image_size

    def features_of(images, scale=1 / 255):
        parts = []
        for start in range(0, len(images), 100):
            batch = images[start : start + 100].astype("float32")
            if batch.shape[1:3] != (side, side):
                batch = np.asarray(keras.ops.image.resize(batch, (side, side)))
            parts.append(np.asarray(layer(batch * np.float32(scale))))
        return np.concatenate(parts)

    try:
        shape = features_of(known[:4]).shape
    except ValueError as error:
        raise Wrong(
            f"Your module does not take pictures of {side} x {side} pixels, the size in this profile. Which size has "
            "the Input of the model that you export?"
        ) from error
    expect(
        len(shape) == 2,
        f"For 4 pictures your module gives an array of shape {shape}: feature maps? Wanted is one vector for each.",
    )
    expect(
        shape[1] > 10,
        f"Your module gives {shape[1]} numbers for a picture. Are these logits? Wanted are the features before them.",
    )

    reached = {}  # from 200 pictures to 200 others: enough to see the wrong range, in a second
    for scale in (1 / 255, 1.0):
        features = features_of(known[:400], scale)
        reached[scale] = fit_regression(features[:200], labels[:200]).score(features[200:], labels[200:400])
    expect(
        reached[1.0] < reached[1 / 255] + 0.15,
        "Hub modules for pictures expect pixels in [0, 1], and yours works better with [0, 255]: scale inside, before "
        "the network.",
    )
    head = fit_regression(features_of(known), labels)
    message = check_classifier(lambda images: head.predict(features_of(images)), profile, seed, TARGETS)
    return f"{message} A logistic regression on the features of your module reached it."


def fit_regression(features: np.ndarray, labels: np.ndarray):
    """Return a logistic regression that scales."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    expect(bool(np.isfinite(features).all()), "Some features of your module are not finite numbers.")
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=50, tol=1e-2)).fit(features, labels)


TARGETS = {"mini": 0.77, "cifar10-cpu": 0.70, "cifar10-gpu": 0.75}

TASKS = {
    "7.1": Task(
        "build a classifier on a frozen hub module",
        check_hub_classifier,
        (
            "Which values does a hub module for pictures expect, and which do the pixels have?",
            "Read about helpers.hub.layer.KerasLayer, keras.layers.Rescaling and keras.layers.Dense.",
            "An Input of the right size, Rescaling by 1 / 255, KerasLayer(handle), Dense(classes) without activation.",
        ),
    ),
    "7.2": Task(
        "unfreeze the hub module of a model and compile",
        check_start,
        (
            "The hub layer may be at any place in the model. How do you recognise it?",
            "Read about isinstance, Layer.trainable, and keras.Model.compile.",
            "For each layer in model.layers that is a KerasLayer: trainable = True. Then compile with a low rate.",
        ),
    ),
    "7.3": Task(
        "find out whether a layer can be fine-tuned",
        check_can_be_fine_tuned,
        (
            "What would layer.trainable_weights say if the layer were unfrozen?",
            "Read about Layer.trainable and Layer.trainable_weights.",
            "Keep the flag; set it to True; look whether trainable_weights is empty; set the flag back; return.",
        ),
    ),
    "7.4": Task(
        "save a model with a hub layer and load it",
        check_save_and_load,
        (
            "One file can hold the architecture and the weights.",
            "Read about keras.Model.save and keras.models.load_model.",
            "Two lines: model.save of the path, then return what load_model gives for the path.",
        ),
    ),
    "7.5": Task(
        "export a feature extractor of your own as a hub module",
        check_module,
        (
            "What you have learned in lesson 06 is the first half, the end of lesson 07 the second.",
            "Read about helpers.hub.export.export_hub_module, and about keras.layers.Rescaling for the input range.",
            "Fine-tune backbone, pooling and head; then a new model: Rescaling(255.0), backbone, pooling; export it.",
        ),
    ),
}
