import math
from functools import cache

import numpy as np
from sklearn.preprocessing import label_binarize

from helpers.data import make_dataset
from helpers.models import MultiOptimizer, OptimizerMap
from tests.answers.networks import logits_loss, shared_data, untrained

import keras
from keras import layers
from keras.optimizers import SGD, Adam


# 12.1
def by_ids(model, backbone, low, high):
    slow, fast = Adam(low), Adam(high)
    inside = {id(weight) for weight in backbone.weights}
    return MultiOptimizer(lambda weight: slow if id(weight) in inside else fast)


def by_exact_paths(model, backbone, low, high):
    slow = Adam(low)
    return MultiOptimizer(OptimizerMap(Adam(high), {weight.path: slow for weight in backbone.weights}))


def by_identity(model, backbone, low, high):
    slow, fast = Adam(low), Adam(high)
    return MultiOptimizer(lambda weight: slow if any(weight is mine for mine in backbone.weights) else fast)


def by_update_step(model, backbone, low, high):
    inside = {weight.path for weight in backbone.weights}
    paths = [weight.path for weight in model.trainable_weights]

    class TwoRates(Adam):
        def update_step(self, gradient, variable, learning_rate):
            part = low / high if paths[self._get_variable_index(variable)] in inside else 1.0
            super().update_step(gradient, variable, learning_rate * part)

    return TwoRates(high)


def by_pattern(pattern):
    def two_rates(model, backbone, low, high):
        return MultiOptimizer(OptimizerMap(Adam(high), {pattern(backbone): Adam(low)}))

    return two_rates


def exchanged(model, backbone, low, high):
    return by_ids(model, backbone, high, low)


def one_rate(which):
    return lambda model, backbone, low, high: Adam(low if which == "low" else high)


def with_sgd(model, backbone, low, high):
    slow, fast = SGD(low), SGD(high)
    inside = {id(weight) for weight in backbone.weights}
    return MultiOptimizer(lambda weight: slow if id(weight) in inside else fast)


def frozen(model, backbone, low, high):
    slow, fast = Adam(0.0), Adam(high)
    inside = {id(weight) for weight in backbone.weights}
    return MultiOptimizer(lambda weight: slow if id(weight) in inside else fast)


def flags_instead(model, backbone, low, high):
    backbone.trainable = False
    return Adam(high)


def kernels_only(model, backbone, low, high):
    slow, fast = Adam(low), Adam(high)
    inside = {id(layer.kernel) for layer in backbone.layers[1:]}
    return MultiOptimizer(lambda weight: slow if id(weight) in inside else fast)


def compiled_model(model, backbone, low, high):
    model.compile(by_ids(model, backbone, low, high))
    return model


