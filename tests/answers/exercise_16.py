import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import helpers.quiet  # noqa: F401

import keras
import tensorflow as tf
from keras import layers


# 16.1
def any_size(resizing=True, inside=False, dtype="uint8", shape=(None, None, 3), scale=None):
    """Return a `for_any_size`; resizing and inside: the `training` that the layer and the network are told."""

    def for_any_size(network):
        pixels = keras.Input(shape, dtype=dtype)
        height, width = network.input_shape[1:3]
        images = layers.Resizing(height, width)(pixels, training=resizing)
        if scale:
            images = layers.Rescaling(scale)(images)
        return keras.Model(pixels, network(images, training=inside))

    return for_any_size


def any_size_by_ops(network):
    pixels = keras.Input((None, None, 3), dtype="uint8")
    images = keras.ops.image.resize(keras.ops.cast(pixels, "float32"), network.input_shape[1:3])
    return keras.Model(pixels, network(images, training=False))


def any_size_around(network):
    inner = mode_of_the_caller(network)
    pixels = keras.Input((None, None, 3), dtype="uint8")
    return keras.Model(pixels, inner(pixels, training=False))


def mode_of_the_caller(network):
    pixels = keras.Input((None, None, 3), dtype="uint8")
    return keras.Model(pixels, network(layers.Resizing(*network.input_shape[1:3])(pixels)))


def any_size_as_layer(network):
    class Model(keras.Model):
        pass

    pixels = keras.Input((None, None, 3), dtype="uint8")
    resize = layers.Resizing(*network.input_shape[1:3])
    return Model(pixels, network(resize(pixels, training=False), training=False))


def cropped(network):
    pixels = keras.Input((None, None, 3), dtype="uint8")
    side = network.input_shape[1]
    resize = layers.Resizing(side, side, crop_to_aspect_ratio=True)
    return keras.Model(pixels, network(resize(pixels, training=False), training=False))


# 16.2
@keras.saving.register_keras_serializable("bank_16")
class WithWeights(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = self.scale = None

    def build(self, shape):
        self.mean = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False)
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", trainable=False)

    def adapt(self, features):
        if self.mean is None:
            self.build(features.shape)
            self.built = True
        deviation = features.std(axis=0)
        self.mean.assign(features.mean(axis=0))
        self.scale.assign(np.where(deviation < 1e-6, 1, deviation))

    def call(self, features):
        return (features - self.mean) / self.scale


