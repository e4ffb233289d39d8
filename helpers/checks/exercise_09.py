"""Checks of exercise 09, how much data."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import StratifiedKFold, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, expect, things
from helpers.data.datasets import load_data, stratified_indices
from helpers.profiles import Profile, find_profile

import keras


def check_choice(choose) -> str:
    """Check task 9.1."""
    random = np.random.default_rng(91)
    cases = (
        ((0, 1, 2), (40, 25, 90), 6, ""),
        (
            (2, 5, 7, 9),
            (13, 30, 18, 60),
            12,
            "Some numbers between these labels are missing. Take the classes from the labels; do not count from 0.",
        ),
        ((0, 1, 2), (8, 20, 15), 8, "Of one class there are exactly as many pictures as are wanted: take all of them."),
    )
    for classes, counts, per_class, advice in cases:
        labels = random.permutation(np.repeat(classes, counts))
        try:
            answer = choose(labels.copy(), per_class, 3)
        except (ValueError, IndexError, KeyError) as error:
            expect(
                not advice,
                f"With the labels {', '.join(map(str, classes))} and {', '.join(map(str, counts))} pictures of them, "
                f"{per_class} of each wanted, your function stops with {type(error).__name__}. {advice}",
            )
            raise
        judge_choice(answer, labels, per_class)
        draws = [np.sort(choose(labels.copy(), per_class, seed)) for seed in (3, 3, 4)]
        expect(
            np.array_equal(draws[0], draws[1]),
            "Called twice with the same seed, your function chooses different pictures. What does the seed steer?",
        )
        expect(
            not np.array_equal(draws[0], draws[2]),
            "With another seed, your function chooses the same pictures again. Each seed should give another draw.",
        )
    drawn = set(np.concatenate([choose(labels.copy(), per_class, seed) for seed in range(100)]).tolist())
    expect(
        len(drawn) > 0.95 * len(labels),
        f"In 100 draws with different seeds, {len(labels) - len(drawn)} of {len(labels)} pictures were never chosen. "
        "Each picture of the pool should have a chance.",
    )
    return "The same number of each class, no picture twice, and the seed decides which."


def judge_choice(answer: object, labels: np.ndarray, per_class: int) -> None:
    """Raise ``Wrong`` unless ``answer`` holds the indices of ``per_class`` different pictures of each class."""
    expect(answer is not None, NOTHING)
    chosen = np.asarray(answer)
    classes = np.unique(labels)
    case = f"For {per_class} pictures of each of {len(classes)} classes, your function "
    expect(chosen.ndim == 1, f"{case}returns an array of shape {chosen.shape}; wanted is one list of indices.")
    expect(chosen.dtype != bool, f"{case}returns True and False. Wanted are the indices of the chosen pictures.")
    expect(
        np.issubdtype(chosen.dtype, np.integer), f"{case}returns {chosen.dtype} values; wanted are indices, integers."
    )
    expect(
        len(chosen) != per_class,
        f"{case}chooses {len(chosen)} pictures in all. Wanted is that many of *each* class.",
    )
    expect(len(chosen) == per_class * len(classes), f"{case}chooses {len(chosen)}.")
    expect(chosen.min() >= 0 and chosen.max() < len(labels), f"{case}returns numbers that are no indices of the pool.")
    different = len(np.unique(chosen))
    if different <= len(classes) and set(chosen.tolist()) <= set(classes.tolist()):
        raise Wrong(f"{case}returns labels, it seems. Wanted is where the pictures are in the pool: their indices.")
    expect(
        different == len(chosen),
        f"{case}chooses only {different} different ones: some come twice. A label that is there already is no new one.",
    )
    counts = [int(np.sum(labels[chosen] == label)) for label in classes]
    expect(
        set(counts) == {per_class},
        f"{case}chooses {counts} of the classes {classes.tolist()}. The pool has more of some classes than of others: "
        "what keeps the draw balanced?",
    )


class Witness(NearestCentroid):
    """A classifier that notes what it learns from, what it predicts for, and what it predicts."""

    fits: ClassVar[list[dict]] = []

    def fit(self, features, labels):
        """Learn, and note from what."""
        expect(
            len(np.unique(labels)) > 1,
            f"The classifier gets {len(labels)} labels in all, of one class. A size is the number *per class*.",
        )
        self.number = len(Witness.fits)  # a copy of a trained classifier keeps it
        Witness.fits.append({"features": np.array(features), "labels": np.array(labels), "predicted": []})
        return super().fit(features, labels)

    def predict(self, features):
        """Return labels, and note for what."""
        labels = super().predict(features)
        Witness.fits[self.number]["predicted"].append((np.array(features), labels))
        return labels


def curve_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a pool and test data, each features and labels; the columns differ in scale."""
    random = np.random.default_rng(92)
    centres = random.normal(0, 1, (3, 8))

    def draw(counts, shift):
        labels = random.permutation(np.repeat([0, 1, 2], counts))
        features = centres[labels] + random.normal(shift, 1.5, (len(labels), 8))
        return (5 + features) * np.geomspace(0.01, 1000, 8), labels

    return draw((90, 60, 120), 0), draw((35, 22, 40), 0.7)


