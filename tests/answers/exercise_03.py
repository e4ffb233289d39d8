import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.svm import SVC

from tests.answers.networks import features_of, shared_data

import keras
from keras import layers, ops


# 3.1
def functional(base):
    return keras.Model(base.input, layers.GlobalAveragePooling2D()(base.output))


def sequential(base):
    return keras.Sequential([base, layers.GlobalAveragePooling2D()])


def by_average_pooling(base):
    height, width = base.output.shape[1:3]
    return keras.Sequential([base, layers.AveragePooling2D((height, width)), layers.Flatten()])


def by_operation(base):
    inputs = keras.Input(base.input.shape[1:])
    return keras.Model(inputs, ops.mean(base(inputs), axis=(1, 2)))


def without_pooling(base):
    return keras.Model(base.input, base.output)


def scaled_first(scaling):
    def make(base):
        inputs = keras.Input(base.input.shape[1:])
        return keras.Model(inputs, layers.GlobalAveragePooling2D()(base(scaling(inputs))))

    return make


def from_an_earlier_layer(base):
    return keras.Model(base.input, layers.GlobalAveragePooling2D()(base.layers[-12].output))


# 3.2
def by_predict(model, images):
    return model.predict(images.astype("float32"), verbose=0)


def by_loop(model, images, size=32):
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    return np.concatenate([np.asarray(model(batch.astype("float32"), training=False)) for batch in batches])


def by_call(model, images):
    return model(images.astype("float32"))


def in_training_mode(model, images):
    return np.asarray(model(images.astype("float32"), training=True))


