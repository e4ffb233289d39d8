"""Checks of exercise 03, feature extraction."""

from __future__ import annotations

from functools import partial

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays, things
from helpers.models.backbones import build_backbone

import keras


def random_images(count: int) -> np.ndarray:
    """Return pictures ``(count, 32, 32, 3)`` uint8 of a network's size, of noise: nobody has seen them."""
    return np.random.default_rng(31).integers(0, 256, (count, 32, 32, 3), np.uint8)


def check_extractor(make_feature_extractor) -> str:
    """Check task 3.1."""
    backbone = build_backbone("mini_mobilenet", "mini")
    images = random_images(6).astype("float32")
    maps = np.asarray(backbone.model(images))
    model = make_feature_extractor(backbone.model)
    expect(model is not None, NOTHING)
    expect(
        isinstance(model, keras.Model),
        f"Your function returns {type(model).__name__}, not a keras.Model. Build the model; do not run it.",
    )
    features = np.asarray(model(images))
    expect(
        features.shape[1:-1] != (1, 1),
        f"The pooling is there, but your model gives {features.shape[1:]} for each picture. Wanted is a vector, "
        "without the two axes of length 1.",
    )
    expect(
        features.ndim != 4,
        f"Your model still gives feature maps, {features.shape[1:]} for each picture: the pooling is missing.",
    )
    flat = np.prod(maps.shape[1:])
    expect(
        features.shape[-1] != flat,
        f"Your model gives {flat} numbers for each picture: the maps, laid out flat, place by place. Wanted is one "
        "number for each map.",
    )
    expect(
        features.shape == (6, maps.shape[-1]),
        f"For 6 pictures your model gives an array of shape {features.shape}; expected is {(6, maps.shape[-1])}, one "
        "number for each feature map. Is the backbone cut at its end, and is there anything after the pooling?",
    )
    if np.allclose(features, maps.max(axis=(1, 2)), atol=1e-4):
        raise Wrong("Your model keeps the strongest place of each map. Wanted is the mean over all places.")
    expected = maps.mean(axis=(1, 2))
    if not np.allclose(features, expected, atol=1e-4):
        for factor, name in ((255, "divides the pixels by 255"), (127.5, "scales the pixels to [-1, 1]")):
            changed = np.asarray(backbone.model(images / factor - (factor == 127.5))).mean(axis=(1, 2))
            if np.allclose(features, changed, atol=1e-3):
                raise Wrong(f"Your model {name} first. The backbone preprocesses them itself, so that is too much.")
        raise Wrong("The shape is right, but the numbers are not the means of the backbone's last feature maps.")
    return f"Your model gives the means of the last feature maps, {maps.shape[-1]} numbers in the network of the check."


def check_features(bottleneck_features) -> str:
    """Check task 3.2."""
    keras.utils.set_random_seed(3)
    extractor = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(5, 8, strides=8),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    images = random_images(70)
    untouched, statistics = images.copy(), extractor.layers[2].get_weights()
    expected = np.asarray(extractor(images.astype("float32"), training=False))
    features = bottleneck_features(extractor, images)
    expect(features is not None, NOTHING)
    expect(np.array_equal(images, untouched), "Your function changes the pictures that it was given. Work on a copy.")
    moved = not same_arrays(statistics, extractor.layers[2].get_weights())
    expect(
        not moved,
        "After your function, the BatchNorm statistics of the network are different: it was run in training mode.",
    )
    apart = "Expected is one array (pictures, features), but your function gives {}. Did you keep the batches apart?"
    expect(not isinstance(features, list | tuple), apart.format(f"a {type(features).__name__} of {len(features)}"))
    features = np.asarray(features)
    expect(features.ndim == 2, apart.format(f"an array of shape {features.shape}"))
    expect(
        len(features) == len(images),
        f"There are {len(images)} pictures, but {len(features)} rows of features. Is the last, smaller batch treated "
        "like the others?",
    )
    expect(
        features.shape == expected.shape,
        f"Expected is an array of shape {expected.shape}, not {features.shape}: what the extractor gives, unchanged.",
    )
    if np.allclose(features, expected, atol=1e-4):
        return "The features are those of inference mode, in the order of the pictures."
    scaled = np.asarray(extractor(images / np.float32(255), training=False))
    expect(
        not np.allclose(features, scaled, atol=1e-4),
        "Your function divides the pixels by 255, and the extractor does so itself: that is once too often.",
    )
    expect(
        not np.allclose(np.sort(features, axis=0), np.sort(expected, axis=0), atol=1e-4),
        "The features are right, but in another order than the pictures: their labels would not fit any more.",
    )
    raise Wrong(
        "The features are not those that the extractor gives in inference mode. In training mode, Dropout switches "
        "some of them off. Or were the pixels changed on the way?"
    )


