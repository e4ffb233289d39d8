import numpy as np
import pandas as pd

import helpers.quiet  # noqa: F401
from helpers.models.backbones import build_backbone
from helpers.models.features import extract_features

import keras
from keras import layers


# 10.1
def cutter(place=-1, block=None, pool=layers.GlobalAveragePooling2D):
    """Return a `cut` that ends behind another layer or block, or pools otherwise."""

    def cut(backbone, asked):
        output = backbone.model.get_layer(backbone.blocks[block or asked][place]).output
        return keras.Model(backbone.model.input, pool()(output) if pool else output)

    return cut


def by_sequential(backbone, block):
    last = backbone.layers_of(block)[-1]
    return keras.Sequential([keras.Model(backbone.model.input, last.output), layers.GlobalAveragePooling2D()])


def by_mean(backbone, block):
    maps = backbone.layers_of(block)[-1].output
    return keras.Model(backbone.model.inputs, keras.ops.mean(maps, axis=(1, 2)))


def by_copied_weights(backbone, block):
    model = cutter()(backbone, block)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def next_block(backbone, block):
    names = list(backbone.blocks)
    return cutter()(backbone, names[names.index(block) + 1])


def random_weights(backbone, block):
    return cutter()(build_backbone(backbone.name, "mini", weights=None), block)


def scales_once_more(backbone, block):
    pixels = keras.Input(backbone.model.input_shape[1:])
    return keras.Model(pixels, cutter()(backbone, block)(layers.Rescaling(1 / 255)(pixels)))


def freezes(backbone, block):
    model = cutter()(backbone, block)
    model.trainable = False
    return model


def runs_it(backbone, block):
    return cutter()(backbone, block)(np.zeros((1, 32, 32, 3), "float32"))


# 10.2
def by_sub(table, baseline):
    points = 100 * table.drop(columns=baseline).sub(table[baseline], axis=0)
    return points.loc[points.max(axis=1).sort_values(ascending=False).index]


def by_a_loop(table, baseline):
    rows = {
        domain: {name: (row[name] - row[baseline]) * 100 for name in row.index if name != baseline}
        for domain, row in table.iterrows()
    }
    order = sorted(rows, key=lambda domain: max(rows[domain].values()), reverse=True)
    return pd.DataFrame([rows[domain] for domain in order], index=order)


def by_transposing(table, baseline):
    points = ((table.T - table[baseline]).T * 100).round(1).drop(baseline, axis=1)
    return points.iloc[np.argsort(-points.to_numpy().max(axis=1))]


def sorted_otherwise(key, ascending=False):
    def gains(table, baseline):
        points = by_sub(table, baseline).loc[table.index]
        return points.loc[key(points).sort_values(ascending=ascending).index]

    return gains


def without_axis(table, baseline):
    return 100 * (table.drop(columns=baseline) - table[baseline])


def in_place(table, baseline):
    base = table.pop(baseline)
    return 100 * table.sub(base, axis=0)


# 10.3
def by_list(predict, images, labels, spoil, kinds, severities):
    cases = [(kind, severity) for kind in kinds for severity in severities]
    spoilt = np.mean([np.mean(predict(spoil(images, *case)) == labels) for case in cases])
    return spoilt, np.mean(predict(images) == labels) - spoilt


def by_counting(predict, images, labels, spoil, kinds, severities):
    right = total = 0
    for kind in kinds:
        for severity in severities:
            right += (predict(spoil(images.copy(), kind, severity)) == labels).sum()
            total += len(labels)
    clean = (predict(images) == labels).sum() / len(labels)
    return [right / total, clean - right / total]


def by_one_call(predict, images, labels, spoil, kinds, severities):
    everything = np.concatenate([images, *(spoil(images, k, s) for k in kinds for s in severities)])
    right = (predict(everything).reshape(-1, len(labels)) == labels).mean(axis=1)
    return right[1:].mean(), right[0] - right[1:].mean()


