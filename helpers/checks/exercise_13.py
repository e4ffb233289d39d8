"""Checks of exercise 13, how sure is it?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, softmax

from helpers.checks.faults import where
from helpers.checks.images import unseen_images
from helpers.checks.open_task import expect_no_look_up, new_emoji
from helpers.checks.task import NOTHING, Task, Wrong, ended, expect, things
from helpers.profiles import find_profile


def answered(count: int, classes: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits ``(count, classes)`` of a network that is too sure by ``temperature``, and labels ``(count,)``."""
    random = np.random.default_rng(seed)
    calm = random.normal(0, 1.5, (count, classes))
    uniform = random.random((count, 1))
    labels = np.minimum((softmax(calm, axis=1).cumsum(axis=1) < uniform).sum(axis=1), classes - 1)
    return temperature * calm, labels


def bin_numbers(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the number of the bin, from 0, in which each confidence lies; the last bin holds 1, too."""
    return np.digitize(confidence, np.arange(1, bins) / bins)


def in_bins(confidence: np.ndarray, right: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return ``(3, bins with pictures)``: how many, mean confidence, accuracy."""
    inside = [which == b for b in np.unique(which)]
    return np.array([(part.sum(), confidence[part].mean(), right[part].mean()) for part in inside]).T


def check_bins(bins_of) -> str:
    """Check task 13.1."""
    for count, classes, bins, temperature in ((300, 4, 10, 2.0), (240, 5, 8, 0.7)):
        logits, labels = answered(count, classes, temperature, 131)
        probabilities = softmax(logits, axis=1)
        probabilities[:12] = np.eye(classes)[labels[:12]]  # sure to the last digit
        kept = probabilities.copy()
        answer = bins_of(probabilities, labels, bins)
        expect(np.array_equal(kept, probabilities), "Your function changes the probabilities that it was given.")
        rows = [np.size(row) for row in answer] if isinstance(answer, list | tuple | np.ndarray) else []
        expect(
            len(rows) in (0, 3) or set(rows) != {3},
            "Your function returns a row for each bin. Wanted are three arrays: counts, confidences, accuracies.",
        )
        arrays = things(answer, 3, "three arrays: counts, confidences, accuracies")
        judge_bins([np.asarray(array, float) for array in arrays], probabilities, labels, bins)
    return "Each bin has its own count, mean confidence and accuracy, and no picture is lost."


def judge_bins(answer: list[np.ndarray], probabilities: np.ndarray, labels: np.ndarray, bins: int) -> None:
    """Raise ``Wrong`` unless these are counts, mean confidences and accuracies of the bins with pictures."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = bin_numbers(confidence, bins)
    wanted = in_bins(confidence, right, which)
    case = f"With {bins} bins, "
    shapes = [array.shape for array in answer]
    expect(
        not any(np.isnan(array).any() for array in answer),
        f"{case}some of your numbers are nan: the mean of no pictures. Leave bins without pictures out.",
    )
    expect(
        shapes != [(bins,)] * 3 or answer[0].all(),
        f"{case}your arrays have a place for each bin. Leave out the bins that hold no picture.",
    )
    expect(
        shapes == [(wanted.shape[1],)] * 3,
        f"{case}your arrays have the shapes {shapes}; {wanted.shape[1]} bins hold pictures. (Is a confidence of "
        "exactly 1 in the last bin? Do the bins go from 0 to 1?)",
    )
    count, mean, accuracy = answer
    expect(
        count.sum() == len(labels) or not np.isclose(count.sum(), 1),
        f"{case}your counts are shares. Wanted is how many pictures a bin holds.",
    )
    lost = len(labels) - int(count.sum())
    expect(lost == 0, f"{case}your bins hold {int(count.sum())} of {len(labels)} pictures.")
    expect(
        np.array_equal(count, wanted[0]) or not np.array_equal(count[::-1], wanted[0]),
        f"{case}your bins go from high confidence to low. Wanted is the bin of the lowest first.",
    )
    expect(np.array_equal(count, wanted[0]), f"{case}your bins hold {count.astype(int)} pictures: other bins?")
    expect(
        not (np.allclose(mean, wanted[2]) and np.allclose(accuracy, wanted[1])),
        f"{case}two of your arrays have changed places: the mean confidences come before the accuracies.",
    )
    edges = np.unique(which) / bins
    expect(
        not any(np.allclose(mean, edges + shift / bins, atol=1e-6) for shift in (0, 0.5, 1)),
        f"{case}your confidences are edges or middles of the bins. Wanted is the mean of the pictures in the bin.",
    )
    expect(np.allclose(mean, wanted[1]), f"{case}the counts are right, but the mean confidences are not.")
    expect(
        not np.allclose(accuracy, wanted[2] * wanted[0]),
        f"{case}your accuracies are numbers of right pictures. Wanted are shares of the pictures in the bin.",
    )
    expect(
        not np.allclose(accuracy, wanted[2] * wanted[0] / len(labels)),
        f"{case}your accuracies are shares of all pictures. Wanted are shares of the pictures in the bin.",
    )
    expect(
        not np.allclose(accuracy, 1 - wanted[2]),
        f"{case}your accuracies are shares of wrong answers.",
    )
    expect(np.allclose(accuracy, wanted[2]), f"{case}counts and confidences are right, but the accuracies are not.")


def calibration_errors(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> dict[str, float]:
    """Return the calibration error by what was done: "right", or one of the usual mistakes."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = bin_numbers(confidence, bins)
    count, mean, accuracy = in_bins(confidence, right, which)
    distance = mean - accuracy
    share = count / count.sum()
    middles = (np.unique(which) + 0.5) / bins
    return {
        "right": float(share @ abs(distance)),
        "not weighted": float(abs(distance).mean()),
        "by all bins": float(abs(distance).sum() / bins),
        "signed": float(share @ distance),
        "signed, turned": float(-share @ distance),
        "without sign": float(abs(share @ distance)),
        "largest": float(abs(distance).max()),
        "squares": float((share @ distance**2) ** 0.5),
        "squares, no root": float(share @ distance**2),
        "percent": float(100 * share @ abs(distance)),
        "counts": float(count @ abs(distance)),
        "middles": float(share @ abs(middles - accuracy)),
    }


CANCELLED = "distances of opposite sign have cancelled. Wanted is the mean of their sizes: without the sign first"
ERRORS = {
    "not weighted": "it counts each bin alike. A bin with two pictures should weigh less than one with two hundred",
    "by all bins": "it counts each bin alike, and bins without pictures too",
    "signed": CANCELLED,
    "signed, turned": CANCELLED,
    "without sign": CANCELLED,
    "largest": "it is the largest distance (that is called the maximum calibration error). Wanted is a mean",
    "squares": "it squares the distances",
    "squares, no root": "it squares the distances",
    "percent": "it is in percent. Wanted is a number from 0 to 1",
    "counts": "it is a sum over pictures. Divide by how many there are",
    "middles": "it takes the middle of a bin for the confidence of its pictures. Wanted is their mean",
}


def check_error(calibration_error) -> str:
    """Check task 13.2."""
    for count, classes, bins, temperature in ((150, 4, 12, 0.9), (260, 3, 10, 1.3), (200, 5, 15, 1.5)):
        logits, labels = answered(count, classes, temperature, 132)
        probabilities = softmax(logits, axis=1)
        wanted = calibration_errors(probabilities, labels, bins)
        value = number_of(calibration_error(probabilities, labels, bins))
        judge_number(value, wanted, ERRORS, f"With {count} pictures and {bins} bins, ")
    return "The mean distance between confidence and accuracy, each bin by its share of pictures."


def number_of(answer) -> float:
    """Return an answer as a number.

    Raises:
        Wrong: it is none.
    """
    expect(answer is not None, NOTHING)
    expect(
        np.ndim(answer) == 0 and np.issubdtype(np.asarray(answer).dtype, np.number),
        f"Your function returns {type(answer).__name__}. Wanted is one number.",
    )
    return float(answer)


def judge_number(
    value: float, wanted: Mapping[str, float], reasons: Mapping[str, str], case: str, tolerance: float = 1e-6
) -> None:
    """Raise ``Wrong`` unless ``value`` is ``wanted["right"]``, up to a part of it; say which mistake it is.

    Args:
        value: the answer.
        wanted: the values by what was done.
        reasons: what is wrong, by the same names.
        case: how the message begins, such as "With 5 bins, ".
        tolerance: as a part of the value.
    """

    def is_like(name: str) -> bool:
        return bool(abs(value - wanted[name]) <= tolerance * abs(wanted[name]) + 1e-12)

    if is_like("right"):
        return
    for name, reason in reasons.items():
        expect(name not in wanted or not is_like(name), f"{case}your number is wrong: {ended(reason)}")
    raise Wrong(f"{case}your function gives {value:.4g}; wanted is {wanted['right']:.4g}.")


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood of labels ``(n,)`` under logits ``(n, classes)``."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature of the lowest mean negative log-likelihood."""
    found = minimize_scalar(
        lambda log_t: nll(logits / np.exp(log_t), labels), bounds=(-4, 4), method="bounded", options={"xatol": 1e-7}
    )
    return float(np.e**found.x)


def gap_of(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return mean confidence minus accuracy."""
    p = softmax(logits, axis=1)
    return float(p.max(axis=1).mean() - (p.argmax(axis=1) == labels).mean())


def temperature_without_gap(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature at which the mean confidence is the accuracy; nan where none is."""
    try:
        return float(np.exp(brentq(lambda log_t: gap_of(logits / np.exp(log_t), labels), -4, 4)))
    except ValueError:  # the same sign at both ends
        return float("nan")


def temperatures(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the temperature by what was done: "right", or one of the usual mistakes."""
    right = best_temperature(logits, labels)
    return {
        "right": right,
        "turned": 1 / right,
        "logarithm": float(np.log(right)),
        "minus logarithm": float(-np.log(right)),
        "of probabilities": best_temperature(softmax(logits, axis=1), labels),
        "no gap": temperature_without_gap(logits, labels),
        "one": 1.0,
    }


TEMPERATURES = {
    "turned": "it is the factor by which logits would be multiplied. The temperature divides them",
    "logarithm": "it is the logarithm of the temperature",
    "minus logarithm": "it is minus the logarithm of the temperature",
    "of probabilities": "it is that of probabilities which went through softmax again. Divide the logits",
    "no gap": "with it, the mean confidence equals the accuracy. Wanted is the lowest loss; the two are near each "
    "other, not equal",
    "one": "it leaves the logits as they are. Did your search end at 1: may T be below 1?",
}


def check_temperature(fit_temperature) -> str:
    """Check task 13.3."""
    for count, classes, too_sure in ((600, 4, 2.5), (500, 6, 0.4), (400, 10, 6.0)):
        logits, labels = answered(count, classes, too_sure, 133)
        kept = logits.copy()
        value = number_of(fit_temperature(logits, labels))
        expect(np.array_equal(kept, logits), "Your function changes the logits that it was given.")
        kind = "over" if too_sure > 1 else "under"
        judge_number(
            value, temperatures(logits, labels), TEMPERATURES, f"For a network that is {kind}-confident, ", 0.02
        )
    return "The temperature of the lowest loss, for networks that are too sure and not sure enough."


def check_report(report) -> str:
    """Check task 13.4."""
    for too_sure, seed in ((3.0, 134), (0.5, 1340)):
        logits, labels = answered(400, 5, too_sure, seed)
        cut = 120
        given = logits[:cut], labels[:cut], logits[cut:], labels[cut:]
        answer = report(*(array.copy() for array in given))
        temperature, gap = map(number_of, things(answer, 2, "two numbers: the temperature, and the gap"))
        judge_report(temperature, gap, *given)
    return "The temperature comes from the calibration pictures, the gap from the test pictures."


def judge_report(temperature: float, gap: float, calibration, its_labels, test, test_labels) -> None:
    """Raise ``Wrong`` unless these are the temperature of one part, and confidence − accuracy of the other."""
    right = best_temperature(calibration, its_labels)
    everything = np.concatenate([calibration, test]), np.concatenate([its_labels, test_labels])
    twice = best_temperature(softmax(calibration, axis=1), its_labels)
    wanted = {
        "right": right,
        "test": best_temperature(test, test_labels),
        "both": best_temperature(*everything),
        "test, twice": best_temperature(softmax(test, axis=1), test_labels),
        "twice": twice,
        "turned": 1 / right,
    }
    reasons = {
        "test": "it was fitted on the pictures that are to judge it",
        "both": "it was fitted on all pictures, those that are to judge it among them",
        "test, twice": "it was fitted on the pictures that are to judge it, and on something else than logits",
        "twice": "it was fitted on probabilities. What does a temperature divide?",
        "turned": TEMPERATURES["turned"],
    }
    judge_number(temperature, wanted, reasons, "The first number, the temperature: ", 0.02)

    scaled = test / temperature
    gaps = {
        "right": gap_of(scaled, test_labels),
        "calibration": gap_of(calibration / temperature, its_labels),
        "as it was": gap_of(test, test_labels),
        "softmax twice": gap_of(softmax(scaled, axis=1), test_labels),
        "softmax first": gap_of(softmax(test, axis=1) / temperature, test_labels),
        "turned": -gap_of(scaled, test_labels),
    }
    reasons = {
        "calibration": "it is that of the calibration pictures, on which the temperature was fitted",
        "as it was": "it is that of the logits as they were, without the temperature",
        "softmax twice": "softmax was applied twice",
        "softmax first": "softmax was applied twice",
        "turned": "its sign is turned: the confidence comes first",
    }
    judge_number(gap, gaps, reasons, "The temperature is right. The second number, the gap: ", 1e-3)


TOO_LOW = (
    "the threshold is a little too low. How many scores are there together with that of the new picture? Ranks count "
    "from 1, places from 0; and a plain quantile lies between two scores"
)


def check_sets(conformal_sets) -> str:
    """Check task 13.5."""
    cases = ((99, 0.1, 5, 1.5), (57, 0.1, 4, 2.0), (200, 0.25, 6, 1.0), (7, 0.1, 4, 1.0), (200, 0.4, 4, 3.0))
    for count, alpha, classes, too_sure in cases:
        logits, labels = answered(count + 80, classes, too_sure, 135)
        probabilities = np.round(softmax(logits, axis=1) * 2**20) / 2**20  # so that 1 - p loses no digit
        likeliest_first = np.argsort(-probabilities[np.arange(count), labels[:count]])
        at_threshold = likeliest_first[min(rank_of(count, alpha), count) - 1]
        probabilities[count] = probabilities[at_threshold]  # a new picture with a score that is the threshold
        kept = probabilities.copy()
        try:
            answer = conformal_sets(probabilities[:count], labels[:count], probabilities[count:], alpha)
        except (IndexError, ValueError) as error:
            if rank_of(count, alpha) <= count:
                raise
            raise Wrong(f"{without_score(count, alpha)} Your function stops there. {where(error)}") from error
        expect(answer is not None, NOTHING)
        expect(np.array_equal(kept, probabilities), "Your function changes the probabilities that it was given.")
        sets = np.asarray(answer)
        expect(
            sets.shape == (80, classes),
            f"For 80 new pictures and {classes} classes, your function returns an array of shape {sets.shape}. Wanted "
            "is True or False for each class of each new picture.",
        )
        expect(
            sets.dtype == bool,
            f"Your function returns values of the type {sets.dtype}. Wanted is True or False for each class.",
        )
        judge_sets(sets, kept[:count], labels[:count], kept[count:], alpha)
    return "The threshold is the score with the right rank, also where there are too few pictures for any promise."


def rank_of(count: int, alpha: float) -> int:
    """Return the rank of the score that is the threshold, from 1."""
    return int(np.ceil((count + 1) * (1 - alpha) - 1e-9))


def without_score(count: int, alpha: float) -> str:
    """Say that there are too few scores for a threshold."""
    return (
        f"With {count} calibration pictures and alpha = {alpha:g}, the rank is {rank_of(count, alpha)}: no score has "
        "it. Which set is the only one that can keep the promise?"
    )


def judge_sets(sets: np.ndarray, calibration: np.ndarray, labels: np.ndarray, new: np.ndarray, alpha: float) -> None:
    """Raise ``Wrong`` unless the sets ``(n, classes)`` are the conformal ones."""
    count = len(labels)
    scores = 1 - np.sort(np.take_along_axis(calibration, labels[:, None], axis=1).ravel())[::-1]
    of_largest = np.sort(1 - calibration.max(axis=1))
    rank = rank_of(count, alpha)
    case = f"With {count} calibration pictures and alpha = {alpha:g}, "

    def at(threshold: float) -> np.ndarray:
        return 1 - new <= threshold + 1e-12

    if rank > count:
        expect(sets.all(), without_score(count, alpha))
        return
    if np.array_equal(sets, at(scores[rank - 1])):
        return
    low_rank = int(np.ceil((count + 1) * alpha))
    mistakes = [
        (~at(scores[rank - 1]), "these are the classes that are *not* in the sets"),
        (1 - new < scores[rank - 1], "a class whose score *is* the threshold belongs to the set, too"),
        (
            at(scores[min(rank, count - 1)]),
            "the rank is one too high. Ranks count from 1, places from 0; and if you "
            "called np.quantile: which score does its method take?",
        ),
        (at(scores[rank - 2]), TOO_LOW),
        (at(float(np.quantile(scores, 1 - alpha))), TOO_LOW),
        (
            at(float(np.quantile(scores, rank / count))),
            "the level is right, but np.quantile takes a number between two scores. See its method",
        ),
        (at(scores[low_rank - 1]), "alpha is the share of misses, not the share of hits"),
        (
            at(of_largest[rank - 1]),
            "the scores are those of the likeliest class. The score of a calibration picture belongs to its *true* "
            "class",
        ),
        (new >= 1 - alpha, "no calibration picture was used: a fixed limit promises nothing"),
        (new >= alpha, "no calibration picture was used: a fixed limit promises nothing"),
    ]
    never_empty = at(scores[rank - 1])
    never_empty[np.arange(len(new)), new.argmax(axis=1)] = True
    mistakes.append((never_empty, "where no class is left, you put one in. A set may be empty"))
    for made, reason in mistakes:
        expect(not np.array_equal(sets, made), f"{case}the sets are wrong: {ended(reason)}")
    size, wanted = sets.sum(axis=1).mean(), at(scores[rank - 1]).sum(axis=1).mean()
    raise Wrong(f"{case}your sets hold {size:.2f} classes on average; the right ones hold {wanted:.2f}.")


BINS = 15


def check_sure(train_classifier, profile="auto", seed=0) -> str:
    """Check task 13.6."""
    profile = find_profile(profile)
    accuracy_wanted, error_wanted = TARGETS[profile.name]
    probabilities_of = train_classifier()
    expect(
        callable(probabilities_of),
        f"Your function must return a function of pictures; it returns {type(probabilities_of).__name__}.",
    )
    images, labels = unseen_images(profile, seed)
    probabilities = np.array(probabilities_of(images.copy()), dtype=float)
    expect(
        probabilities.shape == (len(images), 10),
        f"For {len(images)} pictures your function returns an array of shape {probabilities.shape}. Wanted are 10 "
        "probabilities for each.",
    )
    expect(
        probabilities.min() >= 0 and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3),
        "Your numbers are no probabilities: each row must be positive and add up to 1. Are they logits?",
    )
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    gap = float(probabilities.max(axis=1).mean()) - accuracy
    error = calibration_errors(probabilities, labels, BINS)["right"]
    found = f"On {len(labels)} unseen pictures: accuracy {accuracy:.3f}, calibration error {error:.3f}"
    targets = f"the targets are at least {accuracy_wanted} and at most {error_wanted}"
    expect(
        accuracy >= accuracy_wanted,
        f"{found}; {targets}. The accuracy misses its target. Which recipe of the lesson is more accurate?",
    )
    too = "too sure" if gap > 0 else "not sure enough"
    expect(
        error <= error_wanted,
        f"{found}; {targets}. On average, your network is {too}, by {100 * abs(gap):.1f} points.",
    )
    if profile.dataset == "emoji10":

        def classify(images: np.ndarray) -> np.ndarray:
            return np.array(probabilities_of(images)).argmax(axis=1)

        expect_no_look_up(classify, new_emoji, accuracy_wanted)
    return f"{found}; {targets}."


# accuracy at least, calibration error at most
TARGETS = {"mini": (0.59, 0.07), "cifar10-cpu": (0.56, 0.07), "cifar10-gpu": (0.65, 0.07)}

TASKS = {
    "13.1": Task(
        "sort pictures into bins of confidence",
        check_bins,
        (
            "Number the bins from 0. In which bin is a confidence of 0.31, with ten bins? And one of exactly 1?",
            "Read about numpy.minimum, ndarray.astype(int), numpy.unique, and masks such as array[which == b].",
            "which = np.minimum((confidence * bins).astype(int), bins - 1); then, for each b in np.unique(which), "
            "the sum of the mask, and two means.",
        ),
    ),
    "13.2": Task(
        "compute the expected calibration error",
        check_error,
        (
            "For each bin: how far apart are its confidence and its accuracy? And how many pictures speak for it?",
            "Read about numpy.average with weights, and abs.",
            "count, confidence, accuracy = bins_of(…); np.average of the absolute differences, weights=count.",
        ),
    ),
    "13.3": Task(
        "fit a temperature",
        check_temperature,
        (
            "Write the loss as a function of one number first. What may this number never be?",
            "Read about scipy.special.log_softmax, and scipy.optimize.minimize_scalar with method='bounded'.",
            "Search for log T between -4 and 4: minus the mean of log_softmax(logits / exp(log_T)) at the true "
            "classes; return exp of the best one.",
        ),
    ),
    "13.4": Task(
        "find the two bugs of a report",
        check_report,
        (
            "Follow the data: which pictures fit, which judge? And how often does each number go through softmax?",
            "Compare with the lesson: what does fit_temperature take, and what is divided by T?",
            "fit_temperature gets the calibration logits and labels; softmax comes once, after the division.",
        ),
    ),
    "13.5": Task(
        "make conformal sets",
        check_sets,
        (
            "Three steps: a score for each calibration picture, a rank, a comparison for each class of a new one.",
            "Read about numpy.sort, numpy.ceil, and indexing with two arrays: p[np.arange(n), labels].",
            "rank = ceil((n + 1) * (1 - alpha)); threshold = np.sort(scores)[rank - 1], or infinity where rank > n; "
            "sets: 1 - new <= threshold.",
        ),
    ),
    "13.6": Task(
        "be accurate, and know how sure to be",
        check_sure,
        (
            "First the accuracy, whatever the confidence; then mend the confidence, which changes no answer.",
            "Read the lesson's recipe “long”, and your own fit_temperature. Which pictures may fit it?",
            "Fine-tune with 200 labels; logits of the validation pictures; T; softmax(logits / T) for new ones.",
        ),
    ),
}
