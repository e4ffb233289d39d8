import itertools

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from helpers.data.datasets import stratified_indices
from helpers.notebook import paired_difference
from tests.answers.networks import features_of, shared_data, shared_extractor

import keras


# 9.1
def by_choice(labels, per_class, seed):
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([random.choice(place, per_class, replace=False) for place in places])


def leaves_one_over(labels, per_class, seed):
    places = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([train_test_split(of, train_size=per_class, random_state=seed)[0] for of in places])


def by_stratified_indices(labels, per_class, seed):
    return stratified_indices(labels, [per_class * len(set(labels))], seed)[0]


def by_groupby(labels, per_class, seed):
    return pd.Series(labels).groupby(labels).sample(per_class, random_state=seed).index.to_list()


def by_going_through_a_permutation(labels, per_class, seed):
    chosen, counts = [], dict.fromkeys(labels.tolist(), 0)
    for index in np.random.RandomState(seed).permutation(len(labels)):
        if counts[int(labels[index])] < per_class:
            counts[int(labels[index])] += 1
            chosen.append(int(index))
    return chosen


def not_stratified(labels, per_class, seed):
    return np.random.default_rng(seed).choice(len(labels), per_class * len(set(labels)), replace=False)


def with_repeats(labels, per_class, seed):
    random = np.random.default_rng(seed)
    return np.concatenate([random.choice(np.flatnonzero(labels == c), per_class) for c in np.unique(labels)])


def first_of_each_class(labels, per_class, seed):
    return np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)])


def without_the_seed(labels, per_class, seed):
    return by_choice(labels, per_class, None)


def in_all(labels, per_class, seed):
    return by_choice(labels, per_class, seed)[:per_class]


def by_stratify(labels, per_class, seed):
    """Draw with the classes' shares of the pool, which is what `stratify` of scikit-learn means."""
    size = per_class * len(set(labels))
    return train_test_split(np.arange(len(labels)), train_size=size, stratify=labels, random_state=seed)[0]


def as_a_mask(labels, per_class, seed):
    return np.isin(np.arange(len(labels)), by_choice(labels, per_class, seed))


def from_the_front(labels, per_class, seed):
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(labels == label)[: per_class + 1] for label in np.unique(labels)]
    return np.concatenate([random.choice(place, per_class, replace=False) for place in places])


# 9.2
def curve(draw=by_choice, scale="chosen", on="test", average=False, names=("size", "seed", "accuracy")):
    """Return a function that measures a learning curve, right or with a mistake."""

    def learning_curve(classifier, pool, test, sizes, seeds):
        features, labels = pool
        rows = []
        for size, seed in itertools.product(sizes, seeds):
            chosen = draw(labels, size, seed)
            learned = {
                "chosen": features[chosen],
                "pool": features,
                "own": features[chosen],
                "learned": features[chosen],
            }
            scaler = StandardScaler().fit(learned.get(scale, features))
            transform = scaler.transform if scale != "none" else np.asarray
            model = clone(classifier).fit(transform(features[chosen]), labels[chosen])
            judged = test if on == "test" else (features[chosen], labels[chosen])
            if scale == "own":
                transform = StandardScaler().fit(judged[0]).transform
            if scale == "learned":
                transform = np.asarray
            rows.append((size, seed, np.mean(model.predict(transform(judged[0])) == judged[1])))
        table = pd.DataFrame(rows, columns=names)
        return table.groupby("size", as_index=False).mean() if average else table

    return learning_curve


def rounded(*given):
    return curve()(*given).round({"accuracy": 3})


def the_first_for_all(*given):
    table = curve()(*given)
    return table.assign(accuracy=table.groupby("size")["accuracy"].transform("first"))


def in_total(*given):
    return curve()(*given).assign(size=lambda table: 3 * table["size"])


def backwards(*given):
    table = curve()(*given)
    return table.assign(accuracy=[a for _, part in table.groupby("size") for a in part["accuracy"][::-1]])


