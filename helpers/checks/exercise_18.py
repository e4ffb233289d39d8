"""Checks of exercise 18, other sources."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

import helpers.quiet  # noqa: F401
from helpers.checks.faults import where
from helpers.checks.images import UNSEEN_SEED
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays, things
from helpers.data import emoji10
from helpers.data.datasets import stratified_indices
from helpers.models.backbones import build_backbone
from helpers.models.features import compute_features

import keras

TARGET = 0.53  # task 18.5: the accuracy with 5 labels per class; measured: 0.51 with one source, 0.545 with two
SOURCES = ("mini_mobilenet", "mini_mobilenet_unlabelled")


def numbers(answer, what: str) -> np.ndarray:
    """Return an answer as an array of numbers, or raise ``Wrong``."""
    expect(answer is not None, NOTHING)
    try:
        array = np.asarray(keras.ops.convert_to_numpy(answer) if keras.ops.is_tensor(answer) else answer)
    except (TypeError, ValueError) as error:
        raise Wrong(f"Your function returns {type(answer).__name__}; wanted is {what}.") from error
    expect(array.dtype.kind in "iuf", f"Your function returns {type(answer).__name__}; wanted is {what}.")
    return array


def by_means(few: np.ndarray, labels: np.ndarray, x: np.ndarray, mistake: str = "") -> np.ndarray:
    """Return the class of the nearest class mean for each row of ``x``, or what one of the usual mistakes gives.

    Args:
        few: ``(n, features)``.
        labels: ``(n,)``, whole numbers.
        x: ``(m, features)``.
        mistake: a key of ``MEANS_MISTAKES``, or nothing.
    """
    from sklearn.neighbors import NearestCentroid
    from sklearn.preprocessing import normalize

    if mistake not in ("as they are", "only x"):
        few = normalize(few)
    if mistake not in ("as they are", "only few"):
        x = normalize(x)
    nearest = NearestCentroid().fit(few, labels)
    if mistake == "means too":
        nearest.centroids_ = normalize(nearest.centroids_)
    return nearest.predict(x)


def by_neighbour(few: np.ndarray, labels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the label of the nearest row of ``few`` for each row of ``x``, all of length 1."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import normalize

    return KNeighborsClassifier(1).fit(normalize(few), labels).predict(normalize(x))


def check_means(nearest_means) -> str:
    """Check task 18.1."""
    random = np.random.default_rng(181)
    for names, size in (((0, 1, 2, 3), 6), ((2, 5, 9), 11)):
        centres = random.normal(size=(len(names), size))
        labels = random.permutation(np.repeat(names, (3, 5, 4, 6)[: len(names)]))

        def draw(of: np.ndarray, names=names, centres=centres) -> np.ndarray:
            rows = centres[np.searchsorted(names, of)] + random.normal(size=(len(of), centres.shape[1]))
            return (rows * random.uniform(0.2, 5, (len(of), 1))).astype("float32")

        few, x = draw(labels), draw(random.choice(names, 200))
        kept = few.copy(), labels.copy(), x.copy()
        answer = numbers(nearest_means(few, labels, x), "one label for each row of x")
        expect(same_arrays(kept, (few, labels, x)), "Your function changes the arrays that it was given.")
        judge_means(answer, *kept)
    return "Each row gets the class of the nearest mean, whatever its length and the names of the classes."


MEANS_MISTAKES = {
    "as they are": "This is what the features give as they are: long vectors pull the means. Is each of them divided "
    "by its length, those of x too?",
    "only few": "The labelled vectors have length 1; have those of x, too? (If you take the largest product: it "
    "belongs to the nearest mean only where all means are equally long.)",
    "only x": "The vectors of x have length 1, the labelled ones have not: long vectors pull the means.",
    "means too": "You divide the means by their length as well. Here they are used as they are.",
}


def judge_means(answer: np.ndarray, few: np.ndarray, labels: np.ndarray, x: np.ndarray) -> None:
    """Raise ``Wrong`` unless each row of ``x`` has the class of the nearest mean."""
    wanted = by_means(few, labels, x)
    expect(
        answer.shape == wanted.shape,
        f"For {len(x)} rows your function returns the shape {answer.shape}; wanted is one label for each row.",
    )
    classes = np.unique(labels)
    places = np.searchsorted(classes, wanted)
    expect(
        np.array_equal(answer, wanted) or not np.array_equal(answer, places),
        f"You return the place of the nearest mean. The labels here are {', '.join(map(str, classes))}: which of them "
        "stands at that place?",
    )
    agree = float(np.mean(answer == wanted))
    others = {message: by_means(few, labels, x, mistake) for mistake, message in MEANS_MISTAKES.items()}
    others["This is the nearest single picture. Wanted is the nearest *mean* of a class."] = by_neighbour(
        few, labels, x
    )
    for message, other in others.items():
        expect(agree > 0.99 or np.mean(answer == other) < 0.99, message)
    advice = "Which axis does each of your steps go along? Is the nearest mean that of the *smallest* distance?"
    if agree > 0.9:
        advice = (
            "A length is the root of the sum of squares. Each vector gets length 1 first; then the means are taken."
        )
    elif not np.isin(answer, classes).all():
        advice = f"Only classes that occur have a mean; here they are {', '.join(map(str, classes))}."
    expect(
        agree > 0.99,  # ties may be broken in another way
        f"{agree:.0%} of your labels are those of the nearest class mean. {advice}",
    )


def reference_loss(first: np.ndarray, second: np.ndarray, temperature: float, mistake: str = "") -> float:
    """Return NT-Xent (Chen et al. 2020, equation 1), or what one of the usual mistakes gives.

    Args:
        first, second: ``(n, size)``.
        temperature: what similarities are divided by.
        mistake: a key of ``LOSS_MISTAKES``, or nothing.
    """
    count = len(first)
    views = np.concatenate([first, second]).astype(float)
    if mistake != "raw":
        views /= np.linalg.norm(views, axis=1, keepdims=True)
    logits = views @ views.T / {"warm": 1.0, "times": 1 / temperature}.get(mistake, temperature)
    if mistake != "own":
        np.fill_diagonal(logits, 0.0 if mistake == "zero" else -np.inf)
    partners = (np.arange(2 * count) + count) % (2 * count)
    if mistake == "side by side":
        partners = np.arange(2 * count) ^ 1
    if mistake in ("half", "halves"):
        across = logits[:count, count:]
        logits = across if mistake == "half" else np.concatenate([across, across.T])
        partners = np.arange(len(logits)) % count
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), partners]
    if mistake == "one_way":
        losses = losses[:count]
    if mistake == "sign":
        losses = -losses
    return float(losses.sum() if mistake == "total" else losses.mean())


LOSS_MISTAKES = {
    "own": "This is the loss in which a view may be its own partner. Its similarity with itself is always the largest: "
    "rule it out.",
    "raw": "This is the loss of the plain products. Wanted is the cosine: vectors of length 1.",
    "warm": "The similarities are not divided by the temperature.",
    "one_way": "This is the loss of the first views only. The second views look for their partners, too: 2n rows.",
    "half": "Your candidates are the second views only. The other first views are candidates, too.",
    "halves": "First views look among second views only, and the other way round. All other views are candidates.",
    "total": "This is the sum over the views; wanted is the mean.",
    "zero": "The similarity of a view with itself is 0 in your logits. That rules nothing out: exp(0) is 1. It must be "
    "so far below the others that its exponential is 0.",
    "times": "The similarities are multiplied by the temperature; divide them by it.",
    "side by side": "You take neighbouring rows for partners. First come all first views, then all second views.",
    "sign": "The sign is wrong: a cross-entropy is never below 0.",
}


def check_loss(nt_xent) -> str:
    """Check task 18.2."""
    random = np.random.default_rng(182)
    for count, size, temperature in ((5, 7, 0.2), (8, 4, 0.6)):
        first = random.normal(size=(count, size)).astype("float32")
        second = (first + random.normal(size=(count, size))).astype("float32") * 1.5
        kept = first.copy(), second.copy()
        loss = numbers(nt_xent(first, second, temperature), "one number")
        expect(same_arrays(kept, (first, second)), "Your function changes the arrays that it was given.")
        expect(loss.size == 1, f"Your function returns the shape {loss.shape}; wanted is one number, the mean.")
        value, wanted = float(loss.reshape(-1)[0]), reference_loss(*kept, temperature)
        expect(
            np.isfinite(value),
            f"The loss is {value}. What happens to an exponential of a large number, or to 0 times inf?",
        )
        if abs(value - wanted) < 1e-3 * max(1, wanted):
            continue
        for name, message in LOSS_MISTAKES.items():
            expect(abs(value - reference_loss(*kept, temperature, name)) > 1e-3, message)
        expect(
            value < 1e6,
            f"Your loss is {value:.1e}. The right column of a row is the one that you ruled out: a view itself. Its "
            "partner is n rows away.",
        )
        expect(
            abs(value - 2 * wanted) > 1e-3,
            "Your loss is twice as large as it should be. There are 2n views to divide by.",
        )
        raise Wrong(
            f"For {count} pictures and temperature {temperature} your loss is {value:.3f}; it should be {wanted:.3f}. "
            "Does each row go through a softmax once? (Keras' cross-entropy takes from_logits=True.) Does the sum "
            "below have the partner in it?"
        )
    return "Each view looks for its partner among all others, and never finds itself."


def check_views(two_views) -> str:
    """Check task 18.3."""
    random = np.random.default_rng(183)
    keras.utils.set_random_seed(183)
    levels = np.linspace(40, 215, 12)
    pictures = levels[:, None, None, None] + random.uniform(-30, 30, (12, 32, 32, 3))
    pictures = np.clip(pictures, 0, 255).astype("uint8")
    calls = [views_of(two_views, pictures) for _ in range(20)]
    (first, second), (again, _) = calls[:2]
    expect(
        not (np.allclose(first, pictures, atol=1) and np.allclose(second, pictures, atol=1)),
        "Both views are the pictures as they were. In predict, layers for random changes change nothing: call them, "
        "with training=True.",
    )
    expect(not np.allclose(first, second, atol=1), "Both views are the same. What would there be to learn?")
    expect(
        not (np.allclose(first, pictures, atol=1) or np.allclose(second, pictures, atol=1)),
        "One of the views is the picture as it was. Chen et al. 2020 change both.",
    )
    expect(
        not np.allclose(first, again, atol=1),
        "Called again, your function makes the same views. In training, each epoch should see new ones.",
    )
    alike = np.repeat(pictures[:1], 12, axis=0)
    twins = views_of(two_views, alike)[0]
    expect(
        np.ptp(twins, axis=0).max() > 2,
        "All pictures of a batch are changed in the same way. Then the change itself tells partners: draw it for each "
        "picture.",
    )
    # Over all calls: one alone may make a dark picture bright by chance.
    means = np.mean([[views.mean(axis=(1, 2, 3)) for views in pair] for pair in calls], axis=0)
    expect(
        all(np.corrcoef(levels, each)[0, 1] > 0.5 for each in means),
        "Dark pictures can no longer be told from bright ones: nothing of the picture is left to recognise. Or do the "
        "views stand in another order than the pictures?",
    )
    extremes = np.repeat(np.array([0, 255], "uint8"), 6)[:, None, None, None] + np.zeros((12, 32, 32, 3), "uint8")
    black, white = np.mean([np.split(views_of(two_views, extremes)[0], 2) for _ in range(20)], axis=(0, 2, 3, 4, 5))
    expect(
        white - black > 50,
        "Black pictures come out as bright as white ones. Do pixels below 0 become 250? The type uint8 wraps round: "
        "clip to [0, 255] before astype.",
    )
    return (
        "Two views, both changed, each picture in its own way, and still pictures. (Called plainly, layers for random "
        "changes do change; inside predict they do not.)"
    )


def views_of(two_views: Callable, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Call a learner's function; return the two views as floats, or raise ``Wrong``."""
    kept = pictures.copy()
    answer = two_views(pictures)
    expect(np.array_equal(kept, pictures), "Your function changes the pictures that it was given.")
    both = things(answer, 2, "two arrays, the first views and the second")
    views = [numbers(each, "two arrays of pictures").astype(float) for each in both]
    for each in views:
        expect(
            each.shape == pictures.shape,
            f"Views have the shape {each.shape}; the pictures have {pictures.shape}, and views have the same.",
        )
        expect(np.isfinite(each).all(), "There is a nan or an infinite number in a view.")
        expect(
            each.max() > 2 or not pictures.any(),
            "The largest pixel of a view is at most 2. Pixels go from 0 to 255 here; the network rescales them itself.",
        )
        expect(
            each.min() >= -0.01 and each.max() <= 255.01,  # interpolation rounds
            f"Pixels of a view go from {each.min():.0f} to {each.max():.0f}; wanted is 0 to 255. Cut off what is "
            "beyond.",
        )
    return views[0], views[1]


