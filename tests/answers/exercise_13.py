"""Answers to exercise 13: right ones of several kinds, and typical wrong ones with a part of the message they get."""

from functools import cache, partial

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, softmax

import helpers.quiet  # noqa: F401
from helpers.checks.exercise_13 import best_temperature
from helpers.data import make_dataset
from helpers.models import build_backbone
from tests.answers.networks import shared_data

import keras
from keras import layers


# 13.1
def number_of_bin(confidence, bins):
    return np.minimum((confidence * bins).astype(int), bins - 1)


def bins_by_masks(probabilities, labels, bins):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = number_of_bin(confidence, bins)
    inside = [which == b for b in range(bins) if (which == b).any()]
    count, mean = [part.sum() for part in inside], [confidence[part].mean() for part in inside]
    return count, mean, [right[part].mean() for part in inside]


def bins_by_pandas(probabilities, labels, bins):
    table = pd.DataFrame({"c": probabilities.max(axis=1), "r": probabilities.argmax(axis=1) == labels})
    groups = table.groupby(number_of_bin(table["c"].to_numpy(), bins))
    return groups.size().to_numpy(), groups["c"].mean().to_numpy(), groups["r"].mean().to_numpy()


def bins_by_counting(probabilities, labels, bins):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.clip(np.digitize(confidence, np.linspace(0, 1, bins + 1)) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    full = count > 0
    sums = (np.bincount(which, weights=values, minlength=bins)[full] for values in (confidence, right))
    return count[full], *(each / count[full] for each in sums)


def bins_changed(change):
    return lambda *given: change(*map(np.asarray, bins_by_masks(*given)), *given)


def bins_with_empty_ones(probabilities, labels, bins):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = number_of_bin(confidence, bins)
    inside = [which == b for b in range(bins)]
    with np.errstate(invalid="ignore"):
        count = np.array([part.sum() for part in inside])
        mean = np.array([confidence[part].sum() for part in inside]) / count
        return count, mean, np.array([right[part].sum() for part in inside]) / count


def bins_with_zeros(*given):
    return [np.nan_to_num(array) for array in bins_with_empty_ones(*given)]


def bins_without_the_last(probabilities, labels, bins):
    sure = probabilities.max(axis=1) == 1
    return bins_by_masks(probabilities[~sure], labels[~sure], bins)


def bins_from_the_smallest(probabilities, labels, bins):
    confidence = probabilities.max(axis=1)
    confidence = (confidence - confidence.min()) / (1 - confidence.min())
    return bins_by_masks(np.stack([confidence, 0 * confidence], axis=1), labels, bins)


def bins_in_place(probabilities, labels, bins):
    probabilities *= 0.99
    return bins_by_masks(probabilities, labels, bins)


# 13.2
def error_by_average(probabilities, labels, bins):
    count, confidence, accuracy = map(np.asarray, bins_by_masks(probabilities, labels, bins))
    return np.average(abs(confidence - accuracy), weights=count)


def error_by_sums(probabilities, labels, bins):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = number_of_bin(confidence, bins)
    sums = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(abs(sums).sum() / len(labels))


def error_from(change):
    def calibration_error(*given):
        count, confidence, accuracy = map(np.asarray, bins_by_masks(*given))
        return change(count / count.sum(), confidence - accuracy)

    return calibration_error


# 13.3
def loss_at(logits, labels):
    return lambda log_t: -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean()


def by_search(logits, labels):
    return np.exp(minimize_scalar(loss_at(logits, labels), bounds=(-4, 4), method="bounded").x)


def by_a_grid(logits, labels):
    grid = np.linspace(-3, 3, 1201)
    return float(np.exp(grid[np.argmin([loss_at(logits, labels)(log_t) for log_t in grid])]))


def by_keras(logits, labels):
    log_t = keras.Variable(0.0)
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build([log_t])
    import tensorflow as tf

    for _ in range(150):
        with tf.GradientTape() as tape:
            scaled = tf.constant(logits, "float32") / keras.ops.exp(log_t)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, scaled, from_logits=True))
        optimizer.apply([tape.gradient(loss, log_t.value)], [log_t])
    return float(keras.ops.exp(log_t))