def by_pipeline(classifier, pool, test, sizes, seeds):
    model = make_pipeline(StandardScaler(), classifier)
    table = pd.DataFrame(itertools.product(seeds, sizes), columns=["seed", "size"])
    table["accuracy"] = 0.0
    for row in table.itertuples():
        chosen = by_groupby(pool[1], row.size, row.seed)
        table.loc[row.Index, "accuracy"] = model.fit(pool[0][chosen], pool[1][chosen]).score(*test)
    return table


def by_hand(classifier, pool, test, sizes, seeds):
    rows = []
    for seed in seeds:
        for size in sizes:
            chosen = by_stratified_indices(pool[1], size, seed)
            x = pool[0][chosen]
            classifier.fit((x - x.mean(0)) / x.std(0, ddof=1), pool[1][chosen])
            predicted = classifier.predict((test[0] - x.mean(0)) / x.std(0, ddof=1))
            rows.append({"size": size, "seed": seed, "accuracy": float((predicted == test[1]).mean())})
    return pd.DataFrame(rows)


def in_percent(*arguments):
    return by_pipeline(*arguments).assign(accuracy=lambda table: 100 * table["accuracy"])


def so_many_in_all(labels, size, seed):
    return np.random.default_rng(seed).choice(len(labels), size, replace=False)


def same_draw(labels, per_class, seed):
    return by_choice(labels, per_class, 0)


def wide(*arguments):
    return by_pipeline(*arguments).pivot(index="size", columns="seed", values="accuracy")


# 9.3
def limit(seeds):
    """Return how many standard errors count as clear."""
    return max(2.0, stats.t.ppf(0.975, seeds - 1))


def by_the_rule(new, old):
    answer = None
    for size in reversed(new.index):
        if not paired_difference(new.loc[size], old.loc[size]).beats():
            break
        answer = size
    return answer


def by_sem(new, old):
    lead = new - old
    clear = lead.mean(axis=1) > limit(lead.shape[1]) * lead.sem(axis=1)
    answer = None
    for size in reversed(new.index):
        if not clear[size]:
            break
        answer = size
    return answer


def by_cummin(new, old):
    lead = (new - old).to_numpy()
    t = stats.sem(lead, axis=1)
    clear = np.minimum.accumulate((lead.mean(1) > limit(lead.shape[1]) * t)[::-1])[::-1]
    return int(new.index[clear][0]) if clear.any() else None


def by_trying_each_size(new, old):
    for size in new.index:
        lead = (new - old).loc[size:].T
        if (lead.mean() / (lead.std() / len(lead) ** 0.5 + 1e-12) > limit(len(lead))).all():
            return size


def crossing(factor=None, ddof=1, root=True, later=True, sign=1, paired=True):
    def clear_from(new, old):
        lead = new - old
        spread = lead.std(axis=1, ddof=ddof) if paired else np.sqrt(new.var(axis=1) + old.var(axis=1))
        mean = lead.mean(axis=1) if sign else lead.mean(axis=1).abs()
        clear = mean > (limit(lead.shape[1]) if factor is None else factor) * spread / (
            np.sqrt(lead.shape[1]) if root else 1
        )
        if later:
            clear = clear[::-1].cummin()[::-1]
        return clear.idxmax() if clear.any() else None

    return clear_from


def by_position(new, old):
    answer = by_sem(new, old)
    return None if answer is None else list(new.index).index(answer)


def over_the_sizes(new, old):
    lead = new - old
    clear = lead.mean() > limit(len(lead)) * lead.sem()
    return clear.idxmax() if clear.any() else None


# 9.4
def by_cross_val_score(classifier, features, labels, count, folds):
    model = make_pipeline(SelectKBest(f_classif, k=count), StandardScaler(), classifier)
    scores = cross_val_score(model, features, labels, cv=folds)
    return scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores))


def by_a_loop_over_folds(classifier, features, labels, count, folds):
    scores = []
    for train, judge in folds.split(features, labels):
        columns = np.argsort(f_classif(features[train], labels[train])[0])[-count:]
        classifier.fit(features[train][:, columns], labels[train])
        scores.append(classifier.score(features[judge][:, columns], labels[judge]))
    return [np.mean(scores), stats.sem(scores)]


def choose_before(classifier, features, labels, count, folds):
    scores = cross_val_score(
        classifier, SelectKBest(f_classif, k=count).fit_transform(features, labels), labels, cv=folds
    )
    return scores.mean(), stats.sem(scores)