def source_table(random: np.random.Generator) -> pd.DataFrame:
    """Return a table of sources such as lesson 18 measures; the best one is beyond every budget."""
    count = 7
    validation = random.permutation(np.linspace(0.5, 0.8, count))
    table = pd.DataFrame(
        {
            "validation": validation,
            "test": random.permutation(np.linspace(0.49, 0.79, count)),
            "megabytes": random.uniform(1, 40, count).round(1),
            "seconds": random.uniform(0.2, 15, count).round(1),
        },
        index=[f"source {letter}" for letter in "ABCDEFG"],
    )
    table.loc[table["validation"].idxmax(), ["megabytes", "seconds"]] = 400.0, 90.0
    table.loc["source H"] = 0.4, 0.41, 0.8, 0.15  # fits nearly always
    return table


def check_choice(choose_source) -> str:
    """Check task 18.4."""
    random = np.random.default_rng(184)
    for _ in range(12):
        table = source_table(random)
        row = table.sort_values("validation").iloc[-3]  # a source that the budget just allows
        judge_choice(choose_source, table, float(row["megabytes"]), float(row["seconds"]))
        judge_choice(choose_source, table, 500.0, float(row["seconds"]))
        judge_choice(choose_source, table, float(row["megabytes"]), 100.0)
    try:
        answer = choose_source(source_table(random), 0.5, 0.1)
    except ValueError:
        return "Validation chose within the budget, and the test pictures judged once."
    except LookupError as error:
        raise Wrong(
            f"No source fits into 0.5 MB and 0.1 s, and your function stops with {type(error).__name__}. Wanted is a "
            "ValueError: ask first whether any source is left."
        ) from error
    raise Wrong(f"No source fits into 0.5 MB and 0.1 s, but your function returns {answer!r}. Wanted is a ValueError.")


