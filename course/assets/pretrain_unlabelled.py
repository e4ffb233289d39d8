"""Pretrain mini_mobilenet without labels: contrastive learning (SimCLR) on the drawings of the source task.

``python -m course pretrain`` runs it after the networks that are trained with labels; it takes about half an hour on
2 cores. What it learns from is what a folder of clip art holds: drawings on a transparent ground. No class and no name
is read. It writes, into ``helpers/assets/networks``: the weights, those of the projection head (both float16), and a
model card.

Method: Chen et al. 2020, arXiv:2002.05709. Two *views* are made of each picture: the drawing is turned, resized,
recoloured, and laid on a ground of its own. A network with a *projection head* has to find, among all views of a batch,
the other view of the same picture. SimCLR, since its loss is short enough to be shown in a lesson, and since a batch of
128 is enough for so few drawings.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from course.assets.pretrain import round_to_half, save_half
from helpers.data import emoji10
from helpers.models import mini_networks
from helpers.models.backbones import EMBEDDED_WEIGHTS, Backbone, Preprocessing, build_backbone
from helpers.profiles import PROFILES

import keras
import tensorflow as tf
from keras import layers

NAME = "mini_mobilenet_unlabelled"
CARD = Path(__file__).with_name("model_card_unlabelled.md")
PICTURES_PER_EPOCH, BATCH = 33600, 128
LEARNING_RATE, TEMPERATURE = 3e-3, 0.2
# (epochs, side of the views, smallest and largest side of the drawing in them), in pixels. Small views come first, as
# they take half the time; the last epochs fit the statistics of BatchNorm to the size of the pictures of Emoji-10.
STAGES = ((27, 24, 14.0, 25.0), (3, 32, 13.0, 28.0))


def pretrain_unlabelled() -> tuple[Backbone, keras.Model, str]:
    """Train the network.

    Returns:
        The backbone and its projection head, with weights that float16 holds exactly; and the model card's text.
    """
    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    network = mini_networks.mini_mobilenet(Preprocessing("mobilenet")(pixels))
    head = projection_head(network.output_shape[-1])
    projected = head(layers.GlobalAveragePooling2D()(network.output))
    trained = keras.Model(pixels, projected)
    epochs = sum(stage[0] for stage in STAGES)
    steps = epochs * (PICTURES_PER_EPOCH // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        LEARNING_RATE / 10, steps, warmup_target=LEARNING_RATE, warmup_steps=steps // 20
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
    optimizer.build(trained.trainable_variables)

    @tf.function
    def train_step(pictures: tf.Tensor, side: int, smallest: float, largest: float) -> tf.Tensor:
        views = tf.concat([view(pictures, side, smallest, largest) for _ in range(2)], axis=0)
        with tf.GradientTape() as tape:
            loss = nt_xent(*tf.split(trained(views, training=True), 2))
        gradients = tape.gradient(loss, trained.trainable_variables)
        optimizer.apply_gradients(zip(gradients, trained.trainable_variables, strict=True))
        return loss

    start, cpu, epoch, losses = time.perf_counter(), time.process_time(), 0, []
    for count, *size in STAGES:
        for _ in range(count):
            pictures = clip_art(PICTURES_PER_EPOCH, seed=epoch)
            batches = [pictures[first : first + BATCH] for first in range(0, PICTURES_PER_EPOCH - BATCH + 1, BATCH)]
            losses = [float(train_step(tf.constant(batch, tf.float32), *size)) for batch in batches]
            epoch += 1
            print(f"{NAME}, epoch {epoch} of {epochs}: loss {np.mean(losses):.3f}", flush=True)
    minutes, cpu = (time.perf_counter() - start) / 60, (time.process_time() - cpu) / 60
    backbone = build_backbone("mini_mobilenet", PROFILES["mini"], weights=None)
    backbone.model.set_weights(network.get_weights())
    for part in (backbone.model, head):
        round_to_half(part)
    figures = CARD.read_text(encoding="utf-8").format(
        name=NAME,
        parameters=f"{backbone.model.count_params():,}",
        drawings=len(emoji10.source_drawings()),
        epochs=epochs,
        stages=" and ".join(f"{count} with views of {side} pixels" for count, side, *_ in STAGES),
        per_epoch=f"{PICTURES_PER_EPOCH:,}",
        learning_rate=LEARNING_RATE,
        batch=BATCH,
        temperature=TEMPERATURE,
        minutes=f"{minutes:.0f}",
        cpu_minutes=f"{cpu:.0f}",
        loss=f"{np.mean(losses):.3f}",
        others=2 * BATCH - 1,
        chance=f"{np.log(2 * BATCH - 1):.2f}",
        keras=keras.__version__,
    )
    return backbone, head, figures


def projection_head(features: int) -> keras.Model:
    """Build the head of the pretraining: from pooled features ``(batch, features)`` to ``(batch, 64)``."""
    return keras.Sequential(
        [
            keras.Input((features,)),
            layers.Dense(256, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(64),
        ],
        name="projection",
    )


def nt_xent(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the loss of Chen et al. 2020, equation 1: which of all other views is that of the same picture?

    Args:
        first, second: ``(n, size)`` float32: the projections of the two views of each picture, in the same order.
    """
    count = tf.shape(first)[0]
    views = tf.math.l2_normalize(tf.concat([first, second], axis=0), axis=1)
    similarities = tf.matmul(views, views, transpose_b=True) / TEMPERATURE - 1e9 * tf.eye(2 * count)
    partners = tf.concat([tf.range(count) + count, tf.range(count)], axis=0)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(partners, similarities))


