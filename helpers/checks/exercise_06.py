"""Checks of exercise 06, fine-tuning."""

from __future__ import annotations

import inspect

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.compiled import NotedModel, check_loss, train_one_step
from helpers.checks.fine_tuned import check_fine_tuned
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays
from helpers.profiles import find_profile

import keras


def small_model() -> keras.Sequential:
    """Return a compiled model from 3 numbers to 2 logits."""
    keras.utils.set_random_seed(61)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=True)  # for so few steps, faster than making a graph
    return model


def check_more(train_more) -> str:
    """Check task 6.1."""
    random = np.random.default_rng(61)
    x, y = random.normal(size=(8, 3)).astype("float32"), np.arange(8) % 2
    for done, more in ((3, 2), (2, 4), (0, 1)):
        model = small_model()
        if done:
            model.fit(x, y, epochs=done, batch_size=8, verbose=0)
        optimizer, before = model.optimizer, int(model.optimizer.iterations)
        epochs = train_more(model, x, y, done, more)
        expect(epochs is not None, NOTHING)
        expect(
            not hasattr(epochs, "epoch"),
            "Your function returns the History object. Wanted is the list of epochs in it.",
        )
        expect(
            isinstance(epochs, list | tuple | range | np.ndarray),
            f"Your function returns {type(epochs).__name__}. Wanted is the list of the epochs that were trained.",
        )
        check_epochs([int(epoch) for epoch in epochs], done, more)
        expect(
            model.optimizer is optimizer,
            "Your function compiles the model again, so the optimizer begins from nothing. Only go on with fit.",
        )
        steps = int(optimizer.iterations) - before
        expect(steps > 0, "The list is right, but the model that was given has not made one step of training.")
        expect(
            steps % more == 0 and steps <= 8 * more,
            f"The list is right, but the model made {steps} steps for {more} epochs: it trained another number of "
            "epochs than your list says.",
        )
    return "Exactly the epochs that were asked for, counted on from those before."


def check_epochs(epochs: list[int], done: int, more: int) -> None:
    """Raise ``Wrong`` unless ``epochs`` are ``more`` epochs, counted on from ``done``."""
    if epochs == list(range(done, done + more)):
        return
    case = f"With done={done} and more={more}, your function "
    expect(
        bool(epochs),
        f"{case}trains nothing. What does fit take epochs for: how many more, or the number at which it ends?",
    )
    expect(
        epochs != list(range(done + more)),
        f"{case}trains {done + more} epochs, from 0 on: those that were done already are trained once more.",
    )
    expect(
        epochs != list(range(more)),
        f"{case}trains {more} epochs, but counts from 0 again: {epochs}. The history of the first phase would be "
        "overwritten.",
    )
    expect(
        len(epochs) == more,
        f"{case}trains {len(epochs)} epochs, {epochs}: too {'few' if len(epochs) < more else 'many'}. At which number "
        "does it have to end?",
    )
    raise Wrong(
        f"{case}gives the epochs {epochs}: the right number, but they begin at {epochs[0]}. Epochs are counted "
        "from 0, so which number has the next one?"
    )


def model_after_phase_one(rate: float) -> tuple[NotedModel, keras.Model]:
    """Return a model that is compiled as for phase 1, and its frozen base, which has Conv2D and BatchNorm layers."""
    keras.utils.set_random_seed(62)
    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    maps = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, strides=2)(pixels)))
    maps = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(5, 2)(maps)))
    base = keras.Model(pixels, maps)
    base.trainable = False
    model = NotedModel([base, layers.GlobalAveragePooling2D(), layers.Dense(4)])
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, base