def check_curve(learning_curve) -> str:
    """Check task 9.2."""
    pool, test = curve_data()
    sizes, seeds = [4, 9, 25], [0, 1, 5]
    kept = [array.copy() for array in (*pool, *test)]
    tables, fits = [], []
    for order in (seeds, [1, 0, 5]):
        Witness.fits.clear()
        tables.append(learning_curve(Witness(), pool, test, list(sizes), list(order)))
        fits.append(list(Witness.fits))
    for array, before in zip((*pool, *test), kept, strict=True):
        expect(np.array_equal(array, before), "Your function changes the pictures' features or labels that it gets.")
    judge_table(tables[0], sizes, seeds)
    judge_fits(fits[0], pool[0], sizes, seeds)
    for fit in fits[0]:
        judge_predictions(fit, test)
    for size in sizes:
        reached = [
            np.mean(labels == test[1])
            for fit in fits[0]
            if len(fit["labels"]) == 3 * size
            for _, labels in fit["predicted"]
        ]
        shown = [float(accuracy) for accuracy in tables[0].loc[tables[0]["size"] == size, "accuracy"]]
        wrong = Counter(np.round(shown, 3).tolist()) - Counter(np.round(reached, 3).tolist())
        expect(
            not wrong,
            f"For size {size} your table says accuracy {', '.join(f'{value:.3f}' for value in shown)}. Trained with "
            f"that many labels, the classifier reached {', '.join(f'{value:.3f}' for value in reached)} on the test "
            "data.",
        )
    first, second = (table.sort_values(["size", "seed"])["accuracy"].to_numpy(float) for table in tables)
    expect(
        np.allclose(first, second),
        "Called again, with the seeds in another order, your function gives other accuracies. What does a seed steer, "
        "and which row is it in?",
    )
    return "One row for each size and seed; drawn by class, and scaled with the chosen pictures alone."


def judge_table(table, sizes: list[int], seeds: list[int]) -> None:
    """Raise ``Wrong`` unless ``table`` is tidy: one row for each size and seed."""
    expect(table is not None, NOTHING)
    expect(isinstance(table, pd.DataFrame), f"Your function returns {type(table).__name__}; wanted is a DataFrame.")
    expect(
        set(table.columns) == {"size", "seed", "accuracy"},
        f"The columns of your table are {', '.join(map(str, table.columns))}; wanted are size, seed and accuracy.",
    )
    rows = sorted(zip(table["size"], table["seed"], strict=True))
    if len(rows) == len(sizes):
        raise Wrong(f"Your table has {len(rows)} rows, one for each size. The seeds should not be averaged yet.")
    expect(
        set(table["size"]) == set(sizes),
        f"The sizes in your table are {', '.join(map(str, sorted(set(table['size']))))}; given were "
        f"{', '.join(map(str, sizes))}.",
    )
    expect(
        rows == sorted(itertools.product(sizes, seeds)),
        f"For {len(sizes)} sizes and {len(seeds)} seeds your table has {len(rows)} rows, {len(set(rows))} of them with "
        f"different size and seed. Wanted is each size with each seed, once.",
    )


