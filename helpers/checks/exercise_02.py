"""Checks of exercise 02, training from scratch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, expect, things
from helpers.models.freezing import leaf_layers

import keras
import tensorflow as tf

MOST_PARAMETERS = 200_000


def entering(model: keras.Model, images: np.ndarray) -> np.ndarray | None:
    """Return what the first layer with a kernel (Conv2D, Dense and their like) is given for pictures."""
    seen: list[np.ndarray] = []

    def spy(call: Callable) -> Callable:
        def spying(inputs, *arguments, **options):
            seen.append(np.asarray(inputs))
            return call(inputs, *arguments, **options)

        return spying

    spied = [layer for _, layer in leaf_layers(model) if any(len(weight.shape) > 1 for weight in layer.weights)]
    calls = [layer.call for layer in spied]
    try:
        for layer, call in zip(spied, calls, strict=True):
            layer.call = spy(call)
        model(images, training=False)
    finally:
        for layer, call in zip(spied, calls, strict=True):
            layer.call = call
    return seen[0] if seen else None


def check_cnn(build_cnn) -> str:
    """Check task 2.1."""
    keras.utils.set_random_seed(21)
    images = np.random.default_rng(21).integers(0, 256, (32, 32, 32, 3)).astype("float32")
    for classes in (7, 10):
        model = build_cnn(classes)
        expect(model is not None, NOTHING)
        expect(
            isinstance(model, keras.Model),
            f"Your function returns {type(model).__name__}, not a keras.Model. Build the model; do not run it.",
        )
        logits = np.asarray(model(images, training=False))
        expect(
            logits.ndim == 2,
            f"Your model gives an array of shape {logits.shape} for {len(images)} pictures: it still has "
            "places. What turns maps into one vector?",
        )
        expect(
            logits.shape == (len(images), classes),
            f"With classes = {classes}, your model gives {logits.shape[1]} numbers for each picture. Where does the "
            "number of classes belong?",
        )
        kernels = [weight.shape for weight in model.trainable_weights if len(weight.shape) == 4]
        expect(
            any(shape[0] * shape[1] > 1 for shape in kernels),
            "There is no convolution in your model that looks at neighbouring pixels. The C of CNN is missing.",
        )
        expect(
            model.count_params() < MOST_PARAMETERS,
            f"Your model has {model.count_params():,} parameters; fewer than {MOST_PARAMETERS:,} are wanted. Look at "
            "model.summary(): which layer has most of them? How many numbers enter it?",
        )
        check_scale(entering(model, images))
        check_logits(logits)
        check_tanh(model, images)
    return f"A CNN with {model.count_params():,} parameters, which rescales pixels itself and gives logits."


def check_scale(entered: np.ndarray | None) -> None:
    """Raise ``Wrong`` unless the numbers that enter the first kernel have a sensible size."""
    if entered is None:
        return
    low, high = float(entered.min()), float(entered.max())
    expect(
        max(-low, high) < 20,
        f"Numbers from {low:.0f} to {high:.0f} enter the first layer with weights: the rescaling is missing, comes too "
        "late, or has a wrong scale or offset.",
    )
    expect(
        high - low > 0.2,
        f"Numbers from {low:.3f} to {high:.3f} enter the first layer with weights: almost one colour. Are the pixels "
        "rescaled twice?",
    )


def check_logits(logits: np.ndarray) -> None:
    """Raise ``Wrong`` unless scores can be logits."""
    expect(
        logits.min() < 0 or not np.allclose(logits.sum(axis=1), 1, atol=1e-3),
        "For each picture, the outputs of your model sum to 1: there is a softmax at the end. Wanted are logits, the "
        "scores before it.",
    )
    expect(
        np.mean(logits == 0) < 0.05,
        "Many outputs of your model are exactly 0: something at the end cuts off the negative scores. Logits may be "
        "negative.",
    )
    expect(
        logits.min() < 0 or logits.max() > 1,
        "All outputs of your model are between 0 and 1: there is an activation at the end. Wanted are logits.",
    )


def check_tanh(model: keras.Model, images: np.ndarray) -> None:
    """Raise ``Wrong`` if a model keeps its scores in [-1, 1], whatever its last kernel."""
    *_, kernel = (weight for weight in model.trainable_weights if len(weight.shape) > 1)
    before = kernel.numpy()
    kernel.assign(1000 * np.random.default_rng(21).normal(size=before.shape))
    scores = np.asarray(model(images))
    kernel.assign(before)
    expect(
        np.abs(scores).max() > 1.001,
        "Your model never gives a number outside [-1, 1]: there is an activation at the end. Wanted are logits.",
    )


COUNTS = (100, 60, 20, 20)  # pictures of each class in the data of task 2.2


def check_split(split) -> str:
    """Check task 2.2."""
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    images = np.zeros((len(labels), 4, 4, 3), np.uint8)
    images[:, :, :, 0] = np.arange(len(labels))[:, None, None]  # each picture carries its own number
    chosen = []
    for fraction, seed in ((0.25, 3), (0.25, 4), (0.1, 5), (0.4, 6)):
        given = images.copy(), labels.copy()
        np.random.seed(seed + 100)
        answer = split(*given, fraction, seed)
        expect(
            np.array_equal(given[0], images) and np.array_equal(given[1], labels),
            "Your function changes the pictures or labels that it was given: it shuffles them in place. Shuffle places "
            "instead.",
        )
        chosen.append(compare_split(answer, labels, fraction))
        np.random.seed(seed + 200)
        again = split(images.copy(), labels.copy(), fraction, seed)
        same = all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(answer, again, strict=True))
        expect(same, "Called twice with the same seed, your function gives two different splits. What uses the seed?")
    expect(
        set(chosen[0]) != set(chosen[1]),
        "With the seeds 3 and 4 the same pictures are for validation. Is the seed used?",
    )
    return "Disjoint, complete, shuffled, repeatable, and each class has its share in both parts."


def compare_split(answer, labels: np.ndarray, fraction: float) -> list[int]:
    """Raise ``Wrong`` unless ``answer`` is a good split; return the numbers of its validation pictures."""
    parts = things(answer, 4, "four arrays: x_train, y_train, x_val, y_val")
    x_train, y_train, x_val, y_val = map(np.asarray, parts)
    expect(
        (x_train.ndim, y_train.ndim, x_val.ndim, y_val.ndim) == (4, 1, 4, 1),
        f"The four arrays have the shapes {x_train.shape}, {y_train.shape}, {x_val.shape} and {y_val.shape}. Wanted is "
        "the order x_train, y_train, x_val, y_val: pictures, labels, pictures, labels.",
    )
    expect(
        len(x_train) == len(y_train) and len(x_val) == len(y_val),
        f"There are {len(x_train)} training pictures with {len(y_train)} labels, and {len(x_val)} validation pictures "
        f"with {len(y_val)}. Each picture needs one.",
    )
    train, validation = (part[:, 0, 0, 0].astype(int) for part in (x_train, x_val))
    fit = [float(np.mean(labels[ids] == y)) if len(ids) else 1.0 for ids, y in ((train, y_train), (validation, y_val))]
    expect(
        min(fit) == 1,
        f"Pictures and labels no longer fit: only {min(fit):.2f} of the labels are those of their pictures. Were the "
        "two shuffled in the same way?",
    )
    both = np.intersect1d(train, validation)
    expect(
        len(both) == 0,
        f"{len(both)} pictures are in both parts. Pictures that were trained on cannot judge.",
    )
    expect(
        len(np.unique(train)) == len(train) and len(np.unique(validation)) == len(validation),
        "Some pictures are twice in the same part. Is something drawn with replacement?",
    )
    count, wanted = len(validation), fraction * len(labels)
    missing = len(labels) - len(train) - count
    expect(missing == 0, f"{missing} of {len(labels)} pictures are in neither part.")
    expect(
        abs(count - wanted) <= len(COUNTS),
        f"With validation_fraction = {fraction}, {count} of {len(labels)} pictures are for validation; {wanted:.0f} "
        "are wanted." + (" Are the two parts exchanged?" if abs(len(train) - wanted) <= len(COUNTS) else ""),
    )
    shares = np.bincount(y_val, minlength=len(COUNTS))
    expect(
        np.all(abs(shares - fraction * np.array(COUNTS)) <= 1),
        f"The classes have {', '.join(map(str, COUNTS))} pictures; with validation_fraction = {fraction} your "
        f"validation part has {', '.join(map(str, shares))} of them. Stratified means: the same share of each class.",
    )
    for part, name in ((y_train, "training"), (y_val, "validation")):
        changes = np.count_nonzero(np.diff(part))
        expect(
            changes > len(COUNTS) * 1.5,
            f"The {name} pictures come class by class: they are not shuffled, or no longer.",
        )
    return sorted(validation.tolist())


class Augmentation:
    """A random change of pictures that can be traced: it stamps a random number on each picture."""

    def __init__(self) -> None:
        self.at_once = 0  # pictures that it was given outside of a pipeline
        self.types: set[str] = set()  # of the pictures that it was given
        # tf.random.uniform would give each pass the same numbers: in a pipeline, its state begins anew.
        self.random = tf.random.Generator.from_seed(23)

    def __call__(self, images, training=True):
        images = tf.convert_to_tensor(images)
        self.types.add(images.dtype.name)
        images = tf.cast(images, tf.float32)
        if tf.executing_eagerly():
            self.at_once += int(np.prod(images.shape[:-3]))
        stamp = self.random.uniform(tf.concat([tf.shape(images)[:-3], [1, 1, 1]], 0), 1, 255)
        number, green, blue = tf.unstack(images, axis=-1)
        return tf.stack([number, green * 0 + stamp[..., 0], blue], axis=-1)


def one_epoch(dataset: tf.data.Dataset, most: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the numbers of the pictures, batch by batch, and all stamps and labels, of one pass."""
    batches, stamps, labels = [], [], []
    for element in dataset:
        expect(
            isinstance(element, tuple) and len(element) == 2,
            "Your dataset does not give pairs (pictures, labels).",
        )
        images, batch_labels = (np.asarray(part) for part in element)
        expect(
            images.ndim == 4,
            f"Your dataset gives pictures of shape {images.shape}; wanted are batches of them, with four axes.",
        )
        expect(len(images) == len(np.atleast_1d(batch_labels)), "A batch has more pictures than labels, or fewer.")
        batches.append(images[:, 0, 0, 0].round().astype(int))
        stamps.append(images[:, 0, 0, 1])
        labels.append(np.reshape(batch_labels, -1))
        expect(
            sum(map(len, batches)) <= most,
            "One pass over your dataset gives each picture more than once, or never ends. Keras decides how often to "
            "pass over it.",
        )
    return batches, np.concatenate(stamps), np.concatenate(labels)


