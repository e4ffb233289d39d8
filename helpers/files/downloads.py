"""Where data and weights come from: the bundle first, then Keras' own cache, then the network.

Downloads go to the standard place, Keras' own folder (``KERAS_HOME``, else ``~/.keras``).

Nothing is taken, from there or from the network, that is not what it should be: its size and digest are compared where
its publisher names them, and the file must open as what its name says (HDF5, gzip, JSON, zip).
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from helpers.files.bundle import MissingSourceError, SourceError, bundle_file, digest_of
from helpers.files.cache import writable_folder
from helpers.files.home import without_tilde

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
    return without_tilde(os.environ.get("KERAS_HOME") or "~/.keras") / kind


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
    folder, failures = keras_folder(source.kind), {}
    for path in (folder / name for name in (source.name, *source.also_known_as)):
        if path.is_file():
            damage = damage_of(path, source)
            if damage is None:
                return path
            failures[str(path)] = f"this file is damaged ({damage}); delete it"
    waiting = list(source.urls)
    for attempt in range(_ATTEMPTS):
        if attempt and waiting:
            time.sleep(attempt)
        for url in list(waiting):
            if attempt == 0 and (reason := why_no_answer(url)):
                failures[url] = reason
                waiting.remove(url)
                continue
            try:
                return _download(url, source, writable_folder(folder, "the variable KERAS_HOME"))
            except (ConnectionError, TimeoutError, ValueError) as error:  # the next try or address may work
                failures[url] = str(error)[:400]
    tried = "\n".join(f"  {url}: {failure}" for url, failure in failures.items())
    raise MissingSourceError(
        f"{source.name} is not in the bundle, not in {folder}, and cannot be downloaded now. "
        "You can: wait and try again; set COURSE_BUNDLE to the folder of a course bundle; "
        f'or set PROFILE = "mini", which needs no download.\nTried:\n{tried}'
    )


def damage_of(path: Path, source: Source) -> str | None:
    """Return why a file is not the one of a source, as far as that can be known; None if nothing is wrong."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(512).lstrip().lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return (
            "it is a web page, such as the log-in page of a network or a page of an error. Open a page in a browser "
            "and log in, then try again"
        )
    if source.bytes not in (None, size):
        return f"it has {size:,} bytes, not {source.bytes:,}"
    if source.digest is not None:
        algorithm, digest = source.digest.split(":")
        return None if digest_of(path, algorithm) == digest else f"it has not the {algorithm} that its publisher names"
    return _damage_of_content(path, source.name)


def _damage_of_content(path: Path, name: str) -> str | None:
    """Return why a file cannot be opened as what its name says, or None."""
    try:
        if name.endswith(".h5"):
            import h5py

            with h5py.File(path) as file:
                return None if len(file) else "it is empty"
        if name.endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
        elif name.endswith(".gz"):
            with gzip.open(path) as unpacked:
                while unpacked.read(1 << 20):
                    pass
        elif name.endswith((".npz", ".zip", ".keras")) and not zipfile.is_zipfile(path):
            return "it is no zip archive"
    except (OSError, EOFError, ValueError, RecursionError) as error:  # zlib.error, too, comes as one of these
        return f"it cannot be opened: {str(error)[:200] or type(error).__name__}"
    return None


def why_no_answer(url: str) -> str | None:
    """Return within seconds why a host does not answer and what to do, or None if it answers.

    Name look-ups have no time limit of their own.
    """
    import requests

    found: list[str | None] = []

    def ask() -> None:
        try:
            status = requests.head(url, timeout=_CONNECT_SECONDS).status_code
            found.append(explain_status(status) if status == requests.codes.proxy_authentication_required else None)
        except (OSError, ValueError) as error:  # requests' own are OSErrors; urllib3 has others
            found.append(explain(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * _CONNECT_SECONDS)
    return found[0] if found else f"no answer in {2 * _CONNECT_SECONDS} seconds; wait and try again"


def explain(error: Exception) -> str:
    """Return why a transfer failed and what to do about it, in one sentence.

    Args:
        error: what ``requests`` raised.
    """
    import requests

    words = str(error)
    proxies = "the variables HTTPS_PROXY and HTTP_PROXY"
    response = getattr(error, "response", None)
    if response is not None:
        return explain_status(response.status_code)
    if "407" in words or "Proxy Authentication" in words:
        return explain_status(407)
    if isinstance(error, requests.exceptions.SSLError) or "CERTIFICATE_VERIFY_FAILED" in words:
        return (
            "its certificate is not trusted; if your network has a certificate of its own, set REQUESTS_CA_BUNDLE to "
            "its file (ask who runs the network), and check the clock of this machine"
        )
    if isinstance(error, requests.exceptions.ProxyError) or "SOCKS" in words:
        return f"the proxy does not answer; correct or unset {proxies}"
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return f"the address of the proxy is no address; correct or unset {proxies}"
    if "CA certificate bundle" in words or "CA bundle" in words:
        return "the file that REQUESTS_CA_BUNDLE names is not there; correct or unset this variable"
    if isinstance(error, requests.Timeout):
        return "no answer in time; wait and try again"
    if any(part in words for part in ("NameResolutionError", "getaddrinfo", "Failed to resolve")):
        return "its name cannot be looked up: no network, or no name server; connect to the network"
    if "Connection refused" in words:
        return "the host refuses the connection; a firewall may stand between, ask who runs the network"
    if "NewConnectionError" in words or "Failed to establish a new connection" in words:
        return "no connection; connect to the network"
    return f"the transfer broke off ({type(error).__name__}); try again"


def explain_status(status: int) -> str:
    """Return what an HTTP status from 400 on means for a download, and what to do."""
    if status == 407:
        return "the proxy wants a password; write it into the variable HTTPS_PROXY, as http://NAME:PASSWORD@HOST:PORT"
    if status in (401, 403, 451):
        return f"error {status}: the host, or a filter of your network, does not give it; try another network"
    if status in (404, 410):
        return f"error {status}: it is no longer there"
    return f"error {status} of the host; wait and try again"


def _download(url: str, source: Source, folder: Path) -> Path:
    """Download one file with a progress bar and check it.

    Raises:
        ConnectionError: the transfer failed. ValueError: the file is not the right one.
        SourceError: it cannot be stored.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    transfer = pooch.HTTPDownloader(progressbar=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS))

    def transfer_and_check(url: str, output_file: str, mover) -> None:
        transfer(url, output_file, mover)
        if damage := damage_of(Path(output_file), source):
            raise ValueError(f"what came is not {source.name}: {damage}")

    try:
        (folder / source.name).unlink(missing_ok=True)  # a damaged one; pooch would ask for its digest
        return Path(pooch.retrieve(url, None, fname=source.name, path=folder, downloader=transfer_and_check))
    except requests.RequestException as error:
        raise ConnectionError(explain(error)) from error
    except OSError as error:
        raise SourceError(f"{source.name} cannot be stored in {folder}: {error}. Make room there.") from error
