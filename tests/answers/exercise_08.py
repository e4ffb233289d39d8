import itertools

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tests.answers.networks import features_of, shared_data


# 8.1
def by_logspace(low, high, count):
    return np.logspace(np.log10(low), np.log10(high), count)


def by_multiplying(low, high, count):
    rates = [low]
    for _ in range(count - 1):
        rates.append(rates[-1] * (high / low) ** (1 / (count - 1)))
    return rates


# 8.2
def by_loops(values):
    points = [{}]
    for name, of_name in values.items():
        points = [point | {name: value} for point in points for value in of_name]
    return points


def by_product(values):
    return (dict(zip(values, point, strict=True)) for point in itertools.product(*values.values()))


def side_by_side(values):
    return [dict(zip(values, point, strict=False)) for point in zip(*values.values(), strict=False)]


def one_at_a_time(values):
    first = {name: of_name[0] for name, of_name in values.items()}
    return [first | {name: value} for name, of_name in values.items() for value in of_name]


# 8.3
def chooser(columns="epoch", finished=True, last=False, index=False, name=False):
    def choose(table):
        rows = table[table["error"] == ""] if finished else table
        names = [column for column in rows if column.startswith(columns)]
        scores = rows[names[-1]] if last else rows[names].max(axis=1)
        best = rows.loc[scores.idxmax()]
        epoch = str(best[names].astype(float).idxmax())
        epochs = names.index(epoch) if index else (epoch if name else names.index(epoch) + 1)
        return {"LEARNING_RATE": best["LEARNING_RATE"], "FROZEN": best["FROZEN"], "EPOCHS": epochs}

    return choose


def by_place(table):
    finished = table[table["error"] == ""]
    names = [column for column in table if column.startswith("epoch")]
    row, column = np.unravel_index(finished[names].to_numpy().argmax(), (len(finished), 12))
    return {
        "LEARNING_RATE": table["LEARNING_RATE"].iloc[row],
        "FROZEN": table["FROZEN"].iloc[row],
        "EPOCHS": column + 1,
    }


def a_table_of_one_row(table):
    names = [column for column in table if column.startswith("epoch")]
    best = table[(table[names] == 0.75).any(axis=1)]
    return {"LEARNING_RATE": best["LEARNING_RATE"], "FROZEN": best["FROZEN"], "EPOCHS": 10}


def by_a_loop(table):
    best = None
    for _, row in table.iterrows():
        for epochs in range(1, 13):
            if not row["error"] and (best is None or row[f"epoch {epochs}"] > best[0]):
                settings = {"LEARNING_RATE": row["LEARNING_RATE"], "FROZEN": int(row["FROZEN"]), "EPOCHS": epochs}
                best = row[f"epoch {epochs}"], settings
    return best[1]


def by_melting(table):
    names = [f"epoch {epoch}" for epoch in range(1, 13)]
    long = table[table["error"] == ""].melt(["LEARNING_RATE", "FROZEN"], names)
    best = long.loc[long["value"].astype(float).idxmax()]
    return {**best[["LEARNING_RATE", "FROZEN"]].to_dict(), "EPOCHS": int(best["variable"].split()[1])}


def sorts_in_place(table):
    table.sort_values("epoch 12", inplace=True)
    return chooser()(table)


# 8.4
def by_standard_error(a, b):
    differences = b - a
    return bool(abs(differences.mean()) > 2 * differences.std(ddof=1) / np.sqrt(len(differences)))


def by_t_test(a, b):
    return stats.ttest_rel(a, b).pvalue < 0.05


def by_a_loop_over_seeds(a, b):
    differences = [y - x for x, y in zip(a, b, strict=True)]
    mean = sum(differences) / len(differences)
    variance = sum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
    return mean**2 > 4 * variance / len(differences)


def unpaired(a, b):
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return bool(abs(b.mean() - a.mean()) > 2 * error)


def spread_instead_of_error(a, b):
    return bool(abs((b - a).mean()) > 2 * (b - a).std(ddof=1))


def one_sided(a, b):
    return bool((b - a).mean() > 2 * (b - a).std(ddof=1) / np.sqrt(len(a)))


# 8.5
def by_max(settings, score):
    best = max(settings, key=lambda setting: score(setting, "validation"))
    return best, score(best, "test")


def by_sorting_in_place(settings, score):
    settings.sort(key=lambda setting: score(setting, "validation"))
    return np.array([settings[-1], score(settings[-1], "test")])


