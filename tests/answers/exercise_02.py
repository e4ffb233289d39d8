from functools import cache, partial

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split

from tests.answers.networks import shared_data

import keras
import tensorflow as tf
from keras import layers, ops


# 2.1
def network(classes, *, first=(), filters=(16, 32, 64), kernel=3, last=(), pool=layers.Flatten, activation=None):
    steps = [keras.Input((32, 32, 3)), *first]
    for count in filters:
        steps += [layers.Conv2D(count, kernel, padding="same", activation="relu"), layers.MaxPooling2D()]
    return keras.Sequential([*steps, pool(), layers.Dense(classes, activation=activation), *last])


def rescaling():
    return layers.Rescaling(1 / 127.5, offset=-1)


def sequential(classes):
    return network(classes, first=[rescaling()])


def functional(classes):
    inputs = keras.Input((32, 32, 3))
    x = inputs / 255.0
    for filters in (32, 64, 96):
        x = layers.SeparableConv2D(filters, 3, strides=2, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def nested(classes):
    body = keras.Sequential([layers.Conv2D(32, 5, strides=4, activation="relu"), layers.Conv2D(32, 3), layers.ReLU()])
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), body, *end(classes)])


def end(classes):
    return [layers.GlobalMaxPooling2D(), layers.Dropout(0.2), layers.Dense(classes)]


class OwnModel(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.convolution = layers.Conv2D(32, 3, strides=4, activation="relu")
        self.dense = layers.Dense(classes)

    def call(self, images):
        return self.dense(ops.mean(self.convolution(ops.cast(images, "float32") / 127.5 - 1), axis=(1, 2)))


def rescaled_late(classes):
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(8, 3), rescaling(), *end(classes)])


def dense_only(classes):
    return network(classes, first=[rescaling()], filters=())


# 2.2
def in_order(parts):
    x_train, x_val, y_train, y_val = parts
    return x_train, y_train, x_val, y_val


def by_scikit_learn(images, labels, fraction, seed, **options):
    options = {"stratify": labels, "random_state": seed, "test_size": fraction} | options
    return in_order(train_test_split(images, labels, **options))


def by_class(images, labels, fraction, seed):
    random = np.random.RandomState(seed)
    places = random.permutation(len(labels))
    chosen = []
    for label in set(labels.tolist()):
        members = [place for place in places if labels[place] == label]
        chosen += members[: int(fraction * len(members))]
    validation = np.isin(places, chosen)
    train, validation = places[~validation], places[validation]
    return [images[train], labels[train], images[validation], labels[validation]]


def by_splitter(images, labels, fraction, seed):
    ((train, validation),) = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed).split(images, labels)
    return images[train], labels[train], images[validation], labels[validation]


def last_part(images, labels, fraction, seed):
    count = round(len(labels) * (1 - fraction))
    return images[:count], labels[:count], images[count:], labels[count:]


def overlapping(images, labels, fraction, seed):
    _, _, x_val, y_val = by_scikit_learn(images, labels, fraction, seed)
    places = np.random.default_rng(seed).permutation(len(labels))
    return images[places], labels[places], x_val, y_val


def drawn_twice(images, labels, fraction, seed):
    random = np.random.default_rng(seed)
    train, validation = np.arange(len(labels)), random.choice(len(labels), round(fraction * len(labels)))
    train = np.setdiff1d(train, validation)
    return images[train], labels[train], images[validation], labels[validation]


def shuffled_apart(images, labels, fraction, seed):
    random = np.random.default_rng(seed)
    return by_scikit_learn(random.permutation(images), random.permutation(labels), fraction, seed)


def by_global_state(images, labels, fraction, seed):
    return by_scikit_learn(images, labels, fraction, None)


def exchanged(images, labels, fraction, seed):
    return by_scikit_learn(images, labels, 1 - fraction, seed)


def class_by_class(images, labels, fraction, seed):
    parts = [[], []]
    for label in np.unique(labels):
        members = np.random.default_rng(seed).permutation(np.flatnonzero(labels == label))
        count = round(fraction * len(members))
        parts[0].append(members[count:])
        parts[1].append(members[:count])
    train, validation = map(np.concatenate, parts)
    return images[train], labels[train], images[validation], labels[validation]


def in_place(images, labels, fraction, seed):
    places = np.random.default_rng(seed).permutation(len(labels))
    images[:], labels[:] = images[places], labels[places]
    return by_scikit_learn(images, labels, fraction, seed)


def incomplete(images, labels, fraction, seed):
    return by_scikit_learn(images, labels, fraction, seed, train_size=0.5)


