"""The cells in which readers write a line themselves: what the cell after each of them says to right and wrong lines.

TURNS holds for each such cell the few values that it needs, and what readers may put in the place of the three dots. A
new one needs an entry there: its right line in two forms or more, and a wrong line for each other answer of the cell.
"""

import ast
import functools
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

import helpers.quiet  # noqa: F401
from helpers.notebook import paired_difference, shape_of

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
MARK = re.compile(r"this line yourself|\*\*your turn", re.I)
DOTS = re.compile(r"^(?:\w+ = )?\.\.\.(?= *(?:#.*)?$)", re.M)
RIGHT, FILL_IN = ("right", "✔"), "fill in"
ANYTHING = ("None", "'text'", "[1, 2]", "[1, [2, 3]]", "np.zeros((2, 3))", "np.mean")  # no reason to break

TRUTHS = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 1], [0, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0]], bool)
SEEDS = np.array([[0.8, 0.9, 0.7, 0.8, 0.9], [0.6, 0.8, 0.7, 0.7, 0.6], [0.9, 0.7, 0.8, 0.5, 0.6]])


def network():
    """Blocks of layers, as far as the cells look at them."""
    blocks = {"stem": ["pad", "conv"], "block_1": ["add", "relu"], "block_2": ["out"]}
    names = [name for block in blocks.values() for name in block]
    found = {name: SimpleNamespace(name=name, output=np.zeros((1, 2, 2, 8))) for name in names}
    model = SimpleNamespace(get_layer=lambda name: found[name], layers=list(found.values()))

    def layers_of(*wanted):
        return [layer for layer in model.layers if any(layer.name in blocks[block] for block in wanted)]

    return {
        "backbone": SimpleNamespace(blocks=blocks, model=model, layers_of=layers_of),
        "chosen": layers_of("block_2"),
        "layer_names": blocks["stem"],
    }


def keras_layers():
    import keras
    from keras import layers

    hub_layer = layers.Dense(2, trainable=False)
    extractor = keras.Sequential([keras.Input((3,)), hub_layer])
    return {"keras": keras, "layers": layers, "hub_layer": hub_layer, "feature_extractor": extractor}


def pipelines():
    from sklearn.feature_selection import SelectKBest, VarianceThreshold
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return {
        "Pipeline": Pipeline,
        "make_pipeline": make_pipeline,
        "select": make_pipeline(VarianceThreshold(), SelectKBest(k=2)),
        "classifier": make_pipeline(StandardScaler(), SVC(C=5)),
    }


def head():
    rng = np.random.default_rng(0)
    kernel, bias, mean, scale = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=3), np.array([0.5, 2, 3])
    scaler, classifier = SimpleNamespace(mean_=mean, scale_=scale), SimpleNamespace(coef_=kernel.T, intercept_=bias)
    values = {"kernel": kernel, "bias": bias, "mean": mean, "scale": scale, "folded_kernel": kernel / scale[:, None]}
    return values | {"coef": kernel.T, "linear": (scaler, classifier)}


def owners():
    inside, head = [np.zeros(2), np.zeros(2), np.ones(2)], [np.zeros(2)]
    backbone = SimpleNamespace(model=SimpleNamespace(trainable_variables=inside))
    return {"backbone": backbone, "model": SimpleNamespace(trainable_variables=inside + head)}


