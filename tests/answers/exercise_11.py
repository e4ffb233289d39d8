import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from helpers.checks.exercise_11 import SHAPES
from helpers.data import load_image_folder
from helpers.models import extract_features
from tests.answers.networks import fine_tuned, logits_loss, untrained

import keras
from keras import layers


# 11.1
def by_prefix(model, block):
    backbone, _, head = model.layers
    backbone.trainable = False
    for layer in backbone.layers:
        if layer.name.startswith(f"{block}_"):
            layer.trainable = True
    head.trainable = True


def by_name_before_the_underscore(model, block):
    model.layers[0].trainable = model.layers[-1].trainable = True
    for layer in model.layers[0].layers:
        if layer.name.split("_")[0] != block:
            layer.trainable = False


def by_looking_in_all_layers(model, block):
    for layer in model.layers:
        layer.trainable = layer is model.layers[-1]
        for inner in getattr(layer, "layers", []):
            inner.trainable = inner.name.rsplit("_", 1)[0] == block


def last_four_of_the_model(model, block):
    model.layers[0].trainable = False
    for layer in model.layers[-4:]:
        layer.trainable = True


def last_four_of_the_backbone(model, block):
    model.layers[0].trainable = False
    for layer in model.layers[0].layers[-4:]:
        layer.trainable = True
    model.layers[-1].trainable = True


def without_underscore(model, block):
    model.layers[0].trainable = False
    for layer in model.layers[0].layers:
        layer.trainable = layer.name.startswith(block)
    model.layers[-1].trainable = True


def names_of_the_model(model, block):
    model.layers[0].trainable = False
    for layer in model.layers:
        if layer.name.startswith(f"{block}_"):
            layer.trainable = True
    model.layers[-1].trainable = True


def frozen_last(model, block):
    for layer in model.layers[0].layers:
        layer.trainable = layer.name.startswith(f"{block}_")
    model.layers[-1].trainable = True
    model.layers[0].trainable = False


def frozen_head(model, block):
    model.layers[0].trainable = model.layers[-1].trainable = False
    for layer in model.layers[0].layers:
        layer.trainable = layer.name.startswith(f"{block}_")


def nothing_frozen_first(model, block):
    for layer in model.layers[0].layers:
        if layer.name.startswith(f"{block}_"):
            layer.trainable = True
    model.layers[-1].trainable = True


def first_layer_only(model, block):
    model.layers[0].trainable = False
    model.layers[0].get_layer(f"{block}_conv1").trainable = True
    model.layers[-1].trainable = True


def all_frozen(model, block):
    for layer in model.layers:
        layer.trainable = False


def whole_model_frozen_first(model, block):
    model.trainable = False
    for layer in model.layers[0].layers:
        layer.trainable = layer.name.startswith(f"{block}_")
    model.layers[-1].trainable = True


def new_head(model, block):
    by_prefix(model, block)
    model.layers[-1].set_weights([np.zeros_like(weight) for weight in model.layers[-1].get_weights()])


# 11.2
def softmax(logits, axis=1):
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def table_of(rows, logits, labels, names, files, scores=None):
    predictions = logits.argmax(axis=1)
    certainty = softmax(logits).max(axis=1) if scores is None else scores
    return pd.DataFrame(
        {
            "file": [files[row] for row in rows],
            "label": [names[labels[row]] for row in rows],
            "prediction": [names[predictions[row]] for row in rows],
            "probability": [certainty[row] for row in rows],
        }
    )


def sorter(scores=lambda logits, labels: softmax(logits).max(axis=1), sign=-1, cut_first=False, keep="wrong"):
    """Return a `worst_mistakes` that sorts by `scores`, down or up, of the "wrong", "right" or "all" answers."""

    def worst_mistakes(logits, labels, names, files, k):
        wrong = logits.argmax(axis=1) != labels
        rows = np.flatnonzero({"wrong": wrong, "right": ~wrong, "all": wrong | True}[keep])
        rows = rows[:k] if cut_first else rows
        rows = rows[np.argsort(sign * scores(logits, labels)[rows])][:k]
        return table_of(rows, logits, labels, names, files)

    return worst_mistakes


def by_sorted(logits, labels, class_names, files, k):
    rows = []
    for file, label, scores in zip(files, labels, logits, strict=True):
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(scores))
        if probabilities.argmax() != label:
            names = class_names[label], class_names[probabilities.argmax()]
            rows.append((file, *names, float(probabilities.max())))
    rows.sort(key=lambda row: row[-1], reverse=True)
    return pd.DataFrame(rows[:k], columns=["file", "label", "prediction", "probability"])