def above_one(logits, labels):
    return np.exp(minimize_scalar(loss_at(logits, labels), bounds=(0, 4), method="bounded").x)


def by_accuracy(logits, labels):
    grid = np.linspace(1, 4, 31)
    return grid[np.argmax([((logits / t).argmax(axis=1) == labels).mean() for t in grid])]


def by_gap(logits, labels):
    right = (logits.argmax(axis=1) == labels).mean()
    return brentq(lambda t: softmax(logits / t, axis=1).max(axis=1).mean() - right, 0.05, 50)


def in_place(logits, labels):
    T = best_temperature(logits, labels)
    logits /= T
    return T


# 13.4
def gap(p, labels):
    return p.max(axis=1).mean() - (p.argmax(axis=1) == labels).mean()


def mended(calibration, its_labels, test, test_labels):
    T = best_temperature(calibration, its_labels)
    return T, gap(softmax(test / T, axis=1), test_labels)


def mended_by_log(calibration, its_labels, test, test_labels):
    T = float(by_search(calibration, its_labels))
    return [T, gap(np.exp(log_softmax(test / T, axis=1)), test_labels)]


def with_bugs(calibration, its_labels, test, test_labels):
    p = softmax(test, axis=1)
    T = best_temperature(p, test_labels)
    return T, gap(softmax(p / T, axis=1), test_labels)


def fitted_on_test(calibration, its_labels, test, test_labels):
    return mended(test, test_labels, test, test_labels)


def fitted_on_both(calibration, its_labels, test, test_labels):
    both = np.concatenate([calibration, test]), np.concatenate([its_labels, test_labels])
    return mended(*both, test, test_labels)


def fitted_on_probabilities(calibration, its_labels, test, test_labels):
    return mended(softmax(calibration, axis=1), its_labels, softmax(test, axis=1), test_labels)


def softmax_twice(calibration, its_labels, test, test_labels):
    T = best_temperature(calibration, its_labels)
    return T, gap(softmax(softmax(test / T, axis=1), axis=1), test_labels)


def judged_on_calibration(calibration, its_labels, test, test_labels):
    return mended(calibration, its_labels, calibration, its_labels)


def not_scaled(calibration, its_labels, test, test_labels):
    return best_temperature(calibration, its_labels), gap(softmax(test, axis=1), test_labels)


# 13.5
def never_empty(calibration, labels, new, alpha):
    sets = sets_by_sorting(calibration, labels, new, alpha)
    sets[np.arange(len(new)), new.argmax(axis=1)] = True
    return sets


def sets_by_sorting(calibration, labels, new, alpha):
    n = len(labels)
    scores = np.append(np.sort(1 - calibration[np.arange(n), labels]), np.inf)
    rank = int(np.ceil((n + 1) * (1 - alpha)))
    return 1 - new <= scores[min(rank, n + 1) - 1]


def sets_by_quantile(calibration, labels, new, alpha, method="inverted_cdf"):
    n = len(labels)
    level = np.ceil((n + 1) * (1 - alpha)) / n
    if level > 1:
        return np.ones(new.shape, bool)
    scores = 1 - np.take_along_axis(calibration, labels[:, None], axis=1)[:, 0]
    return 1 - new <= np.quantile(scores, level, method=method)


def sets_by_counting(calibration, labels, new, alpha):
    scores = 1 - calibration[np.arange(len(labels)), labels]
    smaller = (scores[None, None] < (1 - new)[:, :, None]).sum(axis=2)  # of the scores, for each class
    return smaller < np.ceil((len(labels) + 1) * (1 - alpha))


def sets_at(threshold_of):
    def conformal_sets(calibration, labels, new, alpha):
        scores = np.sort(1 - calibration[np.arange(len(labels)), labels])
        return 1 - new <= threshold_of(scores, len(labels), alpha)

    return conformal_sets


