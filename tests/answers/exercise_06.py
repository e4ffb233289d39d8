import numpy as np

from tests.answers.networks import fine_tuned, logits_loss, untrained

import keras
from keras import layers, ops


# 6.1
def by_fit(model, x, y, done, more):
    return model.fit(x, y, initial_epoch=done, epochs=done + more, verbose=0).epoch


def by_single_epochs(model, x, y, done, more):
    trained = []
    for epoch in range(done, done + more):
        trained += model.fit(x, y, initial_epoch=epoch, epochs=epoch + 1, verbose=0).epoch
    return trained


def in_batches_of_four(model, x, y, done, more):
    last = done + more
    return np.array(model.fit(x, y, batch_size=4, epochs=last, verbose=0, initial_epoch=done).epoch)


def counted(start, end):
    """Return a `train_more` that trains from `start(done, more)` to `end(done, more)`."""

    def train_more(model, x, y, done, more):
        first, last = start(done, more), end(done, more)
        return model.fit(x, y, initial_epoch=first, epochs=last, verbose=0).epoch

    return train_more


def the_history(model, x, y, done, more):
    return model.fit(x, y, initial_epoch=done, epochs=done + more, verbose=0)


def compiled_again(model, x, y, done, more):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return by_fit(model, x, y, done, more)


def only_the_list(model, x, y, done, more):
    return list(range(done, done + more))


def too_much_behind_the_list(model, x, y, done, more):
    model.fit(x, y, epochs=done + more + 1, verbose=0)
    return list(range(done, done + more))


# 6.2
def unfreeze(base):
    base.trainable = True
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def set_up(model, base, rate):
    unfreeze(base)
    model.compile(keras.optimizers.Adam(rate / 10), logits_loss(), metrics=["accuracy"])


def with_sgd_and_own_loss(model, base, rate):
    base.trainable = True
    for layer in base.layers:
        layer.trainable = "BatchNormalization" not in type(layer).__name__

    def loss(labels, logits):
        return ops.mean(ops.sparse_categorical_crossentropy(ops.reshape(labels, (-1,)), logits, from_logits=True))

    model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.1 * rate, momentum=0.9), loss=loss)


def at_rate(change):
    def fine_tune_setup(model, base, rate):
        unfreeze(base)
        model.compile(keras.optimizers.Adam(change(rate)), logits_loss())

    return fine_tune_setup


def with_loss(loss):
    def fine_tune_setup(model, base, rate):
        unfreeze(base)
        model.compile(keras.optimizers.Adam(rate / 10), loss)

    return fine_tune_setup


def not_compiled(model, base, rate):
    unfreeze(base)
    model.optimizer.learning_rate = rate / 10


def compiled_before_the_flags(model, base, rate):
    model.compile(keras.optimizers.Adam(rate / 10), logits_loss())
    unfreeze(base)


def batch_norm_first(model, base, rate):
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    base.trainable = True
    model.compile(keras.optimizers.Adam(rate / 10), logits_loss())


def still_frozen(model, base, rate):
    model.compile(keras.optimizers.Adam(rate / 10), logits_loss())


def the_last_layers(model, base, rate):
    unfreeze(base)
    for layer in base.layers[:-3]:
        layer.trainable = False
    model.compile(keras.optimizers.Adam(rate / 10), logits_loss())


def without_head(model, base, rate):
    unfreeze(base)
    model.layers[-1].trainable = False
    model.compile(keras.optimizers.Adam(rate / 10), logits_loss())


def trained_too(model, base, rate):
    set_up(model, base, rate)
    model.fit(np.ones((4, 8, 8, 3)), np.zeros(4), verbose=0)


# 6.3
def as_one_vector(before, after):
    old, new = (np.concatenate([array.ravel() for array in arrays]) for arrays in (before, after))
    return np.linalg.norm(new - old) / np.linalg.norm(old)


def by_sums_of_squares(before, after):
    moved = sum(float(((b - a) ** 2).sum()) for a, b in zip(before, after, strict=True))
    return (moved / sum(float((a**2).sum()) for a in before)) ** 0.5


