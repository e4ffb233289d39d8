"""Checks of exercise 11, the capstone."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import helpers.quiet  # noqa: F401
from helpers.checks.fine_tuned import check_fine_tuned, expect_logits
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays, things
from helpers.models.backbones import build_backbone
from helpers.profiles import find_profile

import keras


def nested_model() -> keras.Sequential:
    """Return a compiled model of three layers: a backbone with the blocks 1, 2, 3 and 10, pooling, a head."""
    keras.utils.set_random_seed(111)
    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    maps = pixels
    for block, convolutions in ((1, 2), (2, 3), (3, 1), (10, 2)):
        for number in range(1, convolutions + 1):
            convolution = layers.Conv2D(4, 3, padding="same", activation="softplus", name=f"block{block}_conv{number}")
            maps = convolution(maps)
        if block < 3:
            maps = layers.MaxPooling2D(2, name=f"block{block}_pool")(maps)
    backbone = keras.Model(pixels, maps, name="backbone")
    model = keras.Sequential([backbone, layers.GlobalAveragePooling2D(name="pooling"), layers.Dense(3, name="head")])
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def check_block(unfreeze_block) -> str:
    """Check task 11.1."""
    # With TensorFlow, setting a flag to the value that it has does nothing, not even inside. So in no case is the
    # backbone's own flag False while a layer inside is trainable: freezing all of it would be right, and do nothing.
    for block, before in (("block2", "frozen"), ("block10", "trainable"), ("block1", "partly frozen")):
        model = nested_model()
        backbone = model.layers[0]
        if before == "frozen":
            backbone.trainable = model.layers[-1].trainable = False
        if before == "partly frozen":
            backbone.get_layer("block3_conv1").trainable = False
        weights = [np.copy(weight) for weight in model.get_weights()]
        unfreeze_block(model, block)
        same = same_arrays(weights, model.get_weights())
        expect(same, "Your function changes weights of the model. It should only set flags.")
        case = f"Asked for {block}, in a model whose backbone was {before}: "
        expect(
            model.trainable,
            f"{case}the flag of the whole model is False. Then fit trains nothing, whatever the flags inside it say.",
        )
        judge_trained(case, trained_layers(model), block)
    return "In one step of training, exactly the asked block and the head moved."


def trained_layers(model: keras.Sequential) -> dict[str, bool]:
    """Return for each layer with weights, by name, whether one step of training moves it."""
    with_weights = [layer for layer in (*model.layers[0].layers, model.layers[-1]) if layer.weights]
    if not model.trainable_weights:
        return dict.fromkeys((layer.name for layer in with_weights), False)
    random = np.random.default_rng(111)
    before = [np.copy(layer.get_weights()[0]) for layer in with_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)  # one step is not worth a graph
    model.train_on_batch(random.normal(size=(16, 8, 8, 3)).astype("float32"), random.integers(0, 3, 16))
    after = [layer.get_weights()[0] for layer in with_weights]
    return {
        layer.name: not np.array_equal(old, new) for layer, old, new in zip(with_weights, before, after, strict=True)
    }


def judge_trained(case: str, moved: dict[str, bool], block: str) -> None:
    """Raise ``Wrong`` unless exactly the layers of ``block`` and the head have moved."""
    wanted = {name for name in moved if name.startswith(f"{block}_")}
    learned = {name for name in moved if moved[name] and name != "head"}
    expect(bool(learned) or moved["head"], f"{case}nothing learns at all, not even the head.")
    expect(
        learned != set(moved) - {"head"},
        f"{case}the whole backbone learns. Did you set the flag of the backbone itself? For the model, the backbone is "
        "one layer, and its flag is set on all layers inside.",
    )
    expect(
        bool(learned),
        f"{case}no layer of the backbone learns. Either the flags are set in an order in which the last one undoes "
        "the first, or the names were looked for in another model than the one that has them.",
    )
    alike = sorted(learned - wanted)
    expect(
        not (alike and wanted <= learned and all(name.startswith(block) for name in alike)),
        f"{case}{', '.join(alike)} learns, too. Its name begins with the same letters, but it is another block.",
    )
    expect(
        bool(learned & wanted),
        f"{case}another block learns: {', '.join(sorted(learned))}. Counting from the end finds only the last block.",
    )
    expect(not alike, f"{case}layers of other blocks learn, too: {', '.join(alike)}. Were they frozen first?")
    missing = sorted(wanted - learned)
    expect(not missing, f"{case}only a part of the block learns; {', '.join(missing)} does not.")
    expect(moved["head"], f"{case}the right layers of the backbone learn, but the head is frozen.")


COLUMNS = ["file", "label", "prediction", "probability"]
ANIMALS = ("cat", "dog", "owl")
# logits, label. One row for each way to choose or to sort wrongly: see ``mistake_tables``.
PREDICTIONS = (
    ([9.0, 8.5, 8.8], 1),  # a large logit, but an uncertain mistake
    ([5.0, 0.0, 0.5], 0),  # certain, and right
    ([0.0, 0.4, 3.0], 0),
    ([1.0, 1.3, 0.8], 2),  # the least certain mistake
    ([-9.0, -2.0, -8.0], 2),  # the most certain mistake; all its logits are negative
    ([0.1, 2.2, 0.0], 1),
    ([2.0, 0.3, 0.2], 2),
    ([6.0, 4.5, 1.0], 1),
    ([0.0, 1.0, 7.5], 2),
)


def mistake_tables(logits: np.ndarray, labels: np.ndarray, files: list[str], k: int) -> dict[str, list[str]]:
    """Return the files in the table, in order, by what was done: "right", or one of the usual mistakes."""
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    own = probabilities[np.arange(len(labels)), labels]

    def first(rows, scores):
        return [files[row] for row in rows[np.argsort(-scores[rows], kind="stable")][:k]]

    certainty = probabilities.max(axis=1)
    return {
        "right": first(wrong, certainty),
        "all": first(np.arange(len(labels)), certainty),
        "least": first(wrong, -certainty),
        "logits": first(wrong, logits.max(axis=1)),
        "own": first(wrong, -own),
        "first": first(wrong[:k], certainty),
        "unsorted": [files[row] for row in wrong[:k]],
        "turned": first(wrong, certainty)[::-1],
        "file": sorted(first(wrong, certainty)),
        "far": first(wrong, certainty - own),
        "answers": first(np.flatnonzero(logits.argmax(axis=1) == labels), certainty),
    }


MISTAKES = {
    "all": "these are the most certain of *all* answers, right ones among them. Wanted are only the wrong ones",
    "answers": "these answers are right. Wanted are the wrong ones",
    "least": "these are the mistakes of which the network was *least* certain",
    "logits": "they are sorted by their logits. A large logit says little if the logits of the other classes are "
    "as large",
    "own": "they are sorted by the probability of the *true* class. Wanted is how certain the network was of its own "
    "answer",
    "first": "these are the first mistakes in the list, sorted. First sort all mistakes, then take some",
    "unsorted": "these are the first mistakes in the list, as they come. Wanted are the most certain ones",
    "file": "these are the right rows, sorted by the file",
    "far": "they are sorted by how far the two probabilities are apart. Wanted is the probability of the answer",
    "turned": "these are the right rows, in the opposite order",
}


def check_mistakes(worst_mistakes) -> str:
    """Check task 11.2."""
    logits = np.array([row for row, _ in PREDICTIONS], "float32")
    labels = np.array([label for _, label in PREDICTIONS])
    files = [f"{number:02}.jpg" for number in (31, 7, 22, 90, 5, 48, 63, 14, 11)]
    for k, turn in ((3, 0), (2, 4), (20, 0)):
        given: tuple = np.roll(logits, turn, axis=0), np.roll(labels, turn), files
        kept = given[0].copy(), given[1].copy(), list(files)
        table = worst_mistakes(given[0], given[1], ANIMALS, files, k)
        expect(table is not None, NOTHING)
        same = same_arrays(given, kept)
        expect(same, "Your function changes the arrays that it was given.")
        expect(isinstance(table, pd.DataFrame), f"Your function returns {type(table).__name__}; wanted is a DataFrame.")
        expect(
            set(table.columns) == set(COLUMNS),
            f"The columns are {', '.join(map(str, table.columns))}; wanted are {', '.join(COLUMNS)}.",
        )
        judge_table(table, *kept, k)
    expect_empty_table(worst_mistakes, logits, logits.argmax(axis=1), files)
    return "The most certain mistakes, with their files, both names and the probability."


def expect_empty_table(worst_mistakes, logits: np.ndarray, labels: np.ndarray, files: list[str]) -> None:
    """Raise ``Wrong`` unless an answer to 11.2 copes with a network that makes no mistake."""
    case = "Where the network makes no mistake, your function"
    try:
        table = worst_mistakes(logits.copy(), labels.copy(), ANIMALS, list(files), 3)
    except Exception as error:  # whatever the learner's code raises
        raise Wrong(f"{case} stops with {type(error).__name__}. Wanted is a table without rows.") from error
    expect(isinstance(table, pd.DataFrame), f"{case} returns {type(table).__name__}. Wanted is a table without rows.")
    expect(len(table) == 0, f"{case} returns {len(table)} rows. Wanted is a table without rows.")


def judge_table(table: pd.DataFrame, logits: np.ndarray, labels: np.ndarray, files: list[str], k: int) -> None:
    """Raise ``Wrong`` unless ``table`` holds the ``k`` most certain mistakes, in order."""
    tables = mistake_tables(logits, labels, files, k)
    chosen, right = [str(file) for file in table["file"]], tables["right"]
    case = f"For k={k}, your table has the files {', '.join(chosen) or '(none)'}"
    if chosen != right:
        reasons = [reason for name, reason in MISTAKES.items() if chosen == tables[name]]
        expect(not reasons, f"{case}: {reasons[0] if reasons else ''}.")
        expect(len(chosen) == len(right), f"{case}: {len(chosen)} rows. There are {len(right)} to show.")
        raise Wrong(f"{case}. Which answers are wrong, and of which of them was the network most certain?")
    rows = [files.index(file) for file in chosen]
    true = [ANIMALS[label] for label in labels[rows]]
    predicted = [ANIMALS[label] for label in logits[rows].argmax(axis=1)]
    names = list(table["label"]), list(table["prediction"])
    expect(names != (predicted, true), "The files are right, but the columns label and prediction are exchanged.")
    expect(
        all(isinstance(name, str) for column in names for name in column),
        f"The files are right, but a class is called {names[0][0]!r}. Wanted are the names of the classes.",
    )
    expect(names[0] == true, "The files are right, but the column label does not hold the true classes.")
    expect(names[1] == predicted, "The files are right, but the column prediction does not hold the predicted classes.")
    shown = np.asarray(table["probability"], "float64")
    exact = np.exp(logits[rows].astype("float64"))
    exact /= exact.sum(axis=1, keepdims=True)
    expect(
        not np.allclose(shown, exact[np.arange(len(rows)), labels[rows]], atol=1e-3),
        "The column probability holds the probability of the true class. Wanted is that of the prediction.",
    )
    wanted = exact.max(axis=1)
    expect(
        not np.allclose(shown, 100 * wanted, atol=0.6),
        "The column probability is in percent. Wanted are numbers from 0 to 1.",
    )
    worst = int(np.abs(shown - wanted).argmax())
    expect(
        abs(shown[worst] - wanted[worst]) < 6e-3,  # two decimals will do
        f"The files are right, but the probability of {chosen[worst]} is {wanted[worst]:.3f}, not {shown[worst]:.3f}. "
        "The probabilities of all classes of one picture add up to 1: are yours divided by the sum over the classes?",
    )


SHAPES = ("spots", "bars", "frame")  # not in the order of their names
SIDE = 40


def draw(shape: str, random: np.random.Generator) -> np.ndarray:
    """Return a noisy picture ``(SIDE, SIDE, 3)`` uint8 of one of the ``SHAPES``, in two random colours."""
    while True:
        paper, ink = random.integers(0, 256, (2, 3))
        if abs(int(paper.sum()) - int(ink.sum())) > 250:
            break
    rows, columns = np.indices((SIDE, SIDE)) + random.integers(0, 10)
    if shape == "bars":
        inked = rows // 5 % 2 == 0
    elif shape == "spots":
        inked = (rows % 13 - 6) ** 2 + (columns % 13 - 6) ** 2 < 14
    else:
        low, high = random.integers(4, 10), random.integers(28, 36)
        outer = np.indices((SIDE, SIDE))
        inside = (outer >= low).all(axis=0) & (outer <= high).all(axis=0)
        inked = inside & ~((outer >= low + 4).all(axis=0) & (outer <= high - 4).all(axis=0))
    image = np.where(inked[..., None], ink, paper) + random.normal(0, 12, (SIDE, SIDE, 3))
    return image.clip(0, 255).astype(np.uint8)


def write_folder(folder: Path, count: int) -> None:
    """Write ``count`` pictures of each of the ``SHAPES``, and one damaged file, always the same ones."""
    random = np.random.default_rng(113)
    for shape in SHAPES:
        (folder / shape).mkdir()
        for number in range(count):
            Image.fromarray(draw(shape, random)).save(folder / shape / f"{number:02}.png")
    (folder / SHAPES[0] / "damaged.jpg").write_bytes(b"\xff\xd8\xff no picture")
    for file in folder.rglob("*.*"):
        os.utime(file, (0, 0))  # so that the cache of load_image_folder knows the folder again


def check_own_images(own_classifier) -> str:
    """Check task 11.3."""
    backbone = build_backbone("mini_mobilenet", "mini")
    weights = [np.copy(weight) for weight in backbone.model.get_weights()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shapes"
        folder.mkdir()
        write_folder(folder, 24)
        # nbgrader gives no points for a cell that writes to the error stream: here the bar and the warning of
        # load_image_folder, which the damaged file has asked for.
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = own_classifier(folder, backbone)
    model, names = things(answer, 2, "two things: the model and the class names")
    expect(
        isinstance(model, keras.Model),
        f"The first thing that your function returns is {type(model).__name__}; wanted is a keras.Model.",
    )
    names = [str(each) for each in names]
    expect(
        sorted(names) == sorted(SHAPES),
        f"The class names are {', '.join(names)}; the folders are {', '.join(sorted(SHAPES))}.",
    )
    same = same_arrays(weights, backbone.model.get_weights())
    expect(same, "The backbone has changed. With so few pictures it should stay as it is: was it frozen?")
    return judge_own_model(model, names, backbone.image_size)


def judge_own_model(model: keras.Model, names: list[str], size: int) -> str:
    """Raise ``Wrong`` unless ``model`` tells new pictures of the ``SHAPES`` apart, and names them rightly."""
    shape = tuple(getattr(model, "input_shape", (None, size, size, 3))[1:])  # one that is not built has none
    expect(
        shape in ((size, size, 3), (None, None, 3)),
        f"Your model takes {shape}: features? Wanted is one that takes pixels {(size, size, 3)}, with the backbone in "
        "it.",
    )
    random = np.random.default_rng(311)
    true = np.repeat(SHAPES, 30)
    images = [Image.fromarray(draw(shape, random)).resize((size, size), Image.Resampling.BICUBIC) for shape in true]
    logits = np.asarray(model(np.array(images, "float32"), training=False))
    expect(
        logits.shape == (len(true), len(SHAPES)),
        f"For {len(true)} pictures your model gives {logits.shape}. Wanted is one logit for each of {len(SHAPES)} "
        "classes.",
    )
    expect_logits(logits)
    accuracy = np.mean(np.array(names)[logits.argmax(axis=1)] == true)
    by_folder = np.mean(np.array(sorted(SHAPES))[logits.argmax(axis=1)] == true)
    expect(
        not accuracy < 0.8 <= by_folder,
        f"The model tells the classes apart, but your names are in another order: {', '.join(names)}. Which number has "
        "each class in the data set?",
    )
    expect(
        accuracy >= 0.8,
        f"Of new pictures of the same kind, {accuracy:.0%} are named rightly; 80% is easy here. Is the head trained, "
        "and does the whole model see a new picture as the head saw its training pictures?",
    )
    return f"The damaged file did no harm, and {accuracy:.0%} of new pictures are named rightly."


def check_target(train_classifier, network, image_size, profile="auto", seed=0) -> str:
    """Check task 11.4."""
    profile = find_profile(profile)
    model = train_classifier()
    if isinstance(model, keras.Model):
        missing = kernel_shapes(build_backbone(network, profile, image_size=image_size).model) - kernel_shapes(model)
        expect(
            not missing,
            f"Your model is made from another network: it has no {network} in it. (Or were layers left out?)",
        )
    return check_fine_tuned(lambda: model, network, image_size, profile, seed, TARGETS)


def kernel_shapes(model: keras.Model) -> Counter:
    """Count the shapes of the convolution kernels of a model."""
    return Counter(tuple(weight.shape) for weight in model.weights if len(weight.shape) == 4)


TARGETS = {"mini": 0.63, "cifar10-cpu": 0.71, "cifar10-gpu": 0.80}

TASKS = {
    "11.1": Task(
        "unfreeze one block of a nested model, by its name",
        check_block,
        (
            "The model has three layers. In which of them are the layers of the block?",
            "Read about Layer.trainable: what happens inside a model when its own flag is set? And str.startswith.",
            'First freeze all of the backbone; then, in a loop, unfreeze layers whose names begin with block + "_". '
            "The head learns, too.",
        ),
    ),
    "11.2": Task(
        "list the most certain mistakes in a table",
        check_mistakes,
        (
            "Three steps: which answers are wrong, how certain was each of them, which are the first k?",
            "Read about keras.ops.softmax (or scipy.special.softmax), numpy.flatnonzero and DataFrame.sort_values.",
            "Build a table of all pictures, keep the rows with another prediction than label, sort down, take head(k).",
        ),
    ),
    "11.3": Task(
        "turn a folder of pictures into a model and its class names",
        check_own_images,
        (
            "The lesson does it in two cells: load, then features and a head. What has to be put together at the end?",
            "Read about load_image_folder, extract_features and keras.Sequential, which also takes whole models.",
            "Sequential([backbone.model, pooling]) gives features; fit a head on them; Sequential([that, head]).",
        ),
    ),
    "11.4": Task(
        "reach the target accuracy with a fine-tuned network",
        check_target,
        (
            "Begin as the lesson does: a head on stored features. Then let one block, or more, learn with it.",
            "Read about keras.optimizers.schedules.CosineDecay: a rate that ends low makes the last epochs calm.",
            "Head on features of both views; last block on stored maps; a rate falling from 0.3 × head_learning_rate.",
        ),
    ),
}
