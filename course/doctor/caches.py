"""Look into the cache folders: whether they can be written, what is broken in them, what is there already."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from course.offline.check_bundle import damage_of_weights
from course.offline.needs import Need
from helpers.files.downloads import SOURCES, damage_of, keras_folder
from helpers.files.hub_modules import cached_folder
from helpers.files.weights import WEIGHTS, weights_source


def why_not_writable(folder: Path) -> str | None:
    """Return why no file can be written in a folder, or None if one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def broken_in_course(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield damaged features, and what a stopped run left (see ``helpers.files.cache.write_beside``)."""
    for path in sorted(folder.rglob("*")):
        if re.fullmatch(r"\..+-\d+-\d+(\.\w+)?", path.name):
            yield path, "half written, by a lesson that was stopped or is running"
        elif path.suffix == ".npz":
            try:
                with zipfile.ZipFile(path) as archive:
                    damage = archive.testzip()
            except Exception as error:  # a damaged archive fails in many ways
                damage = str(error)
            if damage:
                yield path, f"damaged ({damage})"


def broken_in_keras(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield damaged data and weights, and downloads that were stopped."""
    sources = [*SOURCES.values(), *(weights_source(name) for name, weights in WEIGHTS.items() if weights.digest)]
    known = {folder / source.kind / name: source for source in sources for name in (source.name, *source.also_known_as)}
    for path in sorted([*folder.glob("datasets/*"), *folder.glob("models/*")]):
        if not path.is_file():
            continue
        if re.fullmatch(r"tmp[a-z0-9_]{8}", path.name):  # as pooch names a download that is not finished
            damage: str | None = "half downloaded, by a run that was stopped or is running"
        elif path in known:
            damage = damage_of(path, known[path])
        else:
            damage = damage_of_weights(path) if path.suffix == ".h5" else None
        if damage:
            yield path, damage


def broken_in_hub(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield modules without content, and downloads that were stopped: the next one would wait for them."""
    for path in sorted(folder.glob("*")):
        if path.suffix in (".tmp", ".lock"):
            yield path, "half downloaded, by a run that was stopped or is running"
        elif path.is_dir() and not any(path.rglob("saved_model.pb")):
            yield path, "damaged: there is no saved_model.pb in it"


def is_cached(need: Need) -> bool:
    """Tell whether Keras' cache, or that of TensorFlow Hub, has what a profile needs."""
    if need.source is None:
        return any((cached_folder(address) / "saved_model.pb").exists() for address in need.addresses)
    folder = keras_folder(need.source.kind)
    files = [folder / name for name in (need.source.name, *need.source.also_known_as)]
    return any(file.is_file() and damage_of(file, need.source) is None for file in files)