def without_choosing(classifier, features, labels, count, folds):
    scores = cross_val_score(classifier, features, labels, cv=folds)
    return scores.mean(), stats.sem(scores)


def on_the_training_folds(classifier, features, labels, count, folds):
    model = make_pipeline(SelectKBest(f_classif, k=count), classifier)
    scores = [model.fit(features[t], labels[t]).score(features[t], labels[t]) for t, _ in folds.split(features, labels)]
    return np.mean(scores), stats.sem(scores)


def other_folds(classifier, features, labels, count, folds):
    return by_cross_val_score(classifier, features, labels, count, StratifiedKFold(3, shuffle=True, random_state=0))


def with_error(error):
    def estimate(classifier, features, labels, count, folds):
        scores = cross_val_score(make_pipeline(SelectKBest(k=count), classifier), features, labels, cv=folds)
        return scores.mean(), error(scores)

    return estimate


# 9.5
def few(model, count=200):
    """Return a `train` that fits `model` to the features of the first pictures that it is given."""

    def train(images, labels):
        scaled = make_pipeline(StandardScaler(), model)
        scaled.fit(features_of(images)[:count], labels[:count])
        return lambda new: scaled.predict(features_of(new))

    return train


def linear_head(images, labels):
    head = keras.Sequential([keras.layers.Dense(10)])
    head.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    keras.utils.set_random_seed(0)
    head.fit(features_of(images), labels, epochs=40, batch_size=20, verbose=0)
    return lambda new: head.predict(features_of(new), verbose=0).argmax(axis=1)


def with_labels_from_elsewhere(images, labels):
    data = shared_data()
    return few(SVC(C=5), 2000)(data.x_train, data.y_train)


def from_pixels(images, labels):
    model = SVC(C=5).fit(images.reshape(len(images), -1) / 255, labels)
    return lambda new: model.predict(new.reshape(len(new), -1) / 255)


def scores(images, labels):
    model = KNeighborsClassifier().fit(features_of(images), labels)
    return lambda new: model.predict_proba(features_of(new))


def with_pandas_sample(labels, per_class, seed):
    return pd.Series(labels).groupby(labels).sample(per_class, random_state=seed).index.to_list()


def counting_from_zero(labels, per_class, seed):
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    return np.concatenate([random.choice(of_label, per_class, replace=False) for of_label in places])


def last_unclear(new, old):
    lead = new - old
    clear = lead.mean(axis=1) > limit(lead.shape[1]) * lead.sem(axis=1)
    return clear[~clear].index[-1] if (~clear).any() else clear.index[0]


def instead_of_none(value):
    def clear_from(new, old):
        answer = by_sem(new, old)
        return value if answer is None else answer

    return clear_from


def stops_without_one(new, old):
    answer = by_sem(new, old)
    return next(size for size in new.index if size == answer)


def by_numpy(new, old):
    lead = new.to_numpy() - old.to_numpy()
    clear = lead.mean(1) * np.sqrt(lead.shape[1]) > limit(lead.shape[1]) * lead.std(1, ddof=1)
    unclear = np.flatnonzero(~clear)
    first = unclear[-1] + 1 if len(unclear) else 0
    return new.index[first] if first < len(clear) else None


