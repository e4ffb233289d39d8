"""Checks of exercise 04, replacing the head."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.compiled import train_one_step
from helpers.checks.faults import in_one_line
from helpers.checks.open_task import check_training
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays
from helpers.models.backbones import build_backbone

import keras

HEADS = {"linear": (True, ()), "Dense(1024)": (True, (1024,)), "2 x Dense(4096)": (False, (4096, 4096))}


def count(sizes, *, biases: bool = True) -> int:
    """Return the parameters of Dense layers in a row; sizes: those of the input and of each layer's output."""
    return sum(n * m + m * biases for n, m in pairwise(sizes))


def sizes_of(name: str, height: int, width: int, channels: int, classes: int) -> list[int]:
    """Return the sizes between the layers of a head, from its vector to its logits."""
    pooled, hidden = HEADS[name]
    return [channels if pooled else height * width * channels, *hidden, classes]


def name_miscount(name: str, number: float, shape: tuple[int, int, int, int]) -> str:
    """Return what is wrong in a number of parameters."""
    height, width, channels, _ = shape
    pooled, hidden = HEADS[name]
    vector, *rest = sizes_of(name, *shape)
    other = [height * width * channels if pooled else channels, *rest]
    forgotten_pooling = (
        "That counts every place of every map. This head begins with pooling: how many numbers are left?"
        if pooled
        else "That counts one number for each map. This head begins with Flatten: how many numbers does it get?"
    )
    mistakes: dict[float, str] = {
        count([vector, *rest], biases=False): "The biases are missing: look at the formula for a Dense layer.",
        count(other): forgotten_pooling,
        count(other, biases=False): forgotten_pooling + " And the biases are missing.",
    }
    if hidden:
        mistakes[count([vector, *hidden])] = "The last layer, the one that gives the classes, is missing."
        mistakes[count([vector, rest[-1]])] = "The hidden layers are missing."
        mistakes[count([hidden[-1], rest[-1]])] = "Only the last layer is counted."
    if len(hidden) == 2:
        mistakes[count([vector, hidden[0], rest[-1]])] = (
            "Only one of the two hidden layers is counted. What is the input of the second one?"
        )
        mistakes[2 * count([vector, hidden[0]]) + count([hidden[0], rest[-1]])] = (
            "The second hidden layer is counted like the first. What is its input?"
        )
    return mistakes.get(number, "Go through the layers one by one: how many inputs, how many outputs?")


def check_counts(head_parameters) -> str:
    """Check task 4.1."""
    for shape in ((3, 5, 48, 7), (2, 6, 20, 4)):
        answer = head_parameters(*shape)
        expect(answer is not None, NOTHING)
        expect(isinstance(answer, dict), f"Your function returns {type(answer).__name__}; wanted is a dict.")
        for name in HEADS:
            expect(name in answer, f"The dict has no key {name!r}. It has: {', '.join(map(repr, answer))}.")
            given, expected = np.asarray(answer[name]), count(sizes_of(name, *shape))
            expect(
                given.ndim == 0 and given.dtype.kind in "iuf",
                f"For {name!r} your function gives {answer[name]!r}; wanted is one number.",
            )
            number = given.item()
            if number != expected:
                raise Wrong(
                    f"For maps of {shape[0]} x {shape[1]} x {shape[2]} and {shape[3]} classes, your function gives "
                    f"{number:,} parameters for {name!r}. That is too {'many' if number > expected else 'few'}. "
                    + name_miscount(name, number, shape)
                )
        expect(len(answer) == len(HEADS), f"The dict has {len(answer)} keys; there are {len(HEADS)} heads.")
    return "Your numbers are right for all three heads, for maps of two shapes."


def run(model, inputs: np.ndarray) -> np.ndarray:
    """Return the outputs of a model in inference mode."""
    return np.asarray(model(inputs.astype("float32"), training=False))


def check_places(name: str, head, maps: np.ndarray) -> None:
    """Check whether a head pools or lays flat, as its name says."""
    pooled = HEADS[name][0]
    mixed = np.random.default_rng(3).permutation(maps.reshape(len(maps), -1, maps.shape[-1]), axis=1)
    outputs, of_mixed = run(head, maps), run(head, mixed.reshape(maps.shape))
    tolerance = 1e-3 * max(1.0, float(np.abs(outputs).max()))
    same = np.allclose(outputs, of_mixed, atol=tolerance)
    expect(
        same or not pooled,
        f"The head {name!r} gives other logits when the places of the maps are mixed: it lays the maps out flat. "
        "Wanted is one number for each map.",
    )
    expect(
        not same or pooled,
        f"The head {name!r} gives the same logits when the places of the maps are mixed, so it pools. Wanted is a "
        "head that gets every place of every map.",
    )
    means = np.broadcast_to(maps.mean(axis=(1, 2), keepdims=True), maps.shape)
    expect(
        not pooled or np.allclose(outputs, run(head, means), atol=tolerance),
        f"The head {name!r} pools, but it does not take the mean over all places.",
    )