def changed(change):
    """Return a `robustness` whose two numbers are changed: from the clean accuracy and all others."""

    def robustness(predict, images, labels, spoil, kinds, severities):
        table = [[np.mean(predict(spoil(images, k, s)) == labels) for s in severities] for k in kinds]
        return change(np.mean(predict(images) == labels), np.array(table))

    return robustness


def in_batches(predict, images, labels, spoil, kinds, severities):
    def accuracy(kind, severity):
        parts = [predict(spoil(images[first : first + 15], kind, severity)) for first in range(0, len(images), 15)]
        return np.mean(np.concatenate(parts) == labels)

    mean = np.mean([accuracy(kind, severity) for kind in kinds for severity in severities])
    return np.array([mean, np.mean(predict(images) == labels) - mean])


def divided(predict, images, labels, spoil, kinds, severities):
    return by_list(predict, images, labels, lambda x, *case: 255 * spoil(x / 255, *case), kinds, severities)


def on_top_of_each_other(predict, images, labels, spoil, kinds, severities):
    clean, accuracies = np.mean(predict(images) == labels), []
    for kind in kinds:
        for severity in severities:
            images = spoil(images, kind, severity)
            accuracies.append(np.mean(predict(images) == labels))
    return np.mean(accuracies), clean - np.mean(accuracies)


def changes_the_images(predict, images, labels, spoil, kinds, severities):
    clean, accuracies = np.mean(predict(images) == labels), []
    for kind in kinds:
        for severity in severities:
            images[:] = spoil(images, kind, severity)
            accuracies.append(np.mean(predict(images) == labels))
    return np.mean(accuracies), clean - np.mean(accuracies)


# 10.4
def two_phases(
    freeze=True, unfreeze=True, norms=True, factor=0.1, first_rate=None, again=True, head=True, logits=True, early=0
):
    """Return a `head_first`, with or without each of its parts."""

    def head_first(model, x, y, learning_rate):
        def fit(rate):
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
            model.compile(keras.optimizers.Adam(rate), loss)
            model.fit(x, y, verbose=0, epochs=1)

        backbone = model.layers[0]
        for layer in backbone.layers[early:]:
            layer.trainable = not freeze
        fit(first_rate or learning_rate)
        for layer in backbone.layers:
            layer.trainable = unfreeze and not (norms and isinstance(layer, layers.BatchNormalization))
        model.layers[-1].trainable = head
        if again:
            fit(learning_rate * factor)
        else:
            model.fit(x, y, verbose=0)

    return head_first


def with_one_optimizer(model, x, y, learning_rate):
    optimizer = keras.optimizers.Adam(learning_rate)
    for phase in (1, 2):
        for layer in model.layers[0].layers:
            layer.trainable = phase == 2 and not isinstance(layer, layers.BatchNormalization)
        optimizer.learning_rate = learning_rate / 10 ** (phase - 1)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, y, verbose=0)