@keras.saving.register_keras_serializable("bank_16")
class WithConfig(layers.Layer):
    def __init__(self, mean=None, scale=None, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.scale = mean, scale

    def adapt(self, features):
        deviation = features.std(axis=0)
        self.mean = features.mean(axis=0).tolist()
        self.scale = np.where(deviation < 1e-6, 1, deviation).tolist()

    def call(self, features):
        return (features - np.array(self.mean, "float32")) / np.array(self.scale, "float32")

    def get_config(self):
        return super().get_config() | {"mean": self.mean, "scale": self.scale}


@keras.saving.register_keras_serializable("bank_16")
class Attributes(layers.Layer):
    mean, scale = 0.0, 1.0

    def adapt(self, features):
        deviation = features.std(axis=0)
        self.mean, self.scale = features.mean(axis=0), np.where(deviation < 1e-6, 1, deviation).astype("float32")

    def call(self, features):
        return (features - self.mean) / self.scale


@keras.saving.register_keras_serializable("bank_16")
class InAdaptOnly(layers.Layer):
    def adapt(self, features):
        deviation = features.std(axis=0)
        self.mean, self.scale = features.mean(axis=0), np.where(deviation < 1e-6, 1, deviation).astype("float32")

    def call(self, features):
        return (features - self.mean) / self.scale


class NotRegistered(WithWeights):
    pass


@keras.saving.register_keras_serializable("bank_16")
class DividesByZero(Attributes):
    def adapt(self, features):
        self.mean, self.scale = features.mean(axis=0), features.std(axis=0)


@keras.saving.register_keras_serializable("bank_16")
class OnlyMean(WithWeights):
    def call(self, features):
        return features - self.mean


@keras.saving.register_keras_serializable("bank_16")
class Forgets(WithWeights):
    def adapt(self, features):
        features.mean(axis=0)


@keras.saving.register_keras_serializable("bank_16")
class Learns(WithWeights):
    def build(self, shape):
        self.mean = self.add_weight(shape=(shape[-1],), initializer="zeros")
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")


@keras.saving.register_keras_serializable("bank_16")
class NoArguments(WithConfig):
    def __init__(self):
        super().__init__()


@keras.saving.register_keras_serializable("bank_16")
class Variance(WithWeights):
    def adapt(self, features):
        super().adapt(features)
        self.scale.assign(self.scale**2)


@keras.saving.register_keras_serializable("bank_16")
class NearlyZero(WithWeights):
    def adapt(self, features):
        super().adapt(features)
        self.scale.assign(features.std(axis=0) + 1e-7)


@keras.saving.register_keras_serializable("bank_16")
class OfASample(WithWeights):
    def adapt(self, features):
        super().adapt(features)
        deviation = features.std(axis=0, ddof=1)
        self.scale.assign(np.where(deviation < 1e-6, 1, deviation))


@keras.saving.register_keras_serializable("bank_16")
class WithArgument(WithWeights):
    def __init__(self, columns, **options):
        super().__init__(**options)


@keras.saving.register_keras_serializable("bank_16")
class AdaptsBeforeBuild(WithWeights):
    def adapt(self, features):
        self.mean.assign(features.mean(axis=0))


# 16.3
def callbacks(folder, backup="backup", **changed):
    best = {"monitor": "val_accuracy", "mode": "max", "save_best_only": True} | changed
    return [
        keras.callbacks.ModelCheckpoint(folder / "best.keras", **best),
        keras.callbacks.BackupAndRestore(folder / backup),
    ]


def callbacks_with_more(folder):
    checkpoint = keras.callbacks.ModelCheckpoint(
        str(folder / "best.keras"),
        monitor="val_accuracy",
        mode="auto",
        save_best_only=True,
        initial_value_threshold=0.0,
    )
    return (keras.callbacks.BackupAndRestore(str(folder / "again"), double_checkpoint=True), checkpoint)


def changed(**options):
    return partial(callbacks, **options)


# 16.4
def name_by(read):
    """Return a `name_picture` with its own way to read a picture."""

    def name_picture(model_file, names, picture):
        model = keras.models.load_model(model_file)
        scores = model.predict(read(picture, *model.input_shape[1:3])[None], verbose=0)[0]
        return names[int(scores.argmax())], float(scores.max())

    return name_picture


def read(picture, height, width):
    image = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
    return np.asarray(image.resize((width, height)))


def read_in_order(picture, height, width):
    with Image.open(picture) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return np.array(image.convert("RGB").resize((width, height), Image.Resampling.BOX), "uint8")


def read_fitted(picture, height, width):
    image = ImageOps.exif_transpose(Image.open(picture).convert("RGB"))
    return np.asarray(ImageOps.fit(image, (width, height)))


def not_turned(picture, height, width):
    return np.asarray(Image.open(picture).convert("RGB").resize((width, height)))


def not_converted(picture, height, width):
    return np.asarray(ImageOps.exif_transpose(Image.open(picture)).resize((width, height)))


def exchanged(picture, height, width):
    return np.asarray(ImageOps.exif_transpose(Image.open(picture)).convert("RGB").resize((height, width)))


def divided(picture, height, width):
    return read(picture, height, width) / 255


def grey(picture, height, width):
    one = Image.fromarray(read(picture, height, width)).convert("L")
    return np.stack([np.asarray(one)] * 3, axis=-1)


def blue_first(picture, height, width):
    return read(picture, height, width)[..., ::-1]


def raising(*given):
    raise ValueError


def number(model_file, names, picture):
    model = keras.models.load_model(model_file)
    scores = model.predict(read(picture, 8, 12)[None], verbose=0)[0]
    return scores.argmax(), scores.max()


def name_only(model_file, names, picture):
    return name_by(read)(model_file, names, picture)[0]


def softmax_twice(model_file, names, picture):
    model = keras.models.load_model(model_file)
    probabilities = model.predict(read(picture, *model.input_shape[1:3])[None], verbose=0)
    again = np.asarray(keras.ops.softmax(probabilities))[0]
    return names[int(again.argmax())], float(again.max())


def sure(model_file, names, picture):
    return name_by(read)(model_file, names, picture)[0], 1.0


# 16.5
def converted(model, pictures, optimize=True, shown=None, types=()):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if optimize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if types:
        converter.target_spec.supported_types = list(types)
    if shown:
        converter.representative_dataset = lambda: ([each[None]] for each in shown(pictures))
    return converter.convert()


def by_export(model, pictures):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.tflite"
        model.export(path, format="litert", verbose=False, optimizations=[tf.lite.Optimize.DEFAULT])
        return path.read_bytes()


def of_other_size(model, pictures):
    pixels = keras.Input((None, None, 3), dtype="uint8")
    resized = layers.Resizing(32, 32)(pixels, training=False)
    body = keras.Model(pixels, model(resized, training=False))
    return converted(body, pictures)


RIGHT = {
    "16.1": [any_size(resizing=False), any_size(), any_size_by_ops, any_size_around, any_size_as_layer],
    "16.2": [lambda: WithWeights, lambda: WithConfig, lambda: OfASample],
    "16.3": [callbacks, callbacks_with_more, changed(backup="elsewhere")],
    "16.4": [name_by(read), name_by(read_in_order), name_by(read_fitted)],
    "16.5": [converted, partial(converted, shown=lambda pictures: pictures[:100]), by_export],
}
WRONG = {
    "16.1": [
        (lambda network: None, "returns nothing"),
        (lambda network: network, "the network itself"),
        (lambda network: network.layers[0], "not a keras.Model"),
        (any_size(shape=(8, 8, 3)), "Your model takes the shape"),
        (any_size(dtype="float32"), "whole numbers, uint8"),
        (mode_of_the_caller, "a plain call of your model gives other numbers"),
        (any_size(scale=1 / 255), "divided by 255"),
        (cropped, "predict of your model gives other numbers"),
    ],
    "16.2": [
        (lambda: None, "returns nothing"),
        (lambda: WithWeights(), "returns no class"),
        (lambda: layers.Normalization, "the layer of Keras"),
        (lambda: layers.Dense, "no adapt"),
        (lambda: Attributes, "nothing complains"),
        (lambda: NotRegistered, "Which decorator"),
        (lambda: InAdaptOnly, "The loaded layer has no 'mean'"),
        (lambda: DividesByZero, "never changes"),
        (lambda: OnlyMean, "the deviation is not divided by"),
        (lambda: Forgets, "gives the features as they are"),
        (lambda: Learns, "trainable weights"),
        (lambda: NoArguments, "**kwargs"),
        (lambda: Variance, "the columns have not"),
        (lambda: NearlyZero, "divided by nearly 0"),
        (lambda: WithArgument, "without arguments"),
        (lambda: AdaptsBeforeBuild, "adapt can call it"),
    ],
    "16.3": [
        (lambda folder: None, "returns nothing"),
        (lambda folder: callbacks(folder)[0], "Wanted is a list"),
        (changed(backup="."), "there is no best.keras"),
        (changed(monitor="accuracy"), "training* accuracy"),
        (changed(monitor="val_loss", mode="min"), "validation *loss*"),
        (changed(mode="min"), "*lowest*"),
        (changed(save_best_only=False), "the last one"),
        (lambda folder: callbacks(folder)[:1], "begins again with epoch 0"),
        (lambda folder: callbacks(folder)[1:], "there is no best.keras"),
    ],
    "16.4": [
        (lambda *given: None, "returns nothing"),
        (name_by(not_turned), "Is it turned"),
        (name_by(not_converted), "Which shape has your array"),
        (name_by(exchanged), "Which shape has your array"),
        (name_by(divided), "that of guessing"),
        (number, "Wanted is the name"),
        (name_only, "wanted are two things"),
        (sure, "the model gives"),
        (softmax_twice, "Did softmax run twice"),
        (name_by(grey), "Are the colours those"),
        (name_by(blue_first), "Are the colours those"),
        (name_by(lambda picture, *size: read(picture, 8, 12)), "Which shape has your array"),
        (raising, "your function raises ValueError"),
    ],
    "16.5": [
        (lambda *given: None, "returns nothing"),
        (lambda model, pictures: model, "Wanted are the bytes"),
        (lambda model, pictures: b"tflite", "cannot read your bytes"),
        (partial(converted, optimize=False), "100 % of the bytes"),
        (partial(converted, types=[tf.float16]), "53 % of the bytes"),
        (partial(converted, shown=lambda pictures: (pictures[:50] / 255).astype("uint8")), "Your file guesses"),
        (of_other_size, "Your file takes"),
    ],
}
