"""Checks of exercise 14, look at your errors, labels and classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, ended, expect, same_arrays
from helpers.profiles import Profile

import keras


def check_recall(recall_by_class) -> str:
    """Check task 14.1."""
    random = np.random.default_rng(141)
    for class_count, absent in ((4, None), (6, 2), (6, 5)):
        present = [label for label in range(class_count) if label != absent]
        labels = np.repeat(present, random.permutation(np.arange(6, 6 + 3 * len(present), 3)))
        answers = np.where(random.random(len(labels)) < 0.6, labels, random.integers(0, class_count, len(labels)))
        kept = labels.copy(), answers.copy()
        recalls = recall_by_class(labels, answers, class_count)
        expect(recalls is not None, NOTHING)
        expect(not isinstance(recalls, dict), "Your function returns a dict. Wanted is an array: class 0 first.")
        same = same_arrays(kept, (labels, answers))
        expect(same, "Your function changes the arrays that it was given.")
        judge_recalls(np.asarray(recalls, float), kept[0], kept[1], class_count)
    return "Each class is judged by its own pictures; a class without pictures has no recall."


def judge_recalls(recalls: np.ndarray, labels: np.ndarray, answers: np.ndarray, class_count: int) -> None:
    """Raise ``Wrong`` unless the recalls ``(class_count,)`` are right."""
    of_class, said = (np.bincount(each, minlength=class_count) for each in (labels, answers))
    hits = np.bincount(labels[labels == answers], minlength=class_count)
    expect(
        recalls.shape == (class_count,),
        f"For {class_count} classes your function returns an array of shape {recalls.shape}; wanted is one number for "
        "each class.",
    )
    absent = of_class == 0
    wanted = hits[~absent] / of_class[~absent]
    given = recalls[~absent]
    expect(
        not np.allclose(given, hits[~absent] / np.maximum(1, said[~absent])) or np.allclose(given, wanted),
        "This is the precision: of the pictures that were called so, the part that is right. Wanted is the recall: of "
        "the pictures that are of this class.",
    )
    expect(
        not np.allclose(given, hits[~absent] / len(labels)),
        "Your numbers are right answers of a class among *all* pictures. Divide by the pictures of this class.",
    )
    expect(not np.allclose(given, hits[~absent]), "Your numbers are counts. Wanted are parts, from 0 to 1.")
    for label in np.flatnonzero(~absent):
        expect(
            np.isclose(recalls[label], hits[label] / of_class[label]),
            f"Class {label} has {of_class[label]} pictures, of which {hits[label]} were called so; your recall of it "
            f"is {recalls[label]:.3f}.",
        )
    expect(
        np.isnan(recalls[absent]).all(),
        f"Class {int(np.flatnonzero(absent)[0]) if absent.any() else 0} has no picture here, so nothing is known of "
        f"it; your recall is {recalls[absent][0] if absent.any() else 0:g}. Wanted is nan: a number would count in the "
        "mean.",
    )


def known_logits() -> tuple[keras.Model, np.ndarray, np.ndarray, np.ndarray]:
    """Return a model with one output, inputs ``(n, 2)``, its logits ``(n,)`` for them, and labels ``(n,)``."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[1.0], [-0.5]], "float32"), np.array([0.1], "float32")])
    x = np.random.default_rng(142).normal(size=(200, 2)).astype("float32")
    logits = x[:, 0] - 0.5 * x[:, 1] + 0.1
    labels = (logits + np.random.default_rng(143).normal(size=200) > 0.2).astype("float32")
    return model, x, logits, labels


def check_compile(compile_binary) -> str:
    """Check task 14.2."""
    model, x, logits, labels = known_logits()
    before = [weight.copy() for weight in model.get_weights()]
    compile_binary(model, 0.02)
    same = len(model.layers) == 1 and all(map(np.array_equal, model.get_weights(), before))
    same = same and np.allclose(np.asarray(model(x))[:, 0], logits, atol=1e-4)
    expect(same, "The model must stay as it is: one layer, which gives logits.")
    expect(
        getattr(model, "compiled", False) and model.optimizer is not None,
        "The model is not compiled: call model.compile(…) on it.",
    )
    rate = float(np.asarray(model.optimizer.learning_rate))
    expect(abs(rate - 0.02) < 1e-6, f"The learning rate is {rate:g}; 0.02 was asked for.")
    try:
        measured = model.evaluate(x, labels[:, None], batch_size=len(x), verbose=0, return_dict=True)
    except Exception as error:  # whatever a loss raises that is made for other outputs
        raise Wrong(
            "The loss or the metric that the model was compiled with stops in evaluate. The model gives one number for "
            "each picture, shape (n, 1), and the labels are 0 and 1. Is the loss one for two classes?"
        ) from error
    judge_measured(measured, logits, labels)
    return "The loss and the accuracy both take the outputs for logits."