def by_loop(settings, score):
    best, highest = None, -1.0
    for setting in settings:
        accuracy = score(setting, "validation")
        if accuracy > highest:
            best, highest = setting, accuracy
    return [best, score(best, "test")]


def on_the_test_images(settings, score):
    best = max(settings, key=lambda setting: score(setting, "test"))
    return best, score(best, "test")


def reports_validation(settings, score):
    best, _ = by_max(settings, score)
    return best, score(best, "validation")


def never_asks_the_test(settings, score):
    best = max(settings, key=lambda setting: score(setting, "validation"))
    return best, score(best, "validation")


def asks_twice(settings, score):
    by_max(settings, score)
    return by_max(settings, score)


def best_of_all_tests(settings, score):
    best, _ = by_max(settings, score)
    return best, max(score(setting, "test") for setting in settings)


# 8.6
def fitted(model, images=500):
    """Return a `train` that fits a model on the scaled features of the first pictures."""

    def train():
        data, scaled = shared_data(), make_pipeline(StandardScaler(), model)
        scaled.fit(features_of(data.x_train)[:images], data.y_train[:images])
        return lambda new: scaled.predict(features_of(new))

    return train


def recursive(values):
    if not values:
        return [{}]
    name, *others = values
    return [{name: value} | point for value in values[name] for point in recursive({n: values[n] for n in others})]


def by_index(values):
    sizes = [len(of_name) for of_name in values.values()]
    for place in np.ndindex(*sizes):
        yield {name: values[name][i] for name, i in zip(values, place, strict=True)}


def one_dict(values):
    point, points = {}, []
    for each in itertools.product(*values.values()):
        point.update(zip(values, each, strict=True))
        points.append(point)
    return points


def by_stack(table):
    accuracies = table.loc[table["error"].eq(""), [f"epoch {epoch}" for epoch in range(1, 13)]].stack()
    row, epoch = accuracies.idxmax()
    return {"EPOCHS": int(epoch[6:]), "LEARNING_RATE": table["LEARNING_RATE"][row], "FROZEN": table["FROZEN"][row]}


def best_mean(table):
    rows = table[table["error"] == ""]
    names = [column for column in rows if column.startswith("epoch")]
    best = rows.loc[rows[names].mean(axis=1).idxmax()]
    epochs = int(np.argmax(best[names].to_numpy(float))) + 1
    return {"LEARNING_RATE": best["LEARNING_RATE"], "FROZEN": best["FROZEN"], "EPOCHS": epochs}


def errors(factor=2.0, divide=lambda n: n**0.5, ddof=1):
    def real_difference(a, b):
        lead = a - b
        return bool(abs(lead.mean()) * divide(len(a)) > factor * lead.std(ddof=ddof))

    return real_difference


