"""Pretrain the two embedded networks on the source task. Students never need this: the weights are committed.

``python -m course pretrain`` takes about 15 minutes on 2 cores and needs nothing but the sprite atlas.
It writes, into ``helpers/assets/networks``: the weights (float16), the head of mini_mobilenet for the source
task, the hub module, and a model card for each network with what was measured.

A narrow VGG without BatchNorm hardly starts to learn this task. So mini_vgg is trained with a BatchNorm
after each convolution, and each is then folded into its convolution: the same function, without the layer.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.data import emoji10
from helpers.hub.export import export_hub_module
from helpers.models.backbones import EMBEDDED_WEIGHTS, Backbone, build_backbone
from helpers.profiles import PROFILES

import keras
from keras import layers

CARD = Path(__file__).with_name("model_card.md")
IMAGES_PER_EPOCH, TEST_IMAGES, BATCH = 33600, 5600, 64
TEST_SEED = 10**6
EPOCHS, LEARNING_RATE = 10, 3e-3
NAMES = ("mini_mobilenet", "mini_vgg")


def pretrain(name: str) -> tuple[Backbone, keras.Model, str]:
    """Train one network on fresh pictures of the source task.

    Returns:
        The backbone and its head, with weights that float16 holds exactly; and the model card's figures.
    """
    keras.utils.set_random_seed(0)
    classes = emoji10.source_classes()
    backbone = build_backbone(name, PROFILES["mini"], weights=None)
    head = keras.Sequential(
        [keras.Input(backbone.model.output_shape[1:]), layers.GlobalAveragePooling2D(), layers.Dense(len(classes))],
        name="source_head",
    )
    trained = batch_norm_vgg(backbone) if name == "mini_vgg" else backbone.model
    network = keras.Model(trained.input, head(trained.output))
    steps = EPOCHS * (IMAGES_PER_EPOCH // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        LEARNING_RATE / 10, steps, warmup_target=LEARNING_RATE, warmup_steps=steps // 20
    )
    network.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    x_test, y_test = emoji10.load_source(TEST_IMAGES, TEST_SEED)
    start = time.perf_counter()
    for epoch in range(EPOCHS):
        x, y = emoji10.load_source(IMAGES_PER_EPOCH, seed=epoch)
        history = network.fit(x, y, batch_size=BATCH, verbose=0).history
        print(f"{name}, epoch {epoch + 1} of {EPOCHS}: training accuracy {history['accuracy'][0]:.3f}", flush=True)
    minutes = (time.perf_counter() - start) / 60
    if name == "mini_vgg":
        fold_batch_norm(trained, backbone.model)
    for part in (backbone.model, head):
        round_to_half(part)
    finished = keras.Model(backbone.model.input, head(backbone.model.output))
    finished.compile(loss=network.loss, metrics=["accuracy"])
    loss, accuracy = finished.evaluate(x_test, y_test, verbose=0)
    figures = CARD.read_text(encoding="utf-8").format(
        name=name,
        parameters=f"{backbone.model.count_params():,}",
        classes=len(classes),
        class_list=", ".join(classes),
        epochs=EPOCHS,
        per_epoch=f"{IMAGES_PER_EPOCH:,}",
        learning_rate=LEARNING_RATE,
        batch=BATCH,
        minutes=f"{minutes:.0f}",
        test_pictures=f"{TEST_IMAGES:,}",
        accuracy=f"{accuracy:.3f}",
        loss=f"{loss:.3f}",
        keras=keras.__version__,
    )
    return backbone, head, figures


def batch_norm_vgg(backbone: Backbone) -> keras.Model:
    """Build the network of ``backbone`` with a BatchNorm between each convolution and its ReLU."""
    x = backbone.model.input
    for layer in backbone.model.layers[1:]:
        if isinstance(layer, layers.Conv2D):
            convolution = layers.Conv2D.from_config(layer.get_config() | {"activation": "linear", "use_bias": False})
            x = layers.BatchNormalization(name=f"{layer.name}_bn")(convolution(x))
            x = layers.ReLU()(x)
        else:
            x = layer.__class__.from_config(layer.get_config())(x)
    return keras.Model(backbone.model.input, x)


def fold_batch_norm(trained: keras.Model, plain: keras.Model) -> None:
    """Set the weights of ``plain`` so that it computes what ``trained`` does in inference mode.

    The scale of a BatchNorm goes into the kernel of the convolution before it, the rest into its bias
    (Jacob et al. 2018, arXiv:1712.05877, section 3.2).
    """
    for layer in plain.layers:
        if isinstance(layer, layers.Conv2D):
            norm = trained.get_layer(f"{layer.name}_bn")
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            layer.set_weights([trained.get_layer(layer.name).get_weights()[0] * scale, beta - mean * scale])


def round_to_half(model: keras.Model) -> None:
    """Change the weights to the nearest that float16 holds exactly, so that the file of ``save_half`` loses nothing."""
    model.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])


def save_half(model: keras.Model, path: Path) -> None:
    """Write the weights as float16: half the size, and they load into float32 models."""
    half = keras.models.clone_model(
        model, clone_function=lambda layer: layer.__class__.from_config(layer.get_config() | {"dtype": "float16"})
    )
    half.set_weights([weight.astype(np.float16) for weight in model.get_weights()])
    half.save_weights(path)


def pretrain_all() -> None:
    """Train both networks and write all files."""
    EMBEDDED_WEIGHTS.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        backbone, head, card = pretrain(name)
        save_half(backbone.model, EMBEDDED_WEIGHTS / f"{name}.weights.h5")
        (EMBEDDED_WEIGHTS / f"{name}.md").write_text(card, encoding="utf-8")
        if name == "mini_mobilenet":
            save_half(head, EMBEDDED_WEIGHTS / "mini_mobilenet_head.weights.h5")
            export_feature_vector(backbone, EMBEDDED_WEIGHTS / "mini_mobilenet_hub")


def export_feature_vector(backbone: Backbone, folder: Path) -> None:
    """Write a backbone as a hub module from pictures in [0, 1], as hub modules expect, to pooled features."""
    inputs = keras.Input(backbone.model.input_shape[1:])
    x = backbone.model(layers.Rescaling(255.0)(inputs))
    shutil.rmtree(folder, ignore_errors=True)
    export_hub_module(keras.Model(inputs, layers.GlobalAveragePooling2D()(x)), folder)
