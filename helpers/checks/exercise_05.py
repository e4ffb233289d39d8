"""Checks of exercise 05, freezing."""

from __future__ import annotations

import math

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.compiled import train_one_step
from helpers.checks.images import unseen_images
from helpers.checks.open_task import expect_no_look_up, new_emoji
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays
from helpers.models.backbones import build_backbone
from helpers.models.features import extract_features
from helpers.models.freezing import leaf_layers
from helpers.profiles import find_profile

import keras
from keras import layers


def listed(names) -> str:
    """Return at most four names as text."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def is_batch_norm(layer) -> bool:
    """Tell whether a layer is a BatchNorm layer."""
    return isinstance(layer, layers.BatchNormalization)


def disturbed_model(case: int) -> tuple[keras.Model, dict[str, list[np.ndarray]], dict[str, str]]:
    """Return a model, a snapshot of it, and the layers that have moved since: name -> what a wrong answer overlooks."""
    names = [f"{letter}{case}" for letter in "abcdefgh"]
    a, b, c, d, e, f, g, h = names
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(6, name=a),
            layers.Dense(6, name=b),
            layers.BatchNormalization(name=c),
            layers.Dense(6, name=d),
            layers.Dropout(0.5, name=e),
            layers.Dense(6, name=f),
            layers.BatchNormalization(name=g),
            layers.Dense(6, name=h),
        ]
    )
    random = np.random.default_rng(50 + case)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.get_layer(b).trainable = False
    if case == 2:
        return model, before, {}

    def change(name: str, place: int, change_array) -> None:
        arrays = model.get_layer(name).get_weights()
        arrays[place] = change_array(arrays[place])
        model.get_layer(name).set_weights(arrays)

    def by_one_bit(array):
        array = array.copy()
        array.flat[-1] = np.nextafter(array.flat[-1], np.float32(9))
        return array

    change(b, 0, lambda array: array + 1)
    change(c, 3, lambda array: array * 2)
    change(d, 1, lambda array: array - 1)
    change(f, 0, by_one_bit)
    change(h, 0, lambda array: array[::-1])
    change(h, 1, lambda array: array[::-1])
    overlooked = {
        f: "one number of it is different by its last bit. Frozen means equal, not nearly equal.",
        c: "it is a BatchNorm layer, and its moving variance is different. Which arrays do you compare?",
        d: "its bias is different, its kernel is not. Which arrays do you compare?",
        b: "it moved, whatever its flag trainable says now. Go by the numbers.",
        h: "the same numbers stand in other places. Compare number by number.",
    }
    return model, before, overlooked


def check_moved(moved_layers) -> str:
    """Check task 5.1."""
    for case in (0, 1, 2):
        model, before, moved = disturbed_model(case)
        kept = {name: [array.copy() for array in arrays] for name, arrays in before.items()}
        now = model.get_weights()
        answer = moved_layers(model, before)
        expect(answer is not None, NOTHING)
        expect(
            not isinstance(answer, str | int | float | dict),
            f"Your function returns {type(answer).__name__}; wanted is a list of names.",
        )
        answer = list(answer)
        for entry in answer:
            expect(
                isinstance(entry, str),
                f"In your list is {entry if isinstance(entry, int | np.integer) else type(entry).__name__}; wanted are "
                "the names of the layers.",
            )
        untouched = all(
            len(before.get(name, ())) == len(arrays) and all(map(np.array_equal, before[name], arrays))
            for name, arrays in kept.items()
        )
        expect(untouched, "Your function changes the snapshot that it was given.")
        expect(all(map(np.array_equal, now, model.get_weights())), "Your function changes the weights of the model.")
        unknown = [name for name in answer if name not in kept]
        expect(
            not unknown, f"The model has no layer {listed(unknown)}. Wanted are the names of layers, not of weights."
        )
        still = {name for name in kept if name not in moved}
        extra, missing = set(answer) & still, set(moved) - set(answer)
        weighted = {name for name in still if kept[name]}
        if extra and weighted <= extra and (missing or not moved):
            raise Wrong("Your function returns the layers that have *not* moved.")
        if extra:
            raise Wrong(
                f"Your function returns {listed(sorted(extra))}, which has not moved: every number is as before."
                + (" It has no numbers at all." if not extra & weighted else "")
            )
        for name, reason in moved.items():
            if name in missing:
                raise Wrong(
                    f"Your function overlooks the {type(model.get_layer(name)).__name__} layer {name!r}: {reason}"
                )
        expect(len(answer) == len(set(answer)), "Your list holds a name twice: once for each array? Wanted are layers.")
    return "Your function finds each layer that moved, by one bit or by its statistics, and no other."


def small_network() -> keras.Model:
    """Return a network whose BatchNorm layers cannot be told by their names."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="first"),
            layers.BatchNormalization(name="second"),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, name="third_bn"),
            layers.BatchNormalization(name="fourth"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="fifth"),
        ]
    )