def without_the_last_batch(model, images):
    return by_loop(model, images[: len(images) // 32 * 32])


def batches_apart(model, images):
    return [by_predict(model, batch) for batch in (images[:32], images[32:64], images[64:])]


def shuffled(model, images):
    return by_predict(model, np.random.default_rng(0).permutation(images))


def in_place(model, images):
    images //= 2
    return by_predict(model, images)


# 3.3
def scaled_svm(x, y):
    return make_pipeline(StandardScaler(), SVC()).fit(x, y)


def grid(x, y):
    steps = Pipeline([("scale", RobustScaler()), ("svm", SVC())])
    return GridSearchCV(steps, {"svm__C": [1, 10]}, cv=3).fit(x, y)


class OwnScaling:
    def __init__(self, x, y):
        self.mean, self.spread = x.mean(axis=0), x.std(axis=0)
        self.svm = SVC(C=10).fit((x - self.mean) / self.spread, y)

    def predict(self, x):
        return self.svm.predict((x - self.mean) / self.spread)


# 3.4
def chosen(score):
    """Return a `choose` that takes the best by `score(model, train, validation, test)`."""

    def choose(candidates, train, validation, test):
        scores = {name: score(model.fit(*train), train, validation, test) for name, model in candidates.items()}
        best = max(scores, key=scores.get)
        return best, candidates[best].score(*test)

    return choose


def by_keywords(candidates, train, validation, test):
    for model in candidates.values():
        model.fit(X=train[0], y=train[1])
    best = max(candidates, key=lambda name: candidates[name].score(X=validation[0], y=validation[1]))
    return best, candidates[best].score(*test)


def returns_the_model(candidates, *data):
    best, accuracy = by_keywords(candidates, *data)
    return candidates[best], accuracy


def by_sorting(models, train, validation, test):
    ranked = []
    for name in models:
        models[name].fit(train[0], train[1])
        ranked.append((accuracy_score(validation[1], models[name].predict(validation[0])), name))
    name = sorted(ranked)[-1][1]
    return name, accuracy_score(test[1], models[name].predict(test[0]))


def reports_validation(candidates, train, validation, test):
    name, _ = by_sorting(candidates, train, validation, test)
    return name, candidates[name].score(*validation)


def scores_all_on_test(candidates, train, validation, test):
    name, _ = by_sorting(candidates, train, validation, test)
    return name, {each: model.score(*test) for each, model in candidates.items()}[name]


def fits_on_everything(candidates, train, validation, test):
    both = tuple(np.concatenate(parts) for parts in zip(train, validation, strict=True))
    return by_sorting(candidates, both, validation, test)


def name_only(candidates, train, validation, test):
    return by_sorting(candidates, train, validation, test)[0]


# 3.5
def verdict(mean, error, limit=2):
    return mean, error, "ties" if abs(mean) <= limit * error else "beats" if mean > 0 else "loses"


def by_pairs(a, b):
    pairs = a.astype(int) - b.astype(int)
    return verdict(pairs.mean(), pairs.std() / len(pairs) ** 0.5)


def in_float32(a, b):
    pairs = a.astype("float32") - b.astype("float32")
    return verdict(a.astype("float32").mean() - b.astype("float32").mean(), pairs.std() / len(pairs) ** 0.5)


def by_counting(a, b):
    first, second, n = np.sum(a & ~b), np.sum(b & ~a), len(a)
    mean = (first - second) / n
    return verdict(mean, np.sqrt((first + second) / n - mean**2) / np.sqrt(n - 1))


def unpaired(a, b):
    return verdict(a.mean() - b.mean(), np.sqrt((a.mean() * (1 - a.mean()) + b.mean() * (1 - b.mean())) / len(a)))


def of_one_accuracy(a, b):
    return verdict(a.mean() - b.mean(), np.sqrt(a.mean() * (1 - a.mean()) / len(a)))


def not_divided(a, b):
    pairs = a.astype(float) - b
    return verdict(pairs.mean(), pairs.std())


def not_a_number(a, b):
    mean, error, word = by_pairs(a, b)
    return mean, error if error else np.nan, word


# 3.6
def trained_with(make_model):
    def train():
        data = shared_data()
        model = make_model().fit(features_of(data.x_train), data.y_train)
        return lambda images: model.predict(features_of(images))

    return train


def probabilities():
    return lambda images: np.full((len(images), 10), 0.1)


def one_sided(first, second):
    mean, error, _ = by_pairs(first, second)
    return mean, error, "beats" if mean > 2 * error else "ties"


def the_other_leads(first, second):
    mean, error, word = by_pairs(first, second)
    return mean, error, {"beats": "loses", "loses": "beats"}.get(word, word)


RIGHT = {
    "3.1": [functional, sequential, by_average_pooling, by_operation],
    "3.2": [by_predict, by_loop, by_call],
    "3.3": [scaled_svm, grid, OwnScaling],
    "3.4": [chosen(lambda model, train, validation, test: model.score(*validation)), by_sorting, by_keywords],
    "3.5": [by_pairs, by_counting, in_float32],
    "3.6": [
        (trained_with(lambda: make_pipeline(StandardScaler(), SVC(C=5))), "mini"),
        (trained_with(lambda: make_pipeline(StandardScaler(), SVC(C=20, gamma=0.003))), "mini"),
    ],
}
WRONG = {
    "3.1": [
        (without_pooling, "pooling is missing"),
        (lambda base: keras.Sequential([base, layers.GlobalAveragePooling2D(keepdims=True)]), "Wanted is a vector"),
        (lambda base: keras.Sequential([base, layers.Flatten()]), "laid out flat"),
        (lambda base: keras.Sequential([base, layers.GlobalMaxPooling2D()]), "strongest place"),
        (scaled_first(layers.Rescaling(1 / 255)), "divides the pixels by 255"),
        (scaled_first(layers.Rescaling(1 / 127.5, -1)), "to [-1, 1]"),
        (from_an_earlier_layer, "cut at its end"),
        (lambda base: base(np.zeros((1, 32, 32, 3))), "not a keras.Model"),
        (lambda base: None, "return"),
    ],
    "3.2": [
        (in_training_mode, "training mode"),
        (without_the_last_batch, "last, smaller batch"),
        (batches_apart, "batches apart"),
        (shuffled, "another order"),
        (lambda model, images: by_predict(model, images / 255), "divides the pixels by 255"),
        (in_place, "changes the pictures"),
        (lambda model, images: print(end=""), "returns nothing"),
    ],
    "3.3": [
        (lambda x, y: SVC().fit(x, y), "Are the features scaled?"),
        (lambda x, y: SVC().fit(StandardScaler().fit_transform(x), y), "does not scale what it predicts"),
        (lambda x, y: make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(x, y), "border that is curved"),
        (lambda x, y: make_pipeline(StandardScaler(), SVC()), "not fitted"),
        (lambda x, y: scaled_svm(x, y).score(x, y), "cannot predict"),
        (lambda x, y: KNeighborsClassifier().fit(x, y), "Are the features scaled?"),
    ],
    "3.4": [
        (chosen(lambda model, train, validation, test: model.score(*test)), "best on the *test* data"),
        (chosen(lambda model, train, validation, test: model.score(*train)), "learned them by heart"),
        (reports_validation, "validation accuracy"),
        (returns_the_model, "wanted is the name of the model"),
        (scores_all_on_test, "used for 3 models"),
        (fits_on_everything, "Only the 200 training rows"),
        (name_only, "two things"),
    ],
    "3.5": [
        (unpaired, "different* pictures"),
        (of_one_accuracy, "first accuracy alone"),
        (not_divided, "root of their number"),
        (not_a_number, "not a number"),
        (lambda a, b: by_pairs(b, a), "wrong sign"),
        (lambda a, b: [100 * x for x in by_pairs(a, b)[:2]] + ["beats"], "in points"),
        (lambda a, b: (by_pairs(a, b)[0], 100 * by_pairs(a, b)[1], "beats"), "in points. Wanted is a share"),
        (lambda a, b: verdict(*by_pairs(a, b)[:2], limit=1), "more than *two*"),
        (lambda a, b: (*by_pairs(a, b)[:2], "better"), "Wanted is"),
        (one_sided, "may have either sign"),
        (the_other_leads, "The sign says who leads"),
        (lambda a, b: (0.01, *by_pairs(a, b)[1:]), "but your function says"),
        (lambda a, b: (by_pairs(a, b)[0], 0.5, "beats"), "expected is"),
        (lambda a, b: by_pairs(a, b)[2], "three things"),
        (lambda a, b: None, "return"),
    ],
    "3.6": [
        ((trained_with(lambda: KNeighborsClassifier(10)), "mini"), "points are missing"),
        ((lambda: lambda images: np.zeros(len(images), int), "mini"), "about guessing"),
        ((probabilities, "mini"), "one label for each picture"),
        ((lambda: lambda images: np.zeros(7, int), "mini"), "returns 7 labels"),
    ],
}