# 2.3
def pairs(images, labels):
    return tf.data.Dataset.from_tensor_slices((images, labels))


def augmented(dataset, augment):
    return dataset.map(lambda x, y: (augment(tf.cast(x, "float32")), y))


def cached_first(images, labels, augment, size):
    return augmented(pairs(images, labels).cache().shuffle(len(labels)).batch(size), augment)


def each_image_alone(images, labels, augment, size):
    return augmented(pairs(images, labels), augment).shuffle(1000).batch(size).prefetch(1)


def by_places(images, labels, augment, size):
    loaded, answers = tf.constant(images), tf.constant(labels)
    places = tf.data.Dataset.range(len(labels)).shuffle(len(labels)).batch(size)
    return places.map(lambda i: (augment(tf.cast(tf.gather(loaded, i), "float32")), tf.gather(answers, i)))


def by_generator(images, labels, augment, size):
    def batches():
        places = np.random.permutation(len(labels))
        for start in range(0, len(places), size):
            batch = places[start : start + size]
            yield augment(images[batch].astype("float32")), labels[batch]

    signature = (tf.TensorSpec((None, *images.shape[1:]), "float32"), tf.TensorSpec((None,), labels.dtype))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def cached_last(images, labels, augment, size):
    return augmented(pairs(images, labels).shuffle(len(labels)).batch(size), augment).cache().prefetch(2)


def cached_after_augmentation(images, labels, augment, size):
    return augmented(pairs(images, labels), augment).cache().shuffle(len(labels)).batch(size)


def cached_order(images, labels, augment, size):
    return augmented(pairs(images, labels).shuffle(len(labels)).batch(size).cache(), augment)


def without_augmentation(images, labels, augment, size):
    return augmented(pairs(images, labels).shuffle(len(labels)).batch(size), lambda batch: batch)


def augmented_once(images, labels, augment, size):
    return pairs(augment(images.astype("float32")), labels).shuffle(len(labels)).batch(size)


def without_shuffling(images, labels, augment, size):
    return augmented(pairs(images, labels).cache().batch(size), augment)


def shuffled_batches(images, labels, augment, size):
    return augmented(pairs(images, labels).batch(size).shuffle(len(labels)), augment)


def small_buffer(images, labels, augment, size):
    return augmented(pairs(images, labels).shuffle(8).batch(size), augment)


def labels_apart(images, labels, augment, size):
    loaded, answers = (tf.data.Dataset.from_tensor_slices(part).shuffle(len(labels)) for part in (images, labels))
    return augmented(tf.data.Dataset.zip(loaded, answers).batch(size), augment)


def remainder_dropped(images, labels, augment, size):
    return augmented(pairs(images, labels).shuffle(len(labels)).batch(size, drop_remainder=True), augment)


# 2.4
def by_loop(history):
    best = 1
    for number, loss in enumerate(history["val_loss"], start=1):
        if loss < history["val_loss"][best - 1]:
            best = number
    return best


def sorted_in_place(history):
    smallest = min(history["val_loss"])
    history["val_loss"].sort()
    return history["val_loss"].index(smallest) + 1


# 2.5
@cache
def trained():
    data = shared_data()
    keras.utils.set_random_seed(0)
    model = network(10, first=[layers.RandomFlip("horizontal"), rescaling()], filters=(24, 48, 96))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(data.x_train, data.y_train, batch_size=32, epochs=12, verbose=0)
    return model


def untrained():
    model = sequential(10)
    return lambda images: np.asarray(model(images)).argmax(axis=1)


def by_predict():
    model = trained()
    return lambda images: np.argmax(model.predict(images, verbose=0), axis=1)


def by_calls():
    model = trained()
    return lambda images: [int(np.argmax(row)) for part in np.split(images, 10) for row in np.asarray(model(part))]


def logits():
    model = trained()
    return lambda images: model.predict(images, verbose=0)


def scaled_again():
    classify = by_predict()
    return lambda images: classify(images / 255)


def cast_as_in_numpy(images, labels, augment, batch_size):
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).batch(batch_size)
    return dataset.map(lambda x, y: (augment(x.astype("float32")), y))


def one_hot(images, labels, augment, batch_size):
    return cached_first(images, keras.utils.to_categorical(labels, 10), augment, batch_size)


def without_the_cast(images, labels, augment, batch_size):
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).batch(batch_size)
    return dataset.map(lambda x, y: (augment(x), y))


