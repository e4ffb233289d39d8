"""Checks of exercise 01, what a pretrained network knows."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, expect
from helpers.models.classifiers import PretrainedClassifier, load_source_classifier

import keras

SCALED = np.linspace(-1, 1, 256)  # what a MobileNet expects for each value of a pixel


def close(answer: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two arrays of pixels are the same, up to rounding."""
    return answer.shape == other.shape and np.allclose(answer, other, atol=2e-3)


def check_preprocess(preprocess) -> str:
    """Check task 1.1."""
    pixels = np.random.default_rng(11).integers(20, 221, (5, 24, 24, 3), np.uint8)
    pixels[0, 0, 0] = 0, 255, 128
    for images in (pixels, pixels.astype("float32")):
        untouched = images.copy()
        answer = preprocess(images)
        expect(
            np.array_equal(images, untouched),
            f"After your function, the {images.dtype} pictures that it was given are changed. Lesson 01 calls this a "
            "trap: if you run the cell again, you preprocess twice.",
        )
        expect(answer is not None, NOTHING)
        compare_pixels(np.asarray(answer), pixels.astype("float64"))
    alone = np.asarray(preprocess(pixels[1:2]))
    expect(
        close(alone, SCALED[pixels[1:2]]),
        "A picture alone comes out different from the same picture among others. What is computed from the pictures "
        "themselves, and may it be?",
    )
    return "Pixels become numbers from -1 to 1, as float32, and the pictures stay as they were."


def compare_pixels(answer: np.ndarray, pixels: np.ndarray) -> None:
    """Raise ``Wrong`` unless ``answer`` is what a MobileNet expects of ``pixels``."""
    expect(
        answer.dtype.kind == "f",
        f"The result is still {answer.dtype}. Numbers between -1 and 1 need a type with places after the point.",
    )
    expect(
        answer.shape == pixels.shape,
        f"Pictures of shape {pixels.shape} come out as {answer.shape}. Only the values should change.",
    )
    right = SCALED[pixels.astype(int)]
    known = (
        (pixels, "The values are still 0 to 255: the pixels have a new type, but they are not scaled."),
        (pixels / 255, "Your values go from 0 to 1. A MobileNet was trained on -1 to 1: the middle must be 0."),
        (pixels / 127.5, "Your values go from 0 to 2: the width is right, the middle is not yet 0."),
        (pixels - 127.5, "The middle is 0, but your values go from -127.5 to 127.5. Which width is expected?"),
        ((right - 127.5) / 127.5, "All your values are nearly -1: the pixels were scaled twice."),
        (pixels / 255 / 127.5 - 1, "All your values are nearly -1: the pixels were scaled twice, in two ways."),
        (right[..., ::-1], "The scale is right, but red and blue are exchanged. That is the order of VGG."),
        (pixels[..., ::-1] - [103.939, 116.779, 123.68], "This is the preprocessing of VGG, another family."),
        (1 - pixels / 127.5, "Black and white are exchanged: 0 must become -1."),
    )
    for values, message in known:
        expect(not close(answer, values), message)
    if not close(answer, right):
        expect(
            abs(answer.mean()) > 0.02 or abs(answer.std() - 1) > 0.02,
            "Your pictures have mean 0 and standard deviation 1: they are standardised. A MobileNet expects a fixed "
            "scale, the same for every picture.",
        )
        raise Wrong(
            f"Your values go from {answer.min():.2f} to {answer.max():.2f}, for pixels that hold both 0 and 255. Look "
            "at the table of families in lesson 01."
        )
    expect(answer.dtype == np.float32, f"The values are right, but their type is {answer.dtype}, not float32.")


def as_text(name: object) -> object:
    """Return a name as ``str``, also where TensorFlow made bytes of it."""
    return name.decode() if isinstance(name, bytes) else str(name) if isinstance(name, str) else name


def check_top_classes(top_classes) -> str:
    """Check task 1.2."""
    random = np.random.default_rng(12)
    names = ["kite", "anchor", "violin", "lamp", "teapot", "bridge", "owl", "zip", "mask"]
    for k in (3, 1, 5):
        probabilities = random.permuted(np.tile(np.arange(1.0, 10.0) ** 2, (6, 1)), axis=1).astype("float32")
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        untouched = probabilities.copy()
        answer = top_classes(probabilities, list(names), k)
        expect(
            np.array_equal(probabilities, untouched),
            "Your function changes the probabilities that it was given. Does it sort them in place?",
        )
        expect(answer is not None, NOTHING)
        compare_names(answer, probabilities, names, k)
    return "For each picture the k likeliest classes, by name, the likeliest first."


