"""Checks of exercise 10, when transfer helps less."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd

import helpers.quiet  # noqa: F401
from helpers.checks.compiled import check_loss
from helpers.checks.images import UNSEEN_SEED
from helpers.checks.open_task import expect_no_look_up, judge_labels
from helpers.checks.task import NOTHING, Task, Wrong, expect, things
from helpers.data.domains import gratings
from helpers.models.backbones import Backbone, build_backbone
from helpers.profiles import Profile, find_profile

import keras
from keras import layers


def check_cut(cut) -> str:
    """Check task 10.1."""
    for network, block in (("mini_mobilenet", "block_3"), ("mini_vgg", "block2")):
        backbone = build_backbone(network, "mini")  # a new one each time: an answer may change it
        flags = [layer.trainable for layer in backbone.model.layers]
        model = cut(backbone, block)
        expect(model is not None, NOTHING)
        expect(
            isinstance(model, keras.Model),
            f"Your function returns {type(model).__name__}, not a keras.Model. Build the model; do not run it.",
        )
        expect(
            flags == [layer.trainable for layer in backbone.model.layers],
            "After your function, layers of the backbone that was given have another flag trainable. Your model shares "
            "its layers with it, so this freezes layers of everyone who uses them.",
        )
        judge_cut(model, backbone, block)
    return "Your model gives one number for each map behind the block, with the pretrained weights."


def few_images() -> np.ndarray:
    """Return four pictures of noise ``(4, 32, 32, 3)`` float32 in [0, 255]."""
    return np.random.default_rng(101).integers(0, 256, (4, 32, 32, 3)).astype("float32")


@cache
def maps_of(network: str) -> dict[str, np.ndarray]:
    """Return the maps of ``few_images`` behind each layer of a pretrained network, by the layer's name."""
    backbone = build_backbone(network, "mini")
    names = [name for of_block in backbone.blocks.values() for name in of_block]
    outputs = [backbone.model.get_layer(name).output for name in names]
    maps = keras.Model(inputs=backbone.model.input, outputs=outputs)(few_images(), training=False)
    return dict(zip(names, map(np.asarray, maps), strict=True))


def judge_cut(model: keras.Model, backbone: Backbone, block: str) -> None:
    """Raise ``Wrong`` unless ``model`` gives the means of the maps behind the last layer of ``block``."""
    maps = maps_of(backbone.name)
    wanted = maps[backbone.blocks[block][-1]]
    features = np.asarray(model(few_images()))
    expect(
        features.ndim != 4 or features.shape[1:3] != (1, 1) or wanted.shape[1:3] == (1, 1),
        f"Your model gives one number for each map, but as an array {features.shape[1:]}. Wanted is a vector.",
    )
    expect(
        features.ndim == 2,
        f"Your model gives an array of shape {features.shape[1:]} for each picture: feature maps. The pooling is "
        "missing.",
    )
    if features.shape == (4, wanted.shape[-1]):
        if np.allclose(features, wanted.mean(axis=(1, 2)), atol=1e-3):
            return
        expect(
            not np.allclose(features, wanted.max(axis=(1, 2)), atol=1e-3),
            "Your model keeps the strongest place of each map. Wanted is the mean over all places.",
        )
    expect(
        features.shape[1] != np.prod(wanted.shape[1:]),
        f"Your model gives {features.shape[1]} numbers for each picture: the maps, laid out flat. Wanted is one number "
        "for each map.",
    )
    for name, of_layer in maps.items():
        means = of_layer.mean(axis=(1, 2))
        if means.shape == features.shape and np.allclose(features, means, atol=1e-3):
            of = next(other for other, of_block in backbone.blocks.items() if name in of_block)
            expect(
                of == block,
                f"Your model is cut in {of}, behind the layer {name!r}. Asked for was {block}.",
            )
            raise Wrong(
                f"Your model is cut inside of {block}, behind its layer {name!r}. The block has more layers after it."
            )
    expect(
        features.shape[1] == wanted.shape[-1],
        f"Behind {block} of {backbone.name} there are {wanted.shape[-1]} maps, but your model gives "
        f"{features.shape[1]} numbers for each picture.",
    )
    raise Wrong(
        f"The shape is right, but the numbers are not the means of the maps behind {block}. Does your model share the "
        "layers and the pretrained weights of the backbone, and does it take the pixels as they are?"
    )