def by_pandas(logits, labels, class_names, files, k):
    certainty = keras.ops.convert_to_numpy(keras.ops.softmax(logits)).max(axis=1)
    table = table_of(range(len(files)), logits, labels, class_names, files, certainty)
    return table[table["label"] != table["prediction"]].nlargest(k, "probability")[
        ["probability", "file", "prediction", "label"]
    ]


def with_scores(scores):
    """Return a `worst_mistakes` whose rows are right, and whose column probability holds `scores(logits, labels)`."""

    def worst_mistakes(logits, labels, names, files, k):
        table = sorter()(logits, labels, names, files, k)
        rows = [files.index(file) for file in table["file"]]
        return table.assign(probability=scores(logits, labels)[rows])

    return worst_mistakes


def with_numbers(logits, labels, names, files, k):
    return sorter()(logits, labels, tuple(range(len(names))), files, k)


def exchanged(*given):
    return sorter()(*given).rename(columns={"label": "prediction", "prediction": "label"})


def in_place(logits, labels, names, files, k):
    logits -= logits.max(axis=1, keepdims=True)
    return sorter()(logits, labels, names, files, k)


# 11.3
def on_features(trained=True, whole=True, names=None, softmax=False, divided=False):
    """Return an `own_classifier` that trains a head on features; the arguments are the ways to do it wrongly."""

    def own_classifier(folder, backbone):
        keras.utils.set_random_seed(1)
        own = load_image_folder(folder, backbone.image_size)
        backbone.model.trainable = False
        extractor = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D()])
        images = (own.x_train[:] / 255).astype("float32") if divided else own.x_train
        features = extractor.predict(images, verbose=0) if divided else extract_features(extractor, images)
        scale = layers.Normalization()
        scale.adapt(features)
        head = keras.Sequential([keras.Input(features.shape[1:]), scale, layers.Dense(len(own.class_names))])
        if trained:
            fitted = LogisticRegression().fit(scale(features), own.y_train)
            head.layers[-1].set_weights([fitted.coef_.T, fitted.intercept_])
        model = keras.Sequential([extractor, head, *([layers.Softmax()] if softmax else [])])
        return model if whole else head, own.class_names if names is None else names

    return own_classifier


def in_one_model(folder, backbone):
    keras.utils.set_random_seed(2)
    own = load_image_folder(str(folder), backbone.image_size, seed=5, validation=0.1, test=0.1)
    backbone.model.trainable = False
    pixels = keras.Input((backbone.image_size, backbone.image_size, 3))
    features = layers.GlobalAveragePooling2D()(backbone.model(pixels, training=False))
    model = keras.Model(pixels, layers.Dense(3)(features))
    model.compile(keras.optimizers.Adam(3e-2), logits_loss(), metrics=["accuracy"])
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=8, restore_best_weights=True)
    validation = own.x_validation[:].astype("float32"), own.y_validation
    x = own.x_train[:].astype("float32")
    model.fit(x, own.y_train, validation_data=validation, epochs=40, verbose=0, callbacks=[best])
    return [model, list(own.class_names)]


def unfrozen(folder, backbone):
    own = load_image_folder(folder, backbone.image_size)
    model = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    model.compile(keras.optimizers.Adam(1e-3), logits_loss(), run_eagerly=True)
    model.train_on_batch(own.x_train[:8].astype("float32"), own.y_train[:8])
    return model, own.class_names


def by_hand(folder, backbone):
    from PIL import Image

    images = [Image.open(file).resize((32, 32)) for file in sorted(folder.rglob("*.*"))]
    return on_features()(folder, backbone) if images else None


# 11.4
def joined(make_parts, *end):
    """Return a `train_classifier` that joins a backbone and a head to one model, with what the check is given."""

    def train_classifier():
        backbone, head = make_parts()
        return keras.Sequential([backbone.model, layers.GlobalAveragePooling2D(), head, *end])

    return on_mini(train_classifier)


def vgg_untrained():
    return untrained("vgg16")


def vgg_fine_tuned():
    return fine_tuned("mini_vgg")


def vgg_hardly_trained():
    backbone, head = vgg_untrained()
    kernel = backbone.layers_of("block5")[0].kernel
    kernel.assign(1.001 * kernel)
    return backbone, head