def check_pipeline(training_pipeline) -> str:
    """Check task 2.3."""
    count, batch_size = 120, 16
    random = np.random.default_rng(23)
    images = np.zeros((count, 8, 8, 3), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    labels = random.integers(0, 10, count)
    augment = Augmentation()
    untouched = images.copy()
    tf.random.set_seed(23)
    dataset = training_pipeline(images, labels, augment, batch_size)
    expect(dataset is not None, NOTHING)
    expect(
        isinstance(dataset, tf.data.Dataset),
        f"Your function returns {type(dataset).__name__}, not a tf.data.Dataset.",
    )
    at_once = augment.at_once
    passes = [one_epoch(dataset, count) for _ in range(3)]
    expect(np.array_equal(images, untouched), "Your function changes the pictures that it was given.")
    for batches, _, given in passes:
        ids = np.concatenate(batches)
        expect(
            np.size(given) == len(ids),
            f"For {len(ids)} pictures there are {np.size(given)} numbers as labels. Wanted is one whole number each.",
        )
        expect(
            len(np.unique(ids)) == count,
            f"In an epoch there are {len(np.unique(ids))} different pictures of {count}. Is the last, smaller batch "
            "left out?",
        )
        sizes = [len(batch) for batch in batches]
        expect(
            max(sizes) == batch_size and len(sizes) == -(-count // batch_size),
            f"With batch_size = {batch_size}, your batches have {sizes[0]} pictures.",
        )
        expect(
            np.array_equal(given, labels[ids]),
            f"Only {np.mean(given == labels[ids]):.2f} of the labels fit their pictures. Were pictures and labels "
            "shuffled apart?",
        )
    check_stamps(passes, at_once)
    expect(
        augment.types == {"float32"},
        f"augment is given pictures of the type {', '.join(sorted(augment.types))}. It takes float32: many changes, of "
        "brightness for example, come out wrong in uint8.",
    )
    expect(
        dataset.element_spec[0].dtype == tf.float32,
        f"Your dataset gives pictures of the type {dataset.element_spec[0].dtype.name}; wanted is float32.",
    )
    check_orders([batches for batches, _, _ in passes], count)
    return "Every epoch shows each picture once, changed anew and in another order, with its own label."


def check_stamps(passes: list, at_once: int) -> None:
    """Raise ``Wrong`` unless every picture is augmented anew in each epoch."""
    by_image = np.array([stamps[np.argsort(np.concatenate(batches))] for batches, stamps, _ in passes])
    expect(
        np.any(by_image != 0),
        "The pictures come out unchanged: augment is never used, or its result is not.",
    )
    expect(np.all(by_image != 0), "Only some of the pictures are augmented.")
    repeated = np.mean((by_image[0] == by_image[1]) | (by_image[1] == by_image[2]))
    if repeated > 0.5:
        raise Wrong(
            "augment ran once, for the whole set, before the pipeline began: every epoch brings the same random "
            "pictures. Where must it stand to run again in each epoch?"
            if at_once
            else "Every epoch brings the same random pictures again: something keeps the *augmented* pictures. Which "
            "step keeps what it is given, and what comes before it?"
        )
    expect(
        len(np.unique(by_image[0].round(3))) > 20,
        "All pictures of an epoch get the same random change. Is augment called once for each batch?",
    )


def check_orders(passes: list[list[np.ndarray]], count: int) -> None:
    """Raise ``Wrong`` unless the pictures come in a random order, another one in each epoch."""
    orders = [np.concatenate(batches) for batches in passes]
    expect(
        not np.array_equal(orders[0], np.arange(count)),
        "The pictures come in the order in which they were given: nothing shuffles them.",
    )
    together = np.mean([np.mean(np.diff(batch) == 1) for batch in passes[0]])
    expect(
        together < 0.5,
        "The batches come in a random order, but each holds neighbours of the original order. What must be shuffled: "
        "batches or pictures?",
    )
    expect(
        abs(np.corrcoef(orders[0], np.arange(count))[0, 1]) < 0.6,
        "The order is only a little random: pictures stay near their old places. How large is the buffer of shuffle?",
    )
    expect(
        not (np.array_equal(orders[0], orders[1]) and np.array_equal(orders[1], orders[2])),
        "The pictures are shuffled, but in the same order in each epoch. Is the order kept by something?",
    )


HISTORIES = (
    {
        "loss": [2.2, 1.7, 1.3, 1.1, 0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.45, 0.42],
        "accuracy": [0.20, 0.40, 0.50, 0.60, 0.68, 0.74, 0.80, 0.90, 0.86, 0.88, 0.85, 0.87],
        "val_loss": [2.1, 1.8, 1.9, 1.2, 1.3, 1.35, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9],
        "val_accuracy": [0.22, 0.30, 0.40, 0.49, 0.52, 0.56, 0.53, 0.50, 0.51, 0.50, 0.49, 0.50],
    },
    {
        "loss": [1.4, 0.8, 0.5, 0.3, 0.35],
        "accuracy": [0.5, 0.7, 0.92, 0.85, 0.9],
        "val_loss": [1.05, 0.97, 1.2, 1.1, 1.6],
        "val_accuracy": [0.60, 0.62, 0.61, 0.66, 0.65],
    },
    {
        "loss": [1.9, 1.2, 0.7],
        "accuracy": [0.3, 0.5, 0.7],
        "val_loss": [1.5, 1.7, 2.4],
        "val_accuracy": [0.35, 0.41, 0.40],
    },
)


def check_best_epoch(best_epoch) -> str:
    """Check task 2.4."""
    for history in HISTORIES:
        given = {name: list(values) for name, values in history.items()}
        answer = best_epoch(given)
        expect(answer is not None, NOTHING)
        expect(given == history, "Your function changes the history that it was given. Does it sort a list in place?")
        answer = np.asarray(answer)
        expect(answer.ndim == 0, f"Your function gives an array of shape {answer.shape}; wanted is one number.")
        compare_epoch(answer.item(), history)
    return "The epoch with the smallest validation loss, counted from 1."


def compare_epoch(answer, history: dict[str, list[float]]) -> None:
    """Raise ``Wrong`` unless ``answer`` is the epoch with the smallest validation loss, from 1."""
    best = {name: (int(np.argmin(values)) + 1, int(np.argmax(values)) + 1) for name, values in history.items()}
    right, epochs = best["val_loss"][0], len(history["loss"])
    expect(isinstance(answer, int | float), f"Your function gives {answer!r}; wanted is the number of an epoch.")
    if answer == right:
        return
    expect(
        answer != min(history["val_loss"]),
        f"Your function gives the smallest validation loss, {answer}. Wanted is the number of its epoch.",
    )
    expect(
        answer != right - 1,
        f"Your function gives {answer}, where {answer + 1} is right: indices of a list count from 0, epochs from 1.",
    )
    expect(
        answer != best["val_loss"][1],
        "Your function gives the epoch with the *largest* validation loss. Is a large loss good?",
    )
    rises = np.flatnonzero(np.diff(history["val_loss"]) > 0)
    expect(
        answer != int(rises[0]) + 1,
        f"Your function gives epoch {answer}, after which the validation loss rises. Later it falls again, and lower: "
        "look at all epochs.",
    )
    known = (
        ("loss", 0, "the training loss decides. It falls on while the network learns its pictures by heart"),
        ("val_accuracy", 1, "the validation accuracy decides. Asked for is the loss, which also sees how sure it is"),
        ("accuracy", 1, "the training accuracy decides. It says nothing about new pictures"),
    )
    for name, largest, message in known:
        for shift in (0, 1):
            expect(answer != best[name][largest] - shift, f"Your function gives epoch {answer}: {message}.")
    expect(answer != epochs, f"Your function gives epoch {answer}, the last one. Was the network best at the end?")
    raise Wrong(f"Your function gives {answer}, for a history of {epochs} epochs in which another one was best.")


TARGETS = {"mini": 0.50, "cifar10-cpu": 0.60, "cifar10-gpu": 0.60}

TASKS = {
    "2.1": Task(
        "build a small CNN that takes raw pixels and gives logits",
        check_cnn,
        (
            "Three things in order: rescale the pixels; convolve and make the maps smaller; turn maps into scores.",
            "Read about keras.layers.Rescaling, Conv2D, MaxPooling2D, Flatten and Dense.",
            "Input, Rescaling(1 / 127.5, offset=-1), three times Conv2D with relu and MaxPooling2D, more filters each "
            "time, Flatten, Dense(classes) without activation.",
        ),
    ),
    "2.2": Task(
        "split pictures and labels, the same share of each class",
        check_split,
        (
            "Do not move pictures: choose indices. One permutation serves pictures and labels.",
            "Read about sklearn.model_selection.train_test_split: stratify, test_size, random_state; in which order "
            "does it return?",
            "train_test_split(images, labels, test_size=…, stratify=labels, random_state=seed) gives x, x, y, y: put "
            "them in the order x, y, x, y.",
        ),
    ),
    "2.3": Task(
        "let every epoch bring fresh random pictures",
        check_pipeline,
        (
            "Go through the steps one by one. Which runs in each epoch, and which only in the first?",
            "Read about tf.data.Dataset.cache: what is kept, and what happens to the steps before it.",
            "from_tensor_slices, then cache (or none), then shuffle, batch, map with augment, prefetch.",
        ),
    ),
    "2.4": Task(
        "find the epoch to keep",
        check_best_epoch,
        (
            "Which of the four lists is about new pictures and measures a loss? Is small or large good in it?",
            "Read about numpy.argmin: what it returns, and where it begins to count.",
            'argmin of history["val_loss"], plus 1.',
        ),
    ),
    "2.5": Task(
        "reach the target accuracy from random weights",
        partial(check_training, TARGETS),
        (
            "Begin with your network of 2.1. Does the validation loss still fall in the last epoch? Then it ended too "
            "early. Does it rise while the training loss falls? Then show it new versions of the pictures.",
            "Read about keras.callbacks.EarlyStopping: monitor, patience, restore_best_weights; and about "
            "keras.layers.RandomFlip.",
            "compile with Adam and SparseCategoricalCrossentropy(from_logits=True); fit on the pipeline of 2.3 with "
            "RandomFlip, validation data and EarlyStopping; return a function: the argmax over axis 1 of predict.",
        ),
    ),
}
