"""Find the folder of a TensorFlow Hub module: a folder, an archive, a name in the bundle, or an address.

What is unpacked or downloaded is kept in ``TFHUB_CACHE_DIR``, the standard place of ``tensorflow_hub``.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from helpers import ASSETS
from helpers.files.bundle import bundle_folder, digest_of
from helpers.files.cache import writable_folder, write_beside
from helpers.files.downloads import answers

_EMBEDDED_MODULES = ASSETS / "networks"


class HubModuleError(ValueError):
    """A handle leads to no module, or to one that cannot be used as asked."""


def find_module(handle: str) -> Path:
    """Return the folder that holds the module's ``saved_model.pb``.

    Args:
        handle: a folder; a ``.tar.gz`` or ``.tar`` of one; the name of the embedded module
            ("mini_mobilenet_hub") or of one in the bundle's ``hub`` folder; or an address that
            ``tensorflow_hub`` knows (tfhub.dev, Kaggle, any archive on the web).

    Raises:
        HubModuleError: it leads nowhere, or to something that is no module.
        SourceError: COURSE_BUNDLE is set, and the bundle is damaged.
    """
    if handle.startswith(("http://", "https://")):
        return _fetch_module(handle)
    path = Path(handle).expanduser()
    if path.is_dir():
        if not (path / "saved_model.pb").exists():
            raise HubModuleError(f"{path} is no module: there is no saved_model.pb in it. Name the folder that has it.")
        return path
    if path.is_file():
        return _unpack(path)
    embedded = _EMBEDDED_MODULES / handle
    folder = embedded if embedded.is_dir() else bundle_folder(f"hub/{handle}")
    if folder is None or not (folder / "saved_model.pb").exists():
        raise HubModuleError(
            f"{handle!r} is no folder, no archive, and no module in the bundle. Check the spelling, and that the path "
            "is right from here, or give an address that begins with https://."
        )
    return folder


def first_module(handles: Sequence[str]) -> str:
    """Return the first of several handles that leads to a module.

    Args:
        handles: handles of the same module in different places, or of one that may take its place.

    Raises:
        HubModuleError: none does; the message says why for each.
        SourceError: COURSE_BUNDLE is set, and the bundle is damaged.
    """
    failures = []
    for handle in handles:
        try:
            find_module(handle)
        except HubModuleError as error:
            failures.append(f"  {error}")
        else:
            return handle
    raise HubModuleError(
        "The hub module is nowhere to be had now. You can: wait and try again; set COURSE_BUNDLE to the folder of a "
        'course bundle; or set PROFILE = "mini", which needs no download.\nTried:\n' + "\n".join(failures)
    )


def cache_of_modules() -> Path:
    """Return the folder where ``tensorflow_hub`` keeps modules; it may not exist."""
    return Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir()) / "tfhub_modules")


def cached_folder(address: str) -> Path:
    """Return where ``tensorflow_hub`` keeps a module: in a folder named after the address, without its query."""
    return cache_of_modules() / hashlib.sha1(address.split("?")[0].encode()).hexdigest()


def _unpack(archive: Path) -> Path:
    """Unpack an archive into the cache, once, and return the module's folder.

    Raises:
        HubModuleError: it is cut, no archive, or holds no module. Nothing of it is left behind.
    """
    folder = cache_of_modules() / digest_of(archive, "sha1")
    if not folder.exists():
        writable_folder(folder.parent, "the variable TFHUB_CACHE_DIR")
        with write_beside(folder) as temporary:
            try:
                with tarfile.open(archive) as opened:
                    opened.extractall(temporary, filter="data")
            except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
                raise HubModuleError(f"{archive} is cut or no tar archive ({error}). Copy it again.") from error
            if not list(temporary.rglob("saved_model.pb")):
                raise HubModuleError(f"{archive} holds no saved_model.pb, so it is no archive of a module.")
    return next(folder.rglob("saved_model.pb")).parent


def _fetch_module(address: str) -> Path:
    """Return the module of an address from the cache; download it with ``tensorflow_hub`` if it is not there.

    Raises:
        HubModuleError: there is no network, or no module at this address.
    """
    cached = cached_folder(address)
    if (cached / "saved_model.pb").exists():
        return cached
    if not answers(address):
        raise HubModuleError(
            f"No answer from {address}, and it is not in {cached.parent}. Wait and try again, or name a folder or an "
            "archive with the module, or one of the bundle's."
        )
    import tensorflow_hub

    try:
        return Path(tensorflow_hub.resolve(address))
    except Exception as error:  # tensorflow_hub raises whatever its downloaders raise
        raise HubModuleError(f"There is no module to be had at {address}: {error}") from error
