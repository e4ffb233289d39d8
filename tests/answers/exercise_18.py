import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize
from sklearn.svm import SVC

import keras
from keras import layers, ops


# 18.1
def nearest_means(few, labels, x):
    few = few / np.linalg.norm(few, axis=1, keepdims=True)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    classes = np.unique(labels)
    means = np.stack([few[labels == label].mean(axis=0) for label in classes])
    return classes[np.linalg.norm(x[:, None] - means, axis=2).argmin(axis=1)]


def means_of_sklearn(few, labels, x):
    return NearestCentroid().fit(normalize(few), labels).predict(normalize(x)).tolist()


def plain_means(few, labels, x):
    return NearestCentroid().fit(few, labels).predict(x)


def half_normalised(few, labels, x):
    return NearestCentroid().fit(normalize(few), labels).predict(x)


def other_half_normalised(few, labels, x):
    return NearestCentroid().fit(few, labels).predict(normalize(x))


def cosine_to_means(few, labels, x):
    classes = np.unique(labels)
    means = np.stack([normalize(few)[labels == label].mean(axis=0) for label in classes])
    return classes[(x @ normalize(means).T).argmax(axis=1)]


def largest_product(few, labels, x):
    classes = np.unique(labels)
    means = np.stack([normalize(few)[labels == label].mean(axis=0) for label in classes])
    return classes[(normalize(x) @ means.T).argmax(axis=1)]


def sum_lengths(few, labels, x):
    return NearestCentroid().fit(normalize(few, "l1"), labels).predict(normalize(x, "l1"))


def neighbours(few, labels, x):
    return labels[(normalize(x) @ normalize(few).T).argmax(axis=1)]


def places(few, labels, x):
    return np.searchsorted(np.unique(labels), nearest_means(few, labels, x))


def spoiling(few, labels, x):
    answer = nearest_means(few, labels, x)
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    return answer


# 18.2
def nt_xent(first, second, temperature):
    views = ops.normalize(ops.concatenate([first, second]), axis=1)
    logits = ops.matmul(views, ops.transpose(views)) / temperature - 1e9 * ops.eye(len(views))
    partners = np.roll(np.arange(2 * len(first)), len(first))
    return ops.mean(ops.sparse_categorical_crossentropy(partners, logits, from_logits=True))


def loss_in_a_loop(first, second, temperature):
    views = normalize(np.concatenate([first, second]))
    losses = []
    for row, view in enumerate(views):
        partner = (row + len(first)) % len(views)
        weights = [np.exp(view @ other / temperature) for k, other in enumerate(views) if k != row]
        losses.append(-np.log(np.exp(view @ views[partner] / temperature) / np.sum(weights)))
    return float(np.mean(losses))


def loss_with(own=False, raw=False, warm=False, rows=slice(None), end=np.mean):
    def loss(first, second, temperature):
        views = np.concatenate([first, second])
        views = views if raw else normalize(views)
        logits = views @ views.T / (1 if warm else temperature)
        logits = logits if own else logits - 1e9 * np.eye(len(views))
        partners = np.roll(np.arange(2 * len(first)), len(first))
        logits, partners = logits.astype(float)[rows], partners[rows]
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), partners]
        return end(losses)

    return loss


def zero_diagonal(first, second, temperature):
    views = normalize(np.concatenate([first, second]))
    logits = views @ views.T / temperature * (1 - np.eye(len(views)))
    partners = np.roll(np.arange(2 * len(first)), len(first))
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), partners])


def side_by_side(first, second, temperature):
    views = normalize(np.concatenate([first, second]))
    logits = (views @ views.T / temperature).astype(float)
    np.fill_diagonal(logits, -np.inf)
    places = np.arange(len(views))
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[places, places ^ 1])


def both_halves(first, second, temperature):
    return (halves(first, second, temperature) + halves(second, first, temperature)) / 2


def itself(first, second, temperature):
    views = normalize(np.concatenate([first, second]))
    logits = views @ views.T / temperature - 1e9 * np.eye(len(views))
    return ops.mean(ops.sparse_categorical_crossentropy(np.arange(len(views)), logits, from_logits=True))


def halves(first, second, temperature):
    logits = normalize(first) @ normalize(second).T / temperature
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits.diagonal())


# 18.3
def two_views(pictures):
    augment = keras.Sequential(
        [layers.RandomFlip(), layers.RandomTranslation(0.2, 0.2), layers.RandomBrightness(0.1, value_range=(0, 255))]
    )
    return tuple(np.clip(augment(pictures.astype("float32"), training=True), 0, 255) for _ in range(2))