def learning_layers(model: keras.Model) -> set[str]:
    """Return the names of the layers that fit would train if the model were a part of another one.

    There the flags of the layers decide: the model's own flag counts only where it is trained by itself.
    """
    return {layer.name for layer in model.layers if any(weight.trainable for weight in layer.weights)}


def set_flags(model: keras.Model, start: str) -> None:
    """Bring the flags of a model into a state that a learner may meet."""
    model.trainable = False  # setting a flag to the value that it has would pass nothing down
    model.trainable = start != "frozen"
    if start == "mixed":
        for number, layer in enumerate(model.layers):
            layer.trainable = is_batch_norm(layer) or number % 2 == 0


def expect_batch_norm_frozen(model: keras.Model, start: str) -> None:
    """Raise Wrong if a BatchNorm layer of a model would move."""
    open_layers = [layer for layer in model.layers if is_batch_norm(layer) and layer.trainable]
    closed = [layer for layer in model.layers if layer.weights and not layer.trainable]
    total = sum(is_batch_norm(layer) for layer in model.layers)
    if len(open_layers) < total:
        advice = "Do you look at all layers?"
    elif any("bn" in layer.name for layer in closed):
        names = listed(layer.name for layer in closed)
        advice = f"But {names} is frozen: a name does not say what a layer is. Ask for its type."
    else:
        advice = "Are they set at all, and what was set last?"
    expect(
        not open_layers,
        f"{start}, {len(open_layers)} of {total} BatchNorm layers are trainable after your function: their weights and "
        f"statistics will move. {advice}",
    )


def check_preparation(prepare_for_fine_tuning) -> str:
    """Check task 5.2."""
    starts = {"frozen": "frozen before", "trainable": "all trainable before", "mixed": "partly trainable before"}
    for make in (small_network, lambda: build_backbone("mini_mobilenet", "mini").model):
        model = make()
        for start, words in starts.items():
            set_flags(model, start)
            weights = model.get_weights()
            prepare_for_fine_tuning(model)
            words = f"In a network that was {words}"
            expect(
                all(map(np.array_equal, weights, model.get_weights())),
                "Your function changes the weights. It should change flags only.",
            )
            expected = {layer.name for layer in model.layers if layer.weights and not is_batch_norm(layer)}
            learning = learning_layers(model)
            expect(learning, f"{words}, nothing can learn after your function: everything is frozen.")
            expect_batch_norm_frozen(model, words)
            missing = expected - learning
            passing = "Setting the model's flag to True passes nothing down if it is True already."
            expect(
                not missing,
                f"{words}, {len(missing)} layer{'s' * (len(missing) > 1)} other than BatchNorm "
                f"{'are' if len(missing) > 1 else 'is'} frozen after your function: "
                f"{listed(name for name in (layer.name for layer in model.layers) if name in missing)}. "
                f"{'Which layers does your function choose?' if start == 'frozen' else passing}",
            )
    keras.utils.set_random_seed(7)
    model = small_network()
    model.trainable = False
    prepare_for_fine_tuning(model)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    whole = keras.Sequential([keras.Input((8, 8, 3)), model])  # as in the lessons, a part of another model
    whole.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    random = np.random.default_rng(7)
    train_one_step(whole, random.normal(size=(16, 8, 8, 3)), random.normal(size=(16, 3)))
    moved = {layer.name for layer in model.layers if not same_arrays(before[layer.name], layer.get_weights())}
    expect(not moved & {"second", "fourth"}, "In a training step after your function, BatchNorm layers move.")
    expect(
        {"first", "third_bn", "fifth"} <= moved, "In a training step after your function, not all other layers move."
    )
    return "Whatever the flags were before: all layers learn, and BatchNorm stands still."