def judge_fits(fits: list[dict], pool: np.ndarray, sizes: list[int], seeds: list[int]) -> None:
    """Raise ``Wrong`` unless the classifier learned from scaled, balanced draws without repeats."""
    expect(
        len(fits) >= len(sizes) * len(seeds),
        f"For {len(sizes)} sizes and {len(seeds)} seeds the classifier was trained {len(fits)} times.",
    )
    raw = {row.tobytes() for row in pool}
    for fit in fits:
        features, labels = fit["features"], fit["labels"]
        counts = [int(np.sum(labels == label)) for label in range(3)]
        if len(labels) in sizes:
            raise Wrong(f"The classifier gets {len(labels)} labels in all. A size is the number of labels *per class*.")
        expect(
            set(counts) <= set(sizes) and len(set(counts)) == 1,
            f"For the sizes {sizes} with 3 classes, the classifier gets {counts} labels of the classes. Each class "
            "should have as many as the size says.",
        )
        expect(
            len(np.unique(features, axis=0)) == len(features),
            "Some pictures are chosen twice for the same training. Draw without repeats.",
        )
        if raw & {row.tobytes() for row in features}:
            raise Wrong("The classifier gets the features as they are. Where does the scaling belong?")
        expect(
            np.allclose(features.mean(axis=0), 0, atol=1e-3) and np.allclose(features.std(axis=0), 1, atol=0.15),
            "The features that the classifier learns from do not have mean 0 and standard deviation 1. Did the scaler "
            "learn from other pictures than the chosen ones? With few labels, the others would not be there.",
        )
    for size in sizes:
        draws = {
            np.sort(fit["features"], axis=None).round(6).tobytes() for fit in fits if len(fit["labels"]) == 3 * size
        }
        expect(
            len(draws) >= len(seeds),
            f"With size {size}, {len(seeds)} seeds give only {len(draws)} different draws. Then the spread over seeds "
            "says nothing.",
        )


def judge_predictions(fit: dict, test: tuple[np.ndarray, np.ndarray]) -> None:
    """Raise ``Wrong`` unless the classifier predicts for the test data, scaled like what it learned from."""
    expect(len(fit["predicted"]) > 0, "A trained classifier is never asked to predict.")
    for features, labels in fit["predicted"]:
        expect(
            len(labels) == len(test[1]),
            f"The classifier predicts for {len(labels)} pictures; the test data has {len(test[1])}. On the pictures "
            "that it learned from, it would look too good.",
        )
        expect(
            not np.array_equal(features, test[0]),
            "The classifier learns from scaled features, but predicts for unscaled ones. Both need the same scaling.",
        )
        expect(
            not np.allclose(features.mean(axis=0), 0, atol=1e-3),
            "The test features are scaled with their own mean. They need the scaling of what the classifier learned "
            "from: a single new picture has no mean.",
        )


def lead_cases() -> dict[str, tuple[np.ndarray, float, int, int | None]]:
    """Return, by name: the mean lead at each size, the noise of a lead, the number of seeds, and the answer."""
    error = np.sqrt(8 / 7) / np.sqrt(8)  # standard error of the mean of 1, -1, 1, -1, ...
    return {
        "paired": (np.array([-0.02, 0, 0.02, 0.02, 0.03]), 0.004, 8, 50),
        "spread": (np.full(5, 0.02), 0.012, 8, 10),
        "early": (np.array([0.02, 0.002, 0.02, 0.02, 0.02]), 0.008, 8, 50),
        "last": (np.array([0.02, 0.02, 0.02, 0.02, 0.0]), 0.008, 8, None),
        "behind": (np.full(5, -0.02), 0.004, 8, None),
        "factor": (np.array([0, 2.15 * error, 4 * error, 4 * error, 4 * error]) * 0.01, 0.01, 8, 50),
        "strict": (np.array([0, 2.7 * error, 4 * error, 4 * error, 4 * error]) * 0.01, 0.01, 8, 20),
        "few": (np.array([0, 0.016, 0.03, 0.03, 0.03]), 0.01, 4, 50),
        "equal": (np.zeros(5), 0.0, 8, None),
    }


LEAD_WORDS = {
    "paired": "From 50 on, the new method is better with every seed, by 2 points. Both methods had the same seeds: "
    "what do you get if you subtract seed by seed first?",
    "early": "At 10 labels the lead is clear, and again from 50 on. At 20 it is 0.2 points, less than one standard "
    "error. “From which on” means: at this size and at all larger ones.",
    "last": "With the most labels the lead is gone, so there is no size from which on it is clear.",
    "behind": "The new method is *worse* at all sizes, but your function sees a lead.",
    "factor": "At 20 labels the lead is 2.15 standard errors; from 50 on, 4. With eight seeds, clear is more than 2.36 "
    "(Student's t): with few pairs, two are not enough.",
    "strict": "At 20 labels the lead is 2.7 standard errors. With eight seeds, 2.36 are enough (Student's t).",
    "spread": "A lead of 2 points whose standard error is below half a point is clear at every size. Do you divide the "
    "spread by the root of the number of seeds?",
    "few": "With four seeds, clear is more than 3.18 standard errors (Student's t); at 20 labels the lead is less. For "
    "so few values, the standard "
    "deviation needs ddof=1 (sem of pandas uses it). Is yours divided by the root of the number of seeds?",
    "equal": "Two methods with the same accuracies: none of them leads.",
}


