"""Build the page "Teach it yourself": the embedded network runs in the reader's browser, from one file."""

from __future__ import annotations

import base64
import io
import itertools
import json
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

import helpers.quiet  # noqa: F401
from course import TEMPLATES, CourseError
from helpers.data import emoji10
from helpers.models import build_backbone, extract_features

import keras

PAGE = "teach.html"
EXAMPLES, HELD = 12, 20  # pictures of each class to learn from, and to judge by
STRENGTH = 10  # C of the logistic regression, as in learning.js
SHOWN = (0, 2, 5)  # the classes of "Show me"
SCRIPTS = ("network", "learning", "worker", "pictures", "chart", "inside", "page")
LESSON = "03_"  # how the name of the lesson begins that the page links to


def describe_network() -> dict:
    """Return mini_mobilenet as ``network.js`` takes it: its layers, and their weights as base64 of 16-bit floats."""
    model = build_backbone("mini_mobilenet", "mini").model
    layers, weights = [], []
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            continue
        normalise = model.get_layer(f"{layer.name}_bn")
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kind = "depthwise" if depthwise else "conv" if layer.kernel_size == (3, 3) else "pointwise"
        inputs, outputs = layer.input.shape[-1], layer.output.shape[-1]
        layers.append(
            {"name": layer.name, "kind": kind, "stride": layer.strides[0], "inputs": inputs, "outputs": outputs}
        )
        weights += [layer.get_weights()[0], *normalise.get_weights()]
    numbers = np.concatenate([array.ravel() for array in weights]).astype("<f2")  # as in the file of the weights
    text = base64.b64encode(numbers.tobytes()).decode()
    return {"side": 32, "epsilon": normalise.epsilon, "layers": layers, "weights": text}


def gallery() -> np.ndarray:
    """Return the pictures of the page, ``(classes, EXAMPLES + HELD, 32, 32, 3)`` uint8, those to learn from first."""
    return of_each_class("test", EXAMPLES + HELD)


def of_each_class(split: str, count: int) -> np.ndarray:
    """Return pictures of a split of Emoji-10, ``(classes, count, 32, 32, 3)`` uint8."""
    classes = len(emoji10.CLASS_NAMES)
    images, labels = emoji10.load_split(split, classes * count, seed=19)
    return np.stack([images[labels == label] for label in range(classes)])


def sheet_of(pictures: np.ndarray) -> str:
    """Return pictures as the address of one PNG that holds its own data: a row for each class."""
    classes, count, side = pictures.shape[:3]
    rows = pictures.transpose(0, 2, 1, 3, 4).reshape(classes * side, count * side, 3)
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def features_of(images: np.ndarray) -> np.ndarray:
    """Return what Keras computes for images ``(n, 32, 32, 3)`` uint8: ``(n, 224)`` float32."""
    backbone = build_backbone("mini_mobilenet", "mini").model
    extractor = keras.Sequential([backbone, keras.layers.GlobalAveragePooling2D()])
    return extract_features(extractor, images, cache=False)


def vectors_of(pictures: np.ndarray) -> np.ndarray:
    """Return the features of pictures by class: ``(classes, count, 224)`` float32."""
    return features_of(pictures.reshape(-1, 32, 32, 3)).reshape(*pictures.shape[:2], -1)


def accuracy_of(vectors: np.ndarray, count: int) -> float:
    """Return the accuracy of scikit-learn's logistic regression; ``vectors``: ``(classes, pictures, size)``."""
    classes, _, size = vectors.shape
    known, held = vectors[:, :count].reshape(-1, size), vectors[:, EXAMPLES:].reshape(-1, size)
    mean = known.mean(axis=0)
    known, held = known - mean, held - mean
    divisor = np.sqrt((known**2).mean() * size)
    basis = np.linalg.qr(known.T)[0] / divisor  # the weights are a sum of the examples: their span is enough, and small
    head = LogisticRegression(C=STRENGTH, max_iter=5000)
    head.fit(known @ basis, np.repeat(range(classes), count))
    return head.score(held @ basis, np.repeat(range(classes), len(held) // classes))


def mean_accuracies(pictures: np.ndarray, count: int = 5) -> dict[str, float]:
    """Return the mean accuracy over all choices of three classes of the gallery, with ``count`` pictures of each.

    Of the features of the pretrained network, of raw pixels, and of the former on drawings of an artist whom neither
    the network nor the head has seen.
    """
    vectors = {
        "pretrained": vectors_of(pictures),
        "pixels": pictures.reshape(*pictures.shape[:2], -1) / 127.5 - 1,
    }
    unseen = of_each_class("unseen_artist", HELD)
    vectors["unseen"] = np.concatenate([vectors["pretrained"][:, :EXAMPLES], vectors_of(unseen)], axis=1)
    choices = [list(choice) for choice in itertools.combinations(range(len(pictures)), 3)]
    return {
        way: float(np.mean([accuracy_of(numbers[choice].astype("float64"), count) for choice in choices]))
        for way, numbers in vectors.items()
    }


def write_teach_page(site: Path) -> Path:
    """Write the page into the folder of the built site; return its path.

    Raises:
        CourseError: a lesson that the page links to is not part of the site.
    """
    lesson = next((site / "notebooks").glob(f"{LESSON}*.html"), None)
    if lesson is None:
        raise CourseError(f"{PAGE} links to lessons that the site lacks: {LESSON}.")
    pictures = gallery()
    data = {
        "network": describe_network(),
        "sheet": sheet_of(pictures),
        "classes": list(emoji10.CLASS_NAMES),
        "examples": EXAMPLES,
        "held": HELD,
        "shown": SHOWN,
    }
    folder = TEMPLATES / "teach"
    texts = {f"{name}_code": (folder / f"{name}.js").read_text() for name in SCRIPTS}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined)
    facts = {
        "held": HELD,
        "gallery": EXAMPLES * len(pictures),
        "mean": mean_accuracies(pictures),
        "lesson": lesson.stem,
    }
    page = environment.get_template("page.html.j2").render(
        style=(folder / "style.css").read_text(), data=json.dumps(data), **facts, **texts
    )
    path = site / PAGE
    path.write_text(page, encoding="utf-8")
    return path