def sets_below(calibration, labels, new, alpha):
    n = len(labels)
    scores = np.append(np.sort(1 - calibration[np.arange(n), labels]), np.inf)
    return 1 - new < scores[min(int(np.ceil((n + 1) * (1 - alpha))), n + 1) - 1]


def of_rank(rank_of):
    return sets_at(lambda scores, n, alpha: scores[min(max(rank_of(n, alpha), 1), n) - 1])


def right_rank(n, alpha):
    return int(np.ceil((n + 1) * (1 - alpha)))


def of_the_likeliest(calibration, labels, new, alpha):
    return sets_by_sorting(calibration, calibration.argmax(axis=1), new, alpha)


# 13.6: on mini, whatever profile the reader has
@cache
def trained():
    """Return a model from pixels to logits that has learned 200 pictures by heart, and its temperature."""
    keras.utils.set_random_seed(0)
    data = shared_data()
    backbone = build_backbone("mini_mobilenet", "mini")
    for layer in backbone.model.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    model = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D(), layers.Dense(10)])
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    flip = layers.RandomFlip("horizontal")
    train = make_dataset(data.x_train[:200], data.y_train[:200], image_size=32, shuffle=True, augment=flip)
    model.fit(train, epochs=25, shuffle=False, verbose=0)
    logits = model.predict(data.x_validation.astype("float32"), batch_size=128, verbose=0)
    return model, best_temperature(logits.astype("float64"), data.y_validation)


def sure(temperature=None, change=lambda p: p):
    """Return a `train_classifier` at the fitted temperature, or at another one."""

    def train_classifier():
        model, T = trained()

        def probabilities_of(images):
            logits = model.predict(images.astype("float32"), batch_size=128, verbose=0)
            return change(softmax(logits / (temperature or T), axis=1))

        return probabilities_of

    return train_classifier


def inside_the_model():
    model, T = trained()
    layer = layers.Rescaling(1 / T)
    scaled = keras.Sequential([model, layer, layers.Softmax()])
    return lambda images: scaled.predict(images.astype("float32"), batch_size=128, verbose=0)