def check_crossing(clear_from) -> str:
    """Check task 9.3."""
    sizes = [10, 20, 50, 100, 200]
    for case, (lead, noise, seeds, expected) in lead_cases().items():
        luck = np.random.default_rng(93).normal(0, 0.05, seeds)  # some seeds have better pictures, for both methods
        old = pd.DataFrame(0.5 + luck + np.linspace(0, 0.2, 5)[:, None], index=sizes, columns=range(seeds))
        new = old + lead[:, None] + noise * np.resize([1, -1], seeds)
        try:
            answer = clear_from(new.copy(), old.copy())
        except (IndexError, KeyError, ValueError, StopIteration, TypeError) as error:
            if expected is None and case != "paired":
                raise Wrong(
                    f"{LEAD_WORDS[case]} There your function stops with {type(error).__name__}; it should return None."
                ) from error
            raise
        if answer is None:
            ending = " Does it end with return?" if case == "paired" else ""
            expect(expected is None, f"Your function returns None. {LEAD_WORDS[case]}{ending}")
            continue
        of_none = "" if expected is not None else f" {LEAD_WORDS[case]} Wanted is None."
        expect(
            np.ndim(answer) == 0 and not isinstance(answer, bool | np.bool_ | str),
            f"Your function returns {type(answer).__name__}; wanted is one size, or None.{of_none}",
        )
        expect(
            answer in sizes,
            f"Your function returns {answer}, but the sizes are {sizes}: they are the index of the tables, the seeds "
            f"are the columns.{of_none}",
        )
        expect(
            not (case == "paired" and answer == 20),
            "Your function returns 20, the last size at which the lead is *not* clear. Wanted is the first one from "
            "which on it is.",
        )
        expect(
            answer == expected, f"Your function returns {answer}. {LEAD_WORDS[case]}{of_none and ' Wanted is None.'}"
        )
    return "Draw by draw, by the rule of lesson 03, and for all larger sizes too."


def check_estimate(estimate_accuracy) -> str:
    """Check task 9.4."""
    random = np.random.default_rng(101)
    features = random.normal(0, 1, (80, 1500))
    labels = np.repeat([0, 1, 2, 3], 20)
    features[:, :12] += 0.8 * random.normal(0, 1, (4, 12))[labels]
    shuffled = random.permutation(labels)
    for truth, count, splits in ((shuffled, 20, 4), (labels, 30, 5), (labels, 8, 10)):
        folds = StratifiedKFold(splits, shuffle=True, random_state=splits)
        answer = estimate_accuracy(GaussianNB(), features.copy(), truth.copy(), count, folds)
        judge_estimate(answer, features, truth, count, folds)
    return "Each fold chose with its own training labels, so shuffled labels give about chance."


def judge_estimate(answer, features: np.ndarray, labels: np.ndarray, count: int, folds: StratifiedKFold) -> None:
    """Raise ``Wrong`` unless ``answer`` is the estimate and its standard error, with the choice inside the folds."""
    both = things(answer, 2, "two numbers: the estimate and its standard error")
    expect(all(np.ndim(each) == 0 for each in both), "Each of the two should be one number, over all folds.")
    estimate, error = map(float, both)
    select = SelectKBest(f_classif, k=count)
    inside = cross_validate(make_pipeline(select, GaussianNB()), features, labels, cv=folds, return_train_score=True)
    scores = inside["test_score"]
    outside = cross_val_score(GaussianNB(), select.fit_transform(features, labels), labels, cv=folds).mean()
    everything = cross_val_score(GaussianNB(), features, labels, cv=folds).mean()
    if not np.isclose(estimate, scores.mean(), atol=1e-3):
        expect(
            not np.isclose(estimate, inside["train_score"].mean(), atol=1e-3),
            f"Your estimate is {estimate:.2f}: the accuracy on the pictures that the classifier learned from.",
        )
        expect(
            not np.isclose(estimate, everything, atol=1e-3),
            f"Your estimate {estimate:.2f} is that with all {features.shape[1]} columns. Where are the "
            f"best {count} chosen?",
        )
        expect(
            estimate < (scores.mean() + outside) / 2,
            f"Your estimate is {estimate:.2f}, the honest one is {scores.mean():.2f}, and guessing gives 0.25. What "
            "has seen the labels of the fold that should judge?",
        )
        raise Wrong(
            f"In these {folds.get_n_splits()} folds, cross-validation with {count} columns gives {scores.mean():.3f}; "
            f"your estimate is {estimate:.3f}. Do you use the folds, the number of columns and the classifier that "
            "your function gets?"
        )
    expected = (scores.var(ddof=1) / len(scores)) ** 0.5
    if not np.isclose(error, expected, rtol=0.01):
        case = f"The estimate is right. Its standard error is {error:.4f} in your answer"
        spreads = (scores.std(ddof=1), scores.std())
        expect(
            not np.isclose(error, spreads, rtol=0.01).any(),
            f"{case}: that is the spread of the folds, not of their mean.",
        )
        expect(
            not np.isclose(error, spreads[1] / np.sqrt(len(scores)), rtol=0.01),
            f"{case}: for so few folds, use ddof=1.",
        )
        raise Wrong(f"{case}. How many values is the mean made of, and how far do they spread?")