def judge_choice(choose_source: Callable, table: pd.DataFrame, megabytes: float, seconds: float) -> None:
    """Raise ``Wrong`` unless the source with the best validation accuracy in the budget is chosen."""
    given = table.copy()
    fits = {"megabytes": table["megabytes"] <= megabytes, "seconds": table["seconds"] <= seconds}
    budget, allowed = f"With a budget of {megabytes:g} MB and {seconds:g} s", table[np.all(list(fits.values()), axis=0)]
    try:
        answer = choose_source(given, megabytes, seconds)
    except ValueError as error:
        raise Wrong(
            f"{budget}, your function stops with ValueError, but {allowed.index[0]} fits. {where(error)}"
        ) from error
    expect(given.equals(table), "Your function changes the table that it was given.")
    name, accuracy = things(answer, 2, "two things: the name of a source and an accuracy")
    expect(
        isinstance(name, str) and name in table.index,
        f"{name!r} is no source of the table. (argmax gives a place, idxmax the name.)",
    )
    expect(accuracy is not None, f"You return {name!r} and None; wanted are a name and its accuracy.")
    accuracy = numbers(accuracy, "a name and an accuracy, a number")
    expect(accuracy.size == 1, f"As an accuracy you return the shape {accuracy.shape}; wanted is one number.")
    accuracy = float(accuracy.reshape(-1)[0])
    for column, inside in fits.items():
        expect(
            inside[name],
            f"{budget}, {name} is beyond it: it has {table.loc[name, column]:g} {column}. (A place in the shortened "
            "table is not the same place in the whole one.)",
        )
    wanted = allowed["validation"].idxmax()
    expect(
        name == wanted or name != allowed["test"].idxmax(),
        f"{budget}, you choose {name}, which has the highest *test* accuracy. Which pictures may choose?",
    )
    edge = table.loc[wanted, "megabytes"] == megabytes or table.loc[wanted, "seconds"] == seconds
    advice = " A source that just uses up the budget is inside it." if edge else ""
    expect(name == wanted, f"{budget}, {name} is not the best by validation.{advice}")
    expect(
        not np.isclose(accuracy, table.loc[name, "validation"]) or accuracy == table.loc[name, "test"],
        "You report the validation accuracy of the winner: it was chosen for it, so it is too high on average.",
    )
    expect(np.isclose(accuracy, table.loc[name, "test"]), f"{accuracy!r} is not the test accuracy of {name}.")