def curved_data(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features ``(count, 3)`` and labels ``(count,)``: a ring round a disc, and one large useless feature."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    radius, angle = 1 + labels + random.normal(0, 0.1, count), random.uniform(0, 2 * np.pi, count)
    useless = random.normal(0, 1000, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), useless], axis=1), labels


def check_svm(fit_svm) -> str:
    """Check task 3.3."""
    features, labels = curved_data(300, seed=5)
    new_features, new_labels = curved_data(300, seed=6)
    model = fit_svm(features, labels)
    expect(
        hasattr(model, "predict"),
        f"Your function returns {type(model).__name__}, which cannot predict. Return the fitted model.",
    )
    try:
        predicted = np.asarray(model.predict(new_features))
    except Exception as error:
        if type(error).__name__ == "NotFittedError":
            raise Wrong("Your model is not fitted yet: it cannot predict.") from error
        raise
    accuracy = float(np.mean(predicted == new_labels))
    if accuracy > 0.9:
        return f"Your model finds the curved border ({accuracy:.2f} on new data), although one feature is far larger."
    scale = np.array([1, 1, 1000])
    if np.mean(np.asarray(model.predict((new_features - features.mean(0)) / scale)) == new_labels) > 0.9:
        raise Wrong(
            "Your model was fitted on scaled features, but it does not scale what it predicts. The scaling must be "
            "part of the model that you return."
        )
    scaled = fit_svm((features - features.mean(0)) / scale, labels)
    if np.mean(np.asarray(scaled.predict((new_features - features.mean(0)) / scale)) == new_labels) > 0.9:
        raise Wrong(
            f"Your model is right on {accuracy:.2f} of new data. One of the features is 1,000 times larger than the "
            "others, and useless: an SVM looks at distances. Are the features scaled?"
        )
    raise Wrong(
        f"Your model is right on {accuracy:.2f} of new data. The classes are a disc and a ring round it: can your "
        "model draw a border that is curved?"
    )


class SpyModel:  # with the names of arguments that scikit-learn has
    """A model that notes what it is given, and is right as often as it was told to be, by the number of rows."""

    def __init__(self, name: str, accuracies: dict[int, float]) -> None:
        self.name, self.accuracies = name, accuracies
        self.fitted_on: list[int] = []
        self.judged_on: list[int] = []

    def fit(self, X, y):
        self.fitted_on.append(len(X))
        return self

    def predict(self, X):
        self.judged_on.append(len(X))
        labels = (np.asarray(X)[:, 0] > 0).astype(int)
        wrong = np.arange(len(labels)) >= round(self.accuracies.get(len(labels), 0.5) * len(labels))
        return np.where(wrong, 1 - labels, labels)

    def score(self, X, y):
        return float(np.mean(self.predict(X) == y))