def accuracy_table() -> pd.DataFrame:
    """Return accuracies in which each wrong order of the rows is another one."""
    table = {
        "pixels": [0.30, 0.90, 0.45, 0.55],
        "scratch": [0.40, 0.85, 0.30, 0.70],
        "last block": [0.61, 0.88, 0.35, 0.50],
        "fine-tuned": [0.66, 0.60, 0.77, 0.72],
    }
    return pd.DataFrame(table, index=["photos", "digits", "stripes", "clouds"])


def check_gains(gains) -> str:
    """Check task 10.2."""
    for baseline in ("scratch", "pixels"):
        table = accuracy_table()
        answer = gains(table, baseline)
        expect(answer is not None, NOTHING)
        expect(table.equals(accuracy_table()), "Your function changes the table that it was given. Work on a copy.")
        judge_gains(answer, table, baseline)
    return "Gains in points, domain by domain, the domain with the largest gain first."


def judge_gains(answer, table: pd.DataFrame, baseline: str) -> None:
    """Raise ``Wrong`` unless ``answer`` is the table of gains over ``baseline``, sorted by the largest of each row."""
    expect(
        isinstance(answer, pd.DataFrame),
        f"Your function returns {type(answer).__name__}; wanted is a DataFrame.",
    )
    methods = [name for name in table if name != baseline]
    expect(
        baseline not in answer.columns,
        f"Your table still has the column {baseline!r}. Over itself, the baseline gains nothing: leave it out.",
    )
    expect(
        set(answer.index) == set(table.index) and set(answer.columns) == set(methods),
        f"Your table has the rows {', '.join(map(str, answer.index))} and the columns "
        f"{', '.join(map(str, answer.columns))}. Wanted are the domains as rows and the other methods as columns. Does "
        "your difference go along the rows?",
    )
    expect(len(answer) == len(table), f"Your table has {len(answer)} rows, for {len(table)} domains.")
    values = answer.loc[table.index, methods].to_numpy("float64")
    base, others = table[[baseline]].to_numpy(), table[methods].to_numpy()
    mistakes = {
        "are fractions. Wanted are points, hundredths of an accuracy: 0.61 instead of 0.40 is a gain of 21 points": (
            others - base
        ),
        "have the wrong sign: a method that is better than the baseline gains, so its number is positive": (
            100 * (base - others)
        ),
        "are relative to the baseline, in percent. Wanted are points, the plain difference": 100 * (others / base - 1),
        "are relative to the baseline. Wanted are points, the plain difference": others / base - 1,
        "compare with the mean of the baseline. Each domain has a baseline of its own": 100 * (others - base.mean()),
        "are the accuracies in percent. Nothing has been subtracted": 100 * others,
        "have lost their sign: a method that is worse than the baseline has a negative gain": 100 * abs(others - base),
        "compare with the best method of each domain. Wanted is the baseline that the function is given": 100
        * (others - table.max(axis=1).to_numpy()[:, None]),
        "compare with the mean of each domain. Wanted is the baseline that the function is given": 100
        * (others - table.mean(axis=1).to_numpy()[:, None]),
        "compare each method with the next one in the table. Wanted is the baseline": 100
        * table.diff(axis=1)[methods].to_numpy(),
        "are quotients. Wanted are differences": others / base,
    }
    mistakes |= {
        f"compare with {other!r}, but the function was given {baseline!r}": 100 * (others - table[[other]].to_numpy())
        for other in table
        if other != baseline
    }
    if not np.allclose(values, 100 * (others - base), atol=0.051):
        for words, numbers in mistakes.items():
            expect(not np.allclose(values, numbers, atol=1e-3), f"Your numbers {words}.")
        place = np.unravel_index(
            np.argmax(np.nan_to_num(np.abs(values - 100 * (others - base)), nan=999)), values.shape
        )
        raise Wrong(
            f"In {table.index[place[0]]!r}, {baseline!r} has {base[place[0], 0]:.2f} and {methods[place[1]]!r} "
            f"{others[place]:.2f}; your gain is {values[place]:.4g}."
        )
    largest = answer[methods].max(axis=1)
    order, shown = list(answer.index), ", ".join(answer.index)
    expect(
        order != list(table.index), f"The gains are right, but the rows stand as before: {shown}. They are not sorted."
    )
    expect(
        order != list(largest.sort_values().index),
        "The gains are right, but the domain with the *smallest* largest gain stands first.",
    )
    expect(
        order == list(largest.sort_values(ascending=False).index),
        f"The gains are right, but the order is {shown}. The largest gain of each row decides, whichever method has "
        "it; not one column, and not the mean.",
    )