def judge_unfrozen(backbone, count: int, words: str, was_frozen: bool) -> None:
    """Raise ``Wrong`` unless the last ``count`` blocks of a backbone can learn, and nothing else."""
    model, blocks = backbone.model, list(backbone.blocks)
    with_kernel = [layer.name for layer in model.layers if layer.weights and not is_batch_norm(layer)]
    learning = learning_layers(model)
    chosen = {
        layer.name
        for place, block in enumerate(blocks, count)
        if place >= len(blocks)
        for layer in backbone.layers_of(block)
    }
    others = {layer.name for layer in backbone.layers_of(*blocks[:count])} - chosen
    expected = {name for name in with_kernel if name in chosen}
    flagged = {layer.name for layer in model.layers if layer.trainable}
    in_order = [name for name in with_kernel if name in expected - learning]
    kernels = learning & set(with_kernel)
    expect(
        not (in_order and flagged and flagged <= {layer.name for layer in model.layers[-max(count, 1) :]}),
        f"{words}, only the last {count} *layers* have the flag. Wanted are blocks: each has several layers.",
    )
    expect(learning or not expected, f"{words}, nothing can learn: everything is frozen.")
    expect(
        not (in_order and kernels and kernels <= others),
        f"{words}, {listed(sorted(kernels))} can learn: these blocks are the first ones. Wanted are the last ones.",
    )
    earlier = [name for name in with_kernel if name in learning - chosen]
    many = f"{len(earlier)} layer{'s' * (len(earlier) > 1)} before these blocks can learn, too"
    expect(
        not earlier or in_order or was_frozen,
        f"{words}, {many}. What froze them? The flags may have been True before.",
    )
    expect(not in_order, f"{words}, {listed(in_order)} cannot learn, and should. Do you count blocks, or layers?")
    expect(not earlier, f"{words}, {many}.")
    expect_batch_norm_frozen(model, words)


def check_unfreezing(unfreeze_last) -> str:
    """Check task 5.3."""
    for name in ("mini_mobilenet", "mini_vgg"):
        backbone = build_backbone(name, "mini")
        model, blocks = backbone.model, list(backbone.blocks)
        for count, start in (
            (2, "frozen"),
            (1, "trainable"),
            (0, "trainable"),
            (0, "frozen"),
            (3, "mixed"),
            (None, ""),
        ):
            count = len(blocks) if count is None else count
            set_flags(model, start)
            unfreeze_last(backbone, count)
            words = f"With {name} and count = {count}"
            learning = learning_layers(model)
            everything = {layer.name for layer in model.layers if layer.weights and not is_batch_norm(layer)}
            if count == 0 and learning:
                raise Wrong(
                    f"{words}, {'everything is' if everything <= learning else f'{listed(sorted(learning))} are'} "
                    "trainable; nothing should be. Look at how you take the last 0 of a list."
                )
            judge_unfrozen(backbone, count, words, start == "frozen")
    return "Your function unfreezes whole blocks, from the end, without BatchNorm, and none for 0."


def two_phases(classes: int) -> tuple[keras.Model, keras.Model, np.ndarray, np.ndarray]:
    """Return a small model after its first phase, its frozen base, and data."""
    keras.utils.set_random_seed(9)
    base = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(12, 3, name="kernel_1"),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2D(12, 3, name="kernel_2"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ],
        name="base",
    )
    base.trainable = False
    model = keras.Sequential([keras.Input((8, 8, 3)), base, layers.Dense(classes, name="head")])
    random = np.random.default_rng(9)
    y = np.arange(96) % classes
    x = (random.normal(size=(96, 8, 8, 3)) + y[:, None, None, None]).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    return model, base, x, y