def judge_measured(measured: dict[str, float], logits: np.ndarray, labels: np.ndarray) -> None:
    """Raise ``Wrong`` unless the loss and the accuracy that ``evaluate`` gives are those of logits."""
    losses = {
        from_logits: float(keras.losses.BinaryCrossentropy(from_logits=from_logits)(labels[:, None], logits[:, None]))
        for from_logits in (True, False)
    }
    expect(
        abs(measured["loss"] - losses[False]) > 1e-3,
        f"The loss on some pictures is {measured['loss']:.3f}: it takes your outputs for probabilities, and cuts off "
        "what is below 0 or above 1. The outputs are logits. How does one tell the loss?",
    )
    expect(
        abs(measured["loss"] - losses[True]) < 1e-3,
        f"The loss on some pictures is {measured['loss']:.3f}; the binary cross-entropy of the logits is "
        f"{losses[True]:.3f}.",
    )
    names = [name for name in measured if name != "loss"]
    expect("accuracy" in names, f"There is no metric called accuracy; there is: {', '.join(names) or 'none'}.")
    yes = labels == 1
    at = {place: float(np.mean((logits > place) == yes)) for place in (0.0, 0.5)}
    accuracy = measured["accuracy"]
    expect(
        abs(accuracy - at[0.5]) > 1e-3,
        f"The accuracy on some pictures is {accuracy:.3f}: as yes counts only what is above 0.5. The outputs are "
        "logits; which logit is a probability of 0.5?",
    )
    expect(
        abs(accuracy - at[0.0]) < 1e-3,
        f"The accuracy on some pictures is {accuracy:.3f}; {at[0.0]:.3f} of the answers are right.",
    )


