"""Where data and weights come from: the bundle first, then Keras' own cache, then the network.

Downloads go to the standard place, Keras' own folder (``KERAS_HOME``, else ``~/.keras``).
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.bundle import SourceError, bundle_folder, sha256_of

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 30, 3


@dataclass(frozen=True)
class Source:
    """A data set that can be downloaded.

    Attributes:
        file_name: its name in Keras' cache.
        also_known_as: other names under which Keras itself may have stored the same file.
        urls: where it can be had; the first that gives the right file serves.
        sha256, bytes: what the whole file must be.
        licence: under which terms it may be used.
    """

    file_name: str
    also_known_as: tuple[str, ...]
    urls: tuple[str, ...]
    sha256: str
    bytes: int
    licence: str


SOURCES = {
    "cifar10": Source(
        file_name="cifar-10-python.tar.gz",
        also_known_as=("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz"),
        urls=(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        ),
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        bytes=170498071,
        licence="none stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    ),
}


def keras_folder(kind: str) -> Path:
    """Return Keras' own folder for ``kind`` ("datasets" or "models"); it may not exist."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / kind


def find_file(kind: str, name: str) -> Path | None:
    """Look for ``kind/name`` ("models" or "datasets") in the bundle, then in Keras' cache.

    Raises:
        SourceError: COURSE_BUNDLE is set, and the bundle is damaged.
    """
    bundle = bundle_folder()
    places = ([bundle / kind / name] if bundle else []) + [keras_folder(kind) / name]
    return next((place for place in places if place.exists()), None)


def missing_message(name: str, kind: str) -> str:
    """Say that a file is missing, and what the reader can do."""
    return (
        f"{name} is not in the bundle, not in {keras_folder(kind)}, and cannot be downloaded now. "
        "You can: wait and try again; set COURSE_BUNDLE to the folder of a course bundle; "
        'or set PROFILE = "mini", which needs no download.'
    )


def check_reachable(url: str, name: str) -> None:
    """Raise an error within seconds if the host of ``url`` does not answer.

    Keras' own downloads have no time limit. This keeps a room without internet from waiting for minutes.

    Raises:
        SourceError: no answer.
    """
    import requests

    try:
        requests.head(url, timeout=CONNECT_SECONDS, allow_redirects=True)
    except requests.RequestException as error:
        raise SourceError(f"No answer from {url} ({type(error).__name__}). {missing_message(name, 'models')}") from None


def download(name: str) -> Path:
    """Return the file of ``SOURCES[name]`` in Keras' cache, and download it first if it is not there.

    The file is written under a temporary name, checked, and only then gets its own: a failed or cut
    download leaves nothing behind that a later run would trust.

    Raises:
        SourceError: no address gave the right file. The message lists what was tried.
    """
    source = SOURCES[name]
    folder = keras_folder("datasets")
    for file_name in (source.file_name, *source.also_known_as):
        path = folder / file_name
        if path.is_file() and path.stat().st_size == source.bytes and sha256_of(path) == source.sha256:
            return path
    waiting, failures = list(source.urls), {}
    for attempt in range(ATTEMPTS):
        if attempt and waiting:
            time.sleep(attempt)
        for url in list(waiting):
            try:
                return fetch(url, source, folder)
            except Exception as error:  # whatever went wrong here, the next address may work
                failures[url] = f"{type(error).__name__}: {str(error)[:200]}"
                if never_connected(error):
                    waiting.remove(url)
    tried = "\n".join(f"  {url}: {failure}" for url, failure in failures.items())
    raise SourceError(f"{missing_message(source.file_name, 'datasets')}\nTried:\n{tried}")


def fetch(url: str, source: Source, folder: Path) -> Path:
    """Download one file with a progress bar and check its sha256."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
    return Path(
        pooch.retrieve(url, f"sha256:{source.sha256}", fname=source.file_name, path=folder, downloader=downloader)
    )


def never_connected(error: Exception) -> bool:
    """Tell a host that cannot be reached (trying again is useless) from a transfer that broke off."""
    import requests
    import urllib3

    return isinstance(error, requests.ConnectionError) and any(
        isinstance(cause, urllib3.exceptions.MaxRetryError) for cause in error.args
    )