def clip_art(size: int, seed: int) -> np.ndarray:
    """Draw unlabelled pictures with a transparent ground, as clip art comes: turned and resized a little.

    Returns:
        ``(size, 32, 32, 4)`` uint8: colours multiplied by alpha, and alpha.
    """
    random = np.random.RandomState((6, seed))
    drawings = emoji10.source_drawings()
    chosen = drawings[random.randint(0, len(drawings), size)].astype(np.float32)

    def uniform(low: float, high: float) -> np.ndarray:
        return (low + (high - low) * random.random_sample(size)).astype(np.float32)

    flip = np.where(uniform(0, 1) < 0.5, np.float32(-1), np.float32(1))
    placed = place(chosen, 32, uniform(22, 32), uniform(-0.6, 0.6), flip, uniform(-2, 2), uniform(-2, 2))
    return np.clip(np.rint(placed), 0, 255).astype(np.uint8)


def place(images, side: int, drawn, angle, flip, across, down) -> tf.Tensor:
    """Lay images on a transparent ground: resized, turned, flipped and moved, with bilinear interpolation.

    Args:
        images: ``(n, s, s, 4)`` float32.
        side: side of the results, in pixels.
        drawn, angle, flip, across, down: ``(n,)`` float32: the new side of each image in pixels, its angle in radians,
            1 or -1, and how far its middle lies from that of the result.

    Returns:
        ``(n, side, side, 4)`` float32.
    """
    scale = images.shape[1] / drawn
    cos, sin, middle = tf.cos(angle) * scale, tf.sin(angle) * scale, (images.shape[1] - 1) / 2
    x, y = (side - 1) / 2 + across, (side - 1) / 2 + down
    rows = [cos * flip, sin * flip, middle - flip * (cos * x + sin * y), -sin, cos, middle + sin * x - cos * y]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*rows, tf.zeros_like(cos), tf.zeros_like(cos)], axis=1),
        output_shape=[side, side],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def view(pictures: tf.Tensor, side: int, smallest: float, largest: float) -> tf.Tensor:
    """Make a view of each picture: placed anew, its colours mixed, on a ground of clouds, with noise.

    Args:
        pictures: ``(n, 32, 32, 4)`` float32 in [0, 255], as ``clip_art`` draws them.
        side: side of the views, in pixels.
        smallest, largest: side of the picture in its view.

    Returns:
        ``(n, side, side, 3)`` float32 in [0, 255].
    """
    count = tf.shape(pictures)[0]

    def uniform(low: float, high: float, *shape: int) -> tf.Tensor:
        return tf.random.uniform((count, *shape), low, high)

    def clouds(cells: int, channels: int, amplitude: float) -> tf.Tensor:
        return tf.image.resize(uniform(-amplitude, amplitude, cells, cells, channels), (side, side))

    drawn = uniform(smallest, largest)
    reach = tf.maximum(side / 2 - 0.4 * drawn, 0.0)
    flip = tf.where(uniform(0.0, 1.0) < 0.5, 1.0, -1.0)
    across, down = reach * uniform(-1.0, 1.0), reach * uniform(-1.0, 1.0)
    placed = place(pictures, side, drawn, uniform(-0.4, 0.4), flip, across, down)
    mix = tf.eye(3) + uniform(-0.3, 0.3, 3, 3)
    colour = tf.einsum("nhwc,ncd->nhwd", placed[..., :3], mix) * uniform(0.6, 1.2, 1, 1, 1)
    ground = 127.5 + clouds(5, 1, 127.0) + clouds(5, 3, 60.0) + clouds(12, 3, 45.0)
    noise = uniform(-1.0, 1.0, side, side, 3) * uniform(0.0, 40.0, 1, 1, 1)
    return tf.clip_by_value(ground * (1 - placed[..., 3:] / 255) + colour + noise, 0.0, 255.0)


def write_unlabelled() -> None:
    """Train the network and write its files."""
    backbone, head, card = pretrain_unlabelled()
    save_half(backbone.model, EMBEDDED_WEIGHTS / f"{NAME}.weights.h5")
    save_half(head, EMBEDDED_WEIGHTS / f"{NAME}_projection.weights.h5")
    (EMBEDDED_WEIGHTS / f"{NAME}.md").write_text(card, encoding="utf-8")