def named(probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return True where the likeliest class that reaches its threshold is not the label."""
    allowed = probabilities >= thresholds
    best = np.argmax(probabilities * allowed, axis=1)
    return allowed.any(axis=1) & (best != labels)


def suspects(model, x: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> dict[str, np.ndarray]:
    """Return who is named ``(n,)``, by what was done: "right", or one of the usual mistakes."""
    from sklearn.base import clone

    rows, classes = np.arange(len(labels)), range(labels.max() + 1)
    outside, turned = np.zeros((2, len(labels), len(classes)))
    for fold in np.unique(folds):
        part = folds == fold
        outside[part] = clone(model).fit(x[~part], labels[~part]).predict_proba(x[part])
        turned[~part] = clone(model).fit(x[part], labels[part]).predict_proba(x[~part])
    inside = clone(model).fit(x, labels).predict_proba(x)

    def own(probabilities: np.ndarray) -> np.ndarray:
        return np.array([probabilities[labels == k, k].mean() for k in classes])

    right = named(outside, labels, own(outside))
    return {
        "right": right,
        "stricter": right & (outside.argmax(axis=1) != labels),  # as cleanlab does
        "in-fold": named(inside, labels, own(inside)),
        "in-fold, likeliest": inside.argmax(axis=1) != labels,
        "turned": named(turned, labels, own(turned)),
        "likeliest": outside.argmax(axis=1) != labels,
        "none reached": (outside * (outside >= own(outside))).argmax(axis=1) != labels,
        "margin": (outside >= own(outside)).any(axis=1) & ((outside - own(outside)).argmax(axis=1) != labels),
        "all pictures": named(outside, labels, outside.mean(axis=0)),
        "half": outside[rows, labels] < 0.5,
        "below": outside[rows, labels] < own(outside)[labels],
        "opposite": ~right,
    }


_BY_HEART = "the model judges pictures whose labels it was trained on. It has learned the wrong ones by heart, too"
SUSPECTS = {
    "in-fold": _BY_HEART,
    "in-fold, likeliest": _BY_HEART,
    "turned": "each model was trained on one fold, and judges the others. Train on the others, judge the one",
    "likeliest": "it names all whose likeliest class is not the label. Wanted are only those where a class reaches "
    "its own threshold",
    "none reached": "it also names pictures for which no class reaches its threshold. What is the argmax of a row of "
    "zeros?",
    "margin": "of the classes that reach their threshold, it takes the one that is furthest above. Wanted is the "
    "likeliest",
    "all pictures": "each threshold is a mean over all pictures. Wanted is the mean over those *with this label*",
    "half": "it names labels with a probability below 0.5. Wanted is a threshold for each class, and another class "
    "that reaches its own",
    "below": "it names labels that are below their own threshold. Wanted: *another* class that reaches its threshold",
    "opposite": "True and False are exchanged: True means that the label looks wrong",
}


def noisy_groups(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features ``(n, 3)``, labels ``(n,)`` of which a tenth are wrong, and the fold of each picture ``(n,)``."""
    random = np.random.default_rng(seed)
    true = random.permutation(np.repeat(range(4), (90, 70, 50, 30)))
    x = random.normal(size=(240, 3)) + 1.8 * np.array([[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]])[true]
    labels = np.where(np.arange(240) < 24, (true + random.integers(1, 4, 240)) % 4, true)
    order = random.permutation(240)
    return x[order], labels[order], random.permutation(np.arange(240) % 5)


def check_suspects(name_suspects) -> str:
    """Check task 14.3."""
    from sklearn.neighbors import KNeighborsClassifier

    for seed, neighbours in ((1446, 25), (1430, 15)):
        model = KNeighborsClassifier(neighbours, weights="distance")
        x, labels, folds = noisy_groups(seed)
        kept = labels.copy()
        answer = name_suspects(model, x, labels, folds)
        expect(answer is not None, NOTHING)
        expect(np.array_equal(labels, kept), "Your function changes the labels that it was given.")
        judge_suspects(np.asarray(answer), suspects(model, x, kept, folds))
    return "Each picture was judged by a model that had not seen its label, and each class has its own threshold."


def judge_suspects(answer: np.ndarray, wanted: dict[str, np.ndarray]) -> None:
    """Raise ``Wrong`` unless those are named that the rule names."""
    count = len(wanted["right"])
    expect(
        answer.shape == (count,) and answer.dtype == bool,
        f"Your function returns an array of shape {answer.shape} and type {answer.dtype}; wanted is True or False for "
        f"each of the {count} pictures.",
    )
    if any(np.array_equal(answer, wanted[name]) for name in ("right", "stricter")):
        return
    for name, reason in SUSPECTS.items():
        expect(
            not np.array_equal(answer, wanted[name]), f"Your function names {answer.sum()} pictures: {ended(reason)}"
        )
    differ = int((answer != wanted["right"]).sum())
    raise Wrong(
        f"Your function names {answer.sum()} of {count} pictures; wanted are {wanted['right'].sum()}, and {differ} "
        "answers differ. Probabilities from outside the fold; a threshold for each class; the likeliest class among "
        "those that reach theirs."
    )


def decisions(logits: np.ndarray, before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Return the answers ``(n,)``, by what was done: "right", or one of the usual mistakes."""
    adjusted = {
        "right": logits - np.log(before) + np.log(after),
        "nothing": logits,
        "exchanged": logits + np.log(before) - np.log(after),
        "before only": logits - np.log(before),
        "after only": logits + np.log(after),
        "both added": logits + np.log(before) + np.log(after),
        "no logarithm": logits - before + after,
        "multiplied": logits / before * after,
    }
    return {name: scores.argmax(axis=1) for name, scores in adjusted.items()}


DECISIONS = {
    "nothing": "they are those of the logits as they are",
    "exchanged": "the two frequencies are exchanged: classes that became rarer gain",
    "before only": "they are right where all classes become equally frequent. Where do the new frequencies come in?",
    "after only": "the new frequencies are in, but what the model learned of the old ones is still in the logits, too",
    "both added": "the old frequencies are added. What the model learned of them has to go out",
    "no logarithm": "the frequencies are added and subtracted as they are. Logits are on the scale of logarithms",
    "multiplied": "the logits are multiplied and divided. That fits probabilities; on logits, one adds",
}


def check_adjust(answers_for) -> str:
    """Check task 14.4."""
    random = np.random.default_rng(144)
    for classes, unit in ((4, 1.0), (6, 1.5)):
        logits = unit * random.normal(size=(400, classes))
        frequencies = [random.dirichlet(np.ones(classes)) * 0.9 + 0.1 / classes for _ in range(2)]
        kept = logits.copy()
        answer = answers_for(logits, *frequencies)
        expect(answer is not None, NOTHING)
        expect(np.array_equal(logits, kept), "Your function changes the logits that it was given.")
        answer = np.asarray(answer)
        expect(
            answer.shape == (400,),
            f"For 400 pictures your function returns an array of shape {answer.shape}; wanted is one label for each.",
        )
        wanted = decisions(kept, *frequencies)
        if np.array_equal(answer, wanted["right"]):
            continue
        for name, reason in DECISIONS.items():
            same = np.array_equal(answer, wanted[name])
            expect(not same, f"With {classes} classes, your answers are wrong: {ended(reason)}")
        raise Wrong(
            f"With {classes} classes, {np.mean(answer != wanted['right']):.0%} of your answers are not those that are "
            "wanted: the old frequencies out of the logits, the new ones in, then the highest."
        )
    return "The model answers as if it had been trained where the classes are as frequent as they are now."


def check_unequal(train: Callable, profile: Profile | str = "auto", seed: int = 0) -> str:
    """Check task 14.5."""
    return check_training(TARGETS, train, profile, seed, advise=advise_unequal)


def advise_unequal(labels: np.ndarray, answer: np.ndarray) -> str:
    """Say what holds a classifier back: the classes from 5 on were rare in its training pictures."""
    frequent, rare = (float(np.mean(answer[part] == labels[part])) for part in (labels < 5, labels >= 5))
    found = f"Of the five frequent classes you find {frequent:.2f} of the pictures, of the five rare ones {rare:.2f}."
    if frequent - rare > 0.15:
        return f"{found} What do you do about the frequent classes' head start?"
    return f"{found} That is fair; which part has room: the size of the pictures, the scaling, the model?"


TARGETS = {"mini": 0.62, "cifar10-cpu": 0.63, "cifar10-gpu": 0.70}

TASKS = {
    "14.1": Task(
        "measure the recall of each class",
        check_recall,
        (
            "Take one class. Which pictures does its recall look at, and what is counted among them?",
            "A mask selects pictures: labels == label. The mean of True and False is a part. Read about numpy.nan.",
            "Begin with np.full(class_count, np.nan); for each k that occurs, the mean of answers[labels == k] == k.",
        ),
    ),
    "14.2": Task(
        "find the two bugs: a loss and an accuracy for logits",
        check_compile,
        (
            "Both the loss and the metric get the outputs of Dense(1). What does each of the two believe that these "
            "outputs are?",
            "Read about keras.losses.BinaryCrossentropy (from_logits), and keras.metrics.BinaryAccuracy (threshold).",
            'BinaryCrossentropy(from_logits=True), and metrics=[BinaryAccuracy(threshold=0.0, name="accuracy")].',
        ),
    ),
    "14.3": Task(
        "name the labels that look wrong",
        check_suspects,
        (
            "For each fold: which pictures may the model learn from, and which does it judge?",
            "Read about fit and predict_proba. First fill an array (n, classes), fold by fold; then apply the rule.",
            "model.fit(x[folds != f], …); p[folds == f] = model.predict_proba(x[folds == f]); thresholds as in the "
            "lesson; np.where(p >= thresholds, p, -1); its argmax against the label, where its max is not -1.",
        ),
    ),
    "14.4": Task(
        "answer where the classes are as frequent as now",
        check_adjust,
        (
            "What did the model learn about how frequent each class is? First take it out, then put the new one in.",
            "Read about numpy.log: a product of probabilities is a sum of logits.",
            "Subtract the logarithms of the old frequencies, add those of the new ones; then argmax along the classes.",
        ),
    ),
    "14.5": Task(
        "reach a balanced accuracy with unequal classes",
        check_unequal,
        (
            "Frozen features and a simple model are enough. What do you do about the frequent classes' head start?",
            "Read about sklearn.linear_model.LogisticRegression, its decision_function, and about logit adjustment.",
            "Standardised features; LogisticRegression with a small C; decision_function minus np.log of the class "
            "frequencies in training; argmax.",
        ),
    ),
}