RIGHT = {
    "9.1": [with_pandas_sample, by_choice, by_stratified_indices, by_groupby, by_going_through_a_permutation],
    "9.2": [curve(), rounded, by_pipeline, by_hand],
    "9.3": [by_the_rule, by_numpy, by_sem, by_cummin, by_trying_each_size, crossing()],
    "9.4": [by_cross_val_score, by_a_loop_over_folds],
    "9.5": [(few(SVC(C=5)), "mini"), (few(LogisticRegression(C=0.03, max_iter=1000)), "mini"), (linear_head, "mini")],
}
WRONG = {
    "9.1": [
        (leaves_one_over, "exactly as many pictures as are wanted"),
        (counting_from_zero, "do not count from 0"),
        (lambda labels, per_class, seed: by_choice(labels, per_class, seed).astype(float), "indices, integers"),
        (lambda labels, per_class, seed: by_choice(labels, per_class, seed)[1:], "chooses 17"),
        (not_stratified, "of the classes [0, 1, 2]"),
        (by_stratify, "more of some classes"),
        (with_repeats, "some come twice"),
        (first_of_each_class, "chooses the same pictures again"),
        (without_the_seed, "Called twice with the same seed"),
        (in_all, "of *each* class"),
        (as_a_mask, "True and False"),
        (from_the_front, "never chosen"),
        (lambda labels, per_class, seed: labels[by_choice(labels, per_class, seed)], "returns labels"),
        (lambda labels, per_class, seed: by_choice(labels, per_class, seed).reshape(-1, per_class), "one list of"),
        (lambda labels, per_class, seed: None, "returns nothing"),
    ],
    "9.2": [
        (the_first_for_all, "on the test data"),
        (in_total, "The sizes in your table are 12, 27, 75"),
        (backwards, "in another order"),
        (curve(scale="none"), "features as they are"),
        (curve(scale="pool"), "other pictures than the chosen ones"),
        (curve(scale="own"), "their own mean"),
        (curve(scale="learned"), "predicts for unscaled ones"),
        (curve(on="training"), "it would look too good"),
        (curve(draw=same_draw), "different draws"),
        (curve(draw=so_many_in_all), "*per class*"),
        (curve(draw=not_stratified), "Each class"),
        (curve(draw=with_repeats), "chosen twice"),
        (curve(draw=without_the_seed), "gives other accuracies"),
        (curve(average=True), "one for each size"),
        (curve(names=("labels", "seed", "accuracy")), "wanted are size, seed and accuracy"),
        (wide, "wanted are size, seed and accuracy"),
        (in_percent, "your table says accuracy"),
        (lambda *arguments: by_pipeline(*arguments).to_numpy(), "wanted is a DataFrame"),
        (lambda *arguments: by_pipeline(*arguments).iloc[:-1], "Wanted is each size with each seed"),
    ],
    "9.3": [
        (last_unclear, "*not* clear"),
        (instead_of_none(-1), "Wanted is None"),
        (instead_of_none(200), "Wanted is None"),
        (instead_of_none("none"), "Wanted is None"),
        (stops_without_one, "should return None"),
        (crossing(paired=False), "subtract seed by seed"),
        (crossing(later=False), "at all larger ones"),
        (crossing(sign=0), "*worse*"),
        (crossing(factor=2), "two are not enough"),
        (crossing(factor=3), "2.36 are enough"),
        (crossing(factor=0), "less than one standard error"),
        (crossing(root=False), "root of the number of seeds"),
        (crossing(ddof=0), "ddof=1"),
        (by_position, "they are the index"),
        (over_the_sizes, "returns"),
        (lambda new, old: None, "Does it end with return"),
        (lambda new, old: new.index, "wanted is one size"),
    ],
    "9.4": [
        (choose_before, "has seen the labels"),
        (without_choosing, "with all 1500 columns"),
        (on_the_training_folds, "learned from"),
        (other_folds, "Do you use the folds"),
        (with_error(lambda scores: scores.std(ddof=1)), "spread of the folds"),
        (with_error(np.std), "spread of the folds"),
        (with_error(lambda scores: scores.std() / np.sqrt(len(scores))), "ddof=1"),
        (with_error(lambda scores: scores.std(ddof=1) / len(scores)), "How many values"),
        (lambda *arguments: by_cross_val_score(*arguments)[0], "two numbers"),
        (lambda *arguments: (0.5, np.zeros(5)), "should be one number"),
        (lambda *arguments: np.zeros(5), "ndarray of length 5; wanted are two numbers"),
        (lambda *arguments: None, "returns nothing"),
    ],
    "9.5": [
        ((few(SVC(C=5), 40), "mini"), "points are missing"),
        ((from_pixels, "mini"), "points are missing"),
        ((with_labels_from_elsewhere, "mini"), "learn from the labels that it is given"),
        ((scores, "mini"), "scores for each class"),
        ((lambda images, labels: None, "mini"), "must return a function"),
        ((lambda images, labels: lambda new: None, "mini"), "returns nothing"),
        ((lambda images, labels: shared_extractor(), "mini"), "returns the network"),
    ],
}