def images_with_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return noise ``(32, 8, 8, 3)`` float32 and labels ``(32,)`` below 4."""
    random = np.random.default_rng(62)
    return random.normal(0.5, 2, (32, 8, 8, 3)).astype("float32"), random.integers(0, 4, 32)


def check_set_up(fine_tune_setup) -> str:
    """Check task 6.2."""
    rate = 0.04
    model, base = model_after_phase_one(rate)
    old_optimizer, weights = model.optimizer, [np.copy(weight) for weight in model.get_weights()]
    fine_tune_setup(model, base, rate)
    same = same_arrays(weights, model.get_weights())
    expect(same, "Your function changes weights of the model. It should only prepare the training, not train.")
    norms = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    others = [layer for layer in base.layers if layer.weights and layer not in norms]
    expect(any(layer.trainable for layer in others), "The base is still frozen: it cannot learn.")
    expect(
        all(layer.trainable for layer in others),
        "Only a part of the base is unfrozen. Wanted are all its layers, except BatchNorm.",
    )
    expect(bool(model.layers[-1].trainable_weights), "The head is frozen now. It should go on learning with the base.")
    expect(
        not any(layer.trainable for layer in norms),
        "BatchNorm layers of the base are trainable: in fit, their statistics would drift towards those of each batch.",
    )
    expect(
        model.optimizer is not old_optimizer,
        "The flags are right, but the model is not compiled again: it would train with the optimizer of phase 1.",
    )
    config = model.optimizer.get_config()
    expect(not isinstance(config["learning_rate"], dict), "The learning rate is a schedule. Wanted is one number.")
    check_rate(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)), rate)
    check_loss(model, *images_with_labels())
    norm_state = [norm.get_weights() for norm in norms]
    learning, late = [*others, model.layers[-1]], model.remark()
    kernels = [layer.get_weights()[0] for layer in learning]
    train_one_step(model, *images_with_labels())
    moved = [not np.array_equal(old, new.get_weights()[0]) for old, new in zip(kernels, learning, strict=True)]
    expect(all(moved), "The flags look right, but after one fit, not all layers of the base and the head have moved.")
    still = all(
        np.array_equal(a, b)
        for old, norm in zip(norm_state, norms, strict=True)
        for a, b in zip(old, norm.get_weights(), strict=True)
    )
    expect(still, "After one fit, a BatchNorm layer of the base has changed.")
    return f"At a rate of {rate / 10:g}, one fit moved the base and the head, and left BatchNorm as it was." + late


def check_rate(rate: float, head_rate: float) -> None:
    """Raise ``Wrong`` unless ``rate`` is a tenth of the rate of phase 1."""
    expect(
        not np.isclose(rate, head_rate),
        f"The learning rate is {rate:g}, the same as in phase 1. That is too high for pretrained weights.",
    )
    expect(
        rate < head_rate,
        f"The learning rate is {rate:g}, higher than the {head_rate:g} of phase 1. Pretrained weights move less.",
    )
    expect(
        np.isclose(rate, head_rate / 10, rtol=1e-3),
        f"The head learned at {head_rate:g}, and now the learning rate is {rate:g}. Wanted is one 10 times lower: "
        "does your function use the rate that it is given?",
    )


def check_change(relative_change) -> str:
    """Check task 6.3."""
    random = np.random.default_rng(63)
    shapes = ((3, 3, 2, 5), (5,), (5, 40))
    before = [random.normal(0, size, shape) for size, shape in zip((1.0, 0.2, 3.0), shapes, strict=True)]
    after = [array + random.normal(0, size, array.shape) for size, array in zip((0.9, 0.5, 0.1), before, strict=True)]
    kept = [array.copy() for array in (*before, *after)]
    answer = relative_change(before, after)
    expect(answer is not None, NOTHING)
    expect(
        np.ndim(answer) == 0,
        f"Your function returns {np.size(answer)} numbers. Wanted is one number for all arrays together.",
    )
    unchanged = same_arrays(kept, (*before, *after))
    expect(unchanged, "Your function changes the arrays that it was given. Work on copies.")
    value = float(answer)
    differences = [new - old for old, new in zip(before, after, strict=True)]
    lengths = np.array([np.linalg.norm(array.ravel()) for array in before])
    moved = np.array([np.linalg.norm(array.ravel()) for array in differences])
    whole, whole_moved = np.linalg.norm(lengths), np.linalg.norm(moved)
    new_length = np.linalg.norm([np.linalg.norm(array.ravel()) for array in after])
    ones = sum(np.abs(a).sum() for a in differences) / sum(np.abs(a).sum() for a in before)
    largest = max(np.abs(a).max() for a in differences)
    mistakes = {
        (moved / lengths).mean(): "is the mean of one ratio for each array. So a bias of five numbers counts as much "
        "as a large kernel. Wanted is one length over all arrays together",
        (moved / lengths).sum(): "is the sum of one ratio for each array. Wanted is one length over all arrays",
        (moved / lengths).max(): "is the change of the array that moved most. Wanted is one length over all arrays",
        (whole_moved / whole) ** 2: "is the square of what is wanted: a length is a root of a sum of squares",
        whole_moved: "is how far the weights moved, absolute. Wanted is the change *relative* to their length before",
        whole_moved**2: "is the sum of squared changes: neither a length, nor relative",
        moved.sum() / lengths.sum(): "adds up the lengths of the arrays. Lengths do not add up: the squares do",
        abs(new_length - whole) / whole: "compares the two lengths. Weights can move far and keep their length; look "
        "at the length of the difference",
        whole_moved / new_length: "is relative to the weights *after* the training. Wanted is relative to those before",
        ones: "adds absolute values. The length of a vector is a root of a sum of squares",
        largest: "is the largest change of one single weight. Wanted is one length over all arrays together",
    }
    expected = whole_moved / whole
    if not np.isclose(value, expected, rtol=1e-4):
        for number, words in mistakes.items():
            if np.isclose(value, number, rtol=1e-4):
                raise Wrong(f"Your number {words}.")
        raise Wrong(
            f"For the arrays of the check, the change is {expected:.4f}, but your function says {value:.4f}. What "
            "is divided by what, and does it take all arrays?"
        )
    zeros = [np.zeros(4), np.array([3.0, 4.0])]
    value = float(relative_change(zeros, [np.ones(4), np.array([3.0, 4.0])]))
    expect(
        np.isclose(value, 0.4, rtol=1e-4),
        f"A new bias is all zeros. With one such array, your function says {value:.4f} where it should be 0.4: is "
        "there a ratio for each array in it?",
    )
    expect(float(relative_change(before, before)) < 1e-6, "Weights that did not move must give 0.")
    return "One length over all weights of the block, relative to the length before; a bias of zeros does no harm."


@keras.saving.register_keras_serializable("finetuning_course_checks")
class Window(keras.layers.Layer):
    """Two logits for rows (centre, width): the second one wins where the layer's weight is in the window."""

    def build(self, _shape):
        self.place = self.add_weight(shape=(), initializer="zeros", name="place")

    def call(self, rows):
        return keras.ops.stack([keras.ops.abs(rows[:, 0] - self.place), rows[:, 1]], axis=1)