def check_choice(choose) -> str:
    """Check task 3.4."""
    sizes = {"train": 200, "validation": 100, "test": 50}
    random = np.random.default_rng(7)
    splits = {name: random.normal(size=(size, 2)) for name, size in sizes.items()}
    pairs = {name: (x, (x[:, 0] > 0).astype(int)) for name, x in splits.items()}

    def model(name, training, validation, test):
        return SpyModel(name, {200: training, 100: validation, 50: test})

    by = {"modest": (0.7, 0.8, 0.6), "learner by heart": (1.0, 0.7, 0.64), "lucky": (0.75, 0.6, 0.9)}
    candidates = {name: model(name, *accuracies) for name, accuracies in by.items()}
    answer = choose(candidates, pairs["train"], pairs["validation"], pairs["test"])
    name, accuracy = things(answer, 2, "two things: the name of the chosen model, and its test accuracy")
    expect(isinstance(name, str), f"The first thing is a {type(name).__name__}; wanted is the name of the model.")
    for candidate in candidates.values():
        expect(candidate.fitted_on != [], f"The model {candidate.name!r} was never fitted.")
        expect(
            set(candidate.fitted_on) == {200},
            f"The model {candidate.name!r} was fitted on {candidate.fitted_on[-1]} rows. Only the {200} training rows "
            "are for fitting.",
        )
    expect(name != "lucky", "Your function chooses the model that is best on the *test* data. They may only judge.")
    expect(
        name != "learner by heart",
        "Your function chooses the model that is best on its own *training* data: the one that learned them by heart.",
    )
    expect(name == "modest", f"Your function chooses {name!r}, which is not the best on the validation data.")
    judged = [candidate.name for candidate in candidates.values() if 50 in candidate.judged_on]
    expect(
        judged == ["modest"],
        f"The test data were used for {len(judged)} models. They are used once, for the chosen model only."
        if judged
        else "Your function never looks at the test data, so it cannot know the test accuracy.",
    )
    expect(
        abs(float(accuracy) - 0.6) < 1e-6,
        f"The chosen model is right on 0.60 of the test data, but your function says {float(accuracy):.2f}. "
        + ("That is its validation accuracy." if abs(float(accuracy) - 0.8) < 1e-6 else "Which data gave this number?"),
    )
    return "The validation data chose, and the test data judged once."