def check_activations(name: str, head, maps: np.ndarray) -> None:
    """Check that each hidden layer is cut off at zero, and that nothing else bends the line."""
    hidden = HEADS[name][1]
    original = head.get_weights()
    kernels = [place for place, array in enumerate(original) if array.ndim > 1]
    expect(
        len(kernels) == len(hidden) + 1,
        f"The head {name!r} has {len(kernels)} layers with weights; expected are {len(hidden) + 1}.",
    )
    unbiased = [array if array.ndim > 1 else np.zeros_like(array) for array in original]
    try:
        head.set_weights([np.abs(array) for array in unbiased])
        for number, place in enumerate(kernels[:-1], start=1):
            kernel = head.weights[place]
            kernel.assign(-kernel)
            expect(
                np.abs(run(head, np.abs(maps))).max() < 1e-6,
                f"In the head {name!r}, negative numbers pass through hidden layer {number}. Which activation is "
                "missing there? Without it, two Dense layers are not more than one.",
            )
            kernel.assign(-kernel)
        head.set_weights(unbiased)
        once, twice = run(head, maps), run(head, 2 * maps)
        expect(
            np.allclose(twice, 2 * once, rtol=1e-3, atol=1e-3 * np.abs(twice).max()),
            f"In the head {name!r}, a hidden layer has another activation than relu, or the logits have one.",
        )
        if not hidden:
            expect(
                np.allclose(run(head, -maps), -once, atol=1e-3 * np.abs(once).max()),
                "The head 'linear' is not linear: there is an activation in it.",
            )
    finally:
        head.set_weights(original)


def check_logits(name: str, head, maps: np.ndarray) -> None:
    """Check that the outputs are logits: any numbers."""
    outputs = run(head, 1000 * maps)
    expect(
        not np.allclose(outputs.sum(axis=1), 1, atol=1e-3) or outputs.min() < 0,
        f"The head {name!r} gives probabilities: its outputs are never below 0, and their sum is 1. Wanted are logits. "
        "Look at the activation of the last layer.",
    )
    expect(
        outputs.min() < 0,
        f"The head {name!r} never gives a number below 0. Logits may be any numbers. Look at the activation of the "
        "last layer.",
    )
    expect(
        np.abs(outputs).max() > 1.001,
        f"The head {name!r} never gives a number outside [-1, 1]. Logits may be any numbers. Look at the activation of "
        "the last layer.",
    )


def check_heads(build_head) -> str:
    """Check task 4.2."""
    shape, classes = (2, 3, 24), 7
    maps = np.random.default_rng(4).normal(0, 1, (40, *shape)).astype("float32")
    for name in HEADS:
        keras.utils.set_random_seed(4)
        head = build_head(name, shape, classes)
        expect(head is not None, NOTHING)
        expect(
            isinstance(head, keras.Model),
            f"For {name!r} your function returns {type(head).__name__}, not a keras.Model.",
        )
        if isinstance(head, keras.Sequential) and not head.built:
            head.build((None, *shape))
        expect(
            head.built and tuple(head.input_shape[1:]) == shape,
            f"The head {name!r} does not take maps of shape {shape}. Does it begin with a keras.Input of that shape, "
            "without the batch?",
        )
        expect(
            tuple(head.output_shape[1:]) == (classes,),
            f"The head {name!r} gives outputs of shape {tuple(head.output_shape)[1:]} for each picture; expected is "
            f"{(classes,)}: one number for each class."
            + (" Is the pooling missing?" if len(head.output_shape) == 4 else ""),
        )
        check_logits(name, head, maps)
        check_places(name, head, maps)
        expected = count(sizes_of(name, *shape, classes))
        expect(
            head.count_params() == expected,
            f"The head {name!r} has {head.count_params():,} parameters; for maps {shape} and {classes} classes "
            f"it should be {expected:,}. Are the numbers and the sizes of its layers right?",
        )
        check_activations(name, head, maps)
    return "Your three heads have the right parts and sizes, and they give logits."


def loss_takes_one_hot(model: keras.Model, logits: np.ndarray, labels: np.ndarray) -> bool:
    """Tell whether the loss of a compiled model takes one-hot labels."""
    one_hot = keras.utils.to_categorical(labels)
    true = float(np.mean(keras.ops.convert_to_numpy(keras.losses.categorical_crossentropy(one_hot, logits, True))))
    try:
        loss = model.compute_loss(logits, keras.ops.convert_to_tensor(one_hot), keras.ops.convert_to_tensor(logits))
    except Exception:  # whatever the learner's loss raises
        return False
    as_probabilities = keras.losses.categorical_crossentropy(one_hot, logits)
    return any(
        np.isclose(float(loss), each, rtol=1e-3)
        for each in (true, float(np.mean(keras.ops.convert_to_numpy(as_probabilities))))
    )