KINDS, SEVERITIES = ("rain", "dust", "frost"), (1, 2, 4)


class Spoiler:
    """A corruption that ruins some pictures, and notes what it was asked."""

    def __init__(self, clean: np.ndarray) -> None:
        self.clean = clean.copy()
        self.rows = {picture.tobytes(): row for row, picture in enumerate(clean.astype("float64"))}
        self.asked: list[tuple] = []
        self.was_clean, self.was_divided = True, False

    def spoil(self, images: np.ndarray, kind: str, severity: int) -> np.ndarray:
        """Return new pictures, of which ``ruined(kind, severity)`` show another class, or more."""
        self.asked.append((kind, severity))
        rows = [self.rows.get(picture.tobytes()) for picture in np.array(images, "float64")]  # batches will do
        self.was_divided |= np.max(images) <= 1
        self.was_clean &= None not in rows
        spoilt = np.array(images)
        spoilt[[row is not None and row < ruined(kind, severity) for row in rows], 0, 0, 0] = 99
        return spoilt


def ruined(kind: str, severity: int) -> int:
    """Return how many of 40 pictures a corruption ruins."""
    return (5, 8, 3)[KINDS.index(kind)] * severity  # the last kind is the mildest


def check_robustness(robustness) -> str:
    """Check task 10.3."""
    random = np.random.default_rng(103)
    images = random.integers(0, 255, (40, 6, 6, 3), np.uint8)
    labels = random.integers(0, 10, 40)
    images[:, 0, 0, 0] = labels
    images[-5:, 0, 0, 0] = 77  # wrong even when they are clean

    def predict(given):
        return np.asarray(given)[:, 0, 0, 0].astype(int)

    spoiler = Spoiler(images)
    answer = robustness(predict, images, labels, spoiler.spoil, KINDS, SEVERITIES)
    expect(answer is not None, NOTHING)
    expect(
        np.array_equal(images, spoiler.clean),
        "After your function, the pictures that it was given are spoilt. Later uses of them would be wrong.",
    )
    expect(not spoiler.was_divided, "spoil was given pixels of at most 1. Give it the pictures as they are.")
    expect(
        spoiler.was_clean,
        "Your function spoils pictures that are spoilt already. Each corruption starts from the clean pictures.",
    )
    missing = [case for case in itertools.product(KINDS, SEVERITIES) if case not in spoiler.asked]
    expect(
        not missing,
        f"Your function leaves out {len(missing)} of {len(KINDS) * len(SEVERITIES)} cases, such as "
        f"{missing[0][0] if missing else ''} at severity {missing[0][1] if missing else ''}.",
    )
    both = things(answer, 2, "two numbers: the mean accuracy, and the loss")
    expect(all(np.ndim(value) == 0 for value in both), "Each of the two should be one number, over all cases.")
    judge_robustness(*map(float, both))
    return "Every corruption started from the clean pictures, and the loss is measured against them."


