import numpy as np

from tests.answers.networks import fine_tuned, untrained

import keras
from keras import layers


def is_norm(layer):
    return isinstance(layer, layers.BatchNormalization)


# 5.1
def by_comparing(equal, arrays=lambda layer: layer.get_weights(), first=0, last=None):
    def moved_layers(model, before):
        return [
            layer.name
            for layer in model.layers
            if not all(
                equal(old, new) for old, new in list(zip(before[layer.name], arrays(layer), strict=False))[first:last]
            )
        ]

    return moved_layers


exact = by_comparing(np.array_equal)


def by_loop(model, before):
    names = set()
    for name, arrays in before.items():
        for old, variable in zip(arrays, model.get_layer(name).variables, strict=False):
            if (old != keras.ops.convert_to_numpy(variable)).any():
                names.add(name)
    return names


def unmoved(model, before):
    return [layer.name for layer in model.layers if layer.name not in exact(model, before)]


def indices(model, before):
    return [number for number, layer in enumerate(model.layers) if layer.name in exact(model, before)]


def by_flag(model, before):
    return [layer.name for layer in model.layers if layer.trainable and layer.name in exact(model, before)]


def by_sum(old, new):
    return np.isclose(np.sum(old, dtype=float), np.sum(new, dtype=float), rtol=0, atol=1e-9)


# 5.2
def first_all(model):
    model.trainable = True
    for layer in model.layers:
        if is_norm(layer):
            layer.trainable = False


def layer_by_layer(model):
    model.trainable = True
    for layer in model.layers:
        layer.trainable = not is_norm(layer)


def off_and_on(model):
    model.trainable = False
    first_all(model)


def wrong_order(model):
    for layer in model.layers:
        if is_norm(layer):
            layer.trainable = False
    model.trainable = True


def called_in_inference_mode(model):
    model.trainable = True
    model(np.zeros((1, *model.input_shape[1:]), "float32"), training=False)


def freezes_everything(model):
    first_all(model)
    model.trainable = False


def last_norm_only(model):
    model.trainable = True
    [layer for layer in model.layers if is_norm(layer)][-1].trainable = False


def last_layers_only(model):
    model.trainable = True
    for layer in model.layers[:-4]:
        layer.trainable = False
    for layer in model.layers[-4:]:
        layer.trainable = not is_norm(layer)


def without_the_model(model):
    for layer in model.layers:
        layer.trainable = not is_norm(layer)


def by_name(model):
    model.trainable = True
    for layer in model.layers:
        if layer.name.endswith("bn"):
            layer.trainable = False


def norm_only(model):
    for layer in model.layers:
        if is_norm(layer):
            layer.trainable = False


# 5.3
def by_blocks(choose, norm=False, freeze=True, start=True):
    def unfreeze_last(backbone, count):
        if start:
            backbone.model.trainable = True
        chosen = choose(backbone, count)
        for layer in backbone.model.layers:
            if freeze or layer in chosen:
                layer.trainable = layer in chosen and (norm or not is_norm(layer))
            elif is_norm(layer):
                layer.trainable = False

    return unfreeze_last


def last_blocks(backbone, count):
    names = list(backbone.blocks)
    return backbone.layers_of(*names[len(names) - count :])


def with_minus(backbone, count):
    return backbone.layers_of(*list(backbone.blocks)[-count:])


def last_layers(backbone, count):
    return backbone.model.layers[len(backbone.model.layers) - count :]


def first_blocks(backbone, count):
    return backbone.layers_of(*list(backbone.blocks)[:count])


def only_the_last(backbone, count):
    return backbone.layers_of(list(backbone.blocks)[-1]) if count else []


def with_if(backbone, count):
    backbone.model.trainable = False
    if count == 0:
        return
    backbone.model.trainable = True
    for block in list(backbone.blocks)[:-count]:
        for layer in backbone.layers_of(block):
            layer.trainable = False
    for layer in backbone.model.layers:
        if is_norm(layer):
            layer.trainable = False