@keras.saving.register_keras_serializable("finetuning_course_checks")
class DriftingModel(keras.Sequential):
    """A model whose only weight is the number of epochs that it was trained, counted from 1."""

    def fit(self, *args, **kwargs):
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs)
        callbacks = given.arguments.get("callbacks") or []
        callbacks = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
        self.trained_on = given.arguments.get("x")
        given.arguments["callbacks"] = [keras.callbacks.LambdaCallback(on_epoch_begin=self.drift), *callbacks]
        return keras.Model.fit(*given.args, **given.kwargs)

    def drift(self, *_):
        self.epochs_trained = getattr(self, "epochs_trained", 0) + 1
        self.layers[-1].place.assign(self.epochs_trained)


def rows_around(centre: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of which fewer are right the further the weight is from ``centre``, and their labels."""
    return np.array([[centre, width + 0.5] for width in range(count)], "float32"), np.ones(count, "int64")


def first_column(x) -> np.ndarray:
    """Return the first number of each row that fit was given, as an array, a tensor or a data set."""
    if hasattr(x, "shape"):
        return np.asarray(x)[:, 0]
    return np.concatenate([np.asarray(batch[0])[:, 0] for batch in x])


def check_early_stopping(train_with_early_stopping) -> str:
    """Check task 6.4."""
    for best, best_in_training, epochs in ((7, 4, 12), (4, 8, 10)):
        model = DriftingModel([keras.Input((2,)), Window()])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True)
        train, validation = rows_around(best_in_training, 16), rows_around(best, 14)
        train_with_early_stopping(model, train, validation, epochs)
        trained, kept = getattr(model, "epochs_trained", 0), float(model.layers[-1].place.numpy())
        expect(trained > 0, "The model that was given was not trained with fit.")
        expect(trained <= epochs, f"Your function trains {trained} epochs; {epochs} are allowed.")
        expect(
            set(first_column(model.trained_on)) == {best_in_training},
            "The model was fitted on the validation data. They may only watch.",
        )
        seen = f"Of {trained} epochs, number {best} was best on the validation data, but the model has the weights of "
        if trained < best:
            raise Wrong(
                f"Your function stops after {trained} of {epochs} epochs, although the validation accuracy was still "
                "rising. What does it watch, and which direction counts as better?"
            )
        expect(
            not (round(kept) == best_in_training and best_in_training != trained),
            f"{seen}number {best_in_training}, the best one on the *training* data. What does your callback monitor?",
        )
        expect(
            round(kept) != 1,
            f"{seen}number 1, the *worst* one. In which direction does your callback look for the best (mode)?",
        )
        expect(
            not (round(kept) == trained and trained != best),
            f"{seen}the last one. Stopping alone brings no weights back. Does your callback watch the validation data, "
            "and bring back the best weights at the end?",
        )
        expect(abs(kept - best) < 0.2, f"{seen}another one (number {kept:.1f}).")
    return "After the training, the model has the weights of its best validation epoch, not of its last one."


def check_target(train_classifier, profile="auto", seed=0) -> str:
    """Check task 6.5."""
    profile = find_profile(profile)
    return check_fine_tuned(train_classifier, profile.backbone, profile.image_size, profile, seed, TARGETS)


TARGETS = {"mini": 0.77, "cifar10-cpu": 0.74, "cifar10-gpu": 0.83}

TASKS = {
    "6.1": Task(
        "go on training for a number of further epochs",
        check_more,
        (
            "With initial_epoch=3 and epochs=2, fit trains nothing. What does epochs mean, then?",
            "Read about the arguments epochs and initial_epoch of keras.Model.fit, and the list History.epoch.",
            "initial_epoch is done, epochs is where it ends: a sum. Return the .epoch of what fit returns.",
        ),
    ),
    "6.2": Task(
        "prepare the second phase of fine-tuning",
        check_set_up,
        (
            "Lesson 06 lists four things for phase 2. Three of them belong here, in that order.",
            "Read about Layer.trainable, keras.layers.BatchNormalization, and keras.Model.compile.",
            "base.trainable = True; in a loop over base.layers freeze BatchNorm; then compile with Adam, rate / 10.",
        ),
    ),
    "6.3": Task(
        "measure how far the weights of a block moved",
        check_change,
        (
            "Think of all weights of the block as one long vector. How long is it, and how long is its change?",
            "Read about numpy.concatenate, numpy.ravel and numpy.linalg.norm.",
            "Lay each list out as one vector; then the norm of (after - before), divided by the norm of before.",
        ),
    ),
    "6.4": Task(
        "keep the weights of the best validation epoch",
        check_early_stopping,
        (
            "fit leaves the weights of its last epoch. Something must watch the validation data during the training.",
            "Read about keras.callbacks.EarlyStopping: monitor, mode, restore_best_weights.",
            'EarlyStopping on "val_accuracy", some patience, restore_best_weights=True; fit with validation_data.',
        ),
    ),
    "6.5": Task(
        "reach the target accuracy with a fine-tuned network",
        check_target,
        (
            "Two phases. The first one costs little if the features are computed only once.",
            "Read about keras.optimizers.schedules.CosineDecay: a rate that ends low makes the last epochs calm.",
            "Head on standardised features, folded; all unfrozen but BatchNorm; warm-up, CosineDecay, the peak of 06.",
        ),
    ),
}
