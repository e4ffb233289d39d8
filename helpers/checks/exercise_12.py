"""Checks of exercise 12, recipes that win."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.compiled import train_one_step
from helpers.checks.fine_tuned import check_fine_tuned
from helpers.checks.task import NOTHING, Task, Wrong, ended, expect, same_arrays, things
from helpers.profiles import find_profile

import keras


def rated_model(names: tuple[str, str], other: str) -> tuple[keras.Model, keras.Model]:
    """Return a model, and the backbone in it: two convolutions called ``names``.

    Between backbone and head lies a layer ``other`` that is not part of the backbone, but is called like one of it.
    """
    keras.utils.set_random_seed(121)
    layers = keras.layers
    pixels = maps = keras.Input((6, 6, 3))
    for name in names:
        maps = layers.Conv2D(4, 3, padding="same", activation="softplus", name=name)(maps)
    backbone = keras.Model(pixels, maps, name="backbone")
    images = keras.Input((6, 6, 3))
    maps = layers.Conv2D(4, 1, activation="softplus", name=other)(backbone(images))
    logits = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(maps))
    return keras.Model(images, logits), backbone


def check_two_rates(two_rates) -> str:
    """Check task 12.1."""
    random = np.random.default_rng(121)
    x, y = random.normal(size=(16, 6, 6, 3)).astype("float32"), np.arange(16) % 3
    cases = (("conv1", "conv2"), "conv3", 1e-4, 3e-3), (("stem", "conv_a"), "conv_b", 2e-4, 1e-2)
    for names, other, low, high in cases:
        model, backbone = rated_model(names, other)
        before = [weight.numpy().copy() for weight in model.trainable_weights]
        optimizer = two_rates(model, backbone, low, high)
        expect(optimizer is not None, NOTHING)
        expect(
            isinstance(optimizer, keras.optimizers.Optimizer),
            f"Your function returns {type(optimizer).__name__}. Wanted is an optimizer; the check compiles the model.",
        )
        same = len(before) == len(model.trainable_weights) and same_arrays(before, model.trainable_weights)
        expect(same, "Your function changes weights or flags of the model. It should only make the optimizer.")
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        train_one_step(model, x, y)
        moved = {
            weight.path: float(np.abs(weight.numpy() - old).max())
            for weight, old in zip(model.trainable_weights, before, strict=True)
        }
        judge_rates(moved, {weight.path for weight in backbone.weights}, low, high)
    return "One step moved the weights of the backbone by the low rate, and all others by the high one."


def judge_rates(moved: dict[str, float], inside: set[str], low: float, high: float) -> None:
    """Raise ``Wrong`` unless one step of Adam moved the weights by the right rates; with Adam, a step is the rate.

    Args:
        moved: how far a weight moved at most, by its path.
        inside: the paths of the backbone's weights.
        low, high: the rates of the backbone and of the rest.
    """

    def is_near(rate: float) -> set[str]:
        return {path for path, distance in moved.items() if 0.8 * rate < distance < 1.2 * rate}

    slow, fast, outside = is_near(low), is_near(high), set(moved) - inside
    case = f"With low={low:g} and high={high:g}, "
    still = sorted(path for path, distance in moved.items() if distance == 0)
    expect(not still, f"{case}these weights do not learn at all: {', '.join(still)}.")
    strange = sorted(set(moved) - slow - fast)
    expect(
        not strange,
        f"{case}one step moves {strange[0] if strange else ''} by {moved[strange[0]] if strange else 0:.2g}. The first "
        "step of Adam is as long as its rate, so this is neither of the two. (Is it another optimizer, or a schedule?)",
    )
    expect(
        fast != set(moved),
        f"{case}all weights get the high rate: none of them was found. For how many weights did you choose the low "
        "one? Look at the paths of the weights.",
    )
    expect(slow != set(moved), f"{case}all weights get the low rate, the head too.")
    expect(not (slow == outside and fast == inside), f"{case}the two rates are exchanged.")
    left = sorted(inside - slow)
    expect(
        not left,
        f"{case}a part of the backbone gets the high rate: {', '.join(left)}. A pattern for names that fits one "
        "network need not fit the next.",
    )
    caught = sorted(slow - inside)
    expect(
        not caught,
        f"{case}{', '.join(caught)} gets the low rate, but is no part of the backbone; only its name looks so.",
    )


def curves(pictures: int, batch_size: int, epochs: int, peak: float, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rate at each of ``steps``, by what was done: "right", or one of the usual mistakes."""
    batches = -(-pictures // batch_size)

    def curve(total: float, warm: float | None = None, decay: float | None = None) -> np.ndarray:
        warm = total // 10 if warm is None else warm
        decay = total - warm if decay is None else decay
        done = np.clip((steps - warm) / max(decay, 1), 0, 1)
        falling = peak * (1 + np.cos(np.pi * done)) / 2
        return np.where(steps < warm, peak * steps / max(warm, 1), falling)

    total = epochs * batches
    return {
        "right": curve(total),
        "epochs": curve(epochs),
        "pictures": curve(epochs * pictures),
        "one epoch": curve(batches),
        "floor": curve(epochs * (pictures // batch_size)),
        "rounded up": curve(total, -(-total // 10)),
        "no warm-up": curve(total, 0),
        "added": curve(total, decay=total),
        "constant": np.where(steps < total // 10, peak * steps / max(total // 10, 1), peak),
    }


CURVES = {
    "epochs": "the whole schedule is over after as many *steps* as there are epochs. A step is one batch",
    "pictures": "it falls far too slowly. Did you count pictures? A step is one batch",
    "one epoch": "it is over after one epoch. How many steps have all epochs together?",
    "floor": "it ends a little too early. When the pictures do not fill the last batch, is that batch a step?",
    "rounded up": "its warm-up is a step too long: a tenth of the steps is rounded down",
    "no warm-up": "it begins at the peak. Wanted is a warm-up: a rise from 0 in the first tenth of the steps",
    "added": "it is not yet 0 in the last step. The fall has only the steps that the warm-up leaves",
    "constant": "it rises to its peak, and then it stays there",
}


def check_schedule(rising_and_falling) -> str:
    """Check task 12.2."""
    for pictures, batch_size, epochs, peak in ((70, 32, 45, 3e-3), (1000, 32, 5, 3e-4), (640, 64, 12, 1e-2)):
        schedule = rising_and_falling(pictures, batch_size, epochs, peak)
        expect(schedule is not None, NOTHING)
        expect(
            callable(schedule) and not isinstance(schedule, keras.optimizers.Optimizer),
            f"Your function returns {type(schedule).__name__}. Wanted is a schedule, such as those of "
            "keras.optimizers.schedules.",
        )
        steps = np.arange(0, epochs * -(-pictures // batch_size) + 1)
        given = [schedule(step) for step in steps]
        expect(all(rate is not None for rate in given), "Your schedule gives nothing for a step: is a return missing?")
        rates = np.array([float(rate) for rate in given])
        judge_curve(rates, curves(pictures, batch_size, epochs, peak, steps), peak)
    expect_training(schedule)
    return "The rate rises in the first tenth of the steps, and is 0 after the last, also where a batch is not full."


def expect_training(schedule) -> None:
    """Raise ``Wrong`` unless ``fit`` can use a schedule."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    try:
        model.compile(keras.optimizers.SGD(schedule), "mse")
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    except Exception as error:  # whatever the schedule raises
        raise Wrong(
            f"The curve is right, but fit cannot use your schedule ({type(error).__name__}). Wanted is an object of a "
            "class of keras.optimizers.schedules, or of one that inherits from LearningRateSchedule. It is called with "
            "the step as a tensor: take keras.ops, no math and no if."
        ) from error


def judge_curve(rates: np.ndarray, wanted: dict[str, np.ndarray], peak: float) -> None:
    """Raise ``Wrong`` unless the rates by step are the right ones of ``curves``."""

    def is_like(name: str) -> bool:
        return bool(np.abs(rates - wanted[name]).max() < 0.02 * peak)

    if is_like("right"):
        return
    case = f"Over {len(rates) - 1} steps, with a peak of {peak:g}, your rate is wrong: "
    for name, reason in CURVES.items():
        expect(not is_like(name), f"{case}{ended(reason)}")
    expect(
        abs(rates.max() - peak) < 0.02 * peak,
        f"{case}its highest value is {rates.max():.3g}.",
    )
    expect(rates[0] < 0.02 * peak, f"{case}it begins at {rates[0]:.3g}; wanted is a rise from 0.")
    expect(rates[-1] < 0.02 * peak, f"{case}it ends at {rates[-1]:.3g}; wanted is 0.")
    top, right = int(rates.argmax()), int(wanted["right"].argmax())
    expect(abs(top - right) <= 1, f"{case}its peak is at step {top}; wanted is step {right}.")
    raise Wrong(f"{case}the ends and the peak are right, but the way between is not: wanted is half a cosine wave.")


def between(start: np.ndarray, end: np.ndarray, part) -> np.ndarray:
    """Return what lies a part of the way from one array to another."""
    return start + part * (end - start)


def blends(images, labels, partner, weight, class_count) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pictures and labels, by what was done: "right", or one of the usual mistakes."""
    x, one_hot = images.astype("float32"), np.eye(class_count, dtype="float32")[labels]
    theirs, their_label = x[partner], one_hot[partner]
    share, of_label = weight[:, None, None, None], weight[:, None]
    pictures, mixed = between(theirs, x, share), between(their_label, one_hot, of_label)
    turned = between(x, theirs, share), between(one_hot, their_label, of_label)
    first, larger = weight[0], np.maximum(weight, 1 - weight)
    neighbour = np.roll(np.arange(len(x)), 1)
    return {
        "right": (pictures, mixed),
        "turned": turned,
        "labels turned": (pictures, turned[1]),
        "own labels": (pictures, one_hot),
        "partner's labels": (pictures, their_label),
        "not blended": (x, mixed),
        "by channel": (between(theirs, x, weight) if len(weight) == 3 else pictures, mixed),
        "one weight": (between(theirs, x, first), between(their_label, one_hot, first)),
        "halves": (between(theirs, x, 0.5), mixed),
        "larger": (
            between(theirs, x, larger[:, None, None, None]),
            between(their_label, one_hot, larger[:, None]),
        ),
        "neighbour": (between(x[neighbour], x, share), between(one_hot[neighbour], one_hot, of_label)),
    }


BLENDS = {
    "turned": "the weight belongs to the picture itself, and what is left of 1 to its partner: yours are exchanged",
    "labels turned": "the pictures are right, but in the labels the two weights are exchanged",
    "own labels": "the pictures are right, but the labels are those of the first picture alone",
    "partner's labels": "the pictures are right, but the labels are those of the partner alone",
    "not blended": "the labels are right, but the pictures are those that you were given",
    "by channel": "the three weights went to the three colours, not to the three pictures. NumPy lines shapes up from "
    "the right: which shape must the weights have?",
    "one weight": "all pictures were blended with the weight of the first one",
    "halves": "the labels are right, but the pictures are blended half and half",
    "larger": "weights below 0.5 were exchanged for what they leave of 1. Take each weight as it is",
    "neighbour": "each picture was blended with its neighbour, not with the picture whose number is in partner",
}


def check_blend(blend) -> str:
    """Check task 12.3."""
    random = np.random.default_rng(123)
    for partners, class_count in (((2, 2, 0), 4), ((3, 0, 4, 2, 0), 10)):
        count, partner = len(partners), np.array(partners)
        images = random.integers(0, 256, (count, 8, 8, 3)).astype("uint8")
        labels = random.permutation(class_count)[:count]
        weight = np.linspace(0.15, 0.95, count)
        given = images, labels, partner, weight
        kept = [array.copy() for array in given]
        answer = blend(*given, class_count)
        blended = things(answer, 2, "two arrays: pictures and labels")
        same = same_arrays(given, kept)
        expect(same, "Your function changes the arrays that it was given.")
        wanted = blends(kept[0], kept[1], kept[2], kept[3], class_count)
        judge_blend(np.asarray(blended[0]), np.asarray(blended[1]), wanted)
    return "Pictures and labels are blended with the same weights; each row of the labels adds up to 1."


def judge_blend(pictures: np.ndarray, labels: np.ndarray, wanted: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Raise ``Wrong`` unless pictures and labels are the right ones of ``blends``."""
    right_pictures, right_labels = wanted["right"]
    count = len(right_labels)
    expect(
        pictures.shape == right_pictures.shape,
        f"Your pictures have the shape {pictures.shape}; wanted is {right_pictures.shape}.",
    )
    expect(
        labels.shape != (count,),
        f"Your labels have the shape {labels.shape}: one number for each picture. A number cannot say 0.7 of one class "
        "and 0.3 of another; a vector with a place for each class can.",
    )
    expect(
        labels.shape != (count, count) or labels.shape == right_labels.shape,
        f"Your labels have the shape {labels.shape}: each label was combined with each weight. Which shape must the "
        "labels have before they are blended?",
    )
    expect(
        labels.shape == right_labels.shape,
        f"Your labels have the shape {labels.shape}; wanted is {right_labels.shape}.",
    )
    expect(
        pictures.dtype.kind == "f",
        f"Your pictures have the type {pictures.dtype}, so the blend was cut to whole numbers, or ran over. Wanted are "
        "floats, in [0, 255].",
    )

    def is_like(name: str) -> bool:
        return np.allclose(pictures, wanted[name][0], atol=0.02) and np.allclose(labels, wanted[name][1], atol=1e-3)

    if is_like("right"):
        return
    for name, reason in BLENDS.items():
        expect(not is_like(name), f"For {count} pictures, {ended(reason)}")
    expect(
        not np.allclose(255 * pictures, right_pictures, atol=0.02),
        "Your pictures are in [0, 1]. Wanted is the scale of those that you were given, [0, 255].",
    )
    which = "pictures" if np.allclose(labels, right_labels, atol=1e-3) else "labels"
    raise Wrong(f"For {count} pictures, the {which} are not blended as they should be.")


def lora_model(before: str) -> keras.Sequential:
    """Return a backbone of convolutions, depthwise ones and BatchNorm, with pooling and a head.

    Args:
        before: "frozen", "trainable" or "mixed": the flags of its layers.
    """
    keras.utils.set_random_seed(124)
    layers = keras.layers
    pixels = maps = keras.Input((8, 8, 3))
    for number, filters in enumerate((8, 12), start=1):
        maps = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{number}")(maps)
        maps = layers.Conv2D(filters, 1, use_bias=False, name=f"pointwise{number}")(maps)
        maps = layers.BatchNormalization(name=f"norm{number}")(maps)
    backbone = keras.Model(pixels, layers.ReLU()(maps), name="backbone")
    model = keras.Sequential([backbone, layers.GlobalAveragePooling2D(), layers.Dense(3, name="head")])
    if before == "frozen":
        backbone.trainable = False
    if before == "mixed":
        for layer in backbone.layers[::2]:
            layer.trainable = False
    return model


def check_lora(only_lora) -> str:
    """Check task 12.4."""
    for before, rank in (("trainable", 2), ("frozen", 3), ("mixed", 2)):
        model = lora_model(before)
        backbone, head = model.layers[0], model.layers[-1]
        only_lora(model, rank)
        case = f"In a model whose backbone was {before}: "
        expect(
            model.layers[0] is backbone and model.layers[-1] is head, "Your function changes the layers of the model."
        )
        judge_lora(case, model, rank)
    return "Only the small matrices of the convolutions and the head learn."


def judge_lora(case: str, model: keras.Sequential, rank: int) -> None:
    """Raise ``Wrong`` unless exactly the LoRA matrices and the head of a ``lora_model`` learn."""
    backbone, head = model.layers[0], model.layers[-1]
    can = [layer for layer in backbone.layers if type(layer) is keras.layers.Conv2D]
    learning = {id(weight) for weight in model.trainable_weights}
    without = [layer.name for layer in can if not layer.lora_enabled]
    expect(not without, f"{case}these layers have no LoRA: {', '.join(without)}.")
    expect(
        not getattr(head, "lora_enabled", False), f"{case}the head has LoRA. It is new, so it should learn as a whole."
    )
    small = [weight for layer in can for weight in (layer.lora_kernel_a, layer.lora_kernel_b)]
    wrong = {
        weight.shape[-1] if weight is layer.lora_kernel_a else weight.shape[0]
        for layer in can
        for weight in (layer.lora_kernel_a, layer.lora_kernel_b)
    } - {rank}
    expect(not wrong, f"{case}the rank is {', '.join(map(str, wrong))}; asked for was {rank}.")
    expect(
        any(id(weight) in learning for weight in small),
        f"{case}no LoRA matrix learns. On a frozen layer, the new matrices are frozen as well.",
    )
    still = [layer.name for layer in can if id(layer.lora_kernel_a) not in learning]
    expect(not still, f"{case}the LoRA matrices of {', '.join(still)} do not learn. Was this layer frozen before?")
    kernels = [layer.name for layer in can if id(layer._kernel) in learning]
    expect(
        not kernels,
        f"{case}the whole kernel of {', '.join(kernels)} learns beside its LoRA matrices: it was unfrozen after "
        "enable_lora.",
    )
    expected = {id(weight) for weight in small + head.weights}
    more = [weight.path for weight in model.trainable_weights if id(weight) not in expected]
    expect(not more, f"{case}these weights learn, too: {', '.join(more)}.")
    expect(expected <= learning, f"{case}the head does not learn.")


def average(members: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the mean of several lists of arrays, array by array."""
    return [np.mean(arrays, axis=0) for arrays in zip(*members, strict=True)]


def soups(trainings: list[list[np.ndarray]], score: Callable) -> dict[str, list[np.ndarray]]:
    """Return the averages by what was done: "right", or one of the usual mistakes."""
    order = sorted(range(len(trainings)), key=lambda k: -score(trainings[k]))

    def greedy(order: list[int], better: Callable[[float, float], bool]) -> list[int]:
        members = [order[0]]
        for k in order[1:]:
            new = score(average([trainings[j] for j in (*members, k)]))
            if better(new, score(average([trainings[j] for j in members]))):
                members.append(k)
        return members

    def halved(order: list[int]) -> list[np.ndarray]:
        soup = trainings[order[0]]
        for k in order[1:]:
            if score(average([soup, trainings[k]])) >= score(soup):
                soup = average([soup, trainings[k]])
        return soup

    def of(members: list[int]) -> list[np.ndarray]:
        return average([trainings[k] for k in members])

    def not_worse(new: float, old: float) -> bool:
        return new >= old

    return {
        "right": of(greedy(order, not_worse)),
        "all": of(order),
        "best": trainings[order[0]],
        "as they come": of(greedy(list(range(len(trainings))), not_worse)),
        "worst first": of(greedy(order[::-1], not_worse)),
        "halved": halved(order),
        "opposite": of(greedy(order, lambda new, old: new < old)),
        "strict": of(greedy(order, lambda new, old: new > old)),
    }


SOUPS = {
    "all": "it is the average of all trainings. One bad training spoils it: leave out what does not help",
    "best": "it is the best single training. Does no other one help it?",
    "as they come": "the trainings are tried in the order in which they come. Wanted: the best one first, then the "
    "second best, and so on",
    "worst first": "the trainings are tried from the worst to the best",
    "halved": "each new one is averaged with the average so far, so the last one counts as much as all before it. "
    "Wanted is the mean of all members",
    "opposite": "it keeps the trainings that make the score lower",
    "strict": "it leaves out trainings with which the score stays the same. Wanted: not lower",
}


def check_soup(greedy_soup) -> str:
    """Check task 12.5."""
    for seed, count, digits in ((105, 5, 9), (157, 4, 9), (110, 5, 2)):
        trainings, score = spread_trainings(np.random.default_rng(seed), count, digits)
        kept = [[array.copy() for array in arrays] for arrays in trainings]
        soup = greedy_soup(trainings, score)
        arrays = things(soup, 2, "two arrays, as one training has")
        same = all(
            np.array_equal(a, b)
            for old, new in zip(kept, trainings, strict=True)
            for a, b in zip(old, new, strict=True)
        )
        expect(len(kept) == len(trainings) and same, "Your function changes the trainings that it was given.")
        judge_soup([np.asarray(array) for array in arrays], soups(kept, score), count)
    return "The trainings were tried from the best on, and only those stayed that did not lower the score."


def spread_trainings(random: np.random.Generator, count: int, digits: int) -> tuple[list[list[np.ndarray]], Callable]:
    """Return the weights of some trainings round a goal, and a score: each of ``soups`` is another average.

    With 2 ``digits``, the score is that of 100 pictures, so that two averages may be equally good.
    """
    while True:
        goal = [random.normal(size=(3, 2)), random.normal(size=2)]
        far = random.permutation(np.linspace(0.5, 1.6, count))
        aside = random.normal(size=count)  # on a common line; two on the same side of it do not help each other
        trainings = [
            [array + scale * (line + random.normal(size=array.shape)) for array in goal]
            for scale, line in zip(far, aside, strict=True)
        ]

        def score(weights: list[np.ndarray], goal: list[np.ndarray] = goal) -> float:
            """A validation accuracy: the nearer to the goal, the higher."""
            distance = sum(((np.asarray(a) - b) ** 2).sum() for a, b in zip(weights, goal, strict=True))
            return round(float(np.exp(-distance / 8)), digits)

        averages = [soup[0] for name, soup in soups(trainings, score).items() if name != "strict" or digits == 2]
        differ = len(set(map(score, trainings))) == count
        if differ and all(np.abs(one - other).max() > 0.05 for one, other in combinations(averages, 2)):
            return trainings, score


def judge_soup(soup: list[np.ndarray], wanted: dict[str, list[np.ndarray]], count: int) -> None:
    """Raise ``Wrong`` unless the averages are the right ones of ``soups``."""

    def is_like(name: str) -> bool:
        return all(a.shape == b.shape and np.allclose(a, b, atol=1e-4) for a, b in zip(soup, wanted[name], strict=True))

    shapes = [array.shape for array in soup]
    expected = [array.shape for array in wanted["right"]]
    expect(shapes == expected, f"Your arrays have the shapes {shapes}; those of one training are {expected}.")
    if is_like("right"):
        return
    case = f"With {count} trainings, your average is not the greedy soup: "
    for name, reason in SOUPS.items():
        expect(not is_like(name), f"{case}{ended(reason)}")
    raise Wrong(f"{case}sort by score; begin with the best; keep each further one if the new average scores no lower.")


def check_target(train_classifier, profile="auto", seed=0) -> str:
    """Check task 12.6."""
    profile = find_profile(profile)
    return check_fine_tuned(train_classifier, profile.backbone, profile.image_size, profile, seed, TARGETS)


TARGETS = {"mini": 0.82, "cifar10-cpu": 0.715, "cifar10-gpu": 0.85}

TASKS = {
    "12.1": Task(
        "give the backbone another learning rate than the rest",
        check_two_rates,
        (
            "A pattern with a name works for one network. What tells for sure that a weight belongs to the backbone?",
            "Read about MultiOptimizer (of helpers.models, or of keras.optimizers since Keras 3.15): it takes a "
            "function of the weight, too. And id().",
            "Collect the ids of backbone.weights in a set; the function returns one of two Adams made before it.",
        ),
    ),
    "12.2": Task(
        "make a schedule that rises and falls",
        check_schedule,
        (
            "Count first: how many steps are all epochs? How many are the warm-up, how many are left?",
            "Read about keras.optimizers.schedules.CosineDecay: warmup_target, warmup_steps, and what decay_steps is.",
            "CosineDecay(0.0, steps - warm_up, warmup_target=peak, warmup_steps=warm_up), with steps rounded up.",
        ),
    ),
    "12.3": Task(
        "blend pictures, and their labels with them",
        check_blend,
        (
            "A blend of two labels: which form must a label have, so that 0.7 of one and 0.3 of another make sense?",
            "Read about keras.utils.to_categorical, numpy.reshape, and how NumPy broadcasts shapes.",
            "w = weight.reshape(-1, 1, 1, 1); w * x + (1 - w) * x[partner], x as float; the labels likewise.",
        ),
    ),
    "12.4": Task(
        "train LoRA matrices and the head, nothing else",
        check_lora,
        (
            "What does enable_lora do with a layer that is frozen? And what does unfreezing do afterwards?",
            "Read about Layer.trainable, and Conv2D.enable_lora(rank). Which layers have no LoRA?",
            "For each layer of the backbone: trainable only if it is a Conv2D; only then enable_lora on it.",
        ),
    ),
    "12.5": Task(
        "average only those trainings that help",
        check_soup,
        (
            "Sort the trainings by their score. The soup begins with the best one. What decides about the next one?",
            "Read about sorted(…, key=…, reverse=True), zip(*members), and numpy.mean with axis=0.",
            "In a loop: the mean of members + [new]; if its score is not lower than the score so far, keep it.",
        ),
    ),
    "12.6": Task(
        "reach the target accuracy with few labels",
        check_target,
        (
            "The recipe of lesson 06 falls short. Which ingredients earned something in the table of lesson 12?",
            "Read about keras.layers.RandomTranslation, and keras.optimizers.schedules.CosineDecay.",
            "Head first; all blocks but BatchNorm; flips and crops; warm-up and cosine; 20 epochs; the logits of a "
            "picture and of its mirror image, added.",
        ),
    ),
}