def compare_names(answer, probabilities: np.ndarray, names: list[str], k: int) -> None:
    """Raise ``Wrong`` unless ``answer`` holds the ``k`` likeliest names of each row."""
    images = len(probabilities)
    if hasattr(answer, "numpy"):
        answer = answer.numpy()
    rows = [row if isinstance(row, str | bytes) or not np.iterable(row) else [*row] for row in answer]
    if rows and not isinstance(rows[0], list):
        expect(
            len(rows) != k or k == images,
            f"For {images} pictures your function gives one row of {k}: the answer for one picture only.",
        )
        raise Wrong(
            f"Your function gives {len(rows)} values in one row. Wanted is one list of names for each of the "
            f"{images} pictures, also for k = 1."
        )
    expect(len(rows) == images, f"For {images} pictures your function gives {len(rows)} rows.")
    rows = [[as_text(np.asarray(name).item() if np.ndim(name) == 0 else name) for name in row] for row in rows]
    first = rows[0][0] if rows[0] else None
    expect(
        not isinstance(first, int | float),
        f"The first entry of your answer is {first}, a number. Wanted are the names of the classes, not their places.",
    )
    expect(not isinstance(first, list | tuple | np.ndarray), "Each entry must be a name alone; yours hold more.")
    for row in rows:
        expect(len(row) == k, f"With k = {k}, your function gives {len(row)} names for a picture. Is k used?")
    ranked = [[names[place] for place in np.argsort(-row)] for row in probabilities]
    right = [order[:k] for order in ranked]
    if rows == right:
        return
    expect(
        rows != [order[: -k - 1 : -1] for order in ranked] and rows != [order[-k:] for order in ranked],
        "Your function names the *least* likely classes. In which order is sorted?",
    )
    expect(
        rows != [order[::-1] for order in right],
        "The names are the right ones, but ascending: the likeliest must come first.",
    )
    expect(
        [set(row) for row in rows] != [set(order) for order in right],
        "The names are the right ones, but their order is not that of the probabilities. Are they sorted?",
    )
    expect(rows != [order[1 : k + 1] for order in ranked], "Your function leaves out the likeliest class of all.")
    expect(
        any(row != right[0] for row in rows),
        "The names fit the first picture, but every other picture gets them too. Each has its own probabilities.",
    )
    raise Wrong("The names are not those of the likeliest classes of each picture. Which axis is sorted?")


@cache
def known_classifier() -> tuple[PretrainedClassifier, list[np.ndarray], np.ndarray]:
    """Return a network with its own top and new pictures for it, its weights, and its probabilities for them."""
    top = load_source_classifier(200, seed=13)
    return top, top.model.get_weights(), probabilities_of(top.model, top.images)