def right_answers(both: int, first_only: int, second_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of two models, and for each picture, whether its answer is right; the order is mixed."""
    counts = (both, first_only, second_only, neither)
    mixed = np.random.default_rng(17).permutation(np.repeat(range(4), counts))
    return np.isin(mixed, (0, 1)), np.isin(mixed, (0, 2))


def check_difference(compare) -> str:
    """Check task 3.5."""
    cases = {  # the numbers of right_answers, and the verdict
        (600, 60, 20, 320): "beats",
        (500, 15, 65, 420): "loses",
        (700, 20, 12, 268): "ties",
        (350, 300, 260, 90): "ties",
        (300, 0, 0, 100): "ties",
    }
    for counts, verdict in cases.items():
        first, second = right_answers(*counts)
        answer = compare(first.copy(), second.copy())
        parts = things(answer, 3, "three things: the difference, its standard error, and one word")
        difference, error, word = float(parts[0]), float(parts[1]), parts[2]
        pairs = first.astype(float) - second
        n, mean, spread = len(pairs), pairs.mean(), pairs.std()
        _check_mean(difference, mean, counts)
        _check_error(error, spread / n**0.5, spread, [first.mean(), second.mean()], n)
        seen = f"The difference is {mean:.3f}, its standard error {spread / n**0.5:.4f}; your word is {word!r}. "
        expect(word in ("beats", "loses", "ties"), f'{seen}Wanted is "beats", "loses" or "ties".')
        expect(
            word in (verdict, "ties") or verdict == "ties", f"{seen}The sign says who leads: it is first minus second."
        )
        more = "That is more than two standard errors. A difference may have either sign."
        less = "By the rule, only more than *two* standard errors count."
        expect(word == verdict, seen + (less if verdict == "ties" else more))
    return "Only the pictures count on which exactly one model is right, and only two standard errors are a difference."


def _check_mean(difference: float, mean: float, counts: tuple[int, ...]) -> None:
    expect(
        mean == 0 or abs(difference - 100 * mean) > 1e-6,
        f"Your difference is {difference:.1f}: in points. Wanted is a share, such as {mean:.3f}.",
    )
    expect(mean == 0 or abs(difference + mean) > 1e-6, "Your difference has the wrong sign: it is first minus second.")
    expect(
        abs(difference - mean) < 1e-6,  # float32 will do
        f"Of {sum(counts)} pictures, the first alone is right on {counts[1]}, the second alone on {counts[2]}. The "
        f"difference is {mean:.3f}, but your function says {difference:.3f}.",
    )


def _check_error(error: float, expected: float, spread: float, accuracies: list[float], n: int) -> None:
    expect(np.isfinite(error), "Your standard error is not a number. Can two models be right on the same pictures?")
    if abs(error - expected) <= 0.02 * expected + 1e-12:  # n or n - 1
        return
    single = [(accuracy * (1 - accuracy) / n) ** 0.5 for accuracy in accuracies]
    for other, what in (
        (spread, "the standard deviation of the pairs: divide it by the root of their number"),
        (float(np.hypot(*single)), "that of two models which saw *different* pictures. Here the pictures are the same"),
        (single[0], "that of the first accuracy alone"),
        (100 * expected, "in points. Wanted is a share"),
    ):
        if abs(error - other) <= 0.02 * other:
            raise Wrong(f"Your standard error, {error:.4g}, is {what}.")
    raise Wrong(
        f"Your standard error is {error:.4g}, expected is {expected:.4g}: of the difference picture by picture, which "
        "is 1, 0 or -1."
    )


TARGETS = {"mini": 0.79, "cifar10-cpu": 0.73, "cifar10-gpu": 0.80}

TASKS = {
    "3.1": Task(
        "cut off the top and pool the feature maps",
        check_extractor,
        (
            "The backbone gives maps with a height and a width. You want one number for each map.",
            "Read about keras.layers.GlobalAveragePooling2D, and about keras.Model(inputs, outputs).",
            "Call the pooling layer on backbone_model.output; make a model from backbone_model.input to the result.",
        ),
    ),
    "3.2": Task(
        "compute the features of pictures in inference mode",
        check_features,
        (
            "Which method of a Keras model runs many pictures in batches, and never in training mode?",
            "Read about keras.Model.predict: what it returns, and in which mode it runs.",
            "One line: feature_extractor.predict of the pictures as float32, with verbose=0.",
        ),
    ),
    "3.3": Task(
        "fit an SVM on scaled features",
        check_svm,
        (
            "What does an SVM do with a feature that is 1,000 times larger than the others?",
            "Read about sklearn.pipeline.make_pipeline, sklearn.preprocessing.StandardScaler and sklearn.svm.SVC.",
            "make_pipeline(the scaler, SVC with its usual kernel), then fit it on features and labels, and return it.",
        ),
    ),
    "3.4": Task(
        "choose by validation, judge by test, once",
        check_choice,
        (
            "For each line, ask: which data does it look at, and may it?",
            "Read about max(…, key=…) for choosing from a dict; and look at every use of test in the snippet.",
            "Fit all on train; score each on validation; take the best name; score only that one on test.",
        ),
    ),
    "3.5": Task(
        "tell whether two models differ",
        check_difference,
        (
            "For each picture there are three cases: the first alone is right, the second alone, or neither alone.",
            "Read the section of lesson 03 on the rule; and about numpy.std and its ddof.",
            "Subtract picture by picture (1, 0 or -1); mean; standard deviation divided by the root of n; twice that.",
        ),
    ),
    "3.6": Task(
        "reach the target accuracy with an SVM on features",
        partial(check_training, TARGETS),
        (
            "Put 3.1, 3.2 and 3.3 together, and use many training pictures.",
            "Read about the parameter C of sklearn.svm.SVC, and let the validation pictures choose it.",
            "Return a function of pictures: svm.predict(features_of(extractor, pictures)).",
        ),
    ),
}