def views_by_numpy(pictures):
    random = np.random.default_rng()

    def view():
        shift = random.integers(-4, 5, (len(pictures), 2))
        moved = [np.roll(picture, each, (0, 1)) for picture, each in zip(pictures, shift, strict=True)]
        noisy = np.array(moved) * random.uniform(0.8, 1.1, (len(pictures), 1, 1, 1)) + random.normal(
            size=pictures.shape
        )
        return np.clip(noisy, 0, 255).astype("uint8")

    return [view(), view()]


def strong_views(pictures):
    brightness = layers.RandomBrightness(0.6, value_range=(0, 255))
    return [np.asarray(brightness(pictures.astype("float32"), training=True)) for _ in range(2)]


def brighter(pictures, shape, low=0, high=255):
    return np.clip(pictures + np.random.default_rng().uniform(-30, 30, shape), low, high)


def one_change(pictures):
    return brighter(pictures, (1, 32, 32, 3)), brighter(pictures, (1, 32, 32, 3))


def one_view(pictures):
    return pictures, brighter(pictures, (len(pictures), 1, 1, 1))


def same_view(pictures):
    view = brighter(pictures, (len(pictures), 1, 1, 1))
    return view, view


def seeded(pictures):
    random = np.random.default_rng(0)
    return [np.clip(pictures + random.uniform(-30, 30, (len(pictures), 1, 1, 1)), 0, 255) for _ in range(2)]


def noise(pictures):
    return [np.random.default_rng().uniform(0, 255, pictures.shape) for _ in range(2)]


def in_predict(pictures):
    augment = keras.Sequential([layers.RandomFlip(), layers.RandomTranslation(0.2, 0.2)])
    return [augment.predict(pictures, verbose=0) for _ in range(2)]


def in_another_order(pictures):
    return [np.random.default_rng().permutation(view) for view in two_views(pictures)]


def wrapping(pictures):
    return [(pictures + np.random.normal(0, 20, pictures.shape)).astype("int").astype("uint8") for _ in range(2)]


def in_place(pictures):
    views = two_views(pictures)
    pictures //= 2
    return views


# 18.4
def choose_source(table, megabytes, seconds):
    inside = table[(table["megabytes"] <= megabytes) & (table["seconds"] <= seconds)]
    if inside.empty:
        raise ValueError("no source fits")
    best = inside["validation"].idxmax()
    return best, inside.loc[best, "test"]


def choose_in_a_loop(table, megabytes, seconds):
    best = None
    for name, row in table.iterrows():
        fits = row.megabytes <= megabytes and row.seconds <= seconds
        if fits and (best is None or row.validation > table.validation[best]):
            best = name
    if best is None:
        raise ValueError
    return [best, float(table.test[best])]


def choosing(by="validation", report="test", mask=lambda table, mb, s: (table.megabytes <= mb) & (table.seconds <= s)):
    def choose(table, megabytes, seconds):
        inside = table[mask(table, megabytes, seconds)]
        best = inside[by].idxmax()
        return best, inside.loc[best, report]

    return choose


def place_in_the_shortened(table, megabytes, seconds):
    inside = table[(table.megabytes <= megabytes) & (table.seconds <= seconds)]
    name = table.index[inside["validation"].argmax()]
    return name, table.test[name]


def only_the_best_of_all(table, megabytes, seconds):
    best = table["validation"].idxmax()
    if table.megabytes[best] > megabytes or table.seconds[best] > seconds:
        raise ValueError("it is too large")
    return best, table.test[best]


def never_none(table, megabytes, seconds):
    try:
        return choose_source(table, megabytes, seconds)
    except ValueError:
        return table["megabytes"].idxmin(), 0.0


def last_of_none(table, megabytes, seconds):
    inside = table[(table.megabytes <= megabytes) & (table.seconds <= seconds)]
    best = inside.sort_values("validation").index[-1]
    return best, inside.loc[best, "test"]


def sorting(table, megabytes, seconds):
    table.sort_values("validation", inplace=True)
    return choose_source(table, megabytes, seconds)


# 18.5
def together(features):
    return np.concatenate([normalize(each) for each in features.values()], axis=1)


def both(classifier):
    return lambda few, labels, x: classifier.fit(together(few), labels).predict(together(x))


def alone(name, classifier):
    return lambda few, labels, x: classifier.fit(normalize(few[name]), labels).predict(normalize(x[name]))


