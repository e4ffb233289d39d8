"""Checks of exercise 08, hyperparameters."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pandas as pd

import helpers.quiet  # noqa: F401
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, ended, expect, things


def check_rates(learning_rates) -> str:
    """Check task 8.1."""
    for low, high, count in ((1e-5, 1e-2, 4), (2e-4, 5e-2, 7), (0.003, 0.3, 2)):
        answer = learning_rates(low, high, count)
        expect(answer is not None, NOTHING)
        expect(np.iterable(answer), f"Your function returns {type(answer).__name__}; wanted is a list of rates.")
        rates = np.asarray(list(answer), "float64").reshape(-1)
        case = f"For {count} rates from {low:g} to {high:g}, your function "
        if len(rates) == count and (rates > 0).all():
            ends = np.allclose([rates[0], rates[-1]], [low, high], rtol=1e-4)
            if ends and np.ptp(np.diff(np.log(rates))) < 1e-3:
                continue
        shown = ", ".join(f"{rate:.3g}" for rate in rates[:5])
        expect(len(rates) == count, f"{case}gives {len(rates)}: {shown}.")
        expect(
            not np.allclose(rates[[0, -1]], [high, low], rtol=1e-4),
            f"{case}gives {shown}: from high to low. Wanted is from low to high.",
        )
        expect(
            not any(np.allclose(rates[[0, -1]], log([low, high]), rtol=1e-4) for log in (np.log10, np.log)),
            f"{case}gives {shown}: these are logarithms of rates. Turn them back into rates.",
        )
        expect(
            count < 3 or not np.allclose(np.diff(rates), np.diff(rates)[0], rtol=1e-3) or np.ptp(rates) == 0,
            f"{case}gives {shown}: the same *difference* between neighbours, so only one of them is low. "
            "What should be the same between neighbours?",
        )
        begins, ends = np.isclose(rates[0], low, rtol=1e-4), np.isclose(rates[-1], high, rtol=1e-4)
        expect(
            begins or ends,
            f"{case}goes from {rates[0]:.3g} to {rates[-1]:.3g}. Are low and high exchanged with their logarithms, or "
            "both left out?",
        )
        expect(
            ends,
            f"{case}ends at {rates[-1]:.3g}, not at {high:g}. Is the last rate among them?",
        )
        expect(begins, f"{case}begins at {rates[0]:.3g}, not at {low:g}.")
        expect((np.diff(rates) > 0).all(), f"{case}gives {shown}: not from low to high.")
        raise Wrong(f"{case}gives {shown}. Divide each rate by the one before: it should be the same number each time.")
    return "Neighbours differ by the same factor, from the lowest rate to the highest."


def check_grid(make_grid) -> str:
    """Check task 8.2."""
    cases: tuple[dict[str, list], ...] = (
        {"LEARNING_RATE": [0.01, 0.001, 0.0001], "BATCH_SIZE": [16, 64]},
        {"EPOCHS": [2, 5], "FROZEN_BLOCKS": [0, 3], "SEED": [7, 8]},
        {"NAME": ["adam"], "EPOCHS": [4]},
    )
    for values in cases:
        kept = {name: list(of_name) for name, of_name in values.items()}
        answer = make_grid(values)
        expect(answer is not None, NOTHING)
        expect(values == kept, "Your function changes the dict that it was given.")
        expect(not isinstance(answer, dict), "Your function returns one dict. Wanted is a list with one for each run.")
        answer = list(answer)
        expected = [dict(zip(kept, point, strict=True)) for point in itertools.product(*kept.values())]
        sizes = " x ".join(str(len(of_name)) for of_name in kept.values())
        for point in answer:
            expect(isinstance(point, dict), f"In your list is {type(point).__name__}; wanted are dicts.")
            expect(
                not any(isinstance(value, list | tuple) for value in point.values()),
                f"A point of yours is {point}: a run needs one value for each parameter, not a list of them.",
            )
            expect(
                set(point) == set(kept),
                f"A point of yours is {point}, but the parameters are {', '.join(kept)}. Each point needs a value for "
                "all of them.",
            )
        distinct = {tuple(sorted(point.items())) for point in answer}
        side_by_side = {tuple(sorted(zip(kept, point, strict=True))) for point in zip(*kept.values(), strict=False)}
        expect(
            len({id(point) for point in answer}) > 1 or len(answer) < 2,
            "Your list holds one and the same dict several times: changing it changes all of them. Make a new dict for "
            "each point, inside the loop.",
        )
        if len(distinct) < len(expected) and distinct == side_by_side:
            raise Wrong(
                f"{sizes} values give {len(expected)} combinations; yours are {len(distinct)}. Do you go through the "
                "lists side by side? Each value has to meet each other one."
            )
        expect(
            len(distinct) == len(expected),
            f"{sizes} values give {len(expected)} combinations; yours are {len(distinct)}. Does return stand inside a "
            "loop?",
        )
        expect(len(answer) == len(distinct), f"Your list has {len(answer)} points, but only {len(distinct)} different.")
        expect(all(point in answer for point in expected), "Your points have values that are in none of the lists.")
    return "Every combination once, one dict for each run."


def results_table() -> pd.DataFrame:
    """Return the table of a sweep in which each mistake leads to another row or another number of epochs."""
    random = np.random.default_rng(83)
    table = pd.DataFrame(list(itertools.product([1e-4, 1e-3, 1e-2], [0, 3, 5])), columns=["LEARNING_RATE", "FROZEN"])
    for epoch in range(1, 13):
        table[f"epoch {epoch}"] = random.uniform(0.5, 0.6, len(table)).round(3)
    table["training"], table["test"], table["error"] = 0.8, 0.6, ""
    table.loc[4, "epoch 10"] = 0.75  # the best that the validation pictures saw
    table.loc[2, "epoch 12"] = 0.72  # the best at the end
    table.loc[6, "training"] = 0.99
    table.loc[7, "test"] = 0.79
    table.loc[5, [f"epoch {epoch}" for epoch in range(1, 13)]] = 0.65  # the best in the mean over the epochs
    table.loc[8, ["epoch 3", "error"]] = [0.9, "RuntimeError: out of memory"]
    return table.loc[[8, 0, 4, 1, 2, 3, 5, 6, 7]]  # a row's place is not its label


def check_choice(choose) -> str:
    """Check task 8.3."""
    table = results_table()
    kept = table.copy()
    answer = choose(table)
    expect(answer is not None, NOTHING)
    expect(table.equals(kept), "Your function changes the table that it was given.")
    expect(isinstance(answer, dict), f"Your function returns {type(answer).__name__}; wanted is a dict.")
    for name in ("LEARNING_RATE", "FROZEN", "EPOCHS"):
        expect(name in answer, f"The dict has no key {name!r}. It has: {', '.join(map(repr, answer))}.")
        expect(np.ndim(answer[name]) == 0, f"{name} is a {type(answer[name]).__name__}; wanted is one value.")
    chosen = table[(table["LEARNING_RATE"] == answer["LEARNING_RATE"]) & (table["FROZEN"] == answer["FROZEN"])]
    expect(len(chosen) == 1, f"The table has no row with {answer}.")
    mistakes = {
        6: "it has the best *training* accuracy. That says how well a run knows its own pictures",
        7: "it has the best *test* accuracy. Test pictures that choose can no longer judge",
        8: "this run failed, as the column error says. Its numbers are not to be trusted",
        5: "it is the best in the mean over its epochs. You would stop at one epoch: take the best one of each run",
        2: "it is the best after the last epoch. Another run was better after fewer epochs: look at all columns",
    }
    row = int(chosen.index[0])
    if row != 4:
        reason = mistakes.get(row, "on the validation pictures, another row is better")
        raise Wrong(f"Your function chooses row {row}: {ended(reason)}")
    epochs = answer["EPOCHS"]
    expect(
        not isinstance(epochs, str),
        f"EPOCHS is {epochs!r}, the name of a column. Wanted is the number of epochs.",
    )
    expect(
        int(epochs) != 9,
        "The row is right, but EPOCHS is 9. Columns are counted from 0, epochs from 1: which epoch had the best "
        "accuracy?",
    )
    expect(int(epochs) == 10, f"The row is right, but EPOCHS is {epochs}. After how many epochs was it best?")
    return "The best validation accuracy of all finished runs and all epochs; training and test accuracy had no say."


def check_difference(real_difference) -> str:
    """Check task 8.4."""
    random = np.random.default_rng(84)
    level = random.normal(0, 0.05, 8)  # some seeds have easier pictures, for both settings
    level -= level.mean()
    noise = np.array([1, -1, 1, -1, 1, -1, 1, -1]) * 0.004
    cases = (
        (0.80 + level, 0.82 + level + noise, True, "paired"),
        (0.82 + level + noise, 0.80 + level, True, "lower"),
        (0.80 + 0.03 * np.array([1, -1, 2, -2, 1, -1, 2, -2]), np.full(8, 0.812), False, "noise"),
        (0.70 + level, 0.70 + level, False, "equal"),
        # 0.85, 1.5, 2.08, 2.92 and 4 standard errors
        (0.80 + level, 0.80 + level + noise + 0.001285, False, "one"),
        (0.80 + level, 0.80 + level + noise + 0.002268, False, "one"),
        (0.80 + level, 0.80 + level + noise + 0.003145, True, "just"),
        (0.80 + level, 0.80 + level + noise + 0.004415, True, "small"),
        (0.80 + level, 0.80 + level + noise + 0.006047, True, "small"),
        (0.80 + level[:4] + noise[:4], 0.8042 + level[:4], False, "few"),
        (np.full(8, 0.7), 0.702 + np.array([-0.1, 0.5, 1, -0.5, 0.2, 0.6, -0.7, -1.0]) * 0.0031, True, "small"),
    )
    answers = []
    for a, b, _, _ in cases:
        answer = real_difference(a.copy(), b.copy())
        expect(answer is not None, NOTHING)
        expect(
            isinstance(answer, bool | np.bool_),
            f"Your function returns {type(answer).__name__}; wanted is True or False.",
        )
        answers.append(bool(answer))
    said = "".join("01"[answer] for answer in answers)
    expect(said not in DIFFERENCE_MISTAKES, DIFFERENCE_MISTAKES.get(said, ""))
    for (_, _, expected, case), answer in zip(cases, answers, strict=True):
        expect(answer == expected, DIFFERENCE_WORDS[case])
    return "Seed by seed, and against the standard error of the mean difference."


# What the usual mistakes say of the cases of check_difference, in their order: 1 is "real".
DIFFERENCE_MISTAKES = {
    "11000111111": "Your function asks for one standard error. Wanted are two.",
    "11000000100": "Your function asks for three standard errors. Wanted are two.",
    "11001111111": "Do you divide the standard deviation by the number of values? Wanted is the root of their number.",
    "11000011111": "Your standard error is a little too small. With so few values, the deviation needs ddof=1.",
    "11000000000": "Do you divide the spread by the root of their number? The mean varies less than one difference.",
    "11000001100": "You compare with the spread of a single difference. Do you divide it by the root of their number?",
    "00000000001": "Both settings had the same seeds: what do you get if you subtract seed by seed first?",
}
DIFFERENCE_WORDS = {
    "paired": "The second setting is better with every seed, by about 2 points, but your function sees no "
    "difference. Both settings had the same seeds: what do you get if you subtract seed by seed first?",
    "lower": "The *first* setting is better with every seed, by about 2 points, but your function sees no "
    "difference. A difference may have either sign.",
    "noise": "The means differ by about a point, and the single differences go up and down by 3 to 6 points. Your "
    "function takes this for a real difference. Compare the mean difference with its own uncertainty.",
    "equal": "Two settings with the same accuracies are no different, but your function says so.",
    "one": "The mean of eight differences is less than 1.6 standard errors away from 0, but your function takes it for "
    "real.",
    "just": "The mean of eight differences is a little more than two standard errors away from 0, but your function "
    "takes it for noise. Wanted is a factor of two: not a limit from a table, and not the signs alone.",
    "few": "Four differences, two of about 0 and two of 0.8 points: their mean is not larger than two standard errors, "
    "but your function takes it for real. How do you compute the standard error from so few values?",
    "small": "Eight small differences, of up to half a point, are real: their mean is more than two standard errors "
    "away from 0. How do you compute the standard error?",
}


class Runs:
    """Training runs that note what they are asked."""

    def __init__(self, validation: dict, test: dict) -> None:
        self.accuracies = {"validation": validation, "test": test}
        self.asked: dict[str, list] = {"validation": [], "test": []}

    def score(self, setting, images: str) -> float:
        """Return the accuracy of a setting on the "validation" or the "test" pictures."""
        self.asked[images].append(setting)
        return self.accuracies[images][setting]


def check_honest(tune) -> str:
    """Check task 8.5."""
    settings = [1e-4, 3e-4, 1e-3, 3e-3]
    for best, validation, test in (
        (1e-3, (0.71, 0.74, 0.78, 0.60), (0.70, 0.79, 0.75, 0.62)),
        (1e-4, (0.81, 0.74, 0.78, 0.60), (0.76, 0.79, 0.80, 0.62)),
    ):
        runs = Runs(*(dict(zip(settings, accuracies, strict=True)) for accuracies in (validation, test)))
        judge_tuning(tune(list(settings), runs.score), runs, settings, best)
    return "The validation pictures chose, and the test pictures were asked once."


def judge_tuning(answer, runs: Runs, settings: list[float], best: float) -> None:
    """Raise ``Wrong`` unless ``answer`` is the best setting and its test accuracy, which was asked for once."""
    setting, accuracy = things(answer, 2, "two things: the setting and its test accuracy")
    tested = runs.asked["test"]
    expect(
        len(set(tested)) <= 1,
        f"Your function looks at the test accuracy of {len(set(tested))} settings. The test pictures judge one "
        "setting, the chosen one.",
    )
    expect(
        setting in settings,
        f"The first thing that your function returns is {setting!r}. Wanted is one of the settings.",
    )
    expect(
        setting == best,
        f"Your function chooses {setting:g}. The validation pictures are for choosing: which setting is best there?",
    )
    too_high = (
        f"Your function reports {float(accuracy):.2f}. The accuracy that was used for choosing is too high: the best "
        "of many had luck, too. Report the one on the test pictures."
    )
    expect(tested or not np.isclose(float(accuracy), runs.accuracies["validation"][best]), too_high)
    expect(tested == [best], "Ask for the test accuracy of the chosen setting, exactly once.")
    expect(np.isclose(float(accuracy), runs.accuracies["test"][best]), too_high)


TARGETS = {"mini": 0.70, "cifar10-cpu": 0.56, "cifar10-gpu": 0.75}

TASKS = {
    "8.1": Task(
        "space learning rates by factors",
        check_rates,
        (
            "0.0001, 0.001, 0.01: what is the same between neighbours?",
            "Read about numpy.geomspace, and how it differs from numpy.linspace.",
            "np.geomspace takes the lowest rate, the highest rate and the number of rates.",
        ),
    ),
    "8.2": Task(
        "list every combination of a grid",
        check_grid,
        (
            "How many runs do 3 learning rates and 2 batch sizes make?",
            "Read about sklearn.model_selection.ParameterGrid, or itertools.product.",
            "list(ParameterGrid(values)) gives one dict for each combination.",
        ),
    ),
    "8.3": Task(
        "choose settings from the table of a sweep",
        check_choice,
        (
            "Which columns hold validation accuracies? And what does the column error say?",
            "Read about pandas.DataFrame.max and idxmax, with axis=0 and axis=1.",
            "Keep the rows without an error and the columns 'epoch …'; the row with the largest maximum; its idxmax.",
        ),
    ),
    "8.4": Task(
        "tell a difference from noise",
        check_difference,
        (
            "Both settings ran with the same seeds, so on the same pictures. What can you subtract?",
            "Read about numpy.std with ddof=1, and the standard error of a mean.",
            "differences = b - a; their mean, and their std divided by the root of their number, times two.",
        ),
    ),
    "8.5": Task(
        "choose on validation, test once",
        check_honest,
        (
            "Which pictures may be looked at many times, and which only once?",
            "Read about the built-in function max with the argument key.",
            "best = max(settings, key=…the validation score…); then one call of score for the test pictures.",
        ),
    ),
    "8.6": Task(
        "reach the target accuracy with 500 labels",
        partial(check_training, TARGETS),
        (
            "With few labels, which of the models that you know is strongest? The validation pictures tell.",
            "Read about the parameter C of sklearn.svm.SVC, and about keras.optimizers.Adam at low rates.",
            "Try three values of one hyperparameter, keep the best on validation, and return that model's labels.",
        ),
    ),
}
