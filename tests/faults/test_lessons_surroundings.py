"""What a lesson meets: Keras set up by another course, random layers, notebooks that a sweep cannot run."""

import json
import os
import subprocess
import sys

import nbformat
import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.data import make_dataset
from helpers.sweeps import SweepError, run_sweep

import keras

BEGIN = """
import numpy, helpers.notebook
helpers.notebook.begin("mini", 0)
import keras
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(), keras.config.dtype_policy().name)
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"image_data_format": "channels_first"},
        {"floatx": "float16"},
        {"floatx": "float64", "epsilon": 1e-3},
        {"backend": "jax"},
        {"dtype_policy": "mixed_float16"},
    ],
)
def test_keras_of_another_course_is_set_right_and_that_is_said(tmp_path, settings):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)} | (
        {"KERAS_BACKEND": "jax"} if "backend" in settings else {}
    )
    done = subprocess.run([sys.executable, "-c", BEGIN], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "float32 channels_last 1e-07 float32", done.stderr
    if settings.keys() & {"image_data_format", "floatx", "epsilon"}:
        assert "Set for this course: " in done.stdout
    if "backend" in settings:
        assert "KERAS_BACKEND was jax" in done.stdout


IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
LABELS = np.arange(24) % 3
LAYERS = keras.layers
ONE_HOT = np.eye(3, dtype="float32")[LABELS]


@pytest.mark.parametrize(
    "name, options",
    [
        ("GaussianNoise", {"stddev": 0.9}),
        ("GaussianDropout", {"rate": 0.3}),
        ("Dropout", {"rate": 0.3}),
        ("SpatialDropout2D", {"rate": 0.5}),
        ("RandomBrightness", {"factor": 0.5}),
        ("RandomContrast", {"factor": 0.5}),
        ("RandomTranslation", {"height_factor": 0.4, "width_factor": 0.4}),
        ("RandomRotation", {"factor": 0.3}),
        ("RandomZoom", {"height_factor": 0.4}),
        ("RandomFlip", {}),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_random_layers_work_as_in_training_and_alike_in_two_runs(name, options, inside):
    def batches():
        keras.utils.set_random_seed(3)
        layer = getattr(LAYERS, name)(**options, seed=1)
        layer = keras.Sequential([layer]) if inside else layer
        dataset = make_dataset(IMAGES, LABELS, image_size=8, batch_size=6, augment=layer)
        return [np.concatenate([images for images, _ in dataset]) for _ in range(2)]

    first, again = batches(), batches()
    assert np.mean(np.any(first[0] != IMAGES, axis=(1, 2, 3))) > 0.3
    assert not np.array_equal(first[0], first[1])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_layers_that_blend_labels_get_them_or_are_refused(name):
    layer = getattr(LAYERS, name)(seed=1)
    for labels in (LABELS, None, LABELS.astype("float32")):
        with pytest.raises(ValueError, match="one-hot labels"):
            make_dataset(IMAGES, labels, image_size=8, augment=layer)
    with pytest.raises(ValueError, match="passes no labels on"):
        make_dataset(IMAGES, ONE_HOT, image_size=8, augment=keras.Sequential([LAYERS.RandomFlip(), layer]))
    for augment in (layer, LAYERS.Pipeline([LAYERS.RandomFlip(), layer])):
        ((images, labels),) = make_dataset(IMAGES, ONE_HOT, image_size=8, batch_size=24, augment=augment)
        assert labels.shape == (24, 3) and np.allclose(labels.numpy().sum(axis=1), 1)
        assert np.any((labels.numpy() > 0.01) & (labels.numpy() < 0.99)) and not np.array_equal(images, IMAGES)


def write_notebook(path, parameters, rest="", kernel="python3", language="python"):
    cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(rest)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    if kernel:
        notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": language}
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize(
    ("notebook", "point", "message"),
    [
        ({"parameters": "N: int | None = None"}, {"N": 3}, "papermill cannot read N"),
        ({"parameters": "N: 'int' = 3\nM: list[int] | None = None"}, {"N": 3}, "papermill cannot read"),
        ({"parameters": "N = None"}, {"N": 3}, "default None"),
        ({"parameters": "N = 3", "rest": "N = 5"}, {"N": 4}, "another one in a later cell"),
        ({"parameters": "N = 3", "rest": "M, N = 1, 2\nN: int = 5"}, {"N": 4}, "another one in a later cell"),
        ({"parameters": "N = 3", "kernel": None}, {"N": 4}, "names no kernel"),
        ({"parameters": "N <- 3", "kernel": "ir", "language": "R"}, {"N": 4}, "a notebook for R"),
        ({"parameters": "N = 3", "kernel": "julia-1.10", "language": "julia"}, {"N": 4}, "a notebook for julia"),
        ({"parameters": "N = print"}, {"N": 4}, "plain number, text or truth value"),
    ],
)
def test_notebooks_that_a_sweep_cannot_run_are_told_why(tmp_path, notebook, point, message):
    path = write_notebook(tmp_path / "a.ipynb", **notebook)
    with pytest.raises(SweepError, match=message):
        run_sweep(path, [point], tmp_path / "sweep")