def judge_robustness(mean: float, loss: float) -> None:
    """Raise ``Wrong`` unless these are the mean accuracy under all corruptions of the check, and the loss."""
    clean = 35 / 40
    spoilt = np.array([[(35 - ruined(kind, severity)) / 40 for severity in SEVERITIES] for kind in KINDS])
    wanted = spoilt.mean()
    mistakes = {
        (spoilt.sum() + clean) / (spoilt.size + 1): "has the clean pictures in it. They are not spoilt: they only say "
        "what was lost",
        (wanted + clean) / 2: "has the clean pictures in it. They are not spoilt: they only say what was lost",
        clean: "is the accuracy on the clean pictures",
        spoilt[-1].mean(): "is that of the last kind only",
        spoilt[:, -1].mean(): "is that of the last severity only",
        spoilt[-1, -1]: "is that of the last case only",
        spoilt.min(): "is that of the worst case. Wanted is the mean of all",
        spoilt.max(): "is that of the mildest case. Wanted is the mean of all",
        spoilt[0].mean(): "is that of the first kind only",
        spoilt[:, 0].mean(): "is that of the first severity only",
        spoilt[0, 0]: "is that of the first case only",
        spoilt.sum(): "is a sum. Divide by the number of cases",
        1 - wanted: "is the part that is *wrong*. Wanted is the accuracy",
        100 * wanted: "is in percent. Wanted is a number from 0 to 1",
        np.median(spoilt): "is the median. Wanted is the mean",
    }
    if not np.isclose(mean, wanted, atol=1e-4):
        for number, words in mistakes.items():
            expect(not np.isclose(mean, number, atol=1e-4), f"Your mean accuracy {words}.")
        raise Wrong(f"Over all kinds and severities, the mean accuracy is {wanted:.3f}; your function says {mean:.3f}.")
    if not np.isclose(loss, clean - wanted, atol=1e-4):
        for number, words in {
            wanted - clean: "has the wrong sign: if spoilt pictures are harder, something is lost: a positive number",
            (clean - wanted)
            / clean: "is relative to the clean accuracy. Wanted is the difference of the two accuracies",
            1 - wanted: "is measured against 1. Some clean pictures are wrong, too: compare with the clean accuracy",
            100 * (clean - wanted): "is in points. Wanted is a number from 0 to 1, like the accuracy",
            clean: "is the clean accuracy itself",
            clean - spoilt.min(): "is that of the worst case only",
        }.items():
            expect(not np.isclose(loss, number, atol=1e-4), f"The mean is right, but your loss {words}.")
        raise Wrong(
            f"The mean is right. The clean accuracy is {clean:.3f}, so the loss is {clean - wanted:.3f}; your function "
            f"says {loss:.3f}."
        )


class NotedTraining(keras.Sequential):
    """A model that notes, for each ``fit``: the learning rate, and the weights of its layers before and after."""

    def compile(self, *args, **kwargs):
        self.__dict__["compiled"] = True  # since the last fit
        return super().compile(*args, **kwargs)

    def fit(self, *args, **kwargs):
        expect(getattr(self, "optimizer", None) is not None, "Your function calls fit before it compiles the model.")
        phases = self.__dict__.setdefault("phases", [])
        expect(
            not phases or self.optimizer is not phases[-1]["optimizer"],
            "Your function compiles again with the same optimizer object, which was made for the weights of before. "
            "Make a new one."
            if self.__dict__["compiled"]
            else "Your function calls fit again without compiling the model. What it froze or unfroze since, and "
            "another learning rate, count only after compile.",
        )
        phase = {"optimizer": self.optimizer, "before": self.noted_weights()}
        phase["rate"] = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
        self.run_eagerly = True  # for so few steps, faster than making a graph
        self.__dict__["images_seen"] = 0
        history = super().fit(*args, **kwargs)
        self.__dict__["compiled"] = False
        phases.append(
            phase | {"after": self.noted_weights(), "images": self.__dict__["images_seen"] / max(len(history.epoch), 1)}
        )
        return history

    def train_step(self, data):
        self.__dict__["images_seen"] += len(data[0])
        return super().train_step(data)

    def noted_weights(self) -> dict[str, list[np.ndarray]]:
        """Return the weights of each layer that has some, by the layer's name; the head is "head"."""
        noted = {layer.name: layer.get_weights() for layer in self.layers[0].layers if layer.weights}
        return noted | {"head": self.layers[-1].get_weights()}


