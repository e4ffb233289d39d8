from functools import cache

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.answers.networks import features_of, shared_data

import keras

Binary, Accuracy, Adam = keras.losses.BinaryCrossentropy, keras.metrics.BinaryAccuracy, keras.optimizers.Adam


# 14.1
def recalls(labels, answers, class_count):
    masks = [labels == label for label in range(class_count)]
    return np.array([np.mean(answers[mask] == labels[mask]) if mask.any() else np.nan for mask in masks])


def recalls_by_matrix(labels, answers, class_count):
    matrix = confusion_matrix(labels, answers, labels=range(class_count))
    count = matrix.sum(axis=1)
    return np.where(count > 0, matrix.diagonal() / np.maximum(1, count), np.nan)


def recalls_of_sklearn(labels, answers, class_count):
    classes = range(class_count)
    return recall_score(labels, answers, labels=classes, average=None, zero_division=np.nan).tolist()


def precisions(labels, answers, class_count):
    masks = [answers == label for label in range(class_count)]
    return np.array([np.mean(labels[mask] == answers[mask]) if mask.any() else 0.0 for mask in masks])


def hits(labels, answers, class_count):
    return np.array([np.sum((labels == label) & (answers == label)) for label in range(class_count)])


def spoiling(labels, answers, class_count):
    found = recalls(labels, answers, class_count)
    labels[:] = 0
    return found


def recalls_up_to_the_last(labels, answers, class_count):
    return recalls(labels, answers, labels.max() + 1)


def recalls_of_the_present(labels, answers, class_count):
    found = np.full(class_count, np.nan)
    for place, label in enumerate(np.unique(labels)):
        found[place] = np.mean(answers[labels == label] == label)
    return found


# 14.2
def compiled(loss, *metrics, rate=None):
    def compile_binary(model, learning_rate):
        model.compile(Adam(rate or learning_rate), loss() if callable(loss) else loss, metrics=[m() for m in metrics])

    return compile_binary


def from_logits():
    return Binary(from_logits=True)


def at_zero():
    return Accuracy(threshold=0.0, name="accuracy")


def own_accuracy(model, learning_rate):
    def accuracy(labels, logits):
        return keras.ops.cast((logits > 0) == (labels > 0.5), "float32")

    model.compile(Adam(learning_rate), from_logits(), metrics=[accuracy])


def own_loss(model, learning_rate):
    def loss(labels, logits):
        return keras.ops.binary_crossentropy(labels, logits, from_logits=True)

    model.compile(Adam(learning_rate), loss, metrics=[at_zero()])


def with_sigmoid(model, learning_rate):
    model.add(keras.layers.Activation("sigmoid"))
    model.compile(Adam(learning_rate), Binary(), metrics=["accuracy"])


# 14.3
def outside(model, x, labels, folds):
    probabilities = np.zeros((len(x), labels.max() + 1))
    for fold in np.unique(folds):
        judged = folds == fold
        model.fit(x[~judged], labels[~judged])
        probabilities[judged] = model.predict_proba(x[judged])
    return probabilities


def named(probabilities, labels, thresholds=None):
    if thresholds is None:
        thresholds = [probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])]
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    return (reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != labels)


def suspects(model, x, labels, folds):
    return named(outside(model, x, labels, folds), labels)


def suspects_of_the_lesson(model, x, labels, folds):
    probabilities = outside(clone(model), x, labels, folds)
    return named(probabilities, labels) & (probabilities.argmax(axis=1) != labels)


def suspects_in_a_loop(model, x, labels, folds):
    probabilities = outside(model, x, labels, folds)
    classes = range(probabilities.shape[1])
    thresholds = [np.mean(probabilities[[label == k for label in labels], k]) for k in classes]
    marked = []
    for p, label in zip(probabilities, labels, strict=True):
        possible = [k for k in classes if p[k] >= thresholds[k]]
        marked.append(bool(possible) and max(possible, key=lambda k: p[k]) != label)
    return np.array(marked)


def inside(rule):
    return lambda model, x, labels, folds: rule(model.fit(x, labels).predict_proba(x), labels)


def out_of_fold(rule):
    return lambda model, x, labels, folds: rule(outside(model, x, labels, folds), labels)


def turned(model, x, labels, folds):
    probabilities = np.zeros((len(x), labels.max() + 1))
    for fold in np.unique(folds):
        seen = folds == fold
        probabilities[~seen] = model.fit(x[seen], labels[seen]).predict_proba(x[~seen])
    return named(probabilities, labels)


def likeliest(probabilities, labels):
    return probabilities.argmax(axis=1) != labels


def below_own(probabilities, labels):
    thresholds = np.array([probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])])
    return probabilities[np.arange(len(labels)), labels] < thresholds[labels]


def none_reached(probabilities, labels):
    thresholds = [probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])]
    return np.where(probabilities >= thresholds, probabilities, 0).argmax(axis=1) != labels


def furthest_above(probabilities, labels):
    above = probabilities - [probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])]
    return (above.max(axis=1) >= 0) & (above.argmax(axis=1) != labels)


# 14.4
def adjusted(logits, old, new):
    return (logits - np.log(old) + np.log(new)).argmax(axis=1)


def adjusted_probabilities(logits, old, new):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (probabilities / old * new).argmax(axis=1)


