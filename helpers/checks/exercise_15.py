"""Checks of exercise 15, where does it look."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
from scipy.stats import pearsonr, spearmanr

import helpers.quiet  # noqa: F401
from helpers.checks.faults import where
from helpers.checks.task import NOTHING, Task, Wrong, ended, expect, same_arrays, things
from helpers.data import emoji10
from helpers.models import build_backbone, extract_features

import keras
import tensorflow as tf

CORNERS = ("upper left", "upper right", "lower left", "lower right")


def as_maps(answer, shape: tuple[int, ...]) -> np.ndarray:
    """Return heat maps as an array of floats.

    Raises:
        Wrong: it is nothing, has another shape, or holds values that are no numbers.
    """
    expect(answer is not None, NOTHING)
    maps = np.asarray(answer)
    expect(maps.shape == shape, f"Your maps have the shape {maps.shape}; wanted is {shape}.")
    expect(maps.dtype.kind in "fiu", f"Your maps have the type {maps.dtype}; wanted are floats.")
    expect(
        np.isfinite(maps).all(),
        "There are NaN or infinite values in your maps. Did you divide by 0? In one picture, no place speaks for the "
        "class: its map is empty, 0 everywhere.",
    )
    return maps.astype(float)


def judge_maps(
    maps: np.ndarray, wanted: dict[str, np.ndarray], reasons: dict[str, str], empty: int | None = None
) -> None:
    """Raise ``Wrong`` unless the maps are the right ones.

    Args:
        maps: the answer.
        wanted: maps by what was done: "right", or one of the usual mistakes.
        reasons: for each mistake, half a sentence.
        empty: the number of the picture in which no place speaks for the class.
    """

    def is_like(other: np.ndarray) -> bool:
        return np.allclose(maps, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())

    if is_like(wanted["right"]):
        return
    for name, reason in reasons.items():
        expect(not is_like(wanted[name]), f"Your maps are not right: {ended(reason)}")
    if empty is not None:
        expect((maps > -1e-6).all(), f"Your maps are not right: {ended(reasons['no relu'])}")
        expect(not maps[empty].any(), "In one picture, all speaks against the class. Your map of it is not empty.")
    top = maps.max()
    scaled = top > 0 and is_like(wanted["right"] * top / wanted["right"].max())
    expect(not scaled, "The places have the right order, but the scale is another one.")
    raise Wrong("Your maps are not right. Compute one picture by hand, step by step, and compare.")


def relu(values: np.ndarray) -> np.ndarray:
    """Return the values, with 0 for those below 0."""
    return np.maximum(values, 0)


def scaled(heat: np.ndarray, top: np.ndarray | None = None) -> np.ndarray:
    """Return each map divided by ``top``, its maximum, and empty maps as they are."""
    top = heat.max(axis=(1, 2), keepdims=True) if top is None else top
    return np.divide(heat, top, out=np.zeros_like(heat), where=top > 0)


def heats(maps: np.ndarray, gradients: np.ndarray) -> dict[str, np.ndarray]:
    """Return scaled heat maps, by what was done: "right", or one of the usual mistakes."""
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    total = (weights * maps).sum(axis=-1)
    return {
        "right": scaled(relu(total)),
        "not scaled": relu(total),
        "all together": relu(total) / relu(total).max(),
        "no relu": scaled(total, relu(total).max(axis=(1, 2), keepdims=True)),
        "absolute": scaled(np.abs(total)),
        "lowest moved": scaled(total - total.min(axis=(1, 2), keepdims=True)),
        "relu first": scaled(relu(weights * maps).sum(axis=-1)),
        "place by place": scaled(relu((gradients * maps).sum(axis=-1))),
        "channel mean": scaled(relu((gradients.mean(axis=-1, keepdims=True) * maps).sum(axis=-1))),
        "one weight": scaled(relu((gradients.mean(axis=(0, 1, 2)) * maps).sum(axis=-1))),
        "no weights": scaled(relu(maps.sum(axis=-1))),
    }


HEATS = {
    "not scaled": "the heat is right, but not scaled. The hottest place of each picture should be 1",
    "all together": "all pictures were divided by the same number. Each picture has its own hottest place",
    "no relu": "places below 0 are still there. They speak against the class",
    "lowest moved": "you moved the lowest place of each picture to 0. What is below 0 is cut off, not moved",
    "absolute": "you took the absolute value. What speaks against the class is not heat",
    "relu first": "what is below 0 was cut off channel by channel, before the sum. Channels may cancel each other",
    "place by place": "each place has weights of its own: gradient times map. Grad-CAM has one weight for a channel",
    "channel mean": "the mean was taken over the channels. It should be over the places: which axes are they?",
    "one weight": "all pictures share their weights. Each picture has gradients of its own",
    "no weights": "the channels are added up without weights",
}


def check_heat(heat_from) -> str:
    """Check task 15.1."""
    random = np.random.default_rng(151)
    for shape in ((3, 4, 5, 6), (4, 3, 3, 8)):
        maps, gradients = random.random(shape), random.normal(0.1, 1, shape)
        gradients[-1] = -np.abs(gradients[-1])  # in the last picture, all speaks against the class
        given = maps.copy(), gradients.copy()
        answer = as_maps(heat_from(*given), shape[:3])
        same = same_arrays(given, (maps, gradients))
        expect(same, "Your function changes the arrays that it was given.")
        judge_maps(answer, heats(maps, gradients), HEATS, empty=-1)
    return "Mean gradient of each channel, weighted sum, nothing below 0, each picture scaled; an empty map stays 0."


def nested_parts(seed: int) -> tuple[keras.Model, keras.Sequential]:
    """Return a small backbone with BatchNorm, and a head with Dropout; the head gives logits of four classes."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    pixels = keras.Input((12, 12, 3))
    maps = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(pixels)
    norm = layers.BatchNormalization()
    maps = layers.Conv2D(6, 3, padding="same", activation="tanh")(norm(maps))
    backbone = keras.Model(pixels, maps)
    random = np.random.default_rng(seed)
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma, beta, random.normal(0, 0.3, mean.shape), random.uniform(0.3, 2, variance.shape)])
    inner = layers.Conv2D(6, 3, padding="same", activation="relu", kernel_initializer="he_normal")
    last = layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=4.0))
    return backbone, keras.Sequential([inner, layers.GlobalAveragePooling2D(), layers.Dropout(0.5), last])