def check_second_phase(second_phase) -> str:
    """Check task 5.4."""
    model, base, x, y = two_phases(classes=4)
    head = model.get_layer("head")
    before = {layer.name: layer.get_weights() for layer in (*base.layers, head)}
    epochs, original_fit = [], model.fit

    def fit(*arguments, **named):
        history = original_fit(*arguments, **named)
        epochs.append(len(history.epoch))
        return history

    model.fit = fit
    answer = second_phase(model, base, x, y)
    trained = answer if isinstance(answer, keras.Model) else model

    def distance(layer) -> float:
        return max(float(np.abs(a - b).max()) for a, b in zip(before[layer.name], layer.get_weights(), strict=True))

    convolutions = [layer for layer in base.layers if isinstance(layer, layers.Conv2D)]
    normalisations = [layer for layer in base.layers if is_batch_norm(layer)]
    everything = [*convolutions, *normalisations, head]
    if not any(distance(layer) > 0 for layer in everything):
        expect(epochs, "After your function, no number has moved. Does it call fit?")
        expect(
            trained.trainable,
            "Your function calls fit, but no number has moved: the flag of the whole model is False, and it is passed "
            "down to all its layers.",
        )
        raise Wrong("Your function calls fit, but no number has moved: is everything frozen, or the learning rate 0?")
    expect(
        distance(head) < 0.1,
        f"A weight of the head is now {distance(head):.2f} away from where it was: the head did not continue from what "
        "it had learned. Is it new, or is the learning rate high?",
    )
    expect(
        any(distance(layer) > 0 for layer in (*convolutions, *normalisations)),
        "The base has not moved at all. "
        + (
            "Its flags say that it may. When does fit obey a changed flag?"
            if base.trainable_weights
            else "Look at its flags."
        ),
    )
    moving = [layer for layer in normalisations if distance(layer) > 0]
    expect(
        not moving,
        f"{len(moving)} of {len(normalisations)} BatchNorm layers moved. What protects them, and when must it be set?",
    )
    still = [layer.name for layer in convolutions if distance(layer) == 0]
    expect(not still, f"In the base, {listed(still)} did not move. All its kernels should.")
    expect(distance(head) > 0, "The head has not moved. In the second phase, head and base learn together.")
    optimizer = trained.optimizer
    expect(
        isinstance(optimizer, keras.optimizers.Adam),
        f"The optimizer is {type(optimizer).__name__}; wanted is Adam.",
    )
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    expect(abs(rate - 1e-4) < 1e-6, f"The learning rate is {rate:g}; wanted is 1e-4.")
    expect(sum(epochs) < 2, f"Your function trains for {sum(epochs)} epochs; wanted is one.")
    logits = trained(x, training=False)
    true = float(np.mean(np.asarray(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))))
    measured = float(trained.compute_loss(x, keras.ops.convert_to_tensor(y), logits))
    expect(
        abs(measured - true) < 1e-2 * true,
        f"After your function, evaluate says that the loss is {measured:.3f}; the cross-entropy of the logits is "
        f"{true:.3f}. Which loss did you compile?",
    )
    return "The kernels of the base moved, BatchNorm did not, and the head went on from where it was."


BUDGETS = {"mini": 60_000, "cifar10-cpu": 80_000, "cifar10-gpu": 450_000}
TARGETS = {"mini": 0.69, "cifar10-cpu": 0.71, "cifar10-gpu": 0.78}


def frozen_afterwards(model: keras.Model, profile) -> list[str]:
    """Return the layers with frozen weights that are not those of the profile's pretrained network.

    The statistics of a BatchNorm layer that learns openly may have moved.
    """
    pretrained = {layer.name: layer for layer in build_backbone(profile.backbone, profile).model.layers}
    learning = {id(weight) for weight in model.trainable_weights}
    changed = []
    for path, layer in leaf_layers(model):
        twin = pretrained.get(path.rsplit("/", 1)[-1])
        if twin is None or len(twin.weights) != len(layer.weights):
            continue
        learns = any(id(weight) in learning for weight in layer.weights)
        frozen = [
            (now, then)
            for now, then in zip(layer.weights, twin.weights, strict=True)
            if id(now) not in learning and now.shape == then.shape and (len(now.shape) > 1 or not learns)
        ]
        if not all(np.array_equal(now, then) for now, then in frozen):
            changed.append(layer.name)
    return changed


