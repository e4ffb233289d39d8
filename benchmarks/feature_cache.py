"""Extracting features once, against ten epochs through the frozen backbone.

Same head, same first weights, same batches, same number of steps in one call; both validate in every epoch;
extraction and tracing are counted. On mini, too, there are 10,000 training pictures: with fewer, tracing and the
overhead of the steps hide what is measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import helpers.quiet  # noqa: F401
from helpers.data.datasets import load_data
from helpers.data.pipelines import make_dataset
from helpers.models.backbones import build_backbone
from helpers.models.features import extract_features
from helpers.profiles import PROFILES

import keras
from keras import layers

EPOCHS, STEPS_PER_EXECUTION = 10, 32


def new_head(size: int, learning_rate: float) -> keras.Sequential:
    """Build and compile a linear head; the same first weights each time."""
    keras.utils.set_random_seed(0)
    head = keras.Sequential([keras.Input((size,)), layers.Dense(10)])
    compile_model(head, learning_rate)
    return head


def compile_model(model: keras.Model, learning_rate: float) -> None:
    """Compile for ten classes, with Adam."""
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )


def main() -> None:
    """Measure both ways, and print seconds, accuracies and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=list(PROFILES), default="mini")
    profile = replace(PROFILES[parser.parse_args().profile], train_size=10000, validation_size=2000)
    data = load_data(profile)
    backbone = build_backbone(profile.backbone, profile)
    backbone.model.trainable = False
    extractor = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D()])
    batches = {"image_size": profile.image_size, "batch_size": profile.batch_size}

    start = time.perf_counter()
    network = keras.Sequential([extractor, new_head(backbone.feature_size, profile.head_learning_rate)])
    compile_model(network, profile.head_learning_rate)
    through = network.fit(
        make_dataset(data.x_train, data.y_train, **batches),
        validation_data=make_dataset(data.x_validation, data.y_validation, **batches),
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
    ).history["val_accuracy"][-1]
    through_seconds = time.perf_counter() - start

    start = time.perf_counter()
    features = extract_features(extractor, data.x_train, cache=False)
    validation_features = extract_features(extractor, data.x_validation, cache=False)
    once = (
        new_head(backbone.feature_size, profile.head_learning_rate)
        .fit(
            features,
            data.y_train,
            batch_size=profile.batch_size,
            shuffle=False,
            validation_data=(validation_features, data.y_validation),
            epochs=EPOCHS,
            verbose=0,
        )
        .history["val_accuracy"][-1]
    )
    once_seconds = time.perf_counter() - start
    print(f"profile {profile.name}, {EPOCHS} epochs, {len(data.x_train)} training pictures")
    print(f"through the frozen backbone: {through_seconds:.1f} s, validation accuracy {through:.3f}")
    print(f"features extracted once:     {once_seconds:.1f} s, validation accuracy {once:.3f}")
    print(f"ratio of the times: {through_seconds / once_seconds:.1f}")


if __name__ == "__main__":
    main()