@lru_cache(maxsize=1)
def _few_labels(profile: Profile, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return 20 training pictures of each class, their labels, and the number of classes."""
    data = load_data(profile, seed)
    class_count = len(data.class_names)
    (chosen,) = stratified_indices(data.y_train, [20 * class_count], seed)
    return data.x_train[chosen], data.y_train[chosen], class_count


SHIFT = 3  # the check of 9.5 numbers the classes anew, so that labels from elsewhere do not help


def check_few_labels(
    targets: Mapping[str, float], train: Callable, profile: Profile | str = "auto", seed: int = 0
) -> str:
    """Check task 9.5: let a learner's function learn from 20 labels per class that it is given, and judge it."""
    profile = find_profile(profile)
    images, labels, class_count = _few_labels(profile, seed)

    def back(answer):
        expect(answer is not None, "The function that you return returns nothing for pictures.")
        return (np.asarray(answer) - SHIFT) % class_count

    def train_with_new_numbers():
        classify = train(images.copy(), (labels + SHIFT) % class_count)
        if not callable(classify) or isinstance(classify, keras.Model):
            return classify  # check_training says what is wrong with it
        remembered = np.asarray(classify(images.copy()))
        expect(
            remembered.shape != labels.shape or np.mean(remembered == labels) < 0.5,
            "Your function returns the class numbers of `load_data`. It should learn from the labels that it is given; "
            "in them, the classes have other numbers.",
        )
        return lambda new: back(classify(new))

    return check_training(targets, train_with_new_numbers, profile, seed)


TARGETS = {"mini": 0.60, "cifar10-cpu": 0.52, "cifar10-gpu": 0.60}

TASKS = {
    "9.1": Task(
        "draw the same number of pictures of each class",
        check_choice,
        (
            "Do it for one class first: where in the pool are its pictures?",
            "Read about numpy.flatnonzero, and the method choice of numpy.random.default_rng with replace=False.",
            "For each label of np.unique(labels): random.choice(np.flatnonzero(labels == label), per_class, "
            "replace=False); then np.concatenate.",
        ),
    ),
    "9.2": Task(
        "measure a learning curve",
        check_curve,
        (
            "One row of the table is one training: which pictures, which scaling, judged on what?",
            "Read about sklearn.pipeline.make_pipeline and sklearn.preprocessing.StandardScaler.",
            "For each size and seed: choose; make_pipeline(StandardScaler(), classifier).fit(…the chosen…); its score "
            "on the test data; append (size, seed, score).",
        ),
    ),
    "9.3": Task(
        "find the size from which on a method leads",
        check_crossing,
        (
            "Both tables have the same seeds in the same columns. What is one number of the lead?",
            "Read about paired_difference and its beats(); or about mean and sem of pandas.DataFrame with axis=1, and "
            "scipy.stats.t.ppf.",
            "clear[size] = paired_difference(new.loc[size], old.loc[size]).beats(); then go from the largest size "
            "down, as long as it is clear.",
        ),
    ),
    "9.4": Task(
        "cross-validate with the choice inside the folds",
        check_estimate,
        (
            "Choosing columns looks at labels. At which labels may it look, when a fold is to judge?",
            "Read about make_pipeline with sklearn.feature_selection.SelectKBest, and cross_val_score with cv.",
            "cross_val_score(make_pipeline(SelectKBest(f_classif, k=count), classifier), …, cv=folds); its mean, and "
            "its std(ddof=1) divided by the root of the number of folds.",
        ),
    ),
    "9.5": Task(
        "reach the target accuracy with 20 labels per class",
        partial(check_few_labels, TARGETS),
        (
            "With so few labels, which part of the model should not be trained?",
            "Read about sklearn.model_selection.GridSearchCV: it cross-validates, so it needs no other labels.",
            "Features of the frozen backbone, pooled; StandardScaler and SVC in a pipeline; a few values of C by "
            "GridSearchCV; return a function that computes features of new pictures and predicts.",
        ),
    ),
}