# 5.4
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def phase(prepare=first_all, loss=loss, rate=1e-4, epochs=1, optimizer=keras.optimizers.Adam, **fit):
    def second_phase(model, base, x, y):
        prepare(base)
        model.compile(optimizer=optimizer(rate), loss=loss, metrics=["accuracy"])
        model.fit(x, y, epochs=epochs, verbose=0, **fit)

    return second_phase


def returning(model, base, x, y):
    phase(layer_by_layer, batch_size=16)(model, base, x, y)
    return model


def functional(model, base, x, y):
    first_all(base)
    inputs = keras.Input(x.shape[1:])
    new = keras.Model(inputs, model.layers[-1](base(inputs)))
    new.compile(optimizer=keras.optimizers.Adam(1e-4), loss=loss)
    new.fit(x, y, verbose=0)
    return new


def not_compiled(model, base, x, y):
    first_all(base)
    model.optimizer.learning_rate = 1e-4
    model.fit(x, y, verbose=0)


def compiled_too_early(model, base, x, y):
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=loss)
    model.fit(x, y, verbose=0)
    first_all(base)
    model.fit(x, y, verbose=0)


def new_head(model, base, x, y):
    head = model.layers[-1]
    head.set_weights([np.random.default_rng(0).normal(size=weight.shape) for weight in head.get_weights()])
    phase()(model, base, x, y)


def head_frozen(model, base, x, y):
    model.layers[-1].trainable = False
    phase()(model, base, x, y)


# 5.5
def budgeted(blocks=1, tuned=True, freeze_after=False, end=()):
    """Return a `train_with_budget` whose last blocks are trainable."""

    def train():
        backbone, head = fine_tuned(blocks=1) if tuned else untrained()
        by_blocks(last_blocks)(backbone, blocks)
        if freeze_after:
            backbone.model.trainable = False
        return keras.Sequential([backbone.model, layers.GlobalAveragePooling2D(), head, *end])

    return train


def functional_with_budget():
    backbone, head = fine_tuned(blocks=1)
    with_if(backbone, 1)
    inputs = keras.Input((32, 32, 3))
    maps = backbone.model(inputs, training=False)
    return keras.Model(inputs, head(layers.Dropout(0.2)(keras.ops.mean(maps, axis=(1, 2)))))


def head_alone():
    return keras.Sequential([keras.Input((224,)), layers.Dense(10)])


def by_bytes(model, before):
    def same(layer):
        return [array.tobytes() for array in layer.get_weights()] == [array.tobytes() for array in before[layer.name]]

    return [layer.name for layer in model.layers if not same(layer)]


def name_for_each_array(model, before):
    return [
        layer.name
        for layer in model.layers
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True)
        if not np.array_equal(old, new)
    ]


def frozen_then_layers(model):
    model.trainable = False
    without_the_model(model)


def keeps_a_dense(model):
    layer_by_layer(model)
    model.layers[-1].trainable = False
    [layer for layer in model.layers if layer.weights and not is_norm(layer)][-1].trainable = False


def whole_flag_false(model, base, x, y):
    first_all(base)
    model.trainable = False
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=loss)
    model.fit(x, y, verbose=0)


