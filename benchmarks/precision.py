"""Mixed precision on a CPU: the table of lesson 16.

CPU seconds (user and system) for 1,000 pictures, all blocks trained, BatchNorm frozen, as the lesson's
``TIME_PRECISION`` does it on the clock. Each case runs in a process of its own, with as many threads as TensorFlow
takes by itself; the median of five epochs counts, after one that traces. Set ``COURSE_BUNDLE``, or data and weights are
downloaded.
"""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace

import numpy as np

from benchmarks.clock import cpu_seconds
from course import ROOT

TABLE = ROOT / "docs" / "results" / "benchmarks" / "precision.json"
PROFILES = ("mini", "cifar10-cpu")
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
BATCH_SIZES = (32, 256)
EPOCHS = 6  # the first one traces, and does not count


def seconds(name: str, policy: str, batch_size: int) -> float:
    """Return the CPU seconds of one epoch of 1,000 pictures.

    Args:
        name: of a profile.
        policy: of the dtypes, as ``keras.config.set_dtype_policy`` takes it.
        batch_size: pictures in a step.
    """
    import helpers.quiet  # noqa: F401
    from helpers.data import load_data, make_dataset
    from helpers.models import build_backbone
    from helpers.profiles import PROFILES as KNOWN

    import keras
    from keras import layers

    keras.config.set_dtype_policy(policy)
    profile = replace(KNOWN[name], train_size=1000)
    data = load_data(profile)
    network = build_backbone(profile.backbone, profile).model
    for layer in network.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    answer = layers.Dense(len(data.class_names), activation="softmax", dtype="float32")
    model = keras.Sequential([network, layers.GlobalAveragePooling2D(), answer])
    model.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy())
    batches = make_dataset(data.x_train, data.y_train, image_size=profile.image_size, batch_size=batch_size)
    ends = [cpu_seconds()]
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(cpu_seconds()))
    model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[clock])
    return float(np.median(np.diff(ends)[1:]))


def rows(table: dict[str, list[float]]) -> list[str]:
    """Return the rows of the lesson's table, as Markdown, from what was measured: policy -> seconds of each case."""
    return [f"| `{policy}` | {' | '.join(f'{each:.2f}' for each in cases)} |" for policy, cases in table.items()]


def main() -> None:
    """Measure each case, write the table, and print its rows for the lesson."""
    table: dict[str, list[float]] = {}
    for policy in POLICIES:
        table[policy] = []
        for name in PROFILES:
            for batch_size in BATCH_SIZES:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    table[policy].append(round(pool.apply(seconds, (name, policy, batch_size)), 2))
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print("\n".join(rows(table)))


if __name__ == "__main__":
    main()