def vgg_from_scratch():
    return untrained("vgg16", weights=None)


def functional():
    backbone, head = vgg_fine_tuned()
    pixels = keras.Input((32, 32, 3))
    maps = backbone.model(pixels, training=False)
    return keras.Model(pixels, head(layers.Flatten()(layers.AveragePooling2D(maps.shape[1:3])(maps))))


def on_mini(train_classifier):
    return train_classifier, "vgg16", 32, "mini"


def stops_without_mistakes(logits, labels, *given):
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    wrong[0]
    return sorter()(logits, labels, *given)


def shows_an_answer(logits, labels, *given):
    table = sorter()(logits, labels, *given)
    return table if len(table) else sorter(keep="all")(logits, labels, *given)


RIGHT = {
    "11.1": [by_prefix, by_name_before_the_underscore, by_looking_in_all_layers],
    "11.2": [
        lambda *given: by_sorted(*given).sample(frac=1, random_state=0).sort_values("probability")[::-1],
        sorter(),
        by_sorted,
        by_pandas,
        lambda *given: by_pandas(*given).round({"probability": 2}),
    ],
    "11.3": [on_features(), in_one_model],
    "11.4": [joined(vgg_fine_tuned), on_mini(functional)],
}
WRONG = {
    "11.1": [
        (last_four_of_the_model, "the whole backbone learns"),
        (last_four_of_the_backbone, "Counting from the end"),
        (without_underscore, "it is another block"),
        (names_of_the_model, "no layer of the backbone learns"),
        (frozen_last, "no layer of the backbone learns"),
        (frozen_head, "the head is frozen"),
        (nothing_frozen_first, "the whole backbone learns"),
        (first_layer_only, "block2_conv2"),
        (all_frozen, "nothing learns at all"),
        (whole_model_frozen_first, "the flag of the whole model is False"),
        (new_head, "changes weights"),
    ],
    "11.2": [
        (lambda *given: sorter()(*given).sort_values("file"), "sorted by the file"),
        (stops_without_mistakes, "Wanted is a table without rows"),
        (shows_an_answer, "Wanted is a table without rows"),
        (sorter(keep="all"), "right ones among them"),
        (sorter(keep="right"), "these answers are right"),
        (sorter(sign=1), "*least* certain"),
        (sorter(lambda logits, labels: logits.max(axis=1)), "sorted by their logits"),
        (sorter(lambda logits, labels: -softmax(logits)[np.arange(len(labels)), labels]), "*true* class"),
        (sorter(cut_first=True), "First sort all mistakes"),
        (sorter(lambda logits, labels: -np.arange(len(labels))), "as they come"),
        (lambda *given: sorter()(*given)[::-1], "opposite order"),
        (with_scores(lambda logits, labels: logits.max(axis=1)), "divided by the sum"),
        (with_scores(lambda logits, labels: softmax(logits, axis=0).max(axis=1)), "divided by the sum"),
        (with_scores(lambda logits, labels: softmax(logits)[np.arange(len(labels)), labels]), "of the true class"),
        (lambda *given: by_pandas(*given).assign(probability=lambda table: 100 * table["probability"]), "in percent"),
        (with_numbers, "the names of the classes"),
        (exchanged, "are exchanged"),
        (in_place, "changes the arrays"),
        (lambda *given: sorter()(*given).head(1), "There are 3 to show"),
        (lambda *given: sorter()(*given)["file"], "wanted is a DataFrame"),
        (lambda *given: None, "returns nothing"),
    ],
    "11.3": [
        (on_features(whole=False), "features?"),
        (on_features(names=SHAPES), "another order"),
        (on_features(names=("a", "b", "c")), "the folders are"),
        (on_features(softmax=True), "probabilities"),
        (on_features(trained=False), "Is the head trained"),
        (on_features(divided=True), "see a new picture as the head saw"),
        (unfrozen, "The backbone has changed"),
        (by_hand, "UnidentifiedImageError"),
        (lambda *given: on_features()(*given)[0], "wanted are two things"),
        (lambda *given: None, "returns nothing"),
    ],
    "11.4": [
        (joined(vgg_untrained), "has moved"),
        (joined(vgg_hardly_trained), "points are missing"),
        (joined(vgg_from_scratch), "points are missing"),
        (joined(untrained), "another network"),
        (joined(vgg_fine_tuned, layers.Softmax()), "probabilities"),
        (on_mini(lambda: lambda images: images), "not a keras.Model"),
    ],
}