def shipping():
    """A model that begins with Resizing, so that a plain call of it runs in training mode."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    maps = layers.BatchNormalization()(layers.Resizing(6, 6)(pixels))
    model = keras.Model(pixels, layers.GlobalAveragePooling2D()(maps))
    few = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    return {"keras": keras, "pixels": pixels, "model": model, "few": few, "kept_weights": model.get_weights()}


def answers_of(*names):
    return {"right": dict(zip(names, TRUTHS, strict=False)), "paired_difference": paired_difference}


def data(**arrays):
    return {"data": SimpleNamespace(**arrays)}


# lesson and cell: (a function that returns the values it needs, right lines, wrong lines: what it prints)
TURNS = {
    "00 yours-bytes-check": (
        lambda: data(x_train=np.zeros((2, 32, 32, 3), "uint8")),
        ["32 * 32 * 3", "np.int64(3072)", "data.x_train[0].nbytes", "np.prod((32, 32, 3))", "3072.0"],
        {"32 * 32 * 3 * 4": "float32", "32 * 32": "not yet", "(32, 32, 3)": "wanted is one number"},
    ),
    "00 yours-accuracy-check": (
        lambda: data(y_validation=np.array([0, 1, 2, 0])) | {"answers": np.arange(4)},
        ["np.mean(answers == data.y_validation)", "(answers == data.y_validation).sum() / len(answers)", "3 / 4"],
        {
            "np.sum(answers == data.y_validation)": "how many",
            "np.mean(answers != data.y_validation)": "not yet",
            "answers == data.y_validation": "wanted is one number",
        },
    ),
    "01 yours-name-check": (
        lambda: {"class_names": ["cat", "dog", "ship"], "own_probabilities": np.array([[0.2, 0.7, 0.1]])},
        ["class_names[own_probabilities[0].argmax()]", "np.array(class_names)[own_probabilities[0].argmax()]", "'dog'"],
        {
            "own_probabilities[0].argmax()": "no name of a class",
            "own_probabilities[0].max()": "no name of a class",
            "own_probabilities[0]": "no name of a class",
            "class_names[own_probabilities[0].argmin()]": "not the likeliest",
        },
    ),
    "01 yours-pooled-check": (
        lambda: {"responses": [np.zeros((9, 9, 2)), np.random.default_rng(0).random((3, 4, 5), "float32")]},
        [
            "responses[-1].mean(axis=(0, 1))",
            "responses[-1].mean(0).mean(0)",
            "responses[-1].reshape(12, 5).mean(axis=0).tolist()",
            "responses[-1].sum(axis=(0, 1)) / 12",
        ],
        {
            "responses[-1].mean()": "its shape is",
            "responses[-1].mean(axis=2)": "its shape is",
            "responses[-1].sum(axis=(0, 1))": "is it the mean?",
            "responses[-1].max(axis=(0, 1))": "is it the mean?",
        },
    ),
    "02 yours-parameters-check": (
        lambda: {
            "plain": SimpleNamespace(layers=[SimpleNamespace(count_params=lambda: 15_370)], count_params=lambda: 67_714)
        },
        ["(1536 + 1) * 10", "np.int64(15370)", "1536 * 10 + 10", "plain.layers[-1].count_params()"],
        {"1536 * 10": "not yet", "1536 * 10 + 1": "not yet", "plain.layers": "wanted is one number"},
    ),
    "02 yours-only-check": (
        lambda: (
            answers_of("pretrained", "augmented")
            | {"best_name": "augmented", "lead": SimpleNamespace(first_only=1, second_only=1)}
        ),
        [
            "(right['pretrained'] & ~right[best_name]).sum()",
            "np.sum(right['pretrained'] > right[best_name])",
            "sum(a and not b for a, b in zip(right['pretrained'], right[best_name]))",
            "lead.first_only",
        ],
        {
            "right['pretrained'] & ~right[best_name]": "one number is wanted",
            "right['pretrained'].sum()": "not yet",
            "(right['pretrained'] & right[best_name]).sum()": "not yet",
        },
    ),
    "03 mine-difference-check": (
        lambda: {"first": TRUTHS[3], "second": TRUTHS[2], "first_only": np.int64(4), "second_only": np.int64(1)},
        ["(first_only - second_only) / len(first)", "first_only / len(first) - second_only / 6", "float(3 / 6)"],
        {
            "(second_only - first_only) / len(first)": "the sign is not",
            "first_only - second_only": "number of pictures",
            "first > second": "wanted is one number",
            "first_only / len(first)": "not yet",
        },
    ),
    "03 mine-lead-check": (
        lambda: answers_of("SVM, C = 1", "SVM, C = 5", "nearest neighbours", "linear head"),
        [
            "paired_difference(right['SVM, C = 1'], right['nearest neighbours'])",
            "paired_difference(right['SVM, C = 5'], right['nearest neighbours'])",
            "paired_difference(list(right['SVM, C = 5']), list(right['nearest neighbours']))",
        ],
        {
            "paired_difference(right['nearest neighbours'], right['SVM, C = 5'])": "in the other order",
            "paired_difference(right['linear head'], right['nearest neighbours'])": "not yet",
            "right['SVM, C = 5']": "not yet",
            "(right['SVM, C = 5'], right['nearest neighbours'])": "not yet",
            "right['SVM, C = 5'].mean() - right['nearest neighbours'].mean()": "not yet",
        },
    ),
    "04 mine-parameters-check": (
        lambda: {"channels": 7, "classes": 3},
        ["channels * classes + classes", "(channels + 1) * classes", "np.int64(24)", "24.0"],
        {
            "channels * classes": "these are the weights",
            "channels * classes + 1": "not yet",
            "(7, 3)": "wanted is one number",
        },
    ),
    "04 mine-guessing-check": (
        lambda: {"classes": 10},
        ["np.log(classes)", "-np.log(1 / classes)", "np.float32(np.log(classes))", "2.303"],
        {
            "np.log(1 / classes)": "the sign",
            "1 / classes": "not yet",
            "np.log10(classes)": "not yet",
            "np.log": "wanted is one number",
        },
    ),
    "05 mine-arrays-check": (
        lambda: {"model": SimpleNamespace(trainable_weights=[0] * 2, weights=[0] * 9)},
        ["len(model.trainable_weights)", "2", "np.int64(2)"],
        {"len(model.weights)": "all arrays", "model.trainable_weights": "these are the arrays", "1": "not yet"},
    ),
    "05 mine-blocks-check": (
        network,
        [
            "backbone.layers_of('block_1', 'block_2')",
            "backbone.layers_of(*list(backbone.blocks)[-2:])",
            "tuple(backbone.layers_of('block_2', 'block_1'))",
            "backbone.layers_of('block_1') + backbone.layers_of('block_2')",
            "backbone.layers_of('block_2') + backbone.layers_of('block_1')",
        ],
        {
            "backbone.layers_of('block_2')": "last block only",
            "backbone.layers_of('stem', 'block_1')": "not yet",
            "list(backbone.blocks)[-2:]": "not yet",
            "backbone.layers_of": "a list of layers is wanted",
        },
    ),
    "06 fold-check": (
        head,
        [
            "bias - mean @ folded_kernel",
            "bias - (mean / scale) @ kernel",
            "(bias - mean @ folded_kernel).astype('float32')",
            "list(bias - folded_kernel.T @ mean)",
        ],
        {
            "bias - mean[:, None] * folded_kernel": "one number for each class",
            "bias - mean @ kernel": "nearly",
            "bias + mean @ folded_kernel": "not yet",
            "bias": "not yet",
        },
    ),
    "06 steps-check": (
        lambda: data(x_train=np.zeros(100)) | {"train": range(7), "epochs": 5},  # in batches of 16
        ["epochs * len(train)", "np.int64(35)", "5 * 7", "35.0"],
        {
            "epochs * len(data.x_train)": "these are pictures",
            "len(train)": "one epoch",
            "[epochs, len(train)]": "wanted is one number",
            "epochs * len(data.x_train) // 16": "not yet",
        },
    ),
    "07 range-line-check": (
        keras_layers,
        ["layers.Rescaling(1 / 255)", "layers.Rescaling(scale=1 / 255, offset=0.0)", "lambda x: x / 255"],
        {
            "layers.Rescaling(1 / 127.5, offset=-1)": "✘",
            "layers.Rescaling(255)": "✘",
            "1 / 255": "this is none",
            "layers.Rescaling": "this is none",
        },
    ),
    "07 unfreeze-line-check": (
        keras_layers,
        ["hub_layer.trainable = True", "feature_extractor.layers[-1].trainable = True"],
        {"hub_layer.trainable == True": FILL_IN, "hub_layer.trainable = False": FILL_IN},
    ),
    "08 count-check": (
        lambda: {"grid": {"a": [1, 2, 3, 4], "b": [0, 3, 6], "c": [16, 64]}, "grid_points": [{}] * 24},
        ["4 * 3 * 2", "np.prod([4, 3, 2])", "len(grid_points)", "24.0"],
        {"4 + 3 + 2": "this is their sum", "3": "not yet", "(4, 3, 2)": "wanted is one number"},
    ),
    "08 lead-check": (
        lambda: {
            "by_seed": dict(zip(("winner", "head alone", "second"), SEEDS, strict=True)),
            "paired_difference": paired_difference,
        },
        [
            "paired_difference(by_seed['winner'], by_seed['head alone'])",
            "paired_difference(list(by_seed['winner']), list(by_seed['head alone']))",
        ],
        {
            "by_seed['winner'] - by_seed['head alone']": "call paired_difference",
            "by_seed['winner'].mean() - by_seed['head alone'].mean()": "call paired_difference",
            "paired_difference(by_seed['head alone'], by_seed['winner'])": "the other way round",
            "paired_difference(by_seed['winner'], by_seed['second'])": "not yet",
        },
    ),
    "09 your-kernel-check": (
        head,
        ["coef / scale", "coef @ np.diag(1 / scale)", "(coef / scale).tolist()", "(coef.T / scale[:, None]).T"],
        {"(coef / scale).T": "the shape is", "coef * scale": "not yet", "coef": "not yet"},
    ),
    "09 your-error-check": (
        lambda: {"first": SEEDS[0], "second": SEEDS[1], "paired_difference": paired_difference},
        [
            "(first - second).std(ddof=1) / 5**0.5",
            "np.std(first - second, ddof=1) / np.sqrt(len(first))",
            "(first - second).std() / 2",  # ddof=0
            "paired_difference(first, second).error",
        ],
        {
            "np.hypot(first.std(ddof=1), second.std(ddof=1)) / 5**0.5": "two separate means",
            "(first - second).std(ddof=1)": "spread of one difference",
            "(first - second).std() / 5**0.5": "not yet",
            "(first - second).mean()": "not yet",
            "first - second": "wanted is one number",
            "paired_difference(first, second)": "wanted is one number",
        },
    ),
    "09 your-pipeline-check": (
        pipelines,
        ["make_pipeline(select, classifier)", "Pipeline([('choose', select), ('learn', classifier)])"],
        {
            "make_pipeline(classifier)": "not part of your model",
            "classifier": "not part of your model",
            "make_pipeline(classifier, select)": "not yet",
            "make_pipeline(select)": "not yet",
            "[select, classifier]": "not yet",
        },
    ),
    "10 your-cut-check": (
        network,
        ["backbone.model.get_layer(layer_names[-1]).output", "backbone.model.layers[1].output"],
        {
            "backbone.model.get_layer(layer_names[0]).output": "inside the block",
            "backbone.model.get_layer('relu').output": "not yet",
            "backbone.model.get_layer(layer_names[-1])": "not yet",
            "layer_names[-1]": "not yet",
        },
    ),
    "10 your-share-check": (
        lambda: {"table": np.random.default_rng(0).random((20, 300)) < 0.5},
        ["table.mean(axis=0)", "table.sum(axis=0) / 20", "list(table.mean(axis=0))", "np.mean(table, 0)"],
        {
            "table.mean(axis=1)": "each way to spoil",
            "table.sum(axis=0)": "300 numbers",
            "table.mean()": "not yet",
            "table": "not yet",
        },
    ),
    "11 steps-check": (
        lambda: {"epochs": 3, "maps": {"train": range(3210)}, "math": math},
        ["epochs * math.ceil(len(maps['train']) / 32)", "np.int64(303)", "3 * 101", "3 * np.ceil(3210 / 32)"],
        {
            "epochs * math.ceil(len(maps['train']) / 2 / 32)": "both views",
            "epochs * len(maps['train'])": "these are pictures",
            "(3, 101)": "wanted is one number",
            "math.ceil(len(maps['train']) / 32)": "not yet",
        },
    ),
    "11 epoch-check": (
        lambda: {"first": SimpleNamespace(epoch=list(range(10)))},
        ["len(first.epoch)", "first.epoch[-1] + 1", "np.int64(10)", "10.0"],
        {
            "first.epoch[-1]": "the printed one",
            "len(first.epoch) + 1": "one too many",
            "20": "not yet",
            "first.epoch": "wanted is one number",
        },
    ),
    "12 your-owner-check": (
        owners,
        [
            "{id(weight) for weight in backbone.model.trainable_variables}",
            "set(map(id, backbone.model.trainable_variables))",
            "[id(each) for each in backbone.model.trainable_variables]",
        ],
        {
            "{id(weight) for weight in model.trainable_variables}": "these are more",
            "{id(weight) for weight in backbone.model.trainable_variables[:2]}": "not yet",
            "backbone.model.trainable_variables": "not yet",
            "id(backbone)": "a set is wanted",
        },
    ),
    "13 your-hot-check": (
        lambda: {"logits": 3 * np.random.default_rng(0).normal(size=(20, 4)), "softmax": softmax},
        [
            "softmax(logits / 2, axis=1)",
            "softmax(0.5 * logits, axis=-1)",
            "np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)",
        ],
        {
            "softmax(logits, axis=1) / 2": "do not add up to 1",
            "softmax(2 * logits, axis=1)": "makes it surer",
            "softmax(logits / 2, axis=0)": "went over the pictures",
            "softmax(logits, axis=1)": "not yet",
            "softmax(logits / 2, axis=1).max(axis=1)": "one row for each picture",
        },
    ),
    "13 your-rank-check": (
        lambda: {"n": 1000, "alpha": 0.1},
        ["int(np.ceil((n + 1) * (1 - alpha)))", "np.ceil((n + 1) * (1 - alpha))", "901"],
        {
            "n * (1 - alpha)": "round up",
            "int((n + 1) * (1 - alpha))": "round up",
            "(n + 1) * (1 - alpha)": "round up",
            "int(np.ceil((n + 1) * alpha))": "this share may be missed",
            "np.arange(n)": "wanted is one number",
            "500": "not yet",
        },
    ),
    "14 recall-check": (
        lambda: {"matrix": np.array([[3, 1, 0], [2, 4, 0], [1, 1, 6]])},
        [
            "matrix.diagonal() / matrix.sum(axis=1)",
            "np.diag(matrix) / matrix.sum(1)",
            "[matrix[k, k] / matrix[k].sum() for k in range(3)]",
        ],
        {
            "matrix.diagonal() / matrix.sum(axis=0)": "this is the precision",
            "matrix.diagonal() / matrix.sum()": "not yet: divide",
            "matrix.trace() / matrix.sum()": "one number for each class",
        },
    ),
    "14 adjust-check": (
        lambda: {
            "logits": np.array([[2.0, 1.0, 0.0], [0.5, 0.4, 0.3]], "float32"),
            "shape_of": shape_of,
            "frequency": np.array([0.8, 0.15, 0.05]),
        },
        ["logits - np.log(frequency)", "logits + np.log(1 / frequency)", "(logits - np.log(frequency)).tolist()"],
        {
            "logits + np.log(frequency)": "the other sign",
            "logits - frequency": "the logarithm is subtracted",
            "logits / frequency": "not yet: logits",
            "(logits - np.log(frequency)).argmax(axis=1)": "as many logits as before",
        },
    ),
    "15 my-weights-check": (
        lambda: {"gradients": np.random.default_rng(0).normal(size=(3, 4, 5))},
        [
            "gradients.mean(axis=(0, 1))",
            "np.mean(gradients, axis=(0, 1))",
            "gradients.reshape(12, 5).mean(axis=0)",
            "list(gradients.sum(axis=(0, 1)) / 12)",
        ],
        {
            "gradients.mean()": "its shape is",
            "gradients.mean(axis=-1)": "its shape is",
            "gradients.sum(axis=(0, 1))": "sum over all places",
            "gradients.max(axis=(0, 1))": "not yet",
        },
    ),
    "15 my-heat-check": (
        lambda: {
            "maps": np.random.default_rng(0).random((3, 4, 5)),
            "channel_weights": np.array([1.0, -2.0, 0.5, -0.5, 1.0]),
        },
        [
            "np.maximum(maps @ channel_weights, 0)",
            "np.maximum((maps * channel_weights).sum(axis=-1), 0)",
            "np.clip(np.einsum('hwc,c->hw', maps, channel_weights), 0, None).tolist()",
        ],
        {
            "maps @ channel_weights": "nearly",
            "np.maximum(maps * channel_weights, 0)": "its shape is",
            "np.maximum(maps * channel_weights, 0).sum(axis=-1)": "not yet",
            "np.maximum(maps.mean(axis=-1), 0)": "not yet",
        },
    ),
    "16 your-answers-check": (
        shipping,
        ["model(pixels, training=False)", "model.call(pixels, training=False)"],
        {
            "model(pixels)": "the mode of its caller",
            "model.predict(few)": "wanted is what model",
            "pixels": "the shape is",
        },
    ),
    "16 your-numbers-check": (
        lambda: {"q": np.array([-128, 3, 127]), "scale": 0.02, "zero_point": 3},
        ["scale * (q - zero_point)", "(q - 3) * 0.02", "[-2.62, 0, 2.48]", "scale * q - scale * zero_point"],
        {
            "scale * q - zero_point": "is subtracted first",
            "scale * (q + zero_point)": "look at the sign",
            "scale * zero_point": "wanted are three numbers",
            "q - zero_point": "not yet",
        },
    ),
    "17 rounds-check": (
        lambda: {"count": 64, "busy_workers": 24},
        ["3", "np.ceil(count / busy_workers)", "-(-count // busy_workers)", "count // busy_workers + 1.0"],
        {
            "count / busy_workers": "cannot be divided",
            "count // busy_workers": "left over",
            "count": "how many rounds",
            "[1, 1, 1]": "wanted is one number",
        },
    ),
    "18 partners-check": (
        lambda: {"n": 4},
        ["(np.arange(2 * n) + n) % (2 * n)", "np.roll(np.arange(2 * n), n)", "[4, 5, 6, 7, 0, 1, 2, 3]"],
        {
            "np.arange(n)": "one number for each",
            "[4, [5, 6]]": "one number for each",
            "4": "one number for each",
            "[[4, 5], 6, 7, 0, 1, 2, 3, 3]": "where does the second view",
            "np.arange(2 * n)": "the views themselves",
            "np.arange(2 * n)[::-1]": "where does the second view",
        },
    ),
}


@functools.cache
def read(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], cell["id"], "".join(cell["source"])) for cell in cells]


@functools.cache
def written():
    """Return for each line that readers write: the line with its dots, and the source of the cell that looks at it."""
    found = {}
    for path in NOTEBOOKS:
        dots = None
        for kind, name, source in read(path):
            if kind == "code" and (match := DOTS.search(source)):
                dots = match[0]
            elif kind == "code" and name.endswith("-check"):
                found[f"{path.stem[:2]} {name}"], dots = (dots, source), None
    return found


def said(turn, line, capsys, **values):
    """Put a line in the place of the dots; return what the cell after it prints, in lower case."""
    dots, source = written()[turn]
    namespace = {"np": np} | TURNS[turn][0]() | values
    exec(dots.replace("...", line), namespace)
    exec(compile(source, turn, "exec"), namespace)
    return capsys.readouterr().out.casefold()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem[:2])
def test_each_line_to_write_has_its_text_its_dots_and_its_answers(path):
    cells = read(path)
    marks = [number for number, (kind, _, source) in enumerate(cells) if kind == "markdown" and MARK.search(source)]
    dots = [number for number, (kind, _, source) in enumerate(cells) if kind == "code" and DOTS.search(source)]
    assert dots == [number + 1 for number in marks], "a text that asks for a line, then the cell with the dots"
    checks = [turn for turn in written() if turn.startswith(path.stem[:2])]
    assert len(checks) == len(dots) and all(written()[turn][0] for turn in checks), "then a cell named …-check"


def test_all_of_them_are_here():
    assert written().keys() == TURNS.keys(), "see the top of this file"


@pytest.mark.parametrize("turn", TURNS)
def test_each_answer_of_a_cell_is_tried(turn):
    branch = next(part for part in ast.parse(written()[turn][1]).body if isinstance(part, ast.If))
    answers = 2
    while isinstance(branch.orelse[0], ast.If):
        branch, answers = branch.orelse[0], answers + 1
    _, right, wrong = TURNS[turn]
    assert len(right) >= 2 and len({FILL_IN, RIGHT, *wrong.values()}) == answers


@pytest.mark.parametrize("turn", TURNS)
def test_dots_are_to_be_filled_in(turn, capsys):
    assert FILL_IN in said(turn, "...", capsys)


@pytest.mark.parametrize(("turn", "line"), [(turn, line) for turn, (_, right, _) in TURNS.items() for line in right])
def test_right_line(turn, line, capsys):
    assert said(turn, line, capsys).startswith(RIGHT)


@pytest.mark.parametrize(
    ("turn", "line", "text"),
    [(turn, line, text) for turn, (_, _, wrong) in TURNS.items() for line, text in wrong.items()],
)
def test_wrong_line(turn, line, text, capsys):
    answer = said(turn, line, capsys)
    assert text in answer and not answer.startswith(RIGHT)


@pytest.mark.parametrize(("turn", "line"), [(turn, line) for turn in TURNS for line in ANYTHING])
def test_anything_else_gets_an_answer(turn, line, capsys):
    answer = said(turn, line, capsys)
    assert answer and not answer.startswith(RIGHT)


def test_the_second_of_two_classes_of_one_name(capsys):
    """ImageNet has two cranes, a bird and a machine."""
    values = {"class_names": ["crane", "dog", "crane"], "own_probabilities": np.array([[0.1, 0.2, 0.7]])}
    assert said("01 yours-name-check", "class_names[2]", capsys, **values).startswith(RIGHT)