RIGHT = {
    "2.1": [sequential, functional, nested, OwnModel],
    "2.2": [by_scikit_learn, by_class, by_splitter],
    "2.3": [cached_first, each_image_alone, by_places, by_generator],
    "2.4": [lambda history: np.argmin(history["val_loss"]) + 1, by_loop],
    "2.5": [(by_predict, "mini"), (by_calls, "mini")],
}
WRONG = {
    "2.1": [
        (partial(network, first=[rescaling()], activation="softmax"), "softmax"),
        (lambda classes: network(classes, first=[rescaling()], last=[layers.Softmax()]), "softmax"),
        (lambda classes: network(classes, first=[rescaling()], activation="sigmoid"), "activation at the end"),
        (lambda classes: network(classes, first=[rescaling()], activation="relu"), "cuts off the negative"),
        (lambda classes: network(classes, first=[rescaling()], activation="tanh"), "outside [-1, 1]"),
        (network, "rescaling is missing"),
        (rescaled_late, "comes too late"),
        (lambda classes: network(classes, first=[layers.BatchNormalization()]), "rescaling is missing"),
        (lambda classes: network(classes, first=[rescaling(), layers.Rescaling(1 / 255)]), "rescaled twice"),
        (lambda classes: network(classes, first=[rescaling()], filters=(64, 128, 256)), "parameters; fewer than"),
        (lambda classes: sequential(10), "With classes = 7"),
        (dense_only, "no convolution"),
        (lambda classes: network(classes, first=[rescaling()], kernel=1), "no convolution"),
        (lambda classes: network(classes, first=[rescaling()], pool=layers.Identity), "still has places"),
        (lambda classes: sequential(classes)(np.zeros((1, 32, 32, 3))), "not a keras.Model"),
    ],
    "2.2": [
        (last_part, "Stratified"),
        (partial(by_scikit_learn, stratify=None), "Stratified"),
        (overlapping, "in both parts"),
        (drawn_twice, "twice in the same part"),
        (partial(by_scikit_learn, random_state=0), "Is the seed used?"),
        (by_global_state, "two different splits"),
        (shuffled_apart, "no longer fit"),
        (exchanged, "exchanged"),
        (partial(by_scikit_learn, test_size=0.5), "validation_fraction = 0.25"),
        (class_by_class, "class by class"),
        (in_place, "in place"),
        (incomplete, "in neither part"),
        (lambda x, y, fraction, seed: train_test_split(x, y, stratify=y, random_state=seed), "the order x_train"),
    ],
    "2.3": [
        (without_the_cast, "of the type uint8"),
        (cast_as_in_numpy, "has no attribute 'astype'"),
        (one_hot, "Wanted is one whole number each"),
        (cached_last, "Which step keeps"),
        (cached_after_augmentation, "Which step keeps"),
        (cached_order, "same order in each epoch"),
        (without_augmentation, "augment is never used"),
        (augmented_once, "augment ran once, for the whole set"),
        (without_shuffling, "nothing shuffles them"),
        (shuffled_batches, "batches or pictures?"),
        (small_buffer, "buffer"),
        (labels_apart, "shuffled apart"),
        (remainder_dropped, "last, smaller batch"),
        (lambda *arguments: cached_first(*arguments).repeat(), "more than once, or never ends"),
        (lambda *arguments: cached_first(*arguments).unbatch(), "with four axes"),
        (lambda *arguments: list(cached_first(*arguments)), "not a tf.data.Dataset"),
        (lambda x, y, augment, size: cached_first(x, y, augment, 32), "With batch_size = 16"),
    ],
    "2.4": [
        (lambda history: int(np.argmax(np.diff(history["val_loss"]) > 0)) + 1, "look at all epochs"),
        (lambda history: int(np.argmin(history["loss"])) + 1, "training loss"),
        (lambda history: int(np.argmax(history["val_loss"])) + 1, "*largest* validation loss"),
        (lambda history: int(np.argmin(history["val_loss"])), "count from 0"),
        (lambda history: int(np.argmax(history["accuracy"])) + 1, "training accuracy"),
        (lambda history: int(np.argmax(history["val_accuracy"])) + 1, "validation accuracy"),
        (lambda history: len(history["loss"]), "the last one"),
        (lambda history: min(history["val_loss"]), "number of its epoch"),
        (sorted_in_place, "in place"),
    ],
    "2.5": [
        ((untrained, "mini"), "points are missing"),
        ((logits, "mini"), "one label for each picture"),
        ((trained, "mini"), "returns the network"),
        ((scaled_again, "mini"), "points are missing"),
        ((lambda: lambda images: np.zeros(len(images), int), "mini"), "about guessing"),
    ],
}
