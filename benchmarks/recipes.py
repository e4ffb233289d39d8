"""Recipes of popular tutorials and of the course: accuracy against CPU seconds, on the same pictures and network.

10,000 training, 1,000 validation and 10,000 test pictures of CIFAR-10, MobileNet of width 0.25 at 96 px with ImageNet
weights: set ``COURSE_BUNDLE``, or they are downloaded. Each run has a process of its own, with one thread for an
operation. CPU seconds (user and system) count what a reader of the recipe spends: features, training, validation after
each epoch where the recipe has it; loading the pictures and the test are not counted.

A tutorial's recipe is judged twice: as printed, and trained on until it has spent as many CPU seconds as the course's
best recipe took with that seed, with the weights of its best validation epoch. The recipes are our own code after the
descriptions:

- "TensorFlow tutorial": tensorflow.org/tutorials/images/transfer_learning (flips, rotations, dropout, batches of 32,
  Adam at 1e-4 for 10 epochs; then the upper third of the layers, RMSprop at 1e-5, 10 epochs);
- "Keras guide": keras.io/guides/transfer_learning (flips, rotations, dropout, batches of 64, Adam at 1e-3 for
  10 epochs; then all layers, Adam at 1e-5, 10 epochs);
- "GAP + Dense(1024)" and "Flatten + 2 × Dense(4096)": (a) and (b) of lesson 11, where they are described;
- the rest: ``notebooks/runs/recipe_once.ipynb`` with the settings of lesson 12.

Prints a table, and writes ``recipes.json`` and ``recipes.png`` into ``docs/results/benchmarks``, for README and site.
What is in the first file is not run again: delete it to measure anew, which takes hours. All recipes of a seed must run
on one machine, as the seconds of one limit the others; the table shows the seconds of the last seed.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.clock import cpu_seconds
from course.run.recipes import LONGER, ROWS, TEST_PICTURES, TUTORIALS, draw, read_rows, recipe_table

SEEDS = 3
ROOT = Path(__file__).resolve().parent.parent
BEST: dict[str, object] = {"EPOCHS": 20, "AUGMENT": "flips and crops", "VIEWS": 2}
COURSE: dict[str, dict[str, object]] = {
    "SVM on features": {"LEARNS": "SVM"},
    "lesson 06": {},
    "lesson 06, 4 epochs, two views": {"EPOCHS": 4, "VIEWS": 2},
    "best of lesson 12, 3 epochs": BEST | {"EPOCHS": 3},
    "best of lesson 12, 6 epochs": BEST | {"EPOCHS": 6},
    "best of lesson 12, 12 epochs": BEST | {"EPOCHS": 12},
    "best of lesson 12": BEST,
}


class Bench:
    """The pictures, the network, and what the tutorials share.

    Attributes:
        data: the pictures and labels, as ``load_data`` gives them.
        base: MobileNet without its top, from pixels in [0, 255]; its preprocessing is its own first layer.
        last_block: the layers of its last block.
    """

    def __init__(self, seed: int) -> None:
        import helpers.quiet  # noqa: F401
        from helpers.data import load_data
        from helpers.models import build_backbone
        from helpers.profiles import PROFILES

        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        profile = replace(PROFILES["cifar10-cpu"], train_size=10000, validation_size=1000, test_size=TEST_PICTURES)
        self.seed, self.size, self.data = seed, profile.image_size, load_data(profile, seed)
        self.began = cpu_seconds()
        keras.utils.set_random_seed(seed)
        backbone = build_backbone(profile.backbone, profile)
        self.base, self.last_block = backbone.model, backbone.layers_of(list(backbone.blocks)[-1])

    def batches(self, part: str, batch_size: int = 128):
        """Return batches of the pictures and labels of a part; shuffled if they are for training."""
        from helpers.data import make_dataset

        images, labels = getattr(self.data, f"x_{part}"), getattr(self.data, f"y_{part}")
        options = {"image_size": self.size, "batch_size": batch_size, "seed": self.seed}
        return make_dataset(images, labels, **options, shuffle=part == "train")

    def model(self, augment: list, head: list):
        """Return augmentation, frozen network and head as one model."""
        import keras

        self.base.trainable = False
        pixels = maps = keras.Input((self.size, self.size, 3))
        for layer in augment:
            maps = layer(maps)
        maps = self.base(maps, training=False)
        for layer in head:
            maps = layer(maps)
        return keras.Model(pixels, maps)


Phases = Iterator[tuple]  # model, optimizer, batch size, for ten epochs each


def tensorflow_tutorial(bench: Bench) -> Phases:
    """Yield the two phases of the tutorial of TensorFlow."""
    from keras import layers, optimizers

    augment = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)]
    model = bench.model(augment, [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(10)])
    yield model, optimizers.Adam(1e-4), 32
    bench.base.trainable = True
    for layer in bench.base.layers[: 2 * len(bench.base.layers) // 3]:
        layer.trainable = False
    yield model, optimizers.RMSprop(1e-5), 32


def keras_guide(bench: Bench) -> Phases:
    """Yield the two phases of the guide of Keras."""
    from keras import layers, optimizers

    augment = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
    model = bench.model(augment, [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(10)])
    yield model, optimizers.Adam(), 64
    bench.base.trainable = True
    yield model, optimizers.Adam(1e-5), 64


def wide_head(bench: Bench) -> Phases:
    """Yield the two phases of (a) of lesson 11; ``layers[-4:]`` is read as the last block."""
    from keras import layers, optimizers

    dense = [layers.Dense(1024, activation="relu"), layers.Dense(10)]
    model = bench.model([], [layers.GlobalAveragePooling2D(), *dense])
    yield model, optimizers.Adam(1e-4), 32
    bench.base.trainable = True
    for layer in bench.base.layers:
        layer.trainable = layer in bench.last_block
    yield model, optimizers.Adam(1e-5), 32


def old_top(bench: Bench) -> Phases:
    """Yield the only phase of (b) of lesson 11."""
    from keras import layers, optimizers

    dense = [layers.Dense(4096, activation="relu"), layers.Dense(4096, activation="relu"), layers.Dense(10)]
    yield bench.model([], [layers.Flatten(), *dense]), optimizers.Adam(), 32


PHASES: dict[str, Callable[[Bench], Phases]] = dict(
    zip(TUTORIALS, (tensorflow_tutorial, keras_guide, wide_head, old_top), strict=True)
)


def run_tutorial(name: str, seed: int, budget: float) -> list[dict]:
    """Train a tutorial's recipe as printed, then on until ``budget`` CPU seconds are spent; return a row for each."""
    import resource

    bench = Bench(seed)

    import keras

    spent, tested = 0.0, 0.0
    best: tuple[float, list] = (0.0, [])

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict) -> None:
            nonlocal spent, best
            spent = cpu_seconds() - bench.began - tested
            if logs["val_accuracy"] > best[0]:
                best = (logs["val_accuracy"], self.model.get_weights())

    def row(kind: str, model: keras.Model) -> dict:
        test = model.evaluate(bench.batches("test"), verbose=0, return_dict=True)["accuracy"]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"recipe": f"{name}{kind}", "seed": seed, "test": test, "seconds": spent, "memory": memory}

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"validation_data": bench.batches("validation"), "callbacks": [Watch()], "shuffle": False, "verbose": 0}
    for model, optimizer, batch_size in PHASES[name](bench):
        model.compile(optimizer, loss, metrics=["accuracy"])
        batches = bench.batches("train", batch_size)
        model.fit(batches, epochs=10, **options)
    before = cpu_seconds()
    rows = [row("", model)]
    tested = cpu_seconds() - before
    while spent < budget:
        model.fit(batches, epochs=1, **options)
    model.set_weights(best[1])
    return [*rows, row(LONGER, model)]


