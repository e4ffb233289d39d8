from functools import cache

import numpy as np

from helpers.models import build_backbone, extract_features
from tests.answers.networks import shared_data

import keras
from keras import layers, ops


# 4.1
def by_hand(height, width, channels, classes):
    flat = height * width * channels
    return {
        "linear": channels * classes + classes,
        "Dense(1024)": (channels + 1) * 1024 + 1025 * classes,
        "2 x Dense(4096)": (flat + 1) * 4096 + 4097 * 4096 + 4097 * classes,
    }


def by_keras(*shape):
    return {name: right_head(name, shape[:3], shape[3]).count_params() for name in by_hand(*shape)}


def changed_count(name, change):
    return lambda h, w, c, k: by_hand(h, w, c, k) | {name: change(h, w, c, k)}


# 4.2
def make_head(
    pool=layers.GlobalAveragePooling2D, flat=layers.Flatten, relu="relu", last=None, small=1024, large=(4096, 4096)
):
    def build(name, maps_shape, classes):
        first, hidden = {
            "linear": (pool, ()),
            "Dense(1024)": (pool, (small,)),
            "2 x Dense(4096)": (flat, large),
        }[name]
        activations = relu if isinstance(relu, tuple) else (relu, relu)
        dense = [layers.Dense(size, activation=a) for size, a in zip(hidden, activations, strict=False)]
        return keras.Sequential([keras.Input(maps_shape), first(), *dense, layers.Dense(classes, activation=last)])

    return build


right_head = make_head()


def head_without_input(name, shape, classes):
    head = right_head(name, shape, classes)
    return keras.Sequential([type(layer).from_config(layer.get_config()) for layer in head.layers])


def functional_head(name, maps_shape, classes):
    inputs = keras.Input(maps_shape)
    x = layers.Reshape((-1,))(inputs) if name == "2 x Dense(4096)" else ops.mean(inputs, axis=(1, 2))
    for size in {"linear": [], "Dense(1024)": [1024], "2 x Dense(4096)": [4096, 4096]}[name]:
        x = layers.ReLU()(layers.Dense(size)(x))
    return keras.Model(inputs, layers.Dense(classes, activation="linear")(x))


def head_with_dropout(name, maps_shape, classes):
    head = right_head(name, maps_shape, classes)
    return keras.Sequential([keras.Input(maps_shape), *head.layers[:-1], layers.Dropout(0.5), head.layers[-1]])


def unpooled(name, maps_shape, classes):
    return keras.Sequential([keras.Input(maps_shape), layers.Dense(classes)])


# 4.3
sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(loss=sparse, metrics=("accuracy",), optimizer="adam"):
    def compile_head(head):
        head.compile(optimizer=optimizer, loss=loss, metrics=list(metrics))
        return head

    return compile_head


def in_place(head):
    head.compile(
        keras.optimizers.SGD(0.1),
        lambda labels, logits: keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )


def with_own_loss(head):
    in_place(head)
    return head


def with_softmax(head):
    return compiled("sparse_categorical_crossentropy")(keras.Sequential([head, layers.Softmax()]))


# 4.4
def sequential(base, head):
    base.trainable = False
    return keras.Sequential([base, head])


def functional(base, head):
    inputs = keras.Input(base.input_shape[1:])
    model = keras.Model(inputs, head(base(inputs, training=False)))
    for layer in base.layers:
        layer.trainable = False
    return model


def on_its_output(base, head):
    base.trainable = False
    return keras.Model(base.input, head(base.output))


def unfrozen(base, head):
    return keras.Sequential([base, head])


def all_frozen(base, head):
    model = keras.Sequential([base, head])
    model.trainable = False
    return model


def head_frozen(base, head):
    head.trainable = False
    return keras.Sequential([base, head])


def batch_norm_left(base, head):
    for layer in base.layers:
        layer.trainable = isinstance(layer, layers.BatchNormalization)
    return keras.Sequential([base, head])


def scaled_first(*scaling):
    def assemble(base, head):
        base.trainable = False
        return keras.Sequential([keras.Input(base.input_shape[1:]), layers.Rescaling(*scaling), base, head])

    return assemble


def softmax_after(base, head):
    return keras.Sequential([sequential(base, head), layers.Softmax()])


def new_head(base, head):
    return sequential(base, keras.models.clone_model(head))


# 4.5
@cache
def maps_extractor():
    return build_backbone("mini_mobilenet", "mini").model


@cache
def head_trained_with(name="Dense(1024)", images=2000, loss=sparse, epochs=10, learning_rate=1e-3):
    keras.utils.set_random_seed(0)
    data = shared_data()
    maps = extract_features(maps_extractor(), data.x_train)[:images]
    head = right_head(name, maps.shape[1:], 10)
    compiled(loss, optimizer=keras.optimizers.Adam(learning_rate))(head)
    head.fit(maps, data.y_train[:images], epochs=epochs, verbose=0)
    return head