def check_compiled(compile_head) -> str:
    """Check task 4.3."""
    keras.utils.set_random_seed(5)
    classes = 4
    random = np.random.default_rng(8)
    logits = random.normal(0, 3, (40, classes)).astype("float32")
    labels = np.where(np.arange(40) % 5 < 3, logits.argmax(axis=1), logits.argmin(axis=1))
    head = keras.Sequential([keras.Input((classes,)), keras.layers.Dense(classes)])
    head.set_weights([np.eye(classes), np.zeros(classes)])
    model = compile_head(head)
    expect(model is not None, f"{NOTHING} (compile itself returns None: return the model.)")
    expect(
        isinstance(model, keras.Model),
        f"Your function returns {type(model).__name__}. Wanted is the compiled model.",
    )
    expect(model.compiled, "The model is not compiled after your function.")
    outputs = run(model, logits)
    if np.allclose(outputs, np.asarray(keras.ops.softmax(logits)), atol=1e-4):
        raise Wrong("After your function, the model gives probabilities. It should still give logits: mend the loss.")
    expect(np.allclose(outputs, logits, atol=1e-4), "After your function, the model gives other logits than before.")
    try:
        measured = model.evaluate(logits, labels, verbose=0, return_dict=True)
    except Exception as error:
        expect(
            not loss_takes_one_hot(model, logits, labels),
            f"Your loss is for one-hot labels, such as [0, 0, 1, 0]. The labels here are whole numbers, "
            f"such as {labels[:4].tolist()}. Which loss takes those?",
        )
        raise Wrong(
            f"With labels such as {labels[:4].tolist()}, evaluate stops: {in_one_line(error)[:120]} "
            "The loss (and the metric) must be for classes, and for labels that are whole numbers: is it a "
            "cross-entropy?"
        ) from error
    true = np.asarray(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)).mean()
    as_probabilities = np.asarray(keras.losses.sparse_categorical_crossentropy(labels, logits)).mean()
    loss = float(measured.pop("loss"))
    if abs(loss - true) > 1e-3 * true:
        expect(
            abs(loss - as_probabilities) > 1e-3 * as_probabilities,
            f"On known logits the loss is {loss:.3f}; it should be {true:.3f}. Your loss takes the logits for "
            "probabilities.",
        )
        raise Wrong(
            f"On known logits the loss is {loss:.3f}; the cross-entropy is {true:.3f}. Is yours a cross-entropy, for "
            "logits and for labels that are whole numbers?"
        )
    accuracy = float(np.mean(logits.argmax(axis=1) == labels))
    expect(measured, "evaluate reports the loss only. Which argument of compile asks for the accuracy?")
    expect(
        any(abs(float(value) - accuracy) < 1e-6 for value in measured.values()),
        f"The model is right on {accuracy:.2f} of the labels, but evaluate reports "
        + ", ".join(f"{name} {float(value):.2f}" for name, value in measured.items())
        + ". Is that the accuracy, for labels that are whole numbers?",
    )
    targets = np.arange(200) % classes
    clusters = 3 * np.eye(classes)[targets] + random.normal(0, 0.3, (200, classes))
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.run_eagerly = True  # for so few steps, faster than making a graph; evaluate has made one of the loss
    model.fit(clusters, targets, epochs=4, batch_size=20, verbose=0)
    learned = float(np.mean(run(model, clusters).argmax(axis=1) == targets))
    expect(
        learned > 0.9,
        f"The loss is right, but after fit the model is right on only {learned:.2f} of very easy data. Look at the "
        "optimizer and its learning rate.",
    )
    return f"The loss on known logits is {loss:.3f}, as it should be, and the model learns."


def parameters(weights) -> int:
    """Return how many numbers are in a list of weights."""
    return sum(math.prod(weight.shape) for weight in weights)


