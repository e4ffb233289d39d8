from itertools import product

import numpy as np
from scipy.stats import pearsonr, rankdata, spearmanr

import keras
import tensorflow as tf


# 15.1
def heat_from(maps, gradients):
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    heat = np.maximum((weights * maps).sum(axis=-1), 0)
    top = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(top > 0, top, 1)


def heat_in_a_loop(maps, gradients):
    heats = []
    for picture, gradient in zip(maps, gradients, strict=True):
        heat = np.clip(picture @ gradient.mean(axis=(0, 1)), 0, None)
        heats.append(heat / heat.max() if heat.any() else heat)
    return np.stack(heats).astype("float32")


def heat_by_einsum(maps, gradients):
    heat = tf.nn.relu(tf.einsum("nhwc,nc->nhw", maps, gradients.sum(axis=(1, 2))))
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True))


def heat_by(total, top=lambda heat: heat.max(axis=(1, 2), keepdims=True), cut=lambda total: np.maximum(total, 0)):
    def wrong(maps, gradients):
        heat = cut(total(maps, gradients))
        return heat / np.where(top(heat) > 0, top(heat), 1)

    return wrong


def weighted(maps, gradients, axes=(1, 2)):
    return (gradients.mean(axis=axes, keepdims=True) * maps).sum(axis=-1)


def heat_with_nan(maps, gradients):
    heat = np.maximum(weighted(maps, gradients), 0)
    with np.errstate(invalid="ignore"):
        return heat / heat.max(axis=(1, 2), keepdims=True)


def heat_in_place(maps, gradients):
    answer = heat_from(maps, gradients)
    maps *= gradients
    return answer


def relu_first(maps, gradients):
    return np.maximum(gradients.mean(axis=(1, 2), keepdims=True) * maps, 0).sum(axis=-1)


# 15.2
def grad_cam(backbone, head, images, classes, score=tf.identity, axes=(1, 2), cut=tf.nn.relu, training=False):
    with tf.GradientTape() as tape:
        maps = backbone(images, training=training)
        tape.watch(maps)
        logits = score(head(maps, training=training))
        asked = tf.argmax(logits, axis=1) if classes is None else classes
        of_class = tf.gather(logits, asked, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(of_class, maps), axis=axes, keepdims=True)
    return cut(tf.reduce_sum(weights * maps, axis=-1)).numpy()


def grad_cam_one_by_one(backbone, head, images, classes):
    heats = []
    for image, label in zip(images, classes, strict=True):
        maps = tf.Variable(backbone(image[None], training=False))
        with tf.GradientTape() as tape:
            logit = head(maps, training=False)[0, int(label)]
        weights = tape.gradient(logit, maps).numpy()[0].mean(axis=(0, 1))
        heats.append(np.maximum(maps.numpy()[0] @ weights, 0))
    return np.stack(heats)


def grad_cam_one_hot(backbone, head, images, classes):
    joined = keras.Model(backbone.input, [backbone.output, head(backbone.output)])
    with tf.GradientTape() as tape:
        tape.watch(images := tf.convert_to_tensor(images))
        maps, logits = joined(images, training=False)
        logit = tf.reduce_sum(logits * tf.one_hot(classes, logits.shape[-1]))
    weights = keras.ops.mean(tape.gradient(logit, maps), axis=(1, 2), keepdims=True)
    return keras.ops.relu(keras.ops.sum(weights * maps, axis=-1))


def colleagues(backbone, head, images, classes):
    return grad_cam(backbone, head, images, None, tf.nn.softmax, -1, tf.identity)


def other_grad_cam(**changes):
    return lambda backbone, head, images, classes: grad_cam(backbone, head, images, classes, **changes)


def grad_cam_unwatched(backbone, head, images, classes):
    maps = backbone(images, training=False)
    with tf.GradientTape() as tape:
        of_class = tf.gather(head(maps, training=False), classes, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(of_class, maps), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy()


# 15.3
def occlusion(predict, images, classes, patch, colour=None, fresh=True, own=False):
    rows, places = np.arange(len(images)), range(0, images.shape[1], patch)
    filling = images.mean(axis=(1, 2), keepdims=True) if colour is None else colour
    before = predict(images)
    asked = before.argmax(axis=1) if own else classes
    falls = np.zeros((len(images), len(places), len(places)))
    covered = images.copy()
    for (row, top), (column, left) in product(enumerate(places), repeat=2):
        covered = images.copy() if fresh else covered
        covered[:, top : top + patch, left : left + patch] = filling
        falls[:, row, column] = (before - predict(covered))[rows, asked]
    return falls


def occlusion_at_once(predict, images, classes, patch):
    count, side, rows = len(images), images.shape[1] // patch, np.arange(len(images))
    copies = np.tile(images.astype(float), (side * side, 1, 1, 1, 1))
    for number in range(side * side):
        top, left = patch * (number // side), patch * (number % side)
        copies[number, :, top : top + patch, left : left + patch] = images.mean(axis=(1, 2), keepdims=True)
    logits = predict(copies.reshape(-1, *images.shape[1:])).reshape(side * side, count, -1)
    return (predict(images)[rows, classes] - logits[:, rows, classes]).T.reshape(count, side, side)


def occlusion_one_by_one(predict, images, classes, patch):
    maps = []
    for image, label in zip(images, classes, strict=True):
        maps.append(occlusion(predict, image[None], np.array([label]), patch)[0])
    return maps


def occlusion_in_place(predict, images, classes, patch):
    answer = occlusion(predict, images, classes, patch)
    images[:] = 0
    return answer


def after_occlusion(predict, images, classes, patch):
    before = predict(images)[np.arange(len(images)), classes]
    return before[:, None, None] - occlusion(predict, images, classes, patch)


def on(answer):
    return lambda predict, images, classes, patch: answer(occlusion(predict, images, classes, patch))


# 15.4
def correlation(first, second):
    return np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)])