@cache
def unseen_features() -> tuple[dict, np.ndarray, dict, np.ndarray]:
    """Return features of unseen pictures of Emoji-10 by each source: 600 to learn from, 600 to judge, and labels."""
    taught, labels = emoji10.load_split("train", 600, UNSEEN_SEED)
    judged, truth = emoji10.load_split("test", 600, UNSEEN_SEED)
    few, x = {}, {}
    for name in SOURCES:
        extractor = keras.Sequential([build_backbone(name, "mini").model, keras.layers.GlobalAveragePooling2D()])
        features = compute_features(extractor, np.concatenate([taught, judged]), 200)
        few[name], x[name] = np.split(features, [len(taught)])
    return few, labels, x, truth


def check_few(learn: Callable) -> str:
    """Check task 18.5."""
    few, labels, x, truth = unseen_features()
    rights = []
    for chosen in stratified_indices(labels, [50] * 12, 0):
        given = {name: features[chosen] for name, features in few.items()}, labels[chosen]
        answer = learn(*given, {name: features.copy() for name, features in x.items()})
        answer = numbers(answer, "one label for each picture")
        expect(
            answer.shape == truth.shape,
            f"For {len(truth)} pictures your function returns the shape {answer.shape}; wanted is one label for each.",
        )
        rights.append(np.mean(answer == truth))
    accuracy, error = float(np.mean(rights)), float(np.std(rights, ddof=1) / len(rights) ** 0.5)
    if accuracy < 0.2:
        advice = "That is about guessing. Do features and labels stand in the same order? Is x treated like few?"
    elif accuracy > TARGET - 0.015:
        advice = "Close. If you use both sources, each with length 1: how strongly is your classifier held back (C)?"
    else:
        advice = (
            "There are two sources. Does each know something that the other does not? How long are the vectors of each?"
        )
    expect(
        accuracy >= TARGET,
        f"Accuracy {accuracy:.3f} ± {error:.3f} over {len(rights)} draws of 5 labels per class; the target is "
        f"{TARGET}. {advice}",
    )
    return f"Accuracy {accuracy:.3f} ± {error:.3f} over {len(rights)} draws; the target was {TARGET}."