# 12.2
def cosine(pictures, batch_size, epochs, peak):
    steps = epochs * int(np.ceil(pictures / batch_size))
    warm = {"warmup_target": peak, "warmup_steps": steps // 10}
    return keras.optimizers.schedules.CosineDecay(0.0, steps - steps // 10, **warm)


def own_schedule(pictures, batch_size, epochs, peak):
    steps = epochs * -(-pictures // batch_size)
    warm_up = steps // 10

    class RisingAndFalling(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            step = keras.ops.cast(step, "float32")
            falling = peak / 2 * (1 + keras.ops.cos(np.pi * (step - warm_up) / (steps - warm_up)))
            return keras.ops.where(step < warm_up, peak * step / warm_up, falling)

        def get_config(self):
            return {}

    return RisingAndFalling()


def from_zero(steps_of, warm_of=lambda steps: steps // 10, rest_of=None):
    """Return a `rising_and_falling` that counts its steps in its own way."""

    def rising_and_falling(pictures, batch_size, epochs, peak):
        steps = steps_of(pictures, batch_size, epochs)
        warm_up = warm_of(steps)
        rest = steps - warm_up if rest_of is None else rest_of(steps)
        return keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=peak, warmup_steps=warm_up)

    return rising_and_falling


def all_steps(pictures, batch_size, epochs):
    return epochs * -(-pictures // batch_size)


def without_warm_up(pictures, batch_size, epochs, peak):
    return keras.optimizers.schedules.CosineDecay(peak, all_steps(pictures, batch_size, epochs))


def straight(pictures, batch_size, epochs, peak):
    steps = all_steps(pictures, batch_size, epochs)
    warm_up = steps // 10
    return lambda step: peak * (step / warm_up if step < warm_up else (steps - step) / (steps - warm_up))


def half_way(pictures, batch_size, epochs, peak):
    steps = all_steps(pictures, batch_size, epochs)
    warm = {"warmup_target": peak, "warmup_steps": steps // 10}
    return keras.optimizers.schedules.CosineDecay(0.0, steps - steps // 10, alpha=0.5, **warm)


class WithMath(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, steps, peak):
        self.steps, self.warm, self.peak = steps, steps // 10, peak

    def __call__(self, step):
        if step < self.warm:
            return self.peak * float(step) / self.warm
        return self.peak * (1 + math.cos(math.pi * (float(step) - self.warm) / (self.steps - self.warm))) / 2


def with_math(pictures, batch_size, epochs, peak):
    return WithMath(all_steps(pictures, batch_size, epochs), peak)


def warm_up_rounded_up(pictures, batch_size, epochs, peak):
    return from_zero(all_steps, warm_of=lambda steps: -(-steps // 10))(pictures, batch_size, epochs, peak)


# 12.3
def blend(images, labels, partner, weight, class_count):
    one_hot = np.eye(class_count)[labels]
    x, share, of_label = images / 1.0, weight[:, None, None, None], weight[:, None]
    return share * x + (1 - share) * x[partner], of_label * one_hot + (1 - of_label) * one_hot[partner]


def blend_in_a_loop(images, labels, partner, weight, class_count):
    pictures, mixed = [], np.zeros((len(images), class_count), "float32")
    for k, (other, share) in enumerate(zip(partner, weight, strict=True)):
        pictures.append(share * images[k].astype("float32") + (1 - share) * images[other].astype("float32"))
        mixed[k, labels[k]] += share
        mixed[k, labels[other]] += 1 - share
    return np.array(pictures), mixed


def blend_with_keras(images, labels, partner, weight, class_count):
    x, one_hot = keras.ops.cast(images, "float32"), keras.ops.one_hot(labels, class_count)
    share = keras.ops.reshape(keras.ops.cast(weight, "float32"), (-1, 1, 1, 1))
    pictures = share * x + (1 - share) * keras.ops.take(x, partner, axis=0)
    share = share[:, :, 0, 0]
    return pictures, share * one_hot + (1 - share) * keras.ops.take(one_hot, partner, axis=0)


def blended(change):
    """Return a `blend` whose right answer, and what it was given, go through `change`."""

    def answer(images, labels, partner, weight, class_count):
        x, one_hot = images.astype("float32"), np.eye(class_count)[labels]
        return change(x, one_hot, labels, partner, weight, *blend(images, labels, partner, weight, class_count))

    return answer


def by_channel(images, labels, partner, weight, class_count):
    x, one_hot = images.astype("float32"), label_binarize(labels, classes=range(class_count))
    if len(weight) != 3:
        return blend(images, labels, partner, weight, class_count)
    of_label = weight[:, None]
    return weight * x + (1 - weight) * x[partner], of_label * one_hot + (1 - of_label) * one_hot[partner]


def in_place(images, labels, partner, weight, class_count):
    answer = blend(images, labels, partner, weight, class_count)
    images[:] = 0
    return answer


# 12.4
def lora(model, rank):
    backbone, _, head = model.layers
    backbone.trainable = head.trainable = True
    for layer in backbone.layers:
        layer.trainable = type(layer) is layers.Conv2D
        if layer.trainable:
            layer.enable_lora(rank)


def lora_by_name(model, rank):
    for layer in model.layers[0].layers:
        layer.trainable = layer.name.startswith("pointwise")
        if layer.trainable:
            layer.enable_lora(rank=rank)


def lora_where_there_is_one(model, rank):
    for layer in model.layers[0].layers:
        can = hasattr(layer, "enable_lora")
        layer.trainable = can
        if can:
            layer.enable_lora(rank)


def on_frozen(model, rank):
    model.layers[0].trainable = True
    model.layers[0].trainable = False
    for layer in model.layers[0].layers:
        if isinstance(layer, layers.Conv2D):
            layer.enable_lora(rank)


def unfrozen_afterwards(model, rank):
    for layer in model.layers[0].layers:
        if isinstance(layer, layers.Conv2D):
            layer.enable_lora(rank)
        layer.trainable = False
        layer.trainable = isinstance(layer, layers.Conv2D)


def rest_not_frozen(model, rank):
    model.layers[0].trainable = False
    model.layers[0].trainable = True
    for layer in model.layers[0].layers:
        layer.trainable = True
        if isinstance(layer, layers.Conv2D):
            layer.enable_lora(rank)


def flags_as_they_are(model, rank):
    for layer in model.layers[0].layers:
        if isinstance(layer, layers.Conv2D):
            layer.enable_lora(rank)
        elif layer.trainable:
            layer.trainable = False


def head_too(model, rank):
    lora(model, rank)
    model.layers[-1].enable_lora(rank)


def head_frozen(model, rank):
    lora(model, rank)
    model.layers[-1].trainable = False


def rank_one(model, rank):
    lora(model, 1)


def last_only(model, rank):
    for layer in model.layers[0].layers:
        layer.trainable = layer.name == "pointwise2"
        if layer.trainable:
            layer.enable_lora(rank)


# 12.5
def average(members):
    return [np.mean(arrays, axis=0) for arrays in zip(*members, strict=True)]


def soup(order=lambda trainings, score: sorted(trainings, key=score, reverse=True), keep=lambda new, old: new >= old):
    """Return a `greedy_soup` with its own order, and its own rule."""

    def greedy_soup(trainings, score):
        first, *rest = order(trainings, score)
        members, accuracy = [first], score(first)
        for weights in rest:
            new = score(average([*members, weights]))
            if keep(new, accuracy):
                members, accuracy = [*members, weights], new
        return average(members)

    return greedy_soup


def soup_by_argsort(trainings, score):
    members, best = [], -np.inf
    for k in np.argsort([-score(weights) for weights in trainings]):
        tried = [*members, trainings[k]]
        if score(average(tried)) >= best:
            members, best = tried, score(average(tried))
    return tuple(average(members))


def soup_by_keras(trainings, score):
    def mean(members):
        return [keras.ops.mean(keras.ops.stack(arrays), axis=0) for arrays in zip(*members, strict=True)]

    first, *others = sorted(trainings, key=score, reverse=True)
    members = [first]
    for training in others:
        if score(mean([*members, training])) >= score(mean(members)):
            members.append(training)
    return mean(members)


def soup_by_sums(trainings, score):
    first, *rest = sorted(trainings, key=score, reverse=True)
    sums, count, best = [array.copy() for array in first], 1, score(first)
    for weights in rest:
        tried = [total + array for total, array in zip(sums, weights, strict=True)]
        accuracy = score([total / (count + 1) for total in tried])
        if accuracy >= best:
            sums, count, best = tried, count + 1, accuracy
    return [total / count for total in sums]


def halved(trainings, score):
    soup, *rest = sorted(trainings, key=score, reverse=True)
    for weights in rest:
        if score(average([soup, weights])) >= score(soup):
            soup = average([soup, weights])
    return soup


def sorted_in_place(trainings, score):
    trainings.sort(key=score, reverse=True)
    return soup()(trainings, score)


def spoiling(trainings, score):
    answer = soup()(trainings, score)
    trainings[0][0] *= 0
    return answer


# 12.6: on mini, whatever profile the reader has
@cache
def trained_with_crops():
    """Return a backbone and a head that learned from 1,000 moved and mirrored pictures: their weights."""
    keras.utils.set_random_seed(0)
    data, (backbone, head) = shared_data(), untrained()
    for layer in backbone.model.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    moves = [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.125, 0.125, fill_mode="reflect")]
    options = {"image_size": 32, "shuffle": True, "augment": layers.Pipeline(moves)}
    train = make_dataset(data.x_train[:1000], data.y_train[:1000], **options)
    model = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D(), head])
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 20 * len(train))), logits_loss())
    model.fit(train, epochs=20, shuffle=False, verbose=0)
    return backbone.model.get_weights(), head.get_weights()


def few_labels(*more, trained=True, weights="pretrained"):
    def train_classifier():
        backbone, head = untrained(weights=weights)
        if trained:
            of_backbone, of_head = trained_with_crops()
            backbone.model.set_weights(of_backbone)
            head.set_weights(of_head)
        return keras.Sequential([backbone.model, layers.GlobalAveragePooling2D(), head, *more])

    return train_classifier


def functional():
    backbone, pooling, head = few_labels()().layers
    pixels = keras.Input((32, 32, 3))
    return keras.Model(pixels, head(pooling(backbone(pixels))))


RIGHT = {
    "12.1": [by_ids, by_exact_paths, by_identity, by_update_step],
    "12.2": [cosine, own_schedule],
    "12.3": [blend, blend_in_a_loop, blend_with_keras],
    "12.4": [lora, lora_by_name, lora_where_there_is_one],
    "12.5": [soup(), soup_by_argsort, soup_by_sums, soup_by_keras],
    "12.6": [(few_labels(), "mini"), (functional, "mini")],
}
WRONG = {
    "12.1": [
        (lambda *given: None, "returns nothing"),
        (lambda model, backbone, low, high: low, "returns float"),
        (compiled_model, "the check compiles the model"),
        (by_pattern(lambda backbone: f"{backbone.name}/.*"), "none of them was found"),
        (by_pattern(lambda backbone: backbone.layers[1].name), "none of them was found"),
        (by_pattern(lambda backbone: "conv.*"), "conv3/kernel gets the low rate"),
        (by_pattern(lambda backbone: f"{backbone.layers[1].name}/.*"), "a part of the backbone gets the high rate"),
        (by_pattern(lambda backbone: ".*"), "the head too"),
        (exchanged, "exchanged"),
        (one_rate("low"), "all weights get the low rate"),
        (one_rate("high"), "all weights get the high rate"),
        (with_sgd, "Is it another optimizer"),
        (frozen, "do not learn at all"),
        (flags_instead, "changes weights or flags"),
        (kernels_only, "conv1/bias"),
    ],
    "12.2": [
        (lambda *given: None, "returns nothing"),
        (lambda pictures, batch_size, epochs, peak: peak, "Wanted is a schedule"),
        (lambda pictures, batch_size, epochs, peak: Adam(peak), "Wanted is a schedule"),
        (from_zero(lambda pictures, batch_size, epochs: epochs), "as many *steps* as there are epochs"),
        (from_zero(lambda pictures, batch_size, epochs: epochs * pictures), "Did you count pictures"),
        (from_zero(lambda pictures, batch_size, epochs: -(-pictures // batch_size)), "over after one epoch"),
        (from_zero(lambda pictures, batch_size, epochs: epochs * (pictures // batch_size)), "is that batch a step"),
        (without_warm_up, "begins at the peak"),
        (from_zero(all_steps, rest_of=lambda steps: steps), "not yet 0 in the last step"),
        (lambda *given: lambda step: given[3], "it begins at"),
        (half_way, "it ends at"),
        (from_zero(all_steps, warm_of=lambda steps: steps // 2), "its peak is at step"),
        (warm_up_rounded_up, "is rounded down"),
        (lambda *given: lambda step: None, "gives nothing for a step"),
        (lambda *given: lambda step: cosine(*given)(step), "fit cannot use your schedule"),
        (with_math, "fit cannot use your schedule"),
        (straight, "half a cosine wave"),
        (lambda a, b, c, peak: cosine(a, b, c, peak / 10), "its highest value"),
    ],
    "12.3": [
        (lambda *given: None, "returns nothing"),
        (lambda images, *rest: images, "wanted are two arrays"),
        (lambda x, y, p, w, count: blend(x, y, p, np.maximum(w, 1 - w), count), "below 0.5 were exchanged"),
        (lambda x, y, p, w, count: blend(x, y, np.roll(np.arange(len(x)), 1), w, count), "with its neighbour"),
        (by_channel, "went to the three colours"),
        (blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (pictures, one_hot)), "first picture"),
        (
            blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (pictures, one_hot[partner])),
            "the partner alone",
        ),
        (
            blended(
                lambda x, one_hot, labels, partner, weight, pictures, mixed: (
                    pictures,
                    weight * labels + (1 - weight) * labels[partner],
                )
            ),
            "one number for each picture",
        ),
        (
            blended(
                lambda x, one_hot, labels, partner, weight, pictures, mixed: (
                    pictures,
                    weight[:, None] * labels + (1 - weight[:, None]) * labels[partner],
                )
            ),
            "each label was combined with each weight",
        ),
        (
            blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (pictures.astype("uint8"), mixed)),
            "cut to whole numbers",
        ),
        (blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (pictures / 255, mixed)), "in [0, 1]"),
        (blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (x, mixed)), "those that you were given"),
        (
            blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: ((x + x[partner]) / 2, mixed)),
            "half and half",
        ),
        (
            lambda images, labels, partner, weight, count: blend(images, labels, partner, 1 - weight, count),
            "yours are exchanged",
        ),
        (
            lambda images, labels, partner, weight, count: blend(images, labels, partner, weight[:1], count),
            "with the weight of the first one",
        ),
        (
            blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (pictures, mixed[:, :-1])),
            "Your labels have the shape",
        ),
        (
            blended(lambda x, one_hot, labels, partner, weight, pictures, mixed: (pictures, mixed[::-1])),
            "the labels are not blended",
        ),
        (in_place, "changes the arrays"),
    ],
    "12.4": [
        (lambda model, rank: None, "have no LoRA"),
        (on_frozen, "the new matrices are frozen as well"),
        (unfrozen_afterwards, "unfrozen after enable_lora"),
        (rest_not_frozen, "these weights learn, too"),
        (flags_as_they_are, "no LoRA matrix learns"),
        (head_too, "the head has LoRA"),
        (head_frozen, "the head does not learn"),
        (rank_one, "the rank is 1"),
        (last_only, "pointwise1"),
    ],
    "12.5": [
        (lambda trainings, score: None, "returns nothing"),
        (lambda trainings, score: trainings, "wanted are two arrays"),
        (lambda trainings, score: average(trainings), "the average of all trainings"),
        (lambda trainings, score: max(trainings, key=score), "the best single training"),
        (soup(order=lambda trainings, score: trainings), "in the order in which they come"),
        (soup(order=lambda trainings, score: sorted(trainings, key=score)), "from the worst to the best"),
        (halved, "averaged with the average so far"),
        (soup(keep=lambda new, old: new > old), "the score stays the same"),
        (sorted_in_place, "changes the trainings"),
        (spoiling, "changes the trainings"),
        (lambda trainings, score: soup()(trainings, score)[::-1], "have the shapes"),
        (lambda trainings, score: [array + 1 for array in soup()(trainings, score)], "sort by score"),
    ],
    "12.6": [
        ((few_labels(trained=False), "mini"), "No kernel of the backbone has moved"),
        ((few_labels(trained=False, weights=None), "mini"), "the target is"),
        ((few_labels(layers.Softmax()), "mini"), "gives probabilities"),
        ((lambda: lambda images: images, "mini"), "not a keras.Model"),
    ],
}