def with_keras(before, after):
    moved = ops.sqrt(sum(ops.sum(ops.square(b - a)) for a, b in zip(before, after, strict=True)))
    return moved / ops.sqrt(sum(ops.sum(ops.square(a)) for a in before))


def ratios(before, after):
    return np.array([np.linalg.norm(b - a) / max(np.linalg.norm(a), 1e-9) for a, b in zip(before, after, strict=True)])


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def by_absolute_values(before, after):
    return np.abs(flat(after) - flat(before)).sum() / np.abs(flat(before)).sum()


def in_place(before, after):
    for old, new in zip(before, after, strict=True):
        new -= old
    return np.linalg.norm(flat(after)) / np.linalg.norm(flat(before))


def safe_ratios(before, after):
    kept = [(a, b) for a, b in zip(before, after, strict=True) if np.any(a)]
    return as_one_vector([a for a, _ in kept], [b for _, b in kept])


# 6.4
def stopping(validate=True, **arguments):
    """Return a `train_with_early_stopping` with these arguments of EarlyStopping."""

    def train_with_early_stopping(model, train, validation, epochs):
        callback = keras.callbacks.EarlyStopping(**arguments)
        data = {"validation_data": validation} if validate else {}
        model.fit(*train, **data, epochs=epochs, verbose=0, callbacks=[callback])

    return train_with_early_stopping


def by_checkpoint(model, train, validation, epochs):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "best.weights.h5")
        best = keras.callbacks.ModelCheckpoint(
            path, monitor="val_accuracy", save_best_only=True, save_weights_only=True
        )
        model.fit(*train, validation_data=validation, epochs=epochs, verbose=0, callbacks=[best])
        model.load_weights(path)


def by_hand(model, train, validation, epochs):
    best, weights = -1.0, None
    for epoch in range(epochs):
        model.fit(*train, initial_epoch=epoch, epochs=epoch + 1, verbose=0)
        accuracy = model.evaluate(*validation, verbose=0, return_dict=True)["accuracy"]
        if accuracy > best:
            best, weights = accuracy, model.get_weights()
    model.set_weights(weights)


def no_callback(model, train, validation, epochs):
    model.fit(*train, validation_data=validation, epochs=epochs, verbose=0)


def training_data_judge(model, train, validation, epochs):
    stopping(monitor="val_accuracy", patience=3, restore_best_weights=True)(model, train, train, epochs)


def fits_on_validation(model, train, validation, epochs):
    stopping(monitor="val_accuracy", patience=3, restore_best_weights=True)(model, validation, validation, epochs)


# 6.5
def joined(make_parts, *end):
    """Return a `train_classifier` that joins a backbone and a head to one model."""

    def train_classifier():
        backbone, head = make_parts()
        extractor = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D()])
        return keras.Sequential([extractor, head, *end])

    return train_classifier


def functional():
    backbone, head = fine_tuned()
    unfreeze(backbone.model)
    features = layers.GlobalAveragePooling2D()(backbone.model.output)
    model = keras.Model(backbone.model.input, layers.Dropout(0.3)(head(features)))
    model.compile(keras.optimizers.Adam(1e-3), logits_loss())
    return model


def destroyed():
    """Return what a learning rate far too high leaves: random weights."""
    return untrained(weights=None)