def trained_with(**options):
    def train():
        head = head_trained_with(**options)
        return lambda images: np.asarray(head(extract_features(maps_extractor(), images))).argmax(axis=1)

    return train


def assembled():
    model = sequential(maps_extractor(), head_trained_with())
    return lambda images: [int(row.argmax()) for part in np.split(images, 10) for row in np.asarray(model(part))]


def returns_logits():
    return lambda images: np.zeros((len(images), 10))


RIGHT = {
    "4.1": [by_hand, by_keras],
    "4.2": [right_head, functional_head, head_with_dropout, head_without_input],
    "4.3": [compiled(), with_own_loss, compiled(optimizer=keras.optimizers.RMSprop(1e-2))],
    "4.4": [sequential, functional, on_its_output],
    "4.5": [(trained_with(), "mini"), (assembled, "mini")],
}
WRONG = {
    "4.1": [
        (changed_count("linear", lambda *sizes: None), "wanted is one number"),
        (changed_count("linear", lambda h, w, c, k: c * k), "biases are missing"),
        (changed_count("Dense(1024)", lambda h, w, c, k: c * 1024 + 1024 * k), "biases are missing"),
        (changed_count("linear", lambda h, w, c, k: h * w * c * k + k), "begins with pooling"),
        (
            changed_count("2 x Dense(4096)", lambda h, w, c, k: (c + 1) * 4096 + 4097 * 4096 + 4097 * k),
            "begins with Flatten",
        ),
        (changed_count("Dense(1024)", lambda h, w, c, k: (c + 1) * 1024), "The last layer"),
        (changed_count("2 x Dense(4096)", lambda h, w, c, k: (h * w * c + 1) * 4096 + 4097 * k), "Only one of the two"),
        (changed_count("2 x Dense(4096)", lambda h, w, c, k: (h * w * c + 1) * 8192 + 4097 * k), "like the first"),
        (lambda h, w, c, k: {"linear": c * k + k}, "no key 'Dense(1024)'"),
        (lambda h, w, c, k: list(by_hand(h, w, c, k).values()), "wanted is a dict"),
        (lambda h, w, c, k: None, "returns nothing"),
    ],
    "4.2": [
        (make_head(last="softmax"), "gives probabilities"),
        (make_head(last="relu"), "never gives a number below 0"),
        (make_head(last="tanh"), "outside [-1, 1]"),
        (make_head(pool=layers.Flatten), "lays the maps out flat"),
        (make_head(flat=layers.GlobalAveragePooling2D), "so it pools"),
        (make_head(pool=layers.GlobalMaxPooling2D), "the mean over all places"),
        (make_head(relu=None), "hidden layer 1"),
        (make_head(relu=("relu", None)), "hidden layer 2"),
        (make_head(relu="leaky_relu"), "negative numbers pass"),
        (make_head(small=512), "sizes of its layers"),
        (make_head(large=(4096,)), "sizes of its layers"),
        (unpooled, "Is the pooling missing?"),
        (lambda name, shape, classes: layers.Dense(classes), "not a keras.Model"),
    ],
    "4.3": [
        (compiled("categorical_crossentropy"), "is for one-hot labels"),
        (compiled("mae"), "is it a"),
        (in_place, "returns nothing"),
        (compiled("sparse_categorical_crossentropy"), "takes the logits for probabilities"),
        (compiled(keras.losses.SparseCategoricalCrossentropy()), "takes the logits for probabilities"),
        (compiled(keras.losses.CategoricalCrossentropy(from_logits=True)), "is for one-hot labels"),
        (compiled("mse"), "is it a"),
        (compiled(metrics=()), "reports the loss only"),
        (compiled(metrics=["mae"]), "(and the metric)"),
        (compiled(metrics=["sparse_top_k_categorical_accuracy"]), "Is that the accuracy"),
        (compiled(optimizer=keras.optimizers.SGD(0.0)), "learning rate"),
        (with_softmax, "still give logits"),
        (lambda head: head, "not compiled"),
    ],
    "4.4": [
        (unfrozen, "is not frozen"),
        (all_frozen, "the head is frozen, too"),
        (head_frozen, "is not frozen"),
        (batch_norm_left, "is not frozen"),
        (scaled_first(1 / 255), "divides the pixels by 255"),
        (scaled_first(1 / 127.5, -1), "to [-1, 1]"),
        (softmax_after, "a softmax after the head"),
        (new_head, "with the weights that they have"),
        (lambda base, head: head, "begin with the backbone"),
        (lambda base, head: head(np.zeros((1, *base.output_shape[1:]))), "not a keras.Model"),
    ],
    "4.5": [
        ((trained_with(name="linear", images=300), "mini"), "points are missing"),
        ((trained_with(loss="sparse_categorical_crossentropy", epochs=2), "mini"), "points are missing"),
        ((trained_with(name="linear", images=10, epochs=1, learning_rate=0.0), "mini"), "points are missing"),
        ((lambda: lambda images: np.zeros(len(images), int), "mini"), "about guessing"),
        ((returns_logits, "mini"), "one label for each picture"),
    ],
}
