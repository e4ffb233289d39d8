"""Run images through a frozen network once, and keep the result on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.data.pipelines import make_dataset
from helpers.files.cache import cache_folder, find_checked, write_checked

import keras
import tensorflow as tf

# Part of each file's name. Raise it when the same model and images give other features than before (a change in the
# resizing or the preprocessing), or when the files are laid out in another way: older files are then no longer read.
_FORMAT = 2
_SAMPLE = 4  # images that are computed each time, to see whether what is kept is still right


def extract_features(
    feature_extractor: keras.Model, images: np.ndarray, *, batch_size: int = 128, cache: bool = True
) -> np.ndarray:
    """Compute the features of images, or read them from the cache of an earlier run.

    Args:
        feature_extractor: takes ``(batch, size, size, 3)`` pixels in [0, 255].
        images: ``(n, height, width, 3)`` uint8; resized to what ``feature_extractor`` takes.
        batch_size: images computed at a time.
        cache: keep the features on disk. The file's name depends on the architecture, weights, preprocessing and image
            size, and on the images; its content must be what was written. What a name cannot show, such as the code of
            a ``Lambda`` or of your own layer, is found by computing a few of the images again: if a feature differs by
            more than a ten-thousandth of the largest, all are computed again.

    Returns:
        ``(n, ...)`` float32: the outputs of ``feature_extractor`` in inference mode.

    Raises:
        CacheFolderError: the cache folder cannot be written. (If its disk gets full, the features are returned.)
        ValueError: the model takes no square colour images, or has several outputs.
    """
    check_extractor(feature_extractor)
    if not cache:
        return compute_features(feature_extractor, images, batch_size)
    folder, key = cache_folder("features"), cache_key(feature_extractor, images)
    features = _read(find_checked(folder, key, ".npz"), len(images))
    if features is None or not agrees(feature_extractor, images, features):
        features = compute_features(feature_extractor, images, batch_size)
        try:
            for old in folder.glob(f"{key}.*.npz"):
                old.unlink()
            with write_checked(folder, key, ".npz") as temporary:
                np.savez(temporary, features=features)
        except OSError as error:
            print(f"The features cannot be kept in {folder} ({error.strerror or error}): they are computed each time.")
    return features


def check_extractor(model: keras.Model) -> None:
    """Raise a ValueError unless a model takes one batch of square colour images, and has one output."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"A feature extractor is a keras.Model, not {type(model).__name__}.")
    inputs = getattr(model, "input_shape", None) if hasattr(model, "inputs") else None
    outputs = getattr(model, "outputs", None) or []
    if inputs is None or len(outputs) != 1 or isinstance(inputs, dict | list) or len(inputs) != 4:
        raise ValueError(
            f"The feature extractor {model.name!r} must be a functional or sequential model with one input "
            f"(size, size, 3) and one output; it has the input {inputs} and {len(outputs)} outputs. Build it with "
            "keras.Model(inputs, output)."
        )
    if inputs[1] != inputs[2] or inputs[3] not in (3, None):
        raise ValueError(
            f"The feature extractor {model.name!r} takes images {inputs[1:]}; wanted are square colour images, such as "
            "(96, 96, 3)."
        )


def compute_features(feature_extractor: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Run the images through the network, a batch at a time; a network for any size takes them as they are."""
    image_size = feature_extractor.input_shape[1]
    dataset = make_dataset(images, image_size=image_size, batch_size=batch_size)
    return feature_extractor.predict(dataset, verbose=0).astype(np.float32, copy=False)


def agrees(feature_extractor: keras.Model, images: np.ndarray, kept: np.ndarray) -> bool:
    """Tell whether what is kept of images is what the network gives for them now, by trying a few of them.

    Args:
        feature_extractor, images: as of ``extract_features``.
        kept: ``(n, ...)`` float32 or float16, the outputs for all images.
    """
    if not len(images):
        return len(kept) == 0
    rows = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))
    dataset = make_dataset(images[rows], image_size=feature_extractor.input_shape[1], batch_size=_SAMPLE)
    (batch,) = dataset
    now = keras.ops.convert_to_numpy(feature_extractor(batch, training=False)).astype(np.float32)
    there = np.asarray(kept[rows], np.float32)
    tolerance = (1e-3 if kept.dtype == np.float16 else 1e-4) * np.nanmax(np.abs(now), initial=0)
    if there.shape == now.shape and np.allclose(there, now, rtol=0, atol=tolerance, equal_nan=True):
        return True
    print("What is kept of these pictures is not what the network gives for them now: all are computed again.")
    return False


def cache_key(feature_extractor: keras.Model, images: np.ndarray) -> str:
    """Return a name that changes with anything that the features depend on."""
    digest = hashlib.blake2b(digest_size=20)
    layers = _number_names(feature_extractor.get_config())
    described = [_FORMAT, keras.__version__, tf.__version__, feature_extractor.input_shape, layers]
    digest.update(json.dumps(described, default=str, sort_keys=True).encode())
    for weight in feature_extractor.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    digest.update(str((images.shape, images.dtype)).encode())
    for start in range(0, len(images), 1024):  # images may be more than the memory holds
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


def _number_names(config: dict) -> dict:
    """Replace each layer's name by a number: Keras counts names up, so the same model gets others next time."""
    numbers: dict[str, str] = {}

    def collect(value) -> None:
        if isinstance(value, dict):
            if str(value.get("class_name")).endswith("DTypePolicy"):
                return  # its name is no layer's
            if isinstance(value.get("name"), str):
                numbers.setdefault(value["name"], f"layer {len(numbers)}")
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                collect(part)

    def replace(value):
        if isinstance(value, dict):
            return {key: replace(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [replace(part) for part in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    collect(config)
    return replace(config)


def _read(path: Path | None, count: int) -> np.ndarray | None:
    """Return the features in a cache file, or None if it is missing or holds something else."""
    if path is None:
        return None
    try:
        with np.load(path) as arrays:
            features = arrays["features"]
    except Exception:  # not one of these files, whatever its name says
        return None
    return features if features.dtype == np.float32 and len(features) == count else None
