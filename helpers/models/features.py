"""Run images through a frozen network once, and keep the result on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.data.pipelines import make_dataset
from helpers.files.cache import cache_folder, write_beside

import keras
import tensorflow as tf

# Part of each file's name. Raise it when the same model and images give other features than before (a change in the
# resizing or the preprocessing), or when the files are laid out in another way: older files are then no longer read.
_FORMAT = 1


def extract_features(
    feature_extractor: keras.Model, images: np.ndarray, *, batch_size: int = 128, cache: bool = True
) -> np.ndarray:
    """Compute the features of images, or read them from the cache of an earlier run.

    Args:
        feature_extractor: takes ``(batch, size, size, 3)`` pixels in [0, 255].
        images: ``(n, height, width, 3)`` uint8; resized to what ``feature_extractor`` takes.
        batch_size: images computed at a time.
        cache: keep the features on disk. The file's name depends on everything that the features depend
            on: architecture, weights, preprocessing, image size, images.

    Returns:
        ``(n, ...)`` float32: the outputs of ``feature_extractor`` in inference mode.

    Raises:
        CacheFolderError: the cache folder cannot be written.
    """
    if not cache:
        return compute_features(feature_extractor, images, batch_size)
    path = cache_folder("features") / f"{cache_key(feature_extractor, images)}.npz"
    features = _read(path, len(images))
    if features is None:
        features = compute_features(feature_extractor, images, batch_size)
        with write_beside(path) as temporary:
            np.savez(temporary, features=features)
    return features


def compute_features(feature_extractor: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Run the images through the network, a batch at a time."""
    image_size = feature_extractor.input_shape[1]
    dataset = make_dataset(images, image_size=image_size, batch_size=batch_size)
    return feature_extractor.predict(dataset, verbose=0).astype(np.float32, copy=False)


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


def _read(path: Path, count: int) -> np.ndarray | None:
    """Return the features in a cache file, or None if it is missing, damaged or of another length."""
    try:
        with np.load(path) as arrays:
            features = arrays["features"]
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive fails in many ways
        print(f"The cached features in {path} are damaged; they are computed again.")
        return None
    return features if len(features) == count else None