def adjusted_by_keras(logits, old, new):
    return keras.ops.argmax(logits + np.log(new / old), axis=1)


def zeroed(logits, old, new):
    answer = adjusted(logits, old, new)
    logits[:] = 0
    return answer


# 14.5: on mini, whatever profile the reader has
@cache
def unequal():
    data = shared_data()
    rows = [np.flatnonzero(data.y_train == k) for k in range(10)]
    kept = np.concatenate([each[: len(each) // 20] if k >= 5 else each for k, each in enumerate(rows)])
    return features_of(data.x_train[kept]), data.y_train[kept]


def trained(shift, C=0.1, **options):
    def train_classifier():
        features, labels = unequal()
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000, **options))
        model.fit(features, labels)
        lead = shift * np.log(np.bincount(labels) / len(labels))
        return lambda images: (model.decision_function(features_of(images)) - lead).argmax(axis=1)

    return train_classifier


RIGHT = {
    "14.1": [recalls, recalls_by_matrix, recalls_of_sklearn],
    "14.2": [compiled(from_logits, at_zero), own_accuracy, own_loss],
    "14.3": [suspects, suspects_of_the_lesson, suspects_in_a_loop],
    "14.4": [adjusted, adjusted_probabilities, adjusted_by_keras],
    "14.5": [(trained(1), "mini"), (trained(0.8, C=0.05), "mini")],
}
WRONG = {
    "14.1": [
        (lambda *given: None, "returns nothing"),
        (lambda labels, answers, count: np.mean(labels == answers), "one number for each class"),
        (precisions, "This is the precision"),
        (hits, "are counts"),
        (lambda labels, answers, count: hits(labels, answers, count) / len(labels), "among *all* pictures"),
        (lambda *given: np.nan_to_num(recalls(*given)), "Wanted is nan"),
        (lambda *given: 1 - recalls(*given), "your recall of it is"),
        (spoiling, "changes the arrays"),
        (lambda *given: dict(enumerate(recalls(*given))), "returns a dict"),
        (recalls_up_to_the_last, "For 6 classes your function returns an array of shape (5,)"),
        (recalls_of_the_present, "Class 3 has 12 pictures"),
    ],
    "14.2": [
        (lambda model, rate: None, "is not compiled"),
        (compiled("binary_crossentropy", lambda: "accuracy"), "for probabilities"),
        (compiled(from_logits, lambda: "accuracy"), "only what is above 0.5"),
        (compiled(from_logits, lambda: Accuracy(name="accuracy")), "only what is above 0.5"),
        (compiled(from_logits), "no metric called accuracy"),
        (compiled(from_logits, lambda: Accuracy(threshold=0.0)), "binary_accuracy"),
        (compiled(lambda: "mse", at_zero), "the binary cross-entropy of the logits"),
        (compiled(lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True), at_zero), "for two classes"),
        (compiled(from_logits, lambda: Accuracy(threshold=-1.0, name="accuracy")), "of the answers are right"),
        (compiled(from_logits, at_zero, rate=0.5), "The learning rate is 0.5"),
        (with_sigmoid, "must stay as it is"),
    ],
    "14.3": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: np.flatnonzero(suspects(*given)), "True or False for each"),
        (inside(named), "learned the wrong ones by heart"),
        (inside(likeliest), "learned the wrong ones by heart"),
        (turned, "Train on the others"),
        (out_of_fold(likeliest), "reaches its own threshold"),
        (out_of_fold(lambda p, labels: named(p, labels, p.mean(axis=0))), "with this label"),
        (out_of_fold(lambda p, labels: p[np.arange(len(p)), labels] < 0.5), "below 0.5"),
        (out_of_fold(below_own), "*another* class"),
        (out_of_fold(none_reached), "no class reaches its threshold"),
        (out_of_fold(furthest_above), "furthest above"),
        (lambda *given: ~suspects(*given), "exchanged"),
        (out_of_fold(lambda p, labels: named(p, labels, np.full(p.shape[1], 0.9))), "answers differ"),
    ],
    "14.4": [
        (lambda *given: None, "returns nothing"),
        (lambda logits, old, new: logits - np.log(old) + np.log(new), "one label for each"),
        (lambda logits, old, new: logits.argmax(axis=1), "as they are"),
        (lambda logits, old, new: adjusted(logits, new, old), "exchanged"),
        (lambda logits, old, new: (logits - np.log(old)).argmax(axis=1), "become equally frequent"),
        (lambda logits, old, new: (logits + np.log(new)).argmax(axis=1), "still in the logits"),
        (lambda logits, old, new: (logits + np.log(old) + np.log(new)).argmax(axis=1), "has to go out"),
        (lambda logits, old, new: (logits - old + new).argmax(axis=1), "scale of logarithms"),
        (lambda logits, old, new: (logits / old * new).argmax(axis=1), "one adds"),
        (lambda logits, old, new: (logits - 2 * np.log(old) + np.log(new)).argmax(axis=1), "the new ones in"),
        (zeroed, "changes the logits"),
    ],
    "14.5": [
        ((trained(0), "mini"), "head start"),
        ((trained(2), "mini"), "the target is"),
        ((lambda: lambda images: np.zeros((len(images), 10)), "mini"), "scores for each class"),
        ((lambda: None, "mini"), "must return a function"),
    ],
}
