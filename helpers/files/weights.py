"""The published ImageNet weights of each network: which files there are, and where they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from helpers.files.downloads import Source

_GOOGLE = "https://storage.googleapis.com/tensorflow/keras-applications"
_ALPHA_TEXT: dict[float | None, str] = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}


@dataclass(frozen=True)
class Weights:
    """The published weights of a network without its top.

    Attributes:
        address: of the file. ``{alpha}`` and ``{alpha_text}`` stand for the width multiplier (0.25 and 2_5).
        alphas: the width multipliers that have weights, the usual one first; empty where there is none.
        digest: "md5:…" or "sha256:…" of the file, where Keras names one.
    """

    address: str
    alphas: tuple[float, ...] = ()
    digest: str | None = None


WEIGHTS = {
    "mobilenet": Weights(f"{_GOOGLE}/mobilenet/mobilenet_{{alpha_text}}_224_tf_no_top.h5", (1.0, 0.75, 0.5, 0.25)),
    "mobilenet_v2": Weights(
        f"{_GOOGLE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{{alpha}}_224_no_top.h5",
        (1.0, 0.35, 0.5, 0.75, 1.3, 1.4),
    ),
    "vgg16": Weights(
        f"{_GOOGLE}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="md5:6d6bbae143d832006294945121d1f1fc",
    ),
    "vgg19": Weights(
        f"{_GOOGLE}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="md5:253f8cb515780f3b799900260a226db6",
    ),
    "resnet50": Weights(
        f"{_GOOGLE}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        digest="md5:4d473c1dd8becc155b73f8504c6f6626",
    ),
    "efficientnet_b0": Weights(
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        digest="md5:50bc09e76180e00e4465e1a485ddc09d",
    ),
    "efficientnet_v2_b0": Weights(
        f"{_GOOGLE}/efficientnet_v2/efficientnetv2-b0_notop.h5",
        digest="md5:893217f2bb855e2983157299931e43ff",
    ),
    "convnext_tiny": Weights(
        f"{_GOOGLE}/convnext/convnext_tiny_notop.h5",
        digest="sha256:d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
}


def weights_source(name: str, alpha: float | None = None, *, top: bool = False) -> Source:
    """Return where the weights of a network come from.

    Args:
        name: a key of ``WEIGHTS``.
        alpha: the width multiplier, for a network that has one.
        top: with the layers that tell the 1,000 classes of ImageNet apart.

    Raises:
        ValueError: nobody published weights for this width multiplier.
    """
    weights = WEIGHTS[name]
    if alpha is not None and alpha not in weights.alphas:
        raise ValueError(f"There are no weights for alpha = {alpha}. Choose one of: {weights.alphas}.")
    url = weights.address.format(alpha=alpha, alpha_text=_ALPHA_TEXT.get(alpha))
    if top:
        url = re.sub("_no_?top", "", url)
    return Source("models", url.rsplit("/", 1)[-1], (url,), None if top else weights.digest)
