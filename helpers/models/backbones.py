"""Pretrained networks behind one door: the embedded mini networks and those of ``keras.applications``.

To add a network, add a ``Network`` to ``BACKBONES``, and its weights to ``helpers.files.weights``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import helpers.quiet  # noqa: F401
from helpers import ASSETS
from helpers.files.bundle import SourceError
from helpers.files.downloads import get_file
from helpers.files.weights import WEIGHTS, weights_source
from helpers.models import mini_networks
from helpers.profiles import Profile, find_profile

import keras

EMBEDDED_WEIGHTS = ASSETS / "networks"


@dataclass(frozen=True)
class Network:
    """How to build a pretrained network without its top.

    Attributes:
        build: a function with the arguments of those in ``keras.applications``: ``include_top``,
            ``weights`` (a file or None), ``input_tensor``, ``input_shape``, and ``alpha`` where it has one.
        preprocessing: the module of ``keras.applications`` whose ``preprocess_input`` it was trained with.
        block: a regular expression that matches the layers of a block, and the block's name.
        size: side of the images that the network was trained on, in pixels.
        embedded: the name of the weights file, where the course embeds it.
    """

    build: Callable[..., keras.Model]
    preprocessing: str
    block: tuple[str, str]
    size: int = 224
    embedded: str | None = None


BACKBONES = {
    "mini_mobilenet": Network(
        build=mini_networks.mini_mobilenet,
        preprocessing="mobilenet",
        block=(r"conv_(?:dw|pw)_(\d+)", r"block_\1"),
        size=32,
        embedded="mini_mobilenet.weights.h5",
    ),
    "mini_vgg": Network(
        build=mini_networks.mini_vgg,
        preprocessing="vgg16",
        block=(r"(block\d+)_", r"\1"),
        size=32,
        embedded="mini_vgg.weights.h5",
    ),
    "mini_mobilenet_unlabelled": Network(  # the same architecture, pretrained without labels (lesson 18)
        build=mini_networks.mini_mobilenet,
        preprocessing="mobilenet",
        block=(r"conv_(?:dw|pw)_(\d+)", r"block_\1"),
        size=32,
        embedded="mini_mobilenet_unlabelled.weights.h5",
    ),
    "mobilenet": Network(
        build=keras.applications.MobileNet,
        preprocessing="mobilenet",
        block=(r"conv_(?:pad|dw|pw)_(\d+)", r"block_\1"),
    ),
    "mobilenet_v2": Network(
        build=keras.applications.MobileNetV2,
        preprocessing="mobilenet_v2",
        block=(r"(expanded_conv|block_\d+)_", r"\1"),
    ),
    "vgg16": Network(
        build=keras.applications.VGG16,
        preprocessing="vgg16",
        block=(r"(block\d+)_", r"\1"),
    ),
    "vgg19": Network(
        build=keras.applications.VGG19,
        preprocessing="vgg19",
        block=(r"(block\d+)_", r"\1"),
    ),
    "resnet50": Network(
        build=keras.applications.ResNet50,
        preprocessing="resnet",
        block=(r"(conv\d_block\d+)_", r"\1"),
    ),
    "efficientnet_b0": Network(
        build=keras.applications.EfficientNetB0,
        preprocessing="efficientnet",  # does nothing: the network rescales its input itself
        block=(r"(block\d+[a-z])_", r"\1"),
    ),
    "efficientnet_v2_b0": Network(
        build=keras.applications.EfficientNetV2B0,
        preprocessing="efficientnet_v2",  # does nothing, likewise
        block=(r"(block\d+[a-z])_", r"\1"),
    ),
    "convnext_tiny": Network(
        build=keras.applications.ConvNeXtTiny,
        preprocessing="convnext",  # does nothing, likewise
        block=(r"convnext_tiny_(?:stage|downsampling_block)_(\d)", r"stage_\1"),
    ),
}


@keras.saving.register_keras_serializable("finetuning_course")
class Preprocessing(keras.layers.Layer):
    """Turn pixels into what a pretrained network expects, as its own ``preprocess_input`` does.

    Being a layer of the model, it cannot be forgotten: the model takes the raw pixels, always.

    Args:
        family: a module of ``keras.applications``, such as "mobilenet" (pixels to [-1, 1]) or "vgg16"
            (RGB to BGR, then the ImageNet means are subtracted).

    Input: ``(batch, height, width, 3)``, RGB in [0, 255]. Output: the same shape.
    """

    def __init__(self, family: str, **kwargs) -> None:
        super().__init__(trainable=False, **kwargs)
        self.family = family

    def call(self, images):
        return getattr(keras.applications, self.family).preprocess_input(images)

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("trainable")
        return config | {"family": self.family}


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its top, ready for pixels.

    Attributes:
        name: its name in ``BACKBONES``.
        model: from RGB images ``(batch, image_size, image_size, 3)`` in ``input_range`` to feature maps
            ``(batch, height, width, feature_size)``. Its first layer is ``preprocessing``.
        preprocessing: that layer.
        image_size: side of the input images, in pixels.
        feature_size: number of feature maps, which is the length of the pooled feature vector.
        blocks: block name -> names of its layers, from the input to the output.
        input_range: the values that ``model`` expects.
    """

    name: str
    model: keras.Model
    preprocessing: keras.layers.Layer
    image_size: int
    feature_size: int
    blocks: dict[str, list[str]]
    input_range: tuple[float, float] = (0.0, 255.0)

    def layers_of(self, *blocks: str) -> list[keras.layers.Layer]:
        """Return the layers of one or more blocks, from the input to the output.

        Raises:
            ValueError: a name is not that of a block; the message lists those that are.
        """
        unknown = [block for block in blocks if block not in self.blocks]
        if unknown:
            raise ValueError(
                f"{self.name} has no block {', '.join(map(repr, unknown))}. Its blocks are: {', '.join(self.blocks)}."
            )
        chosen = {name for block in blocks for name in self.blocks[block]}
        return [layer for layer in self.model.layers if layer.name in chosen]