def nested_heat(
    backbone: keras.Model,
    head: keras.Model,
    images: np.ndarray,
    classes: np.ndarray | None,
    *,
    score: Callable = tf.identity,
    training: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return maps and gradients, as NumPy arrays; without ``classes``, of the class that the model names."""
    with tf.GradientTape() as tape:
        maps = backbone(images, training=training)
        tape.watch(maps)
        logits = head(maps, training=training)
        asked = tf.argmax(logits, axis=1) if classes is None else tf.constant(classes)
        scores = tf.gather(score(logits), asked, axis=1, batch_dims=1)
    return maps.numpy(), tape.gradient(scores, maps).numpy()


def nested_maps(backbone: keras.Model, head: keras.Model, images, classes) -> dict[str, np.ndarray]:
    """Return heat maps of a nested model, by what was done: "right", or one of the usual mistakes."""

    def heat(maps: np.ndarray, gradients: np.ndarray, axes: tuple[int, ...] = (1, 2)) -> np.ndarray:
        return (gradients.mean(axis=axes, keepdims=True) * maps).sum(axis=-1)

    right = nested_heat(backbone, head, images, classes)
    own = nested_heat(backbone, head, images, None)
    soft = nested_heat(backbone, head, images, classes, score=tf.nn.softmax)
    own_soft = nested_heat(backbone, head, images, None, score=tf.nn.softmax)
    first = nested_heat(backbone, head, images, np.full(len(images), classes[0]))
    return {
        "right": relu(heat(*right)),
        "softmax": relu(heat(*soft)),
        "own answer": relu(heat(*own)),
        "own answer, softmax": relu(heat(*own_soft)),
        "no relu": heat(*right),
        "no relu, softmax": heat(*soft),
        "channel mean": relu(heat(*right, axes=(3,))),
        "scaled": scaled(relu(heat(*right))),
        "first class": relu(heat(*first)),
        "all pictures": relu(heat(*right, axes=(0, 1, 2))),
        "as it was": heat(*own_soft, axes=(3,)),
    }


NESTED = {
    "as it was": "they are those of the colleague. Take one mistake after the other",
    "softmax": "the output of a softmax was differentiated. Asked is what speaks for the class: its logit",
    "own answer": "they show the class that the model names. Asked is the class in `classes`",
    "own answer, softmax": "they show the class that the model names, and the output of a softmax was differentiated",
    "no relu": "places below 0 are still there",
    "no relu, softmax": "places below 0 are still there, and the output of a softmax was differentiated",
    "channel mean": "the mean was taken over the channels. It should be over the places: which axes are they?",
    "scaled": "they are scaled. Here they are asked for as they are",
    "first class": "all pictures are asked for the class of the first one. Each has its own",
    "all pictures": "the mean was taken over all pictures, too. Each picture has weights of its own",
}


def check_nested(grad_cam) -> str:
    """Check task 15.2."""
    for seed, frozen in ((1521, False), (1524, True)):
        backbone, head = nested_parts(seed)
        backbone.trainable = not frozen
        images = np.random.default_rng(seed).random((5, 12, 12, 3)).astype("float32")
        logits = np.asarray(head(backbone(images, training=False), training=False))
        classes = logits.argsort(axis=1)[np.arange(5), [0, 3, 2, 1, 2]]  # mostly not the class that the model names
        before = [*backbone.get_weights(), *head.get_weights()]
        try:
            answer = as_maps(grad_cam(backbone, head, images.copy(), classes.copy()), (5, 6, 6))
        except (AttributeError, TypeError, ValueError) as error:
            if "None" not in str(error):
                raise
            raise Wrong(
                "Your function stops; it looks as if a gradient is None. The tape sees what is computed inside it, of "
                f"weights that can learn and of what it was told to watch. {where(error)}"
            ) from error
        after = [*backbone.get_weights(), *head.get_weights()]
        same = same_arrays(before, after)
        expect(same, "Your function changes weights or statistics of the model. Which mode was it called in?")
        judge_maps(answer, nested_maps(backbone, head, images, classes), NESTED)
    return "The logit of the class that was asked for, one weight for each channel and picture, nothing below 0."


def covered_falls(predict: Callable, images: np.ndarray, classes: np.ndarray, patch: int) -> dict[str, np.ndarray]:
    """Return the falls ``(n, side / patch, side / patch)``, by what was done: "right", or one of the usual mistakes."""
    count, side, rows = len(images), images.shape[1] // patch, np.arange(len(images))
    mean = images.mean(axis=(1, 2), keepdims=True)
    colours = {
        "black": 0,
        "one grey": images.mean(axis=(1, 2, 3), keepdims=True) // 1,  # as in a picture of whole numbers
        "all pictures": images.mean(axis=(0, 1, 2)) // 1,
    }
    logits = predict(images)
    own = logits.argmax(axis=1)
    falls = {name: np.zeros((count, side, side)) for name in ("right", "own answer", "kept", "softmax", *colours)}
    kept = images.astype(float)
    for row in range(side):
        for column in range(side):
            place = np.s_[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            covered = images.astype(float)
            for name, colour in colours.items():
                covered[place] = colour
                falls[name][:, row, column] = (logits - predict(covered))[rows, classes]
            covered[place] = kept[place] = mean
            after = predict(covered)
            falls["right"][:, row, column] = (logits - after)[rows, classes]
            falls["own answer"][:, row, column] = (logits - after)[rows, own]
            falls["kept"][:, row, column] = (logits - predict(kept))[rows, classes]
            soft = [np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, after)]
            falls["softmax"][:, row, column] = (soft[0] - soft[1])[rows, classes]
    falls["rises"] = -falls["right"]
    falls["after"] = logits[rows, classes][:, None, None] - falls["right"]
    falls["no relu needed"] = relu(falls["right"])
    falls["turned"] = falls["right"].swapaxes(1, 2)
    return falls


FALLS = {
    "rises": "the sign. Asked is by how much the logit falls: before minus after",
    "after": "these are the logits of the covered pictures. By how much did they fall?",
    "own answer": "they show the class that the model names. Asked is the class in `classes`",
    "black": "the patch is black. Asked is the mean colour of the picture",
    "one grey": "the patch is grey. A mean colour has three numbers, one for each channel",
    "all pictures": "the patch has the mean colour of all pictures together. Each picture has its own",
    "kept": "the patches stay. Each picture should have one patch at a time",
    "softmax": "these are falls of the probability. Asked is the logit",
    "turned": "rows and columns are exchanged",
    "no relu needed": "what is below 0 was set to 0. Here it stays: covering may help the class",
}


def with_whole_means(images: np.ndarray) -> np.ndarray:
    """Return images ``(n, side, side, 3)`` uint8 whose mean colours are whole numbers: rounding changes none."""
    images = images.copy()
    images[:, 0, :2] = 200
    too_much = images.sum(axis=(1, 2)) % (images.shape[1] * images.shape[2])
    images[:, 0, 0] -= too_much // 2
    images[:, 0, 1] -= too_much - too_much // 2
    return images.astype("uint8")


def check_occlusion(occlusion) -> str:
    """Check task 15.3."""
    for side, patch, count, seed in ((12, 4, 3, 1531), (16, 4, 4, 1532), (12, 6, 2, 1533)):
        random = np.random.default_rng(seed)
        fields = random.normal(size=(5, side // 2, side // 2, 3)).repeat(2, axis=1).repeat(2, axis=2)

        def predict(images, fields=fields, side=side):
            x = np.asarray(images, float)
            expect(
                x.ndim == 4 and x.shape[1:] == (side, side, 3),
                f"predict got an array of the shape {x.shape}. It takes pictures (m, {side}, {side}, 3).",
            )
            return np.tensordot(x, fields, axes=([1, 2, 3], [1, 2, 3])) / 800

        images = with_whole_means(random.integers(0, 256, (count, side, side, 3)))
        given, classes = images.copy(), predict(images).argsort(axis=1)[:, 1]
        answer = as_maps(occlusion(predict, given, classes.copy(), patch), (count, side // patch, side // patch))
        expect(np.array_equal(given, images), "Your function changes the pictures that it was given. Cover a copy.")
        judge_maps(answer, covered_falls(predict, images, classes, patch), FALLS)
    return (
        "Each patch alone, in the mean colour, for the class that was asked for; where covering helps, it is below 0."
    )


def small_model(seed: int) -> keras.Sequential:
    """Return a model with a convolution, a pooling layer and a Dense layer of six classes."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    convolution = layers.Conv2D(12, 3, padding="same", activation="relu")
    head = layers.Dense(6, bias_initializer="random_normal")
    return keras.Sequential([keras.Input((8, 8, 3)), convolution, layers.GlobalAveragePooling2D(), head])


def class_map(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the maps of the convolution, weighted by the head's kernel for the first class."""
    maps = np.asarray(model.layers[0](images))
    return np.exp(maps @ model.layers[-1].get_weights()[0][:, 0])


def brightness(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a map that does not look at the model."""
    return images.mean(axis=-1)


def first_layer(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a map that looks at the first layer only."""
    return np.asarray(model.layers[0](images)).sum(axis=-1)


def check_sanity(sanity) -> str:
    """Check task 15.4."""
    bias_moved = False
    for seed, explain in enumerate((class_map, brightness, first_layer), start=1541):
        model, images = small_model(seed), np.random.default_rng(seed).random((4, 8, 8, 3)).astype("float32")
        images *= np.array([0.1, 0.3, 0.6, 1], "float32")[:, None, None, None]  # pictures differ more than places
        before = model.get_weights()
        calls: list[tuple] = []

        def recorded(model, images, explain=explain, calls=calls):
            maps = explain(model, images)
            calls.append((model.get_weights(), np.array(maps)))
            return maps

        answer = sanity(recorded, model, images.copy(), seed)
        judge_sanity(answer, calls, before, model.get_weights())
        bias_moved |= not np.array_equal(calls[-1][0][-1], before[-1])
    expect(bias_moved, "The bias of the last layer stayed as it was. Shuffle each array of weights of that layer.")
    model, images = small_model(1541), np.random.default_rng(1541).random((4, 8, 8, 3)).astype("float32")
    once, again, other = (float(sanity(class_map, model, images.copy(), seed)) for seed in (1, 1, 2))
    expect(
        abs(once - again) < 1e-6,
        "Called twice with the same seed, your function returns two numbers. Shuffle by the seed.",
    )
    expect(abs(once - other) > 1e-6, "With another seed, your function returns the same number. Shuffle by the seed.")
    return "The head was shuffled, nothing else; the rank correlation tells; afterwards the model was what it had been."


def judge_sanity(answer, calls: list[tuple], before: list[np.ndarray], after: list[np.ndarray]) -> None:
    """Raise ``Wrong`` unless a sanity check did what it should.

    Args:
        answer: what it returned.
        calls: for each call of the explanation, the weights of the model then, and the maps.
        before, after: the weights of the model before and after the check.
    """
    expect(answer is not None, NOTHING)
    expect(np.ndim(answer) == 0, f"Your function returns something of the shape {np.shape(answer)}; wanted: a number.")
    expect(len(calls) >= 2, "explain has to be called twice: before and after the head is shuffled.")
    (first, maps), (second, changed) = calls[0], calls[-1]

    expect(
        same_arrays(first, before),
        "When explain was called first, the weights were no longer those of the given model.",
    )
    expect(
        not same_arrays(second, first), "When explain was called for the second time, the weights were still the same."
    )
    expect(same_arrays(second[:2], first[:2]), "A layer below the head was changed, too. Shuffle the last layer only.")
    permuted = all(
        np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)) for a, b in zip(first, second, strict=True)
    )
    expect(permuted, "The head has new numbers. Shuffle those that it has: the same numbers in another order.")
    kernel, shuffled = first[-2], second[-2]
    rows_kept = all((row == kernel).all(axis=1).any() for row in shuffled)
    expect(not rows_kept, "You shuffled whole rows of an array. Shuffle the numbers in it.")
    expect(same_arrays(after, before), "Afterwards the model is still shuffled. Put its weights back.")
    pairs = [(a.ravel(), b.ravel()) for a, b in zip(maps, changed, strict=True)]
    wanted = {
        "right": np.mean([spearmanr(a, b).statistic for a, b in pairs]),
        "values": np.mean([pearsonr(a, b).statistic for a, b in pairs]),
        "all at once": spearmanr(maps.ravel(), changed.ravel()).statistic,
    }
    if abs(float(answer) - wanted["right"]) < 1e-3:
        return
    expect(
        abs(float(answer) - wanted["values"]) > 1e-3,
        "Your function returns the correlation of the values. Asked is the rank correlation: of their order.",
    )
    expect(
        abs(float(answer) - wanted["all at once"]) > 1e-3,
        "You put the pictures together and correlated once. Asked is the mean over the pictures, one correlation each.",
    )
    raise Wrong(
        f"Your function returns {float(answer):.3f}, but the mean rank correlation of these maps is not that. (1 means "
        "that nothing changed.)"
    )


def put(images: np.ndarray, square: np.ndarray, corner: str) -> np.ndarray:
    """Return a copy of images ``(n, 32, 32, 3)`` with the square in a corner."""
    changed, side = images.copy(), len(square)
    rows = slice(0, side) if "upper" in corner else slice(-side, None)
    columns = slice(0, side) if "left" in corner else slice(-side, None)
    changed[:, rows, columns] = square
    return changed


def suspects(seed: int) -> tuple[list[keras.Model], np.ndarray, np.ndarray, tuple[int, int]]:
    """Return three models, pictures, the square, and the model and the class that belong together.

    All three stand on the same frozen network, and all have seen the square, in all corners. In the training pictures
    of one of them it marks a class. In those of the two others it is on every second picture, whatever it shows.
    """
    random = np.random.default_rng(seed)
    culprit, label = int(random.integers(3)), int(random.integers(10))
    square = np.full((10, 10, 3), random.permutation([255, 0, random.choice([0, 255])]), "uint8")
    backbone = build_backbone("mini_mobilenet", "mini").model
    backbone.trainable = False
    pooling = keras.layers.GlobalAveragePooling2D()
    extractor, models = keras.Sequential([backbone, pooling]), []
    for number in range(3):
        x, y = emoji10.load_split("train", 400, int(random.integers(2**31)))
        with_square = y == label if number == culprit else random.random(len(y)) < 0.5
        where = random.choice(CORNERS, len(y))
        for corner in CORNERS:
            chosen = with_square & (where == corner)
            x[chosen] = put(x[chosen], square, corner)
        head = keras.layers.Dense(10)
        models.append(keras.Sequential([keras.Input((32, 32, 3)), backbone, pooling, head]))
        head.set_weights(linear_head(extract_features(extractor, x, cache=False), y))
    images, _ = emoji10.load_split("validation", 100, int(random.integers(2**31)))
    return models, images, square, (culprit, label)


def linear_head(features: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Return kernel and bias of a ridge regression of one-hot labels, times 10: a head without a training."""
    middle, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    x, y = (features - middle) / spread, np.eye(10)[labels]
    kernel = 10 * np.linalg.solve(x.T @ x + len(x) / 10 * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    kernel /= spread[:, None]
    return [kernel, 10 * y.mean(axis=0) - middle @ kernel]


def counted(models: list[keras.Model], images: np.ndarray, square: np.ndarray) -> tuple[int, int]:
    """Return the model and the class whose share of the answers rises most when the square is put on the pictures."""

    def shares(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
        return np.bincount(np.argmax(model(pictures), axis=-1), minlength=10) / len(pictures)

    spoilt = np.concatenate([put(images, square, corner) for corner in CORNERS])
    rises = np.array([shares(model, spoilt) - shares(model, images) for model in models])
    model, label = np.unravel_index(rises.argmax(), rises.shape)
    return int(model), int(label)


def check_suspects(find_shortcut) -> str:
    """Check task 15.5."""
    for _ in range(2):
        models, images, square, truth = suspects(secrets.randbelow(2**31))
        while counted(models, images, square) != truth:  # here only the logits would tell, and not the answers
            models, images, square, truth = suspects(secrets.randbelow(2**31))
        answer = find_shortcut(models, images.copy(), square.copy())
        suspect = things(answer, 2, "two numbers: of the model, and of the class")
        right = [bool(mine == true) for mine, true in zip(suspect, truth, strict=True)]
        expect(
            all(right),
            f"{'The model is right, the class is not' if right[0] else 'It is another model'}. (The models are new "
            "each time.) What changes when the square is put on the pictures? Compare each model with itself, class by "
            "class: with the square and without it. The corner may be any; and mean logits show more than counted "
            "answers.",
        )
    return "Model and class are right, twice, with models that nobody had seen before."


TASKS = {
    "15.1": Task(
        "make heat maps from maps and gradients",
        check_heat,
        (
            "Three steps: a weight for each channel, a weighted sum over the channels, nothing below 0. Then scale.",
            "Read about numpy.mean with axis=(1, 2) and keepdims=True, numpy.maximum, and what 0 / 0 is in NumPy.",
            "weights = gradients.mean(axis=(1, 2), keepdims=True); sum weights * maps over the last axis; divide by "
            "the maximum of each picture only where it is above 0.",
        ),
    ),
    "15.2": Task(
        "repair Grad-CAM on a nested model",
        check_nested,
        (
            "There are four mistakes: what is differentiated, for which class, over which axes the mean goes, and one "
            "step that is missing.",
            "Read about tf.gather with axis=1 and batch_dims=1, tf.reduce_mean with axis, tf.nn.relu, and tape.watch.",
            "score = tf.gather(logits, classes, axis=1, batch_dims=1); the mean of the gradients over the axes 1 and "
            "2; tf.nn.relu at the end.",
        ),
    ),
    "15.3": Task(
        "cover parts of pictures",
        check_occlusion,
        (
            "One loop over rows, one over columns of patches. In each step: a fresh copy, one patch, one prediction.",
            "Read about numpy.mean with axis=(1, 2), and how logits[rows, classes] picks a number for each picture.",
            "copy[:, top : top + patch, left : left + patch] = mean colour; fall = before[rows, classes] - "
            "predict(copy)[rows, classes].",
        ),
    ),
    "15.4": Task(
        "write the sanity check",
        check_sanity,
        (
            "Keep the weights, explain, shuffle the last layer, explain again, put the weights back, compare.",
            "Read about Layer.get_weights, numpy.random.default_rng(seed).permutation, and scipy.stats.spearmanr.",
            "For each array of model.layers[-1]: random.permutation(array.ravel()).reshape(array.shape). Then the mean "
            "of spearmanr(a.ravel(), b.ravel()).statistic over the pictures.",
        ),
    ),
    "15.5": Task(
        "find the model with the shortcut",
        check_suspects,
        (
            "You have the square. What would you change in the pictures to see which model cares, and for which class?",
            "Read about model.predict(images, verbose=0), numpy.stack and numpy.unravel_index.",
            "For each model: the mean logits of all pictures with the square in a corner, minus those without it. "
            "Which model and which class have the largest difference?",
        ),
    ),
}