def run_course(names: list[str], seed: int) -> Iterator[dict]:
    """Run the course's recipes of these names as lesson 12 does, one process for each; yield a row for each."""
    from helpers.execution.engine import Run, run_many
    from helpers.execution.store import Store
    from helpers.notebook.records import METRICS_TYPE, read_records

    notebook = ROOT / "notebooks" / "runs" / "recipe_once.ipynb"
    fixed: dict[str, object] = {"PROFILE": "cifar10-cpu", "SEED": seed, "TRAIN_SIZE": 10000, "TEST_SIZE": TEST_PICTURES}
    with tempfile.TemporaryDirectory() as folder:
        runs = {Path(folder) / f"{number}.ipynb": name for number, name in enumerate(names)}
        todo = [Run(notebook, fixed | COURSE[name], path) for path, name in runs.items()]
        for run, outcome in run_many(todo, Store(Path(folder) / "store"), jobs=1):
            if outcome.error is not None:
                raise RuntimeError(f"{runs[run.executed]}: {outcome.error}")
            (metrics,) = read_records(run.executed, METRICS_TYPE)
            row = {"recipe": runs[run.executed], "seed": seed, "memory": outcome.peak_memory}
            yield row | {name: metrics[name] for name in ("test", "seconds")}


def main() -> None:
    """Run what has not been measured yet, print the table, and keep it."""
    rows = read_rows()

    def keep(more: list[dict]) -> None:
        rows.extend(more)
        ROWS.parent.mkdir(parents=True, exist_ok=True)
        ROWS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    def measured(name: str, seed: int) -> list[dict]:
        return [row for row in rows if row["recipe"] == name and row["seed"] == seed]

    for seed in range(SEEDS):
        for row in run_course([name for name in COURSE if not measured(name, seed)], seed):
            keep([row])
        budget = measured("best of lesson 12", seed)[0]["seconds"]
        for name in TUTORIALS:
            if not measured(name, seed):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    keep(pool.apply(run_tutorial, (name, seed, budget)))
    table = recipe_table(rows)
    print(table.round(4).to_string())
    draw(table)


if __name__ == "__main__":
    main()
