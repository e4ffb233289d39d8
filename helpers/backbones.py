"""Pretrained networks behind one door: the embedded mini networks and those of ``keras.applications``.

To add a network, add a ``Network`` to ``BACKBONES``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import helpers.quiet  # noqa: F401
from helpers import mini_networks
from helpers.bundle import SourceError
from helpers.profiles import Profile, find_profile
from helpers.sources import Source, get_file

import keras

EMBEDDED_WEIGHTS = Path(__file__).with_name("assets") / "networks"
GOOGLE = "https://storage.googleapis.com/tensorflow/keras-applications"
ALPHA_TEXT = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}


@dataclass(frozen=True)
class Network:
    """How to build a pretrained network without its top.

    Attributes:
        build: a function with the arguments of those in ``keras.applications``: ``include_top``,
            ``weights`` (a file or None), ``input_tensor``, ``input_shape``, and ``alpha`` where it has one.
        preprocessing: the module of ``keras.applications`` whose ``preprocess_input`` it was trained with.
        weights: address of the weights file, or its name where the course embeds it. ``{alpha}`` and
            ``{alpha_text}`` stand for the width multiplier (0.25 and 2_5).
        block: a regular expression that matches the layers of a block, and the block's name.
        size: side of the pictures that the network was trained on, in pixels.
        alphas: the width multipliers that have weights, the usual one first; empty where there is none.
        weights_digest: "md5:…" of the weights file, where Keras names one.
    """

    build: Callable[..., keras.Model]
    preprocessing: str
    weights: str
    block: tuple[str, str]
    size: int = 224
    alphas: tuple[float, ...] = ()
    weights_digest: str | None = None


BACKBONES = {
    "mini_mobilenet": Network(
        build=mini_networks.mini_mobilenet,
        preprocessing="mobilenet",
        weights="mini_mobilenet.weights.h5",
        block=(r"conv_(?:dw|pw)_(\d+)", r"block_\1"),
        size=32,
    ),
    "mini_vgg": Network(
        build=mini_networks.mini_vgg,
        preprocessing="vgg16",
        weights="mini_vgg.weights.h5",
        block=(r"(block\d+)_", r"\1"),
        size=32,
    ),
    "mobilenet": Network(
        build=keras.applications.MobileNet,
        preprocessing="mobilenet",
        weights=f"{GOOGLE}/mobilenet/mobilenet_{{alpha_text}}_224_tf_no_top.h5",
        block=(r"conv_(?:pad|dw|pw)_(\d+)", r"block_\1"),
        alphas=(1.0, 0.75, 0.5, 0.25),
    ),
    "mobilenet_v2": Network(
        build=keras.applications.MobileNetV2,
        preprocessing="mobilenet_v2",
        weights=f"{GOOGLE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{{alpha}}_224_no_top.h5",
        block=(r"(expanded_conv|block_\d+)_", r"\1"),
        alphas=(1.0, 0.35, 0.5, 0.75, 1.3, 1.4),
    ),
    "vgg16": Network(
        build=keras.applications.VGG16,
        preprocessing="vgg16",
        weights=f"{GOOGLE}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        block=(r"(block\d+)_", r"\1"),
        weights_digest="md5:6d6bbae143d832006294945121d1f1fc",
    ),
    "vgg19": Network(
        build=keras.applications.VGG19,
        preprocessing="vgg19",
        weights=f"{GOOGLE}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        block=(r"(block\d+)_", r"\1"),
        weights_digest="md5:253f8cb515780f3b799900260a226db6",
    ),
    "resnet50": Network(
        build=keras.applications.ResNet50,
        preprocessing="resnet",
        weights=f"{GOOGLE}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        block=(r"(conv\d_block\d+)_", r"\1"),
        weights_digest="md5:4d473c1dd8becc155b73f8504c6f6626",
    ),
    "efficientnet_b0": Network(
        build=keras.applications.EfficientNetB0,
        preprocessing="efficientnet",  # does nothing: the network rescales its input itself
        weights="https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        block=(r"(block\d+[a-z])_", r"\1"),
        weights_digest="md5:50bc09e76180e00e4465e1a485ddc09d",
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
        model: from RGB pictures ``(batch, image_size, image_size, 3)`` in ``input_range`` to feature maps
            ``(batch, height, width, feature_size)``. Its first layer is ``preprocessing``.
        preprocessing: that layer.
        image_size: side of the input pictures, in pixels.
        feature_size: number of feature maps, which is the length of the pooled feature vector.
        blocks: block name -> names of its layers, from the input to the output.
        input_range: the values that ``model`` expects.
    """

    name: str
    model: keras.Model
    preprocessing: Preprocessing
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
        profile: a profile or its name; gives the picture size and the width multiplier, where they are not given here.
        image_size: side of the input pictures, in pixels.
        alpha: width multiplier.
        weights: "pretrained", a file, or None for random weights.

    Raises:
        ValueError: there is no such network, or it has no weights for this width multiplier.
        MissingSourceError: its weights are neither in the bundle, nor in Keras' cache, nor to be downloaded.
    """
    profile = find_profile(profile)
    name = profile.stand_ins.get(name, name)
    if name not in BACKBONES:
        raise ValueError(f"There is no network {name!r}. Choose one of: {', '.join(BACKBONES)}.")
    network = BACKBONES[name]
    embedded = not network.weights.startswith("https:")
    image_size = image_size or (network.size if embedded else profile.image_size)
    arguments = {"alpha": float(alpha or profile.alphas.get(name, network.alphas[0]))} if network.alphas else {}
    if weights == "pretrained":
        weights = EMBEDDED_WEIGHTS / network.weights if embedded else find_weights(network, **arguments)

    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    preprocessing = Preprocessing(network.preprocessing, name="preprocessing")
    try:
        built = network.build(
            include_top=False,
            weights=None if weights is None else str(weights),
            input_tensor=preprocessing(inputs),
            input_shape=(image_size, image_size, 3),
            **arguments,
        )
    except OSError as error:
        raise SourceError(f"The weights in {weights} cannot be read ({error}). Delete the file; try again.") from error
    model = keras.Model(inputs, built.output, name=built.name)  # keras.applications makes a list of the input
    feature_size = model.output_shape[-1]
    return Backbone(name, model, preprocessing, image_size, feature_size, group_blocks(model, *network.block))


def find_weights(network: Network, alpha: float | None = None) -> Path:
    """Return the weights file, from the bundle, Keras' cache or the network.

    Raises:
        ValueError: nobody published weights for this width multiplier.
        MissingSourceError: it is nowhere.
    """
    if alpha is not None and alpha not in network.alphas:
        raise ValueError(f"There are no weights for alpha = {alpha}. Choose one of: {network.alphas}.")
    url = network.weights.format(alpha=alpha, alpha_text=ALPHA_TEXT.get(alpha))
    return get_file(Source("models", url.rsplit("/", 1)[-1], (url,), network.weights_digest))


def group_blocks(model: keras.Model, pattern: str, name: str) -> dict[str, list[str]]:
    """Sort the layers of a model into blocks.

    Layers before the first block are in "stem", those after the last in "last".
    """
    blocks: dict[str, list[str]] = {}
    layers = [layer for layer in model.layers if not isinstance(layer, (keras.layers.InputLayer, Preprocessing))]
    matches = [re.match(pattern, layer.name) for layer in layers]
    first = next(number for number, match in enumerate(matches) if match)
    for number, (layer, match) in enumerate(zip(layers, matches, strict=True)):
        block = match.expand(name) if match else "stem" if number < first else "last"
        blocks.setdefault(block, []).append(layer.name)
    return blocks