def untrained_model() -> NotedTraining:
    """Return a model that is not compiled: a small backbone with BatchNorm layers, pooling, and a head of 3 classes."""
    keras.utils.set_random_seed(104)
    pixels = keras.Input((8, 8, 3))
    maps = layers.ReLU()(layers.BatchNormalization(name="second")(layers.Conv2D(4, 3, name="first")(pixels)))
    maps = layers.BatchNormalization(name="fourth")(layers.DepthwiseConv2D(3, name="third_bn")(maps))
    return NotedTraining([keras.Model(pixels, maps), layers.GlobalAveragePooling2D(), layers.Dense(3)])


def check_head_first(head_first) -> str:
    """Check task 10.4."""
    random = np.random.default_rng(104)
    x, y = random.normal(0.5, 2, (12, 8, 8, 3)).astype("float32"), np.arange(12) % 3
    for rate in (0.03, 0.004):
        model = untrained_model()
        head_first(model, x, y, rate)
        phases = model.__dict__.get("phases", [])
        expect(phases != [], "The model that was given was not trained with fit.")
        expect(
            len(phases) == 2,
            f"Your function calls fit {len(phases)} {'time' if len(phases) == 1 else 'times'}. Wanted are two phases "
            "with one fit each.",
        )
        check_loss(model, x, y)  # first: with a wrong loss, nothing may move
        judge_phases(phases[0], phases[1], rate)
        for phase, name in zip(phases, ("first", "second"), strict=True):
            expect(
                phase["images"] >= len(x),
                f"In the {name} phase, an epoch has {phase['images']:.0f} of the {len(x)} pictures. Both phases take "
                "all of them.",
            )
    return "First only the head moved; then all layers, at a tenth of the rate, and BatchNorm stayed bit by bit."


def judge_phases(first: dict, second: dict, rate: float) -> None:
    """Raise ``Wrong`` unless the first phase moved the head alone, and the second one everything but BatchNorm."""
    norms, kernels = {"second", "fourth"}, {"first", "third_bn"}
    moved = [
        {name for name, old in phase["before"].items() if not all(map(np.array_equal, old, phase["after"][name]))}
        for phase in (first, second)
    ]
    expect(
        not moved[0] & kernels,
        "In the first phase, layers of the backbone moved. Only the head should learn there; the backbone waits until "
        "the head is trained.",
    )
    expect(
        not moved[0] & norms,
        "In the first phase, BatchNorm layers of the backbone changed. Is the whole backbone frozen, or only some of "
        "its layers?",
    )
    expect("head" in moved[0], "In the first phase, the head did not move. Was it frozen together with the backbone?")
    expect(
        np.isclose(first["rate"], rate, rtol=1e-3),
        f"In the first phase the learning rate is {first['rate']:g}; your function was given {rate:g}.",
    )
    expect(
        all(
            np.array_equal(a, b)
            for name, arrays in second["before"].items()
            for a, b in zip(first["after"][name], arrays, strict=True)
        ),
        "Between the two phases, weights changed. The second phase goes on from where the first one ended.",
    )
    expect("head" in moved[1], "In the second phase, the head did not move. It should go on learning.")
    expect(
        bool(moved[1] & kernels), "In the second phase, the backbone did not move. Was it unfrozen, and before compile?"
    )
    expect(moved[1] >= kernels, "In the second phase, only a part of the backbone moved. Wanted are all its layers.")
    expect(
        not moved[1] & norms,
        "In the second phase, BatchNorm layers changed: their statistics drift towards those of a few pictures. They "
        "should stay as they were.",
    )
    tenth = second["rate"]
    expect(
        not np.isclose(tenth, rate, rtol=1e-3),
        f"In the second phase the learning rate is {tenth:g}, as in the first: too high for pretrained weights.",
    )
    expect(
        np.isclose(tenth, rate / 10, rtol=1e-3),
        f"The head learned at {rate:g}, and in the second phase the learning rate is {tenth:g}. Wanted is one 10 times "
        "lower.",
    )