def sanity(explain, model, images, seed, compare=correlation, of=-1, mix=None, back=True):
    random = np.random.default_rng(seed)
    mix = mix or (lambda w: random.permutation(w.ravel()).reshape(w.shape))
    before, weights = explain(model, images), model.get_weights()
    for layer in model.layers if of is None else [model.layers[of]]:
        layer.set_weights([mix(w) for w in layer.get_weights()])
    after = explain(model, images)
    if back:
        model.set_weights(weights)
    return compare(before, after)


def sanity_by_ranks(explain, model, images, seed):
    def ranks(maps):
        return rankdata(np.asarray(maps).reshape(len(maps), -1), axis=1)

    def compare(first, second):
        return np.mean([pearsonr(a, b).statistic for a, b in zip(ranks(first), ranks(second), strict=True)])

    return float(sanity(explain, model, images, seed, compare))


def sanity_in_place(explain, model, images, seed):
    keras.utils.set_random_seed(seed)
    first = explain(model, images)
    kept = [variable.numpy() for variable in model.layers[-1].weights]
    for variable, value in zip(model.layers[-1].weights, kept, strict=True):
        flat = value.flatten()
        np.random.shuffle(flat)
        variable.assign(flat.reshape(value.shape))
    answer = correlation(first, explain(model, images))
    for variable, value in zip(model.layers[-1].weights, kept, strict=True):
        variable.assign(value)
    return answer


def other_sanity(**changes):
    return lambda explain, model, images, seed: sanity(explain, model, images, seed, **changes)


def kernel_shuffled(explain, model, images, seed):
    random = np.random.default_rng(seed)
    return sanity(explain, model, images, seed, mix=lambda w: random.permuted(w) if w.ndim == 2 else w)


def values_compared(first, second):
    return np.mean([pearsonr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)])


def all_at_once(first, second):
    return spearmanr(first.ravel(), second.ravel()).statistic


# 15.5
def find_shortcut(models, images, square):
    marked = images.copy()
    marked[:, -10:, :10] = square
    rises = [(model.predict(marked, verbose=0) - model.predict(images, verbose=0)).mean(axis=0) for model in models]
    return np.unravel_index(np.argmax(rises), (3, 10))


def find_by_answers(models, images, square):
    gains = np.zeros((3, 10))
    for number, model in enumerate(models):
        before = np.bincount(model.predict(images, verbose=0).argmax(axis=1), minlength=10)
        for rows, columns in product((slice(0, 10), slice(22, 32)), repeat=2):
            marked = images.copy()
            marked[:, rows, columns] = square
            gains[number] += np.bincount(model.predict(marked, verbose=0).argmax(axis=1), minlength=10) - before
    number, label = divmod(int(gains.argmax()), 10)
    return number, label


def wrong_class(models, images, square):
    number, label = find_shortcut(models, images, square)
    return number, (label + 1) % 10


def wrong_model(models, images, square):
    number, label = find_shortcut(models, images, square)
    return (number + 1) % 3, label


