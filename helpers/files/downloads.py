"""Where data and weights come from: the bundle first, then Keras' own cache, then the network.

Downloads go to the standard place, Keras' own folder (``KERAS_HOME``, else ``~/.keras``).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.files.bundle import MissingSourceError, SourceError, bundle_file, digest_of
from helpers.files.cache import writable_folder

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5, 30, 3


@dataclass(frozen=True)
class Source:
    """A file that can be downloaded.

    Attributes:
        kind: the folder in the bundle and in Keras' cache: "datasets" or "models".
        name: the file's name there.
        urls: where it can be had; the first that gives the right file serves.
        digest: "sha256:…" or "md5:…" of the whole file; None where its publisher names none.
        bytes: its size, where known.
        licence: under which terms it may be used.
        also_known_as: other names under which Keras itself may have stored it.
    """

    kind: str
    name: str
    urls: tuple[str, ...]
    digest: str | None = None
    bytes: int | None = None
    licence: str = "see its publisher"
    also_known_as: tuple[str, ...] = ()


SOURCES = {
    "cifar10": Source(
        kind="datasets",
        name="cifar-10-python.tar.gz",
        urls=(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        ),
        digest="sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        bytes=170498071,
        licence="none stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        also_known_as=("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz"),
    ),
    "imagenet_classes": Source(
        kind="models",
        name="imagenet_class_index.json",
        urls=("https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",),
        digest="md5:c2c37ea517e94d9795004a39431a14cb",
        bytes=35363,
    ),
}


def keras_folder(kind: str) -> Path:
    """Return Keras' own folder for ``kind`` ("datasets" or "models"); it may not exist."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / kind


def get_file(source: Source) -> Path:
    """Return a file from the bundle, from Keras' cache, or from the network, in this order.

    A download is written under a temporary name, checked, and only then gets its own: a failed or cut
    download leaves nothing behind that a later run would trust.

    Raises:
        MissingSourceError: it is nowhere. The message lists what was tried. Without network it comes
            within seconds.
        SourceError: the bundle is damaged, or the disk is full.
        CacheFolderError: Keras' folder cannot be written.
    """
    packed = bundle_file(f"{source.kind}/{source.name}")
    if packed is not None:
        return packed
    folder = keras_folder(source.kind)
    for name in (source.name, *source.also_known_as):
        if is_whole(folder / name, source):
            return folder / name
    waiting, failures = list(source.urls), {}
    for attempt in range(_ATTEMPTS):
        if attempt and waiting:
            time.sleep(attempt)
        for url in list(waiting):
            if attempt == 0 and not answers(url):
                failures[url] = "no answer"
                waiting.remove(url)
                continue
            try:
                return _download(url, source, writable_folder(folder, "the variable KERAS_HOME"))
            except (ConnectionError, TimeoutError, ValueError) as error:  # the next try or address may work
                failures[url] = str(error)[:200]
    tried = "\n".join(f"  {url}: {failure}" for url, failure in failures.items())
    raise MissingSourceError(
        f"{source.name} is not in the bundle, not in {folder}, and cannot be downloaded now. "
        "You can: wait and try again; set COURSE_BUNDLE to the folder of a course bundle; "
        f'or set PROFILE = "mini", which needs no download.\nTried:\n{tried}'
    )


def is_whole(path: Path, source: Source) -> bool:
    """Tell whether a file is there and is what it must be, as far as that is known."""
    if not path.is_file() or source.bytes not in (None, path.stat().st_size):
        return False
    if source.digest is None:
        return True
    algorithm, digest = source.digest.split(":")
    return digest_of(path, algorithm) == digest


def answers(url: str) -> bool:
    """Tell within seconds whether a host answers; name look-ups have no time limit of their own."""
    import requests

    found = []

    def ask() -> None:
        try:
            requests.head(url, timeout=_CONNECT_SECONDS)
            found.append(True)
        except requests.RequestException:
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * _CONNECT_SECONDS)
    return bool(found)


def _download(url: str, source: Source, folder: Path) -> Path:
    """Download one file with a progress bar and check it.

    Raises:
        ConnectionError: the transfer failed. ValueError: the file is not the right one.
        SourceError: it cannot be stored.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS))
    try:
        return Path(pooch.retrieve(url, source.digest, fname=source.name, path=folder, downloader=downloader))
    except requests.RequestException as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise SourceError(f"{source.name} cannot be stored in {folder}: {error}. Make room there.") from error