RIGHT = {
    "5.1": [
        by_bytes,
        lambda model, before: tuple(exact(model, before)),
        lambda model, before: (name for name in exact(model, before)),
        exact,
        by_loop,
    ],
    "5.2": [
        frozen_then_layers,
        lambda model: [setattr(layer, "trainable", not is_norm(layer)) for layer in model.layers],
        layer_by_layer,
        off_and_on,
        without_the_model,
    ],
    "5.3": [
        lambda backbone, count: [
            setattr(x, "trainable", x in last_blocks(backbone, count) and not is_norm(x)) for x in backbone.model.layers
        ],
        by_blocks(last_blocks),
        with_if,
        by_blocks(last_blocks, start=False),
    ],
    "5.4": [phase(frozen_then_layers), phase(), returning, functional],
    "5.5": [(budgeted(), "mini"), (functional_with_budget, "mini")],
}
WRONG = {
    "5.1": [
        (name_for_each_array, "a name twice"),
        (by_comparing(np.array_equal, last=3), "BatchNorm layer, and its moving variance"),
        (lambda model, before: dict.fromkeys(exact(model, before)), "a list of names"),
        (by_comparing(np.allclose), "last bit"),
        (by_comparing(np.array_equal, last=1), "BatchNorm layer, and its moving variance"),
        (by_comparing(np.array_equal, last=2), "BatchNorm layer, and its moving variance"),
        (by_comparing(lambda old, new: old.flat[0] == new.flat[0]), "last bit"),
        (by_comparing(by_sum), "in other places"),
        (unmoved, "*not* moved"),
        (indices, "names of the layers"),
        (by_flag, "whatever its flag"),
        (lambda model, before: list(before), "which has not moved"),
        (lambda model, before: print(end=""), "returns nothing"),
    ],
    "5.2": [
        (keeps_a_dense, "1 layer other than BatchNorm is frozen"),
        (lambda model: None, "nothing can learn"),
        (wrong_order, "what was set last?"),
        (first_all, "is frozen after your function: third_bn"),
        (called_in_inference_mode, "BatchNorm layers are trainable"),
        (freezes_everything, "nothing can learn"),
        (last_norm_only, "1 of 2 BatchNorm layers"),
        (last_layers_only, "is frozen after your function"),
        (by_name, "third_bn"),
        (norm_only, "nothing can learn"),
    ],
    "5.3": [
        (by_blocks(lambda b, count: last_layers(b, count), start=False), "*layers* have the flag"),
        (by_blocks(lambda b, count: first_blocks(b, count), start=False), "first ones"),
        (by_blocks(last_blocks, freeze=False, norm=True), "before these blocks can learn, too"),
        (by_blocks(with_minus), "the last 0 of a list"),
        (by_blocks(last_layers), "*layers* have the flag"),
        (by_blocks(lambda b, count: last_layers(b, 3 * count)), "blocks, or layers?"),
        (by_blocks(last_blocks, norm=True), "BatchNorm layers are trainable"),
        (by_blocks(last_blocks, freeze=False), "before these blocks can learn, too"),
        (by_blocks(only_the_last), "cannot learn, and should"),
        (by_blocks(first_blocks), "these blocks are the first ones"),
    ],
    "5.4": [
        (whole_flag_false, "flag of the whole model is False"),
        (phase(optimizer=keras.optimizers.SGD), "wanted is Adam"),
        (phase(rate=0.0), "calls fit, but no number has moved"),
        (not_compiled, "When does fit obey a changed flag?"),
        (compiled_too_early, "When does fit obey a changed flag?"),
        (phase(lambda base: None), "Look at its flags"),
        (phase(lambda base: setattr(base, "trainable", True)), "BatchNorm layers moved"),
        (phase(wrong_order), "BatchNorm layers moved"),
        (phase(rate=1e-2), "The learning rate is 0.01"),
        (phase(epochs=3), "for 3 epochs"),
        (phase(loss="sparse_categorical_crossentropy"), "Which loss did you compile?"),
        (new_head, "did not continue"),
        (head_frozen, "The head has not moved"),
        (lambda model, base, x, y: first_all(base), "Does it call fit?"),
    ],
    "5.5": [
        ((budgeted(blocks=2, tuned=False), "mini"), "too many"),
        ((budgeted(blocks=0, tuned=False), "mini"), "points are missing"),
        ((budgeted(freeze_after=True), "mini"), "frozen now"),
        ((budgeted(tuned=False, end=[layers.Softmax()]), "mini"), "gives probabilities"),
        ((lambda: head_alone(), "mini"), "is the backbone there?"),
        ((lambda: 0.9, "mini"), "wanted is the trained keras.Model"),
    ],
}