def build_backbone(
    name: str,
    profile: Profile | str,
    *,
    image_size: int | None = None,
    alpha: float | None = None,
    weights: str | Path | None = "pretrained",
) -> Backbone:
    """Build a pretrained network without its top, with its own preprocessing as first layer.

    Args:
        name: a key of ``BACKBONES``. A profile may put an embedded network in the place of a large one
            (``profile.stand_ins``).
        profile: a profile or its name; gives the image size and the width multiplier, where they are not given here.
        image_size: side of the input images, in pixels.
        alpha: width multiplier.
        weights: "pretrained", a file, or None for random weights.

    Raises:
        ValueError: there is no such network, or it has no weights for this width multiplier.
        MissingSourceError: its weights are not in the bundle and not in Keras' cache, and cannot be downloaded.
    """
    profile = find_profile(profile)
    name = profile.stand_ins.get(name, name)
    if name not in BACKBONES:
        raise ValueError(f"There is no network {name!r}. Choose one of: {', '.join(BACKBONES)}.")
    network = BACKBONES[name]
    image_size = image_size or (network.size if network.embedded else profile.image_size)
    alphas = () if network.embedded else WEIGHTS[name].alphas
    alpha = float(alpha or profile.alphas.get(name, alphas[0])) if alphas else None
    if weights == "pretrained":
        embedded = network.embedded and EMBEDDED_WEIGHTS / network.embedded
        weights = embedded or get_file(weights_source(name, alpha))

    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    preprocessing = Preprocessing(network.preprocessing, name="preprocessing")
    try:
        built = network.build(
            include_top=False,
            weights=None if weights is None else str(weights),
            input_tensor=preprocessing(inputs),
            input_shape=(image_size, image_size, 3),
            **({"alpha": alpha} if alphas else {}),
        )
    except OSError as error:
        raise SourceError(f"The weights in {weights} cannot be read ({error}). Delete the file; try again.") from error
    model = keras.Model(inputs, built.output, name=built.name)  # keras.applications makes a list of the input
    feature_size = model.output_shape[-1]
    return Backbone(name, model, preprocessing, image_size, feature_size, _group_blocks(model, *network.block))


def _group_blocks(model: keras.Model, pattern: str, name: str) -> dict[str, list[str]]:
    """Sort the layers of a model into blocks.

    Layers before the first block are in "stem", those after the last in "last"; one between them whose name says
    nothing, such as the additions of ConvNeXt, is in the block of the layer before it.
    """
    blocks: dict[str, list[str]] = {}
    layers = [layer for layer in model.layers if not isinstance(layer, (keras.layers.InputLayer, Preprocessing))]
    matches = [re.match(pattern, layer.name) for layer in layers]
    named = [number for number, match in enumerate(matches) if match]
    block = "stem"
    for number, (layer, match) in enumerate(zip(layers, matches, strict=True)):
        block = match.expand(name) if match else "last" if number > named[-1] else block
        blocks.setdefault(block, []).append(layer.name)
    return blocks