RIGHT = {
    "6.1": [by_fit, by_single_epochs, in_batches_of_four],
    "6.2": [set_up, with_sgd_and_own_loss, compiled_before_the_flags],
    "6.3": [as_one_vector, by_sums_of_squares, with_keras],
    "6.4": [
        stopping(monitor="val_accuracy", patience=3, restore_best_weights=True),
        stopping(monitor="val_loss", mode="min", patience=0, restore_best_weights=True),
        stopping(monitor="val_accuracy", mode="max", patience=50, restore_best_weights=True),
        by_checkpoint,
        by_hand,
    ],
    "6.5": [(joined(fine_tuned), "mini"), (functional, "mini")],
}
WRONG = {
    "6.1": [
        (counted(lambda done, more: done, lambda done, more: more), "trains nothing"),
        (counted(lambda done, more: 0, lambda done, more: done + more), "once more"),
        (counted(lambda done, more: 0, lambda done, more: more), "counts from 0 again"),
        (counted(lambda done, more: done, lambda done, more: done + more + 1), "too many"),
        (counted(lambda done, more: done, lambda done, more: done + more - 1), "too few"),
        (counted(lambda done, more: done + 1, lambda done, more: done + more + 1), "begin at 4"),
        (the_history, "History object"),
        (compiled_again, "compiles the model again"),
        (only_the_list, "not made one step"),
        (too_much_behind_the_list, "another number of epochs"),
        (lambda *_: None, "returns nothing"),
    ],
    "6.2": [
        (at_rate(lambda rate: rate), "the same as in phase 1"),
        (at_rate(lambda rate: keras.optimizers.schedules.CosineDecay(rate / 10, 1000)), "is a schedule"),
        (at_rate(lambda rate: rate * 10), "higher than"),
        (at_rate(lambda rate: 1e-3), "use the rate that it is given"),
        (not_compiled, "not compiled again"),
        (batch_norm_first, "BatchNorm layers of the base are trainable"),
        (still_frozen, "still frozen"),
        (the_last_layers, "Only a part"),
        (without_head, "head is frozen"),
        (with_loss("sparse_categorical_crossentropy"), "logits, not"),
        (with_loss(keras.losses.CategoricalCrossentropy(from_logits=True)), "integer"),
        (trained_too, "not train"),
    ],
    "6.3": [
        (lambda before, after: ratios(before, after).mean(), "mean of one ratio"),
        (lambda before, after: ratios(before, after).max(), "moved most"),
        (ratios, "one number for all arrays"),
        (lambda before, after: as_one_vector(before, after) ** 2, "the square of what is wanted"),
        (lambda before, after: np.linalg.norm(flat(after) - flat(before)), "absolute"),
        (lambda before, after: np.linalg.norm(flat(after) - flat(before)) / np.linalg.norm(flat(after)), "*after*"),
        (lambda before, after: abs(np.linalg.norm(flat(after)) / np.linalg.norm(flat(before)) - 1), "two lengths"),
        (
            lambda before, after: np.abs(flat(after) - flat(before)).sum() / np.abs(flat(before)).sum(),
            "absolute values",
        ),
        (safe_ratios, "all zeros"),
        (in_place, "changes the arrays"),
    ],
    "6.4": [
        (no_callback, "the last one"),
        (stopping(monitor="val_accuracy", patience=3), "brings no weights back"),
        (stopping(monitor="accuracy", patience=20, restore_best_weights=True), "*training* data"),
        (stopping(monitor="loss", patience=2, restore_best_weights=True), "stops after"),
        (
            stopping(monitor="val_accuracy", mode="min", patience=20, restore_best_weights=True),
            "number 1, the *worst* one",
        ),
        (stopping(monitor="val_accuracy", mode="min", patience=2, restore_best_weights=True), "which direction"),
        (training_data_judge, "best one on the *training* data"),
        (fits_on_validation, "fitted on the validation data"),
        (lambda *_: None, "not trained"),
    ],
    "6.5": [
        ((joined(untrained), "mini"), "No kernel of the backbone has moved"),
        ((joined(fine_tuned, layers.Softmax()), "mini"), "probabilities"),
        ((joined(destroyed), "mini"), "points are missing"),
        ((lambda: lambda images: images, "mini"), "not a keras.Model"),
        (
            (lambda: keras.Sequential([keras.Input((64, 64, 3)), layers.Flatten(), layers.Dense(10)]), "mini"),
            "The pictures of this profile",
        ),
        (
            (lambda: keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(10, 3)]), "mini"),
            "Wanted are 10 logits",
        ),
    ],
}