def probabilities_of(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Return the probabilities ``(n, classes)`` that a model gives to pictures of its own scale."""
    return np.asarray(model(pixels.astype("float32"), training=False))


def check_classify(classify) -> str:
    """Check task 1.3."""
    top, weights, probabilities = known_classifier()
    model, images = top.model, top.images.copy()
    model.set_weights(weights)  # an earlier answer may have changed them
    pixels = images.astype("float32")
    untouched = images.copy()
    expected = probabilities.argmax(axis=1)
    answer = classify(model, images)
    expect(answer is not None, NOTHING)
    expect(np.array_equal(images, untouched), "Your function changes the pictures that it was given.")
    moved = any(not np.array_equal(old, new) for old, new in zip(weights, model.get_weights(), strict=True))
    expect(not moved, "After your function the network is different: it was run in training mode.")
    answer = np.asarray(answer)
    expect(answer.dtype.kind not in "US", "Your function gives names. Wanted are the indices of the classes.")
    expect(
        answer.shape != probabilities.shape,
        f"Your function gives {answer.shape[-1]} probabilities for each picture. Wanted is the index of the largest.",
    )
    expect(
        answer.shape == expected.shape,
        f"For {len(images)} pictures your function gives an array of shape {answer.shape}; expected is one index for "
        "each picture. Over which axis is the largest one taken?",
    )
    right = float(np.mean(answer == expected))
    if right > 0.98:
        accuracy = float(np.mean(answer == top.labels))
        return f"Preprocessed once, by the model itself: {accuracy:.2f} of {len(images)} new pictures are right."
    expect(not np.allclose(answer, probabilities.max(axis=1), atol=1e-3), "Your function gives the largest *value*.")
    expect(np.mean(answer == probabilities.argmin(axis=1)) < 0.9, "Your function gives the *least* likely class.")

    def same(changed: np.ndarray, network: keras.Model = model) -> bool:
        return bool(np.mean(answer == probabilities_of(network, changed).argmax(axis=1)) > 0.95)

    expect(
        not same((pixels - 127.5) / 127.5) and not same(pixels / 255),
        "The pixels are scaled before they reach the model, and then again by the model. "
        f"Only {right:.2f} of your answers are those of the right way.",
    )
    expect(not same(pixels[..., ::-1]), "The colours are in another order than the model expects.")
    network = keras.Model(model.get_layer("preprocessing").output, model.output)
    expect(not same(pixels, network), "Now the preprocessing is missing: pixels from 0 to 255 reach the network.")
    raise Wrong(
        f"Only {right:.2f} of your answers are those that the model gives. It takes pixels from 0 to 255: what happens "
        "to the pictures before the model, and in which order do they come back?"
    )


def check_nearest(nearest) -> str:
    """Check task 1.4."""
    random = np.random.default_rng(14)
    query = random.random(12).astype("float32")
    lengths = np.exp(random.normal(0, 1, (300, 1)))
    features = ((query + random.normal(0, 0.5, (300, 12))) * lengths).astype("float32")
    cosine = features @ query / np.linalg.norm(features, axis=1) / np.linalg.norm(query)
    rankings = {
        "right": np.argsort(-cosine),
        "farthest": np.argsort(cosine),
        "product": np.argsort(-(features @ query)),
        "distance": np.argsort(((features - query) ** 2).sum(axis=1)),
    }
    for k in (5, 1, 20):
        untouched = query.copy(), features.copy()
        answer = nearest(query, features, k)
        expect(answer is not None, NOTHING)
        expect(
            np.array_equal(query, untouched[0]) and np.array_equal(features, untouched[1]),
            "Your function changes the features that it was given. Does it divide in place?",
        )
        compare_indices(np.asarray(answer), rankings, cosine, k)
    return "The nearest are those in the most similar direction, however long their vectors are."


def compare_indices(answer: np.ndarray, rankings: dict[str, np.ndarray], cosine: np.ndarray, k: int) -> None:
    """Raise ``Wrong`` unless ``answer`` is the first ``k`` of the right ranking."""
    right = rankings["right"]
    expect(
        answer.shape == (k,),
        f"With k = {k}, your function gives an array of shape {answer.shape}; expected are {k} indices: {(k,)}.",
    )
    if np.array_equal(answer, right[:k]):
        return
    expect(
        answer.dtype.kind in "iu" or np.array_equal(answer, answer.round()),
        "Your function gives numbers with places after the point: similarities? Wanted are indices of features.",
    )
    if k > 1:
        expect(
            not np.array_equal(answer, right[:k][::-1]),
            "The indices are right, but the wrong way round: the most similar must come first.",
        )
        expect(
            set(answer.tolist()) != set(right[:k].tolist()),
            "The indices are right, but their order is not: the most similar must come first.",
        )
    expect(
        not np.array_equal(answer, right[1 : k + 1]),
        "Your function leaves out the most similar one. The query is not among the features, so nothing is to be "
        "left out.",
    )
    farthest = rankings["farthest"][:k]
    expect(
        not np.array_equal(answer, farthest) and not np.array_equal(answer, farthest[::-1]),
        f"Your function gives the *least* similar ones, with a cosine of {cosine[farthest[0]]:.2f}. In which order is "
        "sorted, and is a large cosine near or far?",
    )
    expect(
        not np.array_equal(answer, rankings["product"][:k]),
        "These have the largest dot products: long vectors win, whatever their direction. The cosine does not look "
        "at the length. What is missing?",
    )
    expect(
        not np.array_equal(answer, rankings["distance"][:k]),
        "These are the nearest by Euclidean distance, where the length counts. Wanted is the cosine similarity.",
    )
    raise Wrong("These are not the features with the largest cosine to the query. Compute one by hand and compare.")


TARGETS = {"mini": 0.77, "cifar10-cpu": 0.60, "cifar10-gpu": 0.65}

TASKS = {
    "1.1": Task(
        "scale pixels as a MobileNet expects them",
        check_preprocess,
        (
            "Write down what 0, 127.5 and 255 must become. Which two steps of arithmetic do that?",
            "Read about numpy.ndarray.astype: it gives a new array. Operators such as /= work in the old one.",
            "First images.astype to float32, then divide by half of 255, then subtract 1; return the result.",
        ),
    ),
    "1.2": Task(
        "name the likeliest classes of each picture",
        check_top_classes,
        (
            "First find the places of the largest probabilities in each row; then look up the names.",
            "Read about numpy.argsort: along which axis it sorts, and in which direction. Or keras.ops.top_k.",
            "order = argsort of the negative probabilities; for each row of it, take the first k, and look each one "
            "up in class_names.",
        ),
    ),
    "1.3": Task(
        "preprocess once, not twice",
        check_classify,
        (
            "Follow the pixels from the pictures to the first convolution. How often are they scaled?",
            "Look at backbone.model.summary(): the model begins in the same way. And read about keras.Model.predict.",
            "Give the pixels to model.predict as they are, as float32; then the argmax over the classes.",
        ),
    ),
    "1.4": Task(
        "find the most similar features by cosine",
        check_nearest,
        (
            "The cosine of two vectors is their dot product after both were made 1 long.",
            "Read about numpy.linalg.norm, with axis and keepdims, and about numpy.argsort.",
            "Divide features by their norms (axis=1, keepdims=True), multiply by query with @, argsort the negative, "
            "take the first k.",
        ),
    ),
    "1.5": Task(
        "reach the target accuracy without training a network",
        partial(check_training, TARGETS),
        (
            "Which pictures of the training data look like the new picture to the backbone? They have labels.",
            "Read about sklearn.neighbors.KNeighborsClassifier: n_neighbors, metric, weights.",
            'KNeighborsClassifier(10, metric="cosine") fitted on features_of(data.x_train) and data.y_train; return a '
            "function that predicts from features_of(pictures).",
        ),
    ),
}