RIGHT = {
    "18.1": [nearest_means, means_of_sklearn],
    "18.2": [nt_xent, loss_in_a_loop, loss_with()],
    "18.3": [two_views, views_by_numpy, strong_views],
    "18.4": [choose_source, choose_in_a_loop],
    "18.5": [both(SVC(C=10)), both(LogisticRegression(C=30, max_iter=1000))],
}
WRONG = {
    "18.1": [
        (lambda *given: None, "returns nothing"),
        (lambda few, labels, x: "cat", "wanted is one label"),
        (lambda few, labels, x: (row for row in x), "wanted is one label"),
        (lambda few, labels, x: np.zeros((len(x), 3)), "returns the shape"),
        (plain_means, "divided by its length"),
        (half_normalised, "have those of x, too"),
        (largest_product, "the largest product"),
        (sum_lengths, "the root of the sum of squares"),
        (lambda few, labels, x: np.zeros(len(x), int), "of the nearest class mean"),
        (other_half_normalised, "the labelled ones have not"),
        (cosine_to_means, "You divide the means"),
        (neighbours, "the nearest single picture"),
        (places, "the place of the nearest mean"),
        (spoiling, "changes the arrays"),
        (lambda few, labels, x: np.full(len(x), labels[0]), "of your labels are those"),
        (lambda few, labels, x: np.full(len(x), np.nan), "of your labels are those"),
    ],
    "18.2": [
        (lambda *given: None, "returns nothing"),
        (lambda *given: "3", "wanted is one number"),
        (loss_with(own=True), "its own partner"),
        (loss_with(raw=True), "vectors of length 1"),
        (loss_with(warm=True), "not divided by the temperature"),
        (loss_with(rows=slice(5)), "the first views only"),
        (lambda first, second, temperature: nt_xent(first, second, 1 / temperature), "are multiplied"),
        (lambda *given: -nt_xent(*given), "The sign is wrong"),
        (zero_diagonal, "rules nothing out"),
        (side_by_side, "neighbouring rows"),
        (halves, "Your candidates"),
        (both_halves, "and the other way round"),
        (itself, "n rows away"),
        (lambda *given: 2 * nt_xent(*given), "twice as large"),
        (loss_with(end=np.sum), "the sum over the views"),
        (loss_with(end=lambda losses: losses), "wanted is one number, the mean"),
        (lambda *given: np.nan, "The loss is nan"),
        (lambda *given: 1.0, "your loss is 1.000"),
    ],
    "18.3": [
        (lambda pictures: None, "returns nothing"),
        (lambda pictures: pictures, "wanted are two arrays"),
        (lambda pictures: ("one", "two"), "two arrays of pictures"),
        (same_view, "Both views are the same"),
        (lambda pictures: (pictures, pictures.copy()), "the pictures as they were"),
        (in_predict, "In predict"),
        (in_another_order, "in another order"),
        (wrapping, "wraps round"),
        (one_view, "is the picture as it was"),
        (one_change, "in the same way"),
        (seeded, "the same views"),
        (noise, "nothing of the picture is left"),
        (in_place, "changes the pictures"),
        (lambda pictures: [view / 255 for view in two_views(pictures)], "at most 2"),
        (lambda pictures: [view - 128.0 for view in two_views(pictures)], "wanted is 0 to 255"),
        (lambda pictures: [view[:, :16] for view in two_views(pictures)], "views have the same"),
        (lambda pictures: [view * np.nan for view in two_views(pictures)], "a nan or an infinite"),
    ],
    "18.4": [
        (lambda *given: None, "returns nothing"),
        (lambda table, *budget: table["validation"].idxmax(), "two things"),
        (choosing(mask=lambda table, mb, s: table.megabytes <= mb), "is beyond it"),
        (choosing(mask=lambda table, mb, s: table.seconds <= s), "is beyond it"),
        (choosing(by="test"), "highest *test* accuracy"),
        (choosing(report="validation"), "You report the validation accuracy"),
        (choosing(mask=lambda table, mb, s: (table.megabytes < mb) & (table.seconds < s)), "just uses up the budget"),
        (never_none, "Wanted is a ValueError"),
        (place_in_the_shortened, "in the shortened table"),
        (only_the_best_of_all, "fits. In line"),
        (lambda table, *budget: (table["validation"].argmax(), 0.7), "idxmax the name"),
        (last_of_none, "stops with IndexError"),
        (lambda *given: (choose_source(*given)[0], None), "and None"),
        (lambda *given: (choose_source(*given)[0], "0.7"), "a number"),
        (lambda *given: (choose_source(*given)[0], [0.7, 0.6]), "wanted is one number"),
        (sorting, "changes the table"),
        (lambda table, *budget: ("VGG", 0.7), "is no source of the table"),
    ],
    "18.5": [
        (lambda *given: None, "returns nothing"),
        (alone("mini_mobilenet", SVC(C=10)), "the target is"),
        (alone("mini_mobilenet_unlabelled", SVC(C=10)), "the target is"),
        (both(NearestCentroid()), "the target is"),
        (both(SVC()), "Close"),
        (lambda few, labels, x: SVC(C=10).fit(together(few), labels).predict(np.hstack(list(x.values()))), "like few"),
        (lambda few, labels, x: labels, "returns the shape"),
        (lambda few, labels, x: np.zeros(600), "about guessing"),
    ],
}