RIGHT = {
    "8.1": [
        lambda low, high, count: low * (high / low) ** (np.arange(count) / (count - 1)),
        lambda low, high, count: np.exp(np.linspace(np.log(low), np.log(high), count)).tolist(),
        lambda low, high, count: (float(rate) for rate in np.geomspace(low, high, count)),
        lambda low, high, count: pd.Series(np.geomspace(low, high, count)),
        lambda low, high, count: tuple(np.logspace(np.log2(low), np.log2(high), count, base=2)),
        np.geomspace,
        by_logspace,
        by_multiplying,
    ],
    "8.2": [
        recursive,
        by_index,
        lambda values: np.array(by_loops(values), dtype=object),
        lambda values: pd.MultiIndex.from_product(values.values(), names=list(values)).to_frame().to_dict("records"),
        ParameterGrid,
        by_loops,
        by_product,
    ],
    "8.3": [by_stack, chooser(), by_a_loop, by_melting],
    "8.4": [
        errors(),
        lambda a, b: abs(np.mean(a - b)) > 2 * stats.sem(a - b),
        lambda a, b: np.abs((pd.Series(b) - a).mean()) > 2 * (pd.Series(b) - a).sem(),
        by_standard_error,
        by_a_loop_over_seeds,
    ],
    "8.5": [by_max, by_sorting_in_place, by_loop],
    "8.6": [(fitted(SVC(C=5)), "mini"), (fitted(LogisticRegression(C=0.03, max_iter=1000)), "mini")],
}
WRONG = {
    "8.1": [
        (lambda low, high, count: np.geomspace(low, high, count)[::-1], "from high to low"),
        (lambda low, high, count: np.geomspace(low, high, count + 2)[1:-1], "goes from"),
        (lambda low, high, count: high, "wanted is a list"),
        (lambda low, high, count: np.random.default_rng(0).permutation(np.geomspace(low, high, count)), "For 4 rates"),
        (np.linspace, "the same *difference*"),
        (lambda low, high, count: np.linspace(np.log10(low), np.log10(high), count), "logarithms of rates"),
        (lambda low, high, count: np.geomspace(low, high, count, endpoint=False), "Is the last rate among them"),
        (lambda low, high, count: np.geomspace(low, high, count + 1)[1:], "begins at"),
        (lambda low, high, count: np.geomspace(low, high, count - 1), "gives 3"),
        (lambda low, high, count: low + (high - low) * np.linspace(0, 1, count) ** 2, "Divide each rate"),
        (lambda low, high, count: None, "returns nothing"),
    ],
    "8.2": [
        (one_dict, "one and the same dict"),
        (lambda values: by_loops(values)[1:], "combinations; yours are"),
        (lambda values: len(by_loops(values)), "The check cannot use"),
        (side_by_side, "side by side"),
        (one_at_a_time, "combinations; yours are"),
        (lambda values: [values], "one value for each parameter"),
        (lambda values: values, "one dict"),
        (lambda values: [{name: value} for name in values for value in values[name]], "needs a value for all"),
        (lambda values: list(itertools.product(*values.values())), "wanted are dicts"),
        (lambda values: by_loops(values) * 2, "different"),
    ],
    "8.3": [
        (best_mean, "mean over its epochs"),
        (lambda table: {"LEARNING_RATE": 1e-3, "FROZEN": 3, "EPOCHS": 12}, "EPOCHS is 12"),
        (chooser("training"), "*training* accuracy"),
        (chooser("test"), "*test* accuracy"),
        (chooser(finished=False), "this run failed"),
        (chooser(last=True), "after the last epoch"),
        (chooser(index=True), "counted from 0"),
        (chooser(name=True), "the name of a column"),
        (sorts_in_place, "changes the table"),
        (by_place, "another row is better"),
        (a_table_of_one_row, "LEARNING_RATE is a Series"),
        (lambda table: chooser()(table)["EPOCHS"], "wanted is a dict"),
    ],
    "8.4": [
        (errors(1), "asks for one standard error"),
        (errors(3), "three standard errors"),
        (errors(divide=lambda n: n), "by the number of values"),
        (errors(ddof=0), "ddof=1"),
        (errors(divide=lambda n: 1), "root of their number"),
        (lambda a, b: bool(b.mean() != a.mean()), "Compare the mean difference"),
        (unpaired, "subtract seed by seed"),
        (by_t_test, "a limit from a table"),
        (spread_instead_of_error, "root of their number"),
        (one_sided, "either sign"),
        (lambda a, b: bool(abs((b - a).mean()) > (b - a).std(ddof=1)), "root of their number"),
        (lambda a, b: bool(abs((b - a).mean()) > 2 * (b - a).std() / np.sqrt(len(a))), "ddof=1"),
        (lambda a, b: bool(len(set(np.sign(b - a))) == 1 and (a != b).any()), "not the signs alone"),
        (lambda a, b: bool(abs(b.mean() - a.mean()) > 0.01), "Compare the mean difference"),
        (lambda a, b: abs(b.mean() - a.mean()), "True or False"),
    ],
    "8.5": [
        (on_the_test_images, "test accuracy of 4 settings"),
        (best_of_all_tests, "test accuracy of 4 settings"),
        (reports_validation, "the best of many had luck"),
        (never_asks_the_test, "the best of many had luck"),
        (asks_twice, "exactly once"),
        (lambda settings, score: max(settings, key=lambda s: score(s, "validation")), "two things"),
        (lambda settings, score: (settings[0], score(settings[0], "test")), "which setting is best there"),
        (lambda settings, score: (settings[2], score(settings[2], "test")), "which setting is best there"),
    ],
    "8.6": [
        ((fitted(SVC(C=1e-4)), "mini"), "points are missing"),
        ((fitted(SVC(C=5), images=20), "mini"), "points are missing"),
        ((lambda: None, "mini"), "must return a function"),
    ],
}
