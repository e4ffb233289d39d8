"""The architectures of the two embedded networks. Their weights are in ``helpers/assets``."""

from __future__ import annotations

import keras
from keras import layers

# (channels, strides) of each depthwise-separable block.
_MINI_MOBILENET_BLOCKS = ((64, 2), (96, 1), (128, 2), (192, 1), (224, 2), (224, 1))
# (number of convolutions, channels) of each block: VGG16's topology, far narrower.
_MINI_VGG_BLOCKS = ((2, 16), (2, 24), (3, 32), (3, 40), (3, 64))


def mini_mobilenet(input_tensor, weights: str | None = None, **_) -> keras.Model:
    """Build a small MobileNet (Howard et al. 2017, arXiv:1704.04861), without a top.

    Layers are named as in ``keras.applications.MobileNet``.

    Args:
        input_tensor: Keras tensor ``(batch, side, side, 3)``, images after preprocessing, in [-1, 1].
        weights: a weights file, or None for random weights.

    Returns:
        A model from the source of ``input_tensor`` to feature maps ``(batch, side / 8, side / 8, 224)``.
    """

    def normalise(x, name):
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    x = layers.Conv2D(24, 3, padding="same", use_bias=False, name="conv1")(input_tensor)
    x = normalise(x, "conv1")
    for number, (filters, strides) in enumerate(_MINI_MOBILENET_BLOCKS, start=1):
        name = f"conv_dw_{number}"
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=name)(x)
        x = normalise(x, name)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"conv_pw_{number}")(x)
        x = normalise(x, f"conv_pw_{number}")
    return _finish(input_tensor, x, weights, "mini_mobilenet")


def mini_vgg(input_tensor, weights: str | None = None, **_) -> keras.Model:
    """Build a narrow VGG16 (Simonyan and Zisserman 2014, arXiv:1409.1556), without a top.

    Layers are named as in ``keras.applications.VGG16``.

    Args:
        input_tensor: Keras tensor ``(batch, side, side, 3)``, images after preprocessing: BGR, minus means.
        weights: a weights file, or None for random weights.

    Returns:
        A model from the source of ``input_tensor`` to feature maps ``(batch, side / 32, side / 32, 64)``.
    """
    x = input_tensor
    for block, (convolutions, filters) in enumerate(_MINI_VGG_BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=name)(
                x
            )
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return _finish(input_tensor, x, weights, "mini_vgg")


def _finish(input_tensor, output, weights: str | None, name: str) -> keras.Model:
    """Make the model and load its weights, as the functions of ``keras.applications`` do."""
    (source,) = keras.utils.get_source_inputs(input_tensor)
    model = keras.Model(source, output, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model