def check_assembled(assemble) -> str:
    """Check task 4.4."""
    keras.utils.set_random_seed(6)
    base = build_backbone("mini_mobilenet", "mini").model
    classes = 7
    pooling, dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, bias_initializer="normal")
    head = keras.Sequential([keras.Input(base.output_shape[1:]), pooling, dense])
    images = np.random.default_rng(61).integers(0, 256, (8, 32, 32, 3)).astype("float32")
    expected = run(head, run(base, images))
    base_before, head_before = base.get_weights(), head.get_weights()
    model = assemble(base, head)
    expect(model is not None, NOTHING)
    expect(
        isinstance(model, keras.Model),
        f"Your function returns {type(model).__name__}, not a keras.Model. Build the model; do not run it.",
    )
    try:
        outputs = run(model, images)
    except Exception as error:
        raise Wrong(
            f"Your model does not take pictures of shape {images.shape[1:]}: {type(error).__name__}. Does it begin "
            "with the backbone?"
        ) from error
    expect(
        outputs.shape == expected.shape,
        f"For 8 pictures your model gives an array of shape {outputs.shape}; expected is {expected.shape}. Is the "
        "head the last part, all of it?",
    )
    if not np.allclose(outputs, expected, atol=1e-3):
        for factor, name in ((255, "divides the pixels by 255"), (127.5, "scales the pixels to [-1, 1]")):
            changed = run(head, run(base, images / factor - (factor == 127.5)))
            expect(
                not np.allclose(outputs, changed, atol=1e-3),
                f"Your model {name} first. The backbone preprocesses them itself, so that is too much.",
            )
        expect(
            not np.allclose(outputs, np.asarray(keras.ops.softmax(expected)), atol=1e-4),
            "Your model gives probabilities: there is a softmax after the head. Wanted are logits.",
        )
        raise Wrong(
            "Your model gives other logits than the head on the backbone's feature maps. Are both used with the "
            "weights that they have, and is nothing added?"
        )
    trainable = parameters(model.trainable_weights)
    expect(
        trainable > 0,
        "Nothing in your model can learn: the head is frozen, too. On which model did you set trainable?",
    )
    expected_count = parameters(head.weights)
    expect(
        trainable <= expected_count,
        f"In your model {trainable:,} parameters can learn, but the head has only {expected_count:,}: (a part of) the "
        "backbone is not frozen.",
    )
    expect(
        trainable == expected_count and parameters(head.trainable_weights) == expected_count,
        f"In your model {trainable:,} parameters can learn; the head has {expected_count:,}. Which part of it is "
        "frozen, and what learns in its place?",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss)
    train_one_step(model, images, np.arange(8) % classes)
    still = same_arrays(base_before, base.get_weights())
    expect(still, "When your model is trained, the backbone moves: it is not frozen, or not all of it.")
    head_moved = not same_arrays(head_before, head.get_weights())
    expect(head_moved, "When your model is trained, the given head does not learn. Is it a copy?")
    return f"One model from pixels to logits; {trainable:,} of its {model.count_params():,} parameters can learn."


TARGETS = {"mini": 0.72, "cifar10-cpu": 0.71, "cifar10-gpu": 0.78}

TASKS = {
    "4.1": Task(
        "count the parameters of the three classic heads",
        check_counts,
        (
            "Write down the layers of each head, and the length of the vector between each two of them.",
            "Look at the lesson's formula for Dense: n inputs and m outputs have n × m weights, and m biases.",
            "linear: channels × classes + classes. The others: one such term for each Dense layer; the last head "
            "begins with height × width × channels.",
        ),
    ),
    "4.2": Task(
        "build the three classic heads",
        check_heads,
        (
            "All three end with the same layer, without activation. What differs is what comes before it.",
            "Read about keras.Sequential, GlobalAveragePooling2D, Flatten, and the argument activation of Dense.",
            "keras.Sequential([keras.Input(maps_shape), the pooling or Flatten, the hidden layers with relu, "
            "Dense(classes)]), with an if for each name.",
        ),
    ),
    "4.3": Task(
        "compile a head with the loss that fits its logits",
        check_compiled,
        (
            "What does a loss expect when it is given as text: logits or probabilities?",
            "Read about keras.losses.SparseCategoricalCrossentropy and its argument from_logits.",
            "Give compile an object in place of the text: the same loss as a class, with from_logits=True. Keep the "
            "metrics.",
        ),
    ),
    "4.4": Task(
        "make one model from a frozen backbone and a head",
        check_assembled,
        (
            "A model can be a layer of another model. Which of the two parts is to be frozen?",
            "Read about keras.Sequential with models as layers, and about the attribute trainable.",
            "Set backbone_model.trainable to False; return keras.Sequential of backbone_model and head.",
        ),
    ),
    "4.5": Task(
        "reach the target accuracy with a head on stored feature maps",
        partial(check_training, TARGETS),
        (
            "Put 4.2, 4.3 and 4.4 together. How many labels did the lesson's finished model have?",
            "Read about extract_features, and about the arguments epochs and batch_size of fit.",
            "Maps of up to 10,000 training pictures, the head with 1,024, about ten epochs; return a function that "
            "takes the argmax of the assembled model's logits.",
        ),
    ),
}