def by_sgd_in_batches(model, x, y, learning_rate):
    backbone = model.layers[0]
    for phase in (1, 2):
        backbone.trainable = phase == 2
        for layer in backbone.layers:
            if "Normalization" in type(layer).__name__:
                layer.trainable = False
        model.compile(
            optimizer=keras.optimizers.SGD(learning_rate if phase == 1 else learning_rate / 10, momentum=0.9),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(x, y, batch_size=6, epochs=2, verbose=0)
    return model


def freezes_the_head_too(model, x, y, learning_rate):
    model.trainable = False
    one_phase(model, x, y, learning_rate)
    model.trainable = True
    one_phase(model, x, y, learning_rate / 10)


def freezes_all_but_norms(model, x, y, learning_rate):
    for layer in model.layers[0].layers:
        layer.trainable = isinstance(layer, layers.BatchNormalization)
    one_phase(model, x, y, learning_rate)
    one_phase(model, x, y, learning_rate / 10)


def one_phase(model, x, y, learning_rate):
    model.compile(keras.optimizers.Adam(learning_rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)


# 10.5
def by_svm(block, C=5.0):
    """Return a `train` that fits an SVM on the features of a block, or on the pixels."""

    def train(images, labels):
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        extractor = cutter()(build_backbone("mini_mobilenet", "mini"), block) if block else None

        def features(x):
            return extract_features(extractor, x, cache=False) if block else x.reshape(len(x), -1)

        model = make_pipeline(StandardScaler(), SVC(C=C)).fit(features(images), labels)
        return lambda new: model.predict(features(new))

    return train


def by_power_spectrum(images, labels):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.svm import SVC

    def spectrum(x):
        grey = x.mean(axis=3)
        return np.abs(np.fft.rfft2(grey - grey.mean()))[:, :, :10].reshape(len(x), -1)

    return make_pipeline(FunctionTransformer(spectrum), SVC(C=5)).fit(images, labels).predict


def by_numpy(table, baseline):
    names = [name for name in table if name != baseline]
    values = 100 * (table[names].to_numpy() - table[[baseline]].to_numpy())
    order = values.max(axis=1).argsort()[::-1]
    return pd.DataFrame(values[order], table.index[order], names)


def part_of_the_data(first=6, second=6):
    def head_first(model, x, y, learning_rate):
        by_phase = two_phases()
        fit = model.fit
        sizes = iter((first, second))

        def fewer(x, y, **options):
            size = next(sizes)
            return fit(x[:size], y[:size], **options)

        object.__setattr__(model, "fit", fewer)
        by_phase(model, x, y, learning_rate)

    return head_first


def by_dataset(model, x, y, learning_rate):
    import tensorflow as tf

    fit = model.fit
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    object.__setattr__(model, "fit", lambda x, y, **options: fit(batches, **options))
    two_phases()(model, x, y, learning_rate)


RIGHT = {
    "10.1": [cutter(), by_sequential, by_mean, by_copied_weights],
    "10.2": [by_numpy, by_sub, by_a_loop, by_transposing],
    "10.3": [
        lambda p, x, y, spoil, kinds, severities: np.array(by_list(p, x, y, spoil, kinds, severities)).tolist(),
        by_list,
        by_counting,
        by_one_call,
        in_batches,
    ],
    "10.4": [by_dataset, two_phases(), by_sgd_in_batches],
    "10.5": [(by_svm("block_2"), "mini"), (by_power_spectrum, "mini")],
}
WRONG = {
    "10.1": [
        (cutter(place=0), "inside of block_3"),
        (next_block, "cut in block_4"),
        (cutter(block="stem"), "cut in stem"),
        (cutter(pool=None), "pooling is missing"),
        (cutter(pool=layers.Flatten), "laid out flat"),
        (cutter(pool=layers.GlobalMaxPooling2D), "strongest place"),
        (random_weights, "pretrained weights"),
        (scales_once_more, "take the pixels as they are"),
        (freezes, "another flag trainable"),
        (runs_it, "not a keras.Model"),
        (lambda backbone, block: None, "returns nothing"),
    ],
    "10.2": [
        (lambda table, baseline: by_sub(table, "scratch" if baseline == "pixels" else "pixels"), "leave it out"),
        (lambda table, baseline: by_sub(table, baseline).abs(), "lost their sign"),
        (lambda table, baseline: table.div(table[baseline], axis=0).drop(columns=baseline), "are quotients"),
        (
            lambda table, baseline: 100 * table.sub(table.max(axis=1), axis=0).drop(columns=baseline),
            "best method of each domain",
        ),
        (
            lambda table, baseline: 100 * table.sub(table.mean(axis=1), axis=0).drop(columns=baseline),
            "mean of each domain",
        ),
        (
            lambda table, baseline: 100 * table.sub(table["pixels"], axis=0).drop(columns=baseline),
            "but the function was given 'scratch'",
        ),
        (without_axis, "go along the rows"),
        (lambda table, baseline: by_sub(table, baseline) / 100, "are fractions"),
        (lambda table, baseline: -by_sub(table, baseline), "wrong sign"),
        (lambda table, baseline: 100 * (table.div(table[baseline], axis=0) - 1).drop(columns=baseline), "relative"),
        (lambda table, baseline: 100 * table.drop(columns=baseline), "Nothing has been subtracted"),
        (lambda table, baseline: 100 * table.sub(table[baseline], axis=0), "leave it out"),
        (lambda table, baseline: by_sub(table, baseline).loc[table.index], "not sorted"),
        (sorted_otherwise(lambda points: points.max(axis=1), ascending=True), "*smallest*"),
        (sorted_otherwise(lambda points: points["last block"]), "not one column"),
        (sorted_otherwise(lambda points: points.mean(axis=1)), "not the mean"),
        (in_place, "changes the table"),
        (lambda table, baseline: by_sub(table, baseline).max(axis=1), "wanted is a DataFrame"),
    ],
    "10.3": [
        (divided, "pixels of at most 1"),
        (changed(lambda clean, all: (all.min(), clean - all.min())), "the worst case"),
        (changed(lambda clean, all: (all[-1, -1], clean - all[-1, -1])), "the last case only"),
        (changed(lambda clean, all: (all.max(), 0.0)), "the mildest case"),
        (changed(lambda clean, all: (all[0].mean(), 0.0)), "first kind only"),
        (changed(lambda clean, all: (all.sum(), 0.0)), "is a sum"),
        (on_top_of_each_other, "spoilt already"),
        (changes_the_images, "are spoilt"),
        (changed(lambda clean, all: ((all.sum() + clean) / 10, 0.0)), "has the clean pictures in it"),
        (changed(lambda clean, all: (all[-1].mean(), clean - all[-1].mean())), "the last kind only"),
        (changed(lambda clean, all: (all[:, -1].mean(), 0.0)), "the last severity only"),
        (changed(lambda clean, all: (1 - all.mean(), clean - all.mean())), "that is *wrong*"),
        (changed(lambda clean, all: (all.mean(), all.mean() - clean)), "wrong sign"),
        (changed(lambda clean, all: (all.mean(), 1 - all.mean())), "measured against 1"),
        (changed(lambda clean, all: (all.mean(), 1 - all.mean() / clean)), "relative to the clean"),
        (changed(lambda clean, all: all.mean()), "two numbers"),
        (changed(lambda clean, all: (all.mean(axis=1), clean - all.mean(axis=1))), "one number, over all cases"),
        (
            lambda p, x, y, spoil, kinds, severities: by_list(p, x, y, spoil, kinds, severities[-1:]),
            "leaves out 6 of 9",
        ),
    ],
    "10.4": [
        (with_one_optimizer, "the same optimizer object"),
        (part_of_the_data(), "6 of the 12 pictures"),
        (part_of_the_data(12, 6), "In the second phase, an epoch has 6"),
        (two_phases(freeze=False), "waits until the head is trained"),
        (two_phases(early=3), "waits until the head is trained"),
        (two_phases(unfreeze=False), "the backbone did not move"),
        (two_phases(norms=False), "BatchNorm layers changed"),
        (two_phases(factor=1), "as in the first"),
        (two_phases(factor=10), "10 times lower"),
        (two_phases(first_rate=0.001), "your function was given 0.03"),
        (two_phases(again=False), "without compiling the model"),
        (two_phases(head=False), "It should go on learning"),
        (two_phases(logits=False), "logits, not probabilities"),
        (freezes_the_head_too, "the head did not move"),
        (freezes_all_but_norms, "Is the whole backbone frozen"),
        (one_phase, "calls fit 1 time"),
        (lambda model, x, y, rate: model.fit(x, y), "before it compiles"),
        (lambda model, x, y, rate: None, "was not trained with fit"),
    ],
    "10.5": [
        ((by_svm("block_6"), "mini"), "points are missing"),
        ((by_svm(None), "mini"), "points are missing"),
        ((lambda images, labels: None, "mini"), "must return a function"),
        ((lambda images, labels: lambda new: np.zeros((len(new), 10)), "mini"), "scores for each class"),
    ],
}
