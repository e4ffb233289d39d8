"""Which layers of a model learn, and what else moves in them while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

import helpers.quiet  # noqa: F401

import keras


def trainable_report(model: keras.Model) -> pd.DataFrame:
    """Tell for each layer what training would change.

    Args:
        model: a built model; the layers of models inside it are listed one by one, as "model/layer".

    Returns:
        A table with a row for each layer that has parameters or acts at random, from input to output. Its columns are
        "layer"; "kind", its class; "parameters", their number; "trainable", how many of these ``fit`` trains;
        "moves", what changes during ``fit``: "nothing", "weights", "statistics" (the moving mean and variance
        of BatchNorm), "weights and statistics", or "random output" (Dropout, augmentation).
        It goes by the flags as they are now. ``fit`` obeys those that it met when it first ran after ``compile``.

    Raises:
        ValueError: the model has no weights yet.
    """
    if not model.built:
        raise ValueError("The model has no weights yet: give it a keras.Input, or call it once on a batch.")
    trained = {id(weight) for weight in model.trainable_weights}
    rows = []
    for name, layer in leaf_layers(model):
        parameters = sum(math.prod(weight.shape) for weight in layer.weights)
        trainable = sum(math.prod(weight.shape) for weight in layer.weights if id(weight) in trained)
        moves = _what_moves(layer, trainable > 0)
        if parameters or moves != "nothing":
            rows.append((name, type(layer).__name__, parameters, trainable, moves))
    return pd.DataFrame(rows, columns=["layer", "kind", "parameters", "trainable", "moves"])


def leaf_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Go through all layers of a model, and through those of models inside it.

    Args:
        model: any model.
        prefix: comes before each name.

    Yields:
        The name of each layer that is no model itself, such as "mini_mobilenet/conv1", and the layer.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield f"{prefix}{layer.name}", layer


def _what_moves(layer: keras.layers.Layer, weights_are_trained: bool) -> str:
    """Return an entry of the column "moves"."""
    batch_norm = isinstance(layer, keras.layers.BatchNormalization) or getattr(layer, "batch_norm_training", False)
    moving = ["weights"] if weights_are_trained else []
    if batch_norm and layer.trainable:
        moving.append("statistics")
    if len(layer.variables) > len(layer.weights):  # the state of random numbers is a variable, but no weight
        moving.append("random output")
    return " and ".join(moving) or "nothing"
