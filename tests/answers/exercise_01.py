import numpy as np
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from tests.answers.networks import features_of, shared_data, shared_extractor

import keras
from keras import ops


# 1.1
def by_arithmetic(images):
    return images.astype("float32") / 127.5 - 1


def by_preprocess_input(images):
    return keras.applications.mobilenet_v2.preprocess_input(np.array(images, dtype="float32"))


def by_layer(images):
    return keras.layers.Rescaling(1 / 127.5, offset=-1)(images)


def by_loop(images):
    return [(image / np.float32(255) - np.float32(0.5)) * np.float32(2) for image in images]


def in_place(images):
    return keras.applications.mobilenet.preprocess_input(images)


def in_place_by_operators(images):
    ready = images.astype("float32", copy=False)
    ready /= 127.5
    ready -= 1
    return ready


def standardised(images):
    pixels = images.astype("float32")
    return (pixels - pixels.mean()) / pixels.std()


def by_the_largest(images):
    pixels = images.astype("float32")
    return 2 * (pixels - pixels.min()) / (pixels.max() - pixels.min()) - 1


# 1.2
def by_argsort(probabilities, names, k):
    return [[names[place] for place in row[::-1][:k]] for row in np.argsort(probabilities)]


def by_array(probabilities, names, k):
    return np.array(names)[np.argsort(-probabilities, axis=1)[:, :k]]


def by_top_k(probabilities, names, k):
    _, places = ops.top_k(probabilities, k)
    return [tuple(names[int(place)] for place in row) for row in places]


def by_sorted(probabilities, names, k):
    ranked = []
    for row in probabilities:
        ranked.append([name for _, name in sorted(zip(row, names, strict=True), reverse=True)[:k]])
    return ranked


def ascending(probabilities, names, k):
    return [[names[place] for place in row[-k:]] for row in np.argsort(probabilities)]


def least_likely(probabilities, names, k):
    return [[names[place] for place in row[:k]] for row in np.argsort(probabilities)]


def always_five(probabilities, names, k):
    return by_argsort(probabilities, names, 5)


def by_partition(probabilities, names, k):
    return [[names[place] for place in sorted(row[:k])] for row in np.argsort(-probabilities)]


def first_for_all(probabilities, names, k):
    return by_argsort(probabilities, names, k)[:1] * len(probabilities)


def sorted_in_place(probabilities, names, k):
    answer = by_argsort(probabilities, names, k)
    probabilities.sort()
    return answer


# 1.3
def by_predict(model, images):
    return np.argmax(model.predict(images, verbose=0), axis=1)


def by_call(model, images):
    return ops.argmax(model(images.astype("float32")), axis=-1)


def by_batches(model, images):
    found = []
    for start in range(0, len(images), 50):
        found += [int(row.argmax()) for row in model.predict_on_batch(images[start : start + 50])]
    return found


def without_the_layer(model, images):
    return keras.Model(model.get_layer("preprocessing").output, model.output)


def by_its_network(model, images):
    ready = keras.applications.mobilenet.preprocess_input(images.astype("float32"))
    return np.argmax(without_the_layer(model, images)(ready, training=False), axis=1)


def after(change):
    return lambda model, images: by_predict(model, change(images.astype("float32")))


def in_training_mode(model, images):
    return np.argmax(np.asarray(model(images.astype("float32"), training=True)), axis=1)


# 1.4
def by_norms(query, features, k):
    return np.argsort(-(features @ query) / np.linalg.norm(features, axis=1) / np.linalg.norm(query))[:k]


def by_scikit_learn(query, features, k):
    search = NearestNeighbors(n_neighbors=k, metric="cosine").fit(features)
    return search.kneighbors(query[None], return_distance=False)[0]


def by_keras(query, features, k):
    return ops.top_k(ops.sum(ops.normalize(features, axis=1) * ops.normalize(query[None], axis=1), axis=1), k)[1]


def by_one_and_one(query, features, k):
    cosines = [float(row @ query) / float(row @ row) ** 0.5 for row in features]
    return sorted(range(len(features)), key=cosines.__getitem__, reverse=True)[:k]


def normalised_in_place(query, features, k):
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return by_norms(query, features, k)


# 1.5
def by_neighbours(**options):
    def make():
        data = shared_data()
        model = KNeighborsClassifier(**options).fit(features_of(data.x_train), data.y_train)
        return lambda images: model.predict(features_of(images))

    return make


def by_votes():
    data = shared_data()
    features = features_of(data.x_train)
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)

    def classify(images):
        places = np.argsort(-features_of(images) @ directions.T, axis=1)[:, :10]
        return [np.bincount(data.y_train[row]).argmax() for row in places]

    return classify


def by_pixels():
    data = shared_data()
    model = KNeighborsClassifier(10).fit(data.x_train.reshape(len(data.x_train), -1), data.y_train)
    return lambda images: model.predict(images.reshape(len(images), -1))