RIGHT = {
    "13.1": [bins_by_masks, bins_by_pandas, bins_by_counting],
    "13.2": [error_by_average, error_by_sums],
    "13.3": [by_search, by_a_grid, by_keras],
    "13.4": [mended, mended_by_log],
    "13.5": [sets_by_sorting, sets_by_quantile, sets_by_counting],
    "13.6": [(sure(), "mini"), (inside_the_model, "mini")],
}
WRONG = {
    "13.1": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: given[0], "wanted are three arrays"),
        (bins_with_empty_ones, "some of your numbers are nan"),
        (bins_with_zeros, "Leave out the bins that hold no picture"),
        (bins_without_the_last, "pictures"),
        (bins_from_the_smallest, "Do the bins go from 0 to 1"),
        (bins_in_place, "changes the probabilities"),
        (bins_changed(lambda n, c, a, *given: (n / n.sum(), c, a)), "your counts are shares"),
        (bins_changed(lambda n, c, a, p, y, bins: (n, (np.floor(c * bins - 1e-9) + 0.5) / bins, a)), "middles"),
        (lambda *given: np.array(bins_by_masks(*given)).T, "a row for each bin"),
        (lambda *given: list(zip(*bins_by_masks(*given), strict=True)), "a row for each bin"),
        (bins_changed(lambda n, c, a, *given: (n, a, c)), "changed places"),
        (bins_changed(lambda n, c, a, *given: (n, c**2, a)), "the mean confidences are not"),
        (bins_changed(lambda n, c, a, *given: (n, c, a * n)), "numbers of right pictures"),
        (bins_changed(lambda n, c, a, *given: (n, c, a * n / n.sum())), "shares of all pictures"),
        (bins_changed(lambda n, c, a, *given: (n, c, 1 - a)), "shares of wrong answers"),
        (bins_changed(lambda n, c, a, *given: (n[::-1], c[::-1], a[::-1])), "from high confidence to low"),
        (lambda p, y, bins: bins_by_masks(p, y, bins + 1), "other bins"),
    ],
    "13.2": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: np.zeros(3), "Wanted is one number"),
        (error_from(lambda share, d: abs(d).mean()), "counts each bin alike"),
        (error_from(lambda share, d: share @ d), "cancelled"),
        (error_from(lambda share, d: abs(share @ d)), "cancelled"),
        (error_from(lambda share, d: abs(d).max()), "largest distance"),
        (error_from(lambda share, d: share @ d**2), "squares"),
        (error_from(lambda share, d: 100 * share @ abs(d)), "in percent"),
        (error_from(lambda share, d: 0.5), "wanted is"),
    ],
    "13.3": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: given[0], "Wanted is one number"),
        (lambda *given: 1 / by_search(*given), "The temperature divides"),
        (lambda *given: np.log(by_search(*given)), "logarithm"),
        (lambda z, y: best_temperature(softmax(z, axis=1), y), "went through softmax again"),
        (above_one, "may T be below 1"),
        (by_accuracy, "leaves the logits as they are"),
        (by_gap, "equals the accuracy"),
        (in_place, "changes the logits"),
        (lambda *given: 1.2 * by_search(*given), "wanted is"),
    ],
    "13.4": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: 0.0, "wanted are two numbers"),
        (with_bugs, "fitted on the pictures that are to judge it, and"),
        (fitted_on_test, "fitted on the pictures that are to judge it"),
        (fitted_on_both, "fitted on all pictures"),
        (fitted_on_probabilities, "fitted on probabilities"),
        (softmax_twice, "softmax was applied twice"),
        (judged_on_calibration, "that of the calibration pictures"),
        (not_scaled, "without the temperature"),
        (lambda *given: (mended(*given)[0], -mended(*given)[1]), "its sign is turned"),
    ],
    "13.5": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: given[2].argmax(axis=1), "returns an array of shape"),
        (lambda *given: given[2], "Wanted is True or False"),
        (of_rank(right_rank), "the rank is 8"),
        (sets_at(lambda scores, n, alpha: scores[right_rank(n, alpha) - 1]), "Your function stops there"),
        (sets_at(lambda scores, n, alpha: np.quantile(scores, right_rank(n, alpha) / n)), "between two scores"),
        (of_rank(lambda n, alpha: int(np.ceil(n * (1 - alpha)))), "a little too low"),
        (of_rank(lambda n, alpha: right_rank(n, alpha) + 1), "one too high"),
        (of_rank(lambda n, alpha: int(np.ceil((n + 1) * alpha))), "alpha is the share of misses"),
        (sets_at(lambda scores, n, alpha: np.quantile(scores, 1 - alpha)), "a little too low"),
        (partial(sets_by_quantile, method="higher"), "one too high"),
        (of_the_likeliest, "belongs to its *true*"),
        (sets_below, "*is* the threshold"),
        (never_empty, "A set may be empty"),
        (lambda *given: ~sets_by_sorting(*given), "*not* in the sets"),
        (lambda c, y, new, alpha: new >= alpha, "no calibration picture was used"),
        (lambda c, y, new, alpha: new == new.max(axis=1, keepdims=True), "classes on average"),
    ],
    "13.6": [
        ((sure(temperature=0.3), "mini"), "too sure"),
        ((sure(temperature=20), "mini"), "not sure enough"),
        ((sure(change=lambda p: p[:, ::-1]), "mini"), "The accuracy misses its target"),
        ((sure(change=np.log), "mini"), "Are they logits"),
        ((sure(change=lambda p: p.argmax(axis=1)), "mini"), "Wanted are 10"),
        ((lambda: 3, "mini"), "must return a function of pictures"),
    ],
}
