"""Pretrained classifiers: networks with their own top, to see what they answer before anything is transferred."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.data import emoji10
from helpers.data.datasets import load_data
from helpers.files.bundle import MissingSourceError, SourceError
from helpers.files.downloads import SOURCES, get_file
from helpers.files.weights import weights_source
from helpers.models.backbones import BACKBONES, EMBEDDED_WEIGHTS, Preprocessing, build_backbone
from helpers.profiles import PROFILES, Profile

import keras

# The ImageNet classes that show a CIFAR-10 class. ImageNet has no deer: its nearest are the ibex and
# three antelopes. Single numbers and ranges, both ends included.
_IMAGENET_CLASSES = {
    "airplane": (404, 895),
    "automobile": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    "bird": ((7, 24), (80, 100), (127, 146)),
    "cat": ((281, 285),),
    "deer": ((350, 353),),
    "dog": ((151, 268),),
    "frog": ((30, 32),),
    "horse": (339,),
    "ship": (403, 484, 510, 554, 625, 628, 724, 780, 814, 871, 914),
    "truck": (555, 569, 675, 717, 864, 867),
}


@dataclass(frozen=True)
class PretrainedClassifier:
    """A pretrained network with its own top (its layers that name classes), and images to try it on.

    Attributes:
        model: pixels ``(batch, size, size, 3)`` in [0, 255] to probabilities ``(batch, classes)``. Its
            layer "preprocessing" holds its own preprocessing.
        class_names: the network's own classes.
        images: images that it can name, ``(n, height, width, 3)`` uint8 in [0, 255].
        labels: their labels, ``(n,)`` int64, indices into ``label_names``.
        label_names: the name of each label.
        label_of_class: for each class of the network the label that it stands for, or -1.
    """

    model: keras.Model
    class_names: list[str]
    images: np.ndarray
    labels: np.ndarray
    label_names: list[str]
    label_of_class: np.ndarray

    def accuracy(self, probabilities: np.ndarray) -> float:
        """Return how often the likeliest label is the label of ``images``.

        A label is as likely as all the network's classes that stand for it together; classes that stand
        for no label do not count.

        Args:
            probabilities: ``(n, classes)``, the network's answers for ``images``.
        """
        by_label = [
            probabilities[:, self.label_of_class == label].sum(axis=1) for label in range(len(self.label_names))
        ]
        return float(np.mean(np.argmax(by_label, axis=0) == self.labels))


def load_classifier(profile: Profile, size: int = 1000, seed: int = 0) -> PretrainedClassifier:
    """Load the profile's network with its own top.

    If the weights with the top cannot be found or downloaded, the embedded network takes its place, and a printed line
    says so.

    Args:
        profile: its ``backbone`` is loaded.
        size: number of images to try it on.
        seed: which images.

    Raises:
        SourceError: a file is there but damaged; the message names it.
    """
    if profile.dataset != "emoji10":
        try:
            return _load_imagenet_classifier(profile, size, seed)
        except MissingSourceError as error:
            print(f"{error}\nHere the embedded network and its source task take their place.")
    return load_source_classifier(size, seed)


def load_source_classifier(size: int, seed: int) -> PretrainedClassifier:
    """Load mini_mobilenet with the head for its source task, and new images of that task."""
    names = emoji10.source_classes()
    backbone = build_backbone("mini_mobilenet", PROFILES["mini"])
    head = keras.Sequential(
        [
            keras.Input(backbone.model.output_shape[1:]),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(names)),
        ]
    )
    head.load_weights(EMBEDDED_WEIGHTS / "mini_mobilenet_head.weights.h5")
    model = keras.Model(backbone.model.input, keras.layers.Softmax()(head(backbone.model.output)))
    images, labels = emoji10.load_source(size, seed=10**6 + seed)  # not among the images of pretraining
    return PretrainedClassifier(model, names, images, labels, names, np.arange(len(names)))


def _load_imagenet_classifier(profile: Profile, size: int, seed: int) -> PretrainedClassifier:
    """Load the profile's network with its 1,000 ImageNet classes, and validation images of CIFAR-10."""
    network = BACKBONES[profile.backbone]
    arguments = {"alpha": profile.alphas[profile.backbone]} if profile.backbone in profile.alphas else {}
    inputs = keras.Input((profile.image_size, profile.image_size, 3), name="pixels")
    weights, listing = (
        get_file(weights_source(profile.backbone, **arguments, top=True)),
        get_file(SOURCES["imagenet_classes"]),
    )
    try:
        built = network.build(
            weights=str(weights),
            input_tensor=Preprocessing(network.preprocessing, name="preprocessing")(inputs),
            input_shape=inputs.shape[1:],
            **arguments,
        )
    except (OSError, ValueError, KeyError) as error:  # cut, or of another network
        raise _damaged(weights, error) from error
    model = keras.Model(inputs, built.output)
    try:
        classes = json.loads(listing.read_text(encoding="utf-8"))
        names = [name for _, (_, name) in sorted(classes.items(), key=lambda item: int(item[0]))]
        if len(names) != model.output_shape[-1]:
            raise ValueError(f"{len(names)} classes, not {model.output_shape[-1]}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(listing, error) from error
    label_of_class = np.full(len(names), -1)
    for label, classes in enumerate(_IMAGENET_CLASSES[name] for name in emoji10.CLASS_NAMES):
        for entry in classes:
            first, last = entry if isinstance(entry, tuple) else (entry, entry)
            label_of_class[first : last + 1] = label
    data = load_data(replace(profile, validation_size=size), seed)
    return PretrainedClassifier(
        model, names, data.x_validation, data.y_validation, list(emoji10.CLASS_NAMES), label_of_class
    )


def _damaged(path: Path, error: Exception) -> SourceError:
    """Return the error for a file that is not what it should be."""
    return SourceError(
        f"{path} cannot be read ({str(error)[:200]}). Delete it, and try again: it is downloaded anew. If it is in a "
        "bundle, copy the bundle again."
    )