def scaled_before_the_backbone():
    data = shared_data()
    model = KNeighborsClassifier(10, metric="cosine").fit(features_of(data.x_train), data.y_train)
    return lambda images: model.predict(np.asarray(shared_extractor()(images / 127.5 - 1)))


def by_indices():
    search = NearestNeighbors(n_neighbors=10, metric="cosine").fit(features_of(shared_data().x_train))
    return lambda images: search.kneighbors(features_of(images), return_distance=False)


RIGHT = {
    "1.1": [by_arithmetic, by_preprocess_input, by_layer, by_loop],
    "1.2": [by_argsort, by_array, by_top_k, by_sorted],
    "1.3": [by_predict, by_call, by_batches, by_its_network],
    "1.4": [by_norms, by_scikit_learn, by_keras, by_one_and_one],
    "1.5": [
        (by_neighbours(n_neighbors=10, metric="cosine", weights="distance"), "mini"),
        (by_votes, "mini"),
    ],
}
WRONG = {
    "1.1": [
        (lambda images: images.astype("float32") / 255, "from 0 to 1"),
        (lambda images: by_arithmetic(by_arithmetic(images)), "scaled twice"),
        (lambda images: by_arithmetic(images / 255), "scaled twice"),
        (in_place, "float32 pictures that it was given are changed"),
        (in_place_by_operators, "are changed"),
        (standardised, "standardised"),
        (by_the_largest, "alone comes out different"),
        (lambda images: by_arithmetic(images).astype("uint8"), "still uint8"),
        (lambda images: images.astype("float32"), "still 0 to 255"),
        (lambda images: images / 127.5 - 1.0, "float64, not float32"),
        (lambda images: images / np.float32(127.5), "from 0 to 2"),
        (lambda images: keras.applications.vgg16.preprocess_input(images.astype("float32")), "another family"),
        (lambda images: by_arithmetic(images)[0], "Only the values"),
        (lambda images: print(end=""), "returns nothing"),
    ],
    "1.2": [
        (ascending, "ascending"),
        (least_likely, "*least* likely"),
        (lambda probabilities, names, k: np.argsort(-probabilities)[:, :k], "a number"),
        (always_five, "Is k used?"),
        (lambda probabilities, names, k: by_argsort(probabilities, names, k)[0], "one picture only"),
        (first_for_all, "fit the first picture"),
        (by_partition, "order is not that of the probabilities"),
        (lambda probabilities, names, k: by_argsort(probabilities[:, :9], names, k + 1)[1:], "gives 5 rows"),
        (sorted_in_place, "in place"),
        (lambda probabilities, names, k: [names[place] for place in probabilities.argmax(axis=1)], "in one row"),
        (lambda probabilities, names, k: np.array(names)[np.argsort(-probabilities, axis=0)[:, :k]], "Which axis"),
    ],
    "1.3": [
        (after(keras.applications.mobilenet.preprocess_input), "again by the model"),
        (after(lambda pixels: pixels / 255), "again by the model"),
        (
            lambda model, images: by_call(without_the_layer(model, images), images),
            "preprocessing is missing",
        ),
        (lambda model, images: model.predict(images, verbose=0), "index of the largest"),
        (lambda model, images: model.predict(images, verbose=0).max(axis=1), "largest *value*"),
        (lambda model, images: model.predict(images, verbose=0).argmax(axis=0), "Over which axis"),
        (lambda model, images: model.predict(images, verbose=0).argmin(axis=1), "*least* likely"),
        (in_training_mode, "training mode"),
        (after(lambda pixels: pixels[..., ::-1]), "colours"),
        (after(lambda pixels: pixels[::-1]), "which order"),
    ],
    "1.4": [
        (lambda query, features, k: by_norms(-query, features, k), "*least* similar"),
        (lambda query, features, k: by_norms(query, features, len(features))[-k:], "*least* similar"),
        (lambda query, features, k: np.argsort(-(features @ query))[:k], "dot products"),
        (lambda query, features, k: np.argsort(np.linalg.norm(features - query, axis=1))[:k], "Euclidean"),
        (lambda query, features, k: by_norms(query, features, k + 1)[1:], "leaves out the most similar"),
        (lambda query, features, k: by_norms(query, features, k)[::-1], "wrong way round"),
        (lambda query, features, k: np.sort(by_norms(query, features, k)), "their order is not"),
        (lambda query, features, k: features[by_norms(query, features, k), 0], "Wanted are indices"),
        (lambda query, features, k: by_norms(query, features, 5 * k), "With k = 5"),
        (normalised_in_place, "in place"),
    ],
    "1.5": [
        ((by_pixels, "mini"), "about guessing"),
        ((by_neighbours(n_neighbors=200), "mini"), "points are missing"),
        ((scaled_before_the_backbone, "mini"), "points are missing"),
        ((by_indices, "mini"), "one label for each picture"),
        ((lambda: np.zeros(1000, int), "mini"), "must return a function"),
    ],
}