RIGHT = {
    "15.1": [heat_from, heat_in_a_loop, heat_by_einsum],
    "15.2": [grad_cam, grad_cam_one_by_one, grad_cam_one_hot],
    "15.3": [occlusion, occlusion_at_once, occlusion_one_by_one],
    "15.4": [sanity, sanity_by_ranks, sanity_in_place],
    "15.5": [find_shortcut, find_by_answers],
}
WRONG = {
    "15.1": [
        (lambda maps, gradients: None, "returns nothing"),
        (lambda maps, gradients: maps, "have the shape"),
        (lambda maps, gradients: heat_from(maps, gradients).astype(str), "have the type"),
        (heat_with_nan, "divide by 0"),
        (heat_in_place, "changes the arrays"),
        (heat_by(weighted, top=np.ones_like), "not scaled"),
        (heat_by(weighted, top=lambda heat: heat.max(keepdims=True)), "divided by the same number"),
        (
            lambda maps, gradients: (
                weighted(maps, gradients)
                / np.where((top := weighted(maps, gradients).max(axis=(1, 2), keepdims=True)) > 0, top, np.inf)
            ),
            "places below 0 are still there",
        ),
        (heat_by(weighted, cut=np.abs), "absolute value"),
        (heat_by(relu_first), "channel by channel"),
        (heat_by(lambda maps, gradients: (gradients * maps).sum(axis=-1)), "gradient times map"),
        (heat_by(lambda maps, gradients: weighted(maps, gradients, 3)), "over the channels"),
        (heat_by(lambda maps, gradients: weighted(maps, gradients, (0, 1, 2))), "share their weights"),
        (heat_by(lambda maps, gradients: maps.sum(axis=-1)), "without weights"),
        (lambda maps, gradients: 255 * heat_from(maps, gradients), "the scale is another one"),
        (lambda maps, gradients: 1 - heat_from(maps, gradients), "is not empty"),
        (heat_by(weighted, cut=lambda total: total), "places below 0 are still there"),
        (heat_by(lambda m, g: weighted(m, g) - weighted(m, g).min(axis=(1, 2), keepdims=True)), "cut off, not moved"),
        (lambda maps, gradients: heat_from(maps, gradients) ** 0.5, "by hand"),
    ],
    "15.2": [
        (lambda *given: None, "returns nothing"),
        (colleagues, "those of the colleague"),
        (other_grad_cam(score=tf.nn.softmax), "output of a softmax"),
        (lambda backbone, head, images, classes: grad_cam(backbone, head, images, None), "the model names"),
        (
            lambda backbone, head, images, classes: grad_cam(backbone, head, images, None, tf.nn.softmax),
            "the model names, and the output of a softmax",
        ),
        (other_grad_cam(cut=tf.identity), "below 0 are still there"),
        (other_grad_cam(cut=tf.identity, score=tf.nn.softmax), "still there, and the output of a softmax"),
        (other_grad_cam(axes=(3,)), "over the channels"),
        (other_grad_cam(axes=(0, 1, 2)), "over all pictures"),
        (lambda *given: (heat := grad_cam(*given)) / heat.max(axis=(1, 2), keepdims=True), "they are scaled"),
        (
            lambda backbone, head, images, classes: grad_cam(backbone, head, images, np.full(5, classes[0])),
            "the class of the first one",
        ),
        (other_grad_cam(training=True), "Which mode"),
        (grad_cam_unwatched, "a gradient is None"),
        (lambda *given: grad_cam(*given)[:, ::2], "have the shape"),
    ],
    "15.3": [
        (lambda *given: None, "returns nothing"),
        (on(lambda falls: -falls), "the sign"),
        (on(lambda falls: falls.swapaxes(1, 2)), "rows and columns"),
        (on(lambda falls: np.maximum(falls, 0)), "covering may help"),
        (on(lambda falls: falls[0]), "have the shape"),
        (after_occlusion, "logits of the covered pictures"),
        (lambda *given: occlusion(*given, own=True), "the model names"),
        (lambda *given: occlusion(*given, colour=0), "patch is black"),
        (lambda *given: occlusion(*given, colour=given[1].mean(axis=(1, 2, 3), keepdims=True)), "patch is grey"),
        (lambda *given: occlusion(*given, colour=given[1].mean(axis=(0, 1, 2))), "of all pictures together"),
        (lambda *given: occlusion(*given, fresh=False), "the patches stay"),
        (occlusion_in_place, "changes the pictures"),
        (lambda predict, images, classes, patch: predict(images[0]), "predict got an array"),
    ],
    "15.4": [
        (lambda *given: None, "returns nothing"),
        (other_sanity(compare=lambda first, second: np.zeros(4)), "wanted: a number"),
        (lambda explain, model, images, seed: 1.0, "called twice"),
        (other_sanity(mix=lambda w: w), "still the same"),
        (other_sanity(of=None), "below the head"),
        (other_sanity(of=0), "below the head"),
        (other_sanity(mix=np.zeros_like), "has new numbers"),
        (other_sanity(mix=lambda w: w[::-1]), "whole rows"),
        (other_sanity(back=False), "still shuffled"),
        (kernel_shuffled, "The bias of the last layer"),
        (other_sanity(compare=values_compared), "correlation of the values"),
        (other_sanity(compare=all_at_once), "correlated once"),
        (other_sanity(compare=lambda *maps: 1 - correlation(*maps)), "is not that"),
        (lambda explain, model, images, seed: sanity(explain, model, images, None), "returns two numbers"),
        (lambda explain, model, images, seed: sanity(explain, model, images, 0), "returns the same number"),
    ],
    "15.5": [
        (lambda models, images, square: None, "returns nothing"),
        (lambda models, images, square: 1, "wanted are two numbers"),
        (wrong_class, "the class is not"),
        (wrong_model, "It is another model"),
    ],
}