def draw_gratings(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gratings ``(n, 32, 32, 3)`` uint8 and labels ``(n,)``, in random order."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(10), per_class))
    return gratings(labels, random), labels


def check_gratings(train, profile: Profile | str = "auto", seed: int = 0) -> str:
    """Check task 10.5."""
    classify = train(*draw_gratings(10, seed))
    expect(
        callable(classify) and not isinstance(classify, keras.Model),
        f"Your function must return a function from pictures to labels; it returns {type(classify).__name__}.",
    )
    target = TARGETS[find_profile(profile).name]
    message = judge_labels(classify, *draw_gratings(100, UNSEEN_SEED), target)
    expect_no_look_up(classify, lambda new_seed: draw_gratings(50, new_seed), target)
    return message


TARGETS = {"mini": 0.90, "cifar10-cpu": 0.90, "cifar10-gpu": 0.80}

TASKS = {
    "10.1": Task(
        "cut a backbone behind a block and pool",
        check_cut,
        (
            "A block has several layers. Behind which of them are its feature maps finished?",
            "Read about keras.Model.get_layer, Layer.output, keras.Model(inputs, outputs) and GlobalAveragePooling2D.",
            "backbone.blocks[block][-1] is the layer's name; from backbone.model.input to the pooled output of it.",
        ),
    ),
    "10.2": Task(
        "make a sorted table of gains",
        check_gains,
        (
            "In each row, one number is subtracted from all others. Which one? And what decides the order of the rows?",
            "Read about pandas.DataFrame.sub with axis=0, drop, max with axis=1, and sort_values.",
            "Drop the baseline, sub its column, times 100; then loc with the index of the sorted largest gains.",
        ),
    ),
    "10.3": Task(
        "measure accuracy under corruptions, and what is lost",
        check_robustness,
        (
            "How often is predict needed? Once for each kind and severity, and once more: for what?",
            "Read about numpy.mean of a comparison such as predicted == labels, and about a list comprehension with "
            "two for.",
            "A list of accuracies of predict(spoil(pictures, kind, severity)); its mean; clean accuracy minus mean.",
        ),
    ),
    "10.4": Task(
        "train the head first, then everything",
        check_head_first,
        (
            "Between the two calls of fit, three things change: what is frozen, what stays frozen, and the rate.",
            "Read about Layer.trainable, keras.layers.BatchNormalization and keras.Model.compile; see lesson 06.",
            "Freeze model.layers[0], compile, fit; unfreeze it, freeze its BatchNorm layers, compile with rate / 10, "
            "fit.",
        ),
    ),
    "10.5": Task(
        "reach the target accuracy on gratings",
        check_gratings,
        (
            "What did the last block learn to ignore? Where in the network is it still there?",
            "Read about sklearn.model_selection.cross_val_score: with it, the 100 labels can choose, too.",
            "An SVM on cut(backbone, block) for several blocks; keep the block with the best cross-validation.",
        ),
    ),
}