TASKS = {
    "18.1": Task(
        "classify with class means",
        check_means,
        (
            "Three steps: every vector gets length 1; one mean for each class that occurs; the nearest mean wins.",
            "Read about np.linalg.norm with axis and keepdims, np.unique, and argmin along an axis.",
            "classes = np.unique(labels); a mean for each; distances of shape (rows of x, classes); classes[nearest].",
        ),
    ),
    "18.2": Task(
        "write the contrastive loss",
        check_loss,
        (
            "It is a classification with 2n rows and columns. Which column is right in each row, which forbidden?",
            "Read about keras.ops.normalize, keras.ops.eye, and sparse_categorical_crossentropy with from_logits.",
            "Cosines of all with all / temperature, minus 1e9 on the diagonal; the partner is n rows away; the mean.",
        ),
    ),
    "18.3": Task(
        "make two views of each picture",
        check_views,
        (
            "What may change without changing what is shown? Change it for each picture, in both views.",
            "Read about RandomFlip, RandomTranslation and RandomBrightness of keras.layers, and training=True.",
            "Layers in a Sequential, called twice with training=True on floats; then clip to [0, 255].",
        ),
    ),
    "18.4": Task(
        "choose a source under a budget",
        check_choice,
        (
            "Which rows are inside the budget? Which column may choose, which one may judge?",
            "Read about boolean masks of a DataFrame, idxmax, and raise ValueError.",
            "inside = table[two conditions with &]; if it is empty, raise; its validation idxmax; one look at test.",
        ),
    ),
    "18.5": Task(
        "learn from five labels per class",
        check_few,
        (
            "One source reaches about 0.51. Must you choose one?",
            "Read about np.concatenate along the columns; what do different lengths do to such a vector?",
            "Length 1 for each source, side by side, then an SVM or logistic regression that is hardly held back.",
        ),
    ),
}