def check_budget(train_with_budget, profile="auto", seed=0) -> str:
    """Check task 5.5."""
    profile = find_profile(profile)
    model = train_with_budget()
    expect(model is not None, NOTHING)
    expect(
        isinstance(model, keras.Model),
        f"Your function returns {type(model).__name__}; wanted is the trained keras.Model, from pixels to logits.",
    )
    shape = tuple(getattr(model, "input_shape", ()))
    expect(bool(shape), "Build the model with keras.Sequential or keras.Model(inputs, outputs), not as a class.")
    expect(
        len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3 and shape[1] is not None,
        f"Your model takes inputs of shape {shape[1:]}. It should take (size, size, 3): is the backbone there?",
    )
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    budget, target = BUDGETS[profile.name], TARGETS[profile.name]
    expect(trainable > 0, "Nothing in your model is trainable. Return it with the flags that it was trained with.")
    expect(
        trainable <= budget,
        f"{trainable:,} parameters of your model are trainable; the budget is {budget:,}. That is "
        f"{trainable - budget:,} too many. Which layers need not learn?",
    )
    changed = frozen_afterwards(model, profile)
    expect(
        not changed,
        f"{listed(changed)}: frozen now, but the weights are not those of the pretrained network. The budget counts "
        "all that training changed.",
    )
    images, labels = unseen_images(profile, seed)

    def logits_of(images: np.ndarray) -> np.ndarray:
        return np.asarray(extract_features(model, images, cache=False))

    outputs = logits_of(images)
    classes = len(np.unique(labels))
    expect(
        outputs.shape == (len(labels), classes),
        f"For {len(labels)} pictures your model gives an array of shape {outputs.shape}; expected are {classes} logits "
        "for each picture.",
    )
    expect(
        outputs.min() < 0 or not np.allclose(outputs.sum(axis=1), 1, atol=1e-3),
        "Your model gives probabilities; wanted are logits.",
    )
    accuracy = float(np.mean(outputs.argmax(axis=1) == labels))
    error = (target * (1 - target) / len(labels)) ** 0.5
    if accuracy < 0.15:
        advice = "That is about guessing: do the labels fit, does the loss fit, are the pixels in [0, 255]?"
    elif target - accuracy < 2 * error:
        advice = "That is close: less than two standard errors."
    elif trainable < budget / 2:
        advice = f"You use {trainable:,} of {budget:,} parameters. Which layers would gain most from learning?"
    else:
        advice = "Look at the learning rate, at the number of epochs, and at BatchNorm."
    expect(
        accuracy >= target,
        f"Accuracy {accuracy:.3f} on {len(labels)} unseen pictures; the target is {target:.2f}, so "
        f"{100 * (target - accuracy):.1f} points are missing. {advice}",
    )
    if profile.dataset == "emoji10":
        expect_no_look_up(lambda images: logits_of(images).argmax(axis=1), new_emoji, target)
    return (
        f"Accuracy {accuracy:.3f} on {len(labels)} unseen pictures with {trainable:,} trainable parameters; the target "
        f"was {target:.2f} with at most {budget:,}."
    )


TASKS = {
    "5.1": Task(
        "find the layers that moved",
        check_moved,
        (
            "A layer holds several arrays. It moved if one number in one of them is different.",
            "Read about layer.get_weights, numpy.array_equal and zip.",
            "For each layer: is any pair of arrays, from before[layer.name] and layer.get_weights(), not array_equal?",
        ),
    ),
    "5.2": Task(
        "unfreeze a network, except its BatchNorm layers",
        check_preparation,
        (
            "If a model's flag is True already, setting it to True may do nothing inside (lesson 05). What is always "
            "safe?",
            "Read about the attribute trainable of models and layers, and about isinstance with "
            "layers.BatchNormalization.",
            "First backbone_model.trainable = True; then a loop over backbone_model.layers that gives each layer "
            "its own flag: is it no BatchNormalization?",
        ),
    ),
    "5.3": Task(
        "unfreeze the last blocks, and nothing else",
        check_unfreezing,
        (
            "Decide for each layer of the network. Which names of blocks are the last 0, the last 1, the last 2?",
            "Read about backbone.layers_of, and try list slices such as names[len(names) - count :].",
            "Set backbone.model.trainable to True; then, for each layer, trainable = it is one of the chosen layers "
            "and no BatchNormalization.",
        ),
    ),
    "5.4": Task(
        "train on with an unfrozen base",
        check_second_phase,
        (
            "fit keeps the training step that it built first. What makes it build a new one?",
            "Read about keras.Model.compile, and look at the lesson's “When does a flag count?”.",
            "Unfreeze base, freeze its BatchNormalization layers, compile model with Adam(1e-4) and the loss for "
            "logits, then fit for one epoch.",
        ),
    ),
    "5.5": Task(
        "reach the target accuracy with few trainable parameters",
        check_budget,
        (
            "A linear head costs little. What can you unfreeze with the rest of the budget?",
            "Read about helpers.models.freezing.trainable_report: it counts what each layer would train. Use it with "
            "unfreeze_last.",
            "Train a linear head on the features of the frozen network; then unfreeze the last block without "
            "BatchNorm, compile with a smaller learning rate, and fit a few epochs.",
        ),
    ),
}
