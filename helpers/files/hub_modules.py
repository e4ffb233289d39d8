"""Find the folder of a TensorFlow Hub module: a folder, an archive, a name in the bundle, or an address.

What is unpacked or downloaded is kept in ``TFHUB_CACHE_DIR``, as ``tensorflow_hub`` does; where this variable is not
set, in the course's cache folder. The standard place of ``tensorflow_hub`` is one for all users of a machine, who could
exchange one another's modules.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from helpers import ASSETS
from helpers.files.bundle import bundle_folder, digest_of
from helpers.files.cache import cache_root, writable_folder, write_beside
from helpers.files.downloads import why_no_answer
from helpers.files.home import without_tilde

_EMBEDDED_MODULES = ASSETS / "networks"
_LISTING = "course_files.json"  # in an unpacked archive: its files and their sizes


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
    try:
        path = without_tilde(handle)
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # too long, a NUL in it, no right to look
        shown = handle if len(handle) < 100 else f"{handle[:100]}…"
        reason = getattr(error, "strerror", None) or error
        raise HubModuleError(f"{shown!r} is no handle of a module ({reason}). Check the spelling.") from error
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
    return without_tilde(os.environ.get("TFHUB_CACHE_DIR") or cache_root() / "hub")


def cached_folder(address: str) -> Path:
    """Return where ``tensorflow_hub`` keeps a module: in a folder named after the address, without its query."""
    return cache_of_modules() / hashlib.sha1(address.split("?")[0].encode()).hexdigest()


def _unpack(archive: Path) -> Path:
    """Unpack an archive into the cache, once, and return the module's folder.

    Raises:
        HubModuleError: it is cut, no archive, or holds no module. Nothing of it is left behind.
    """
    folder = cache_of_modules() / digest_of(archive, "sha1")
    if not _is_module(folder):  # also where somebody cleared a part of it away
        if folder.exists():
            shutil.rmtree(folder)
        writable_folder(folder.parent, "the variable TFHUB_CACHE_DIR")
        with write_beside(folder) as temporary:
            try:
                with tarfile.open(archive) as opened:
                    opened.extractall(temporary, filter="data")
            except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise HubModuleError(
                        f"{archive} cannot be unpacked in {folder.parent} ({error.strerror}). Make room there, or set "
                        "TFHUB_CACHE_DIR to another folder."
                    ) from error
                if zipfile.is_zipfile(archive):
                    raise HubModuleError(
                        f"{archive} is a zip, and modules come as .tar.gz or .tar. Unpack it, and name its folder."
                    ) from error
                raise HubModuleError(f"{archive} is cut or no tar archive ({error}). Copy it again.") from error
            names = [path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file()]
            if not any(name.rsplit("/", 1)[-1] == "saved_model.pb" for name in names):
                raise HubModuleError(f"{archive} holds no saved_model.pb, so it is no archive of a module.")
            (temporary / _LISTING).write_text(json.dumps({name: (temporary / name).stat().st_size for name in names}))
    return next(folder.rglob("saved_model.pb")).parent


def _is_module(folder: Path) -> bool:
    """Tell whether an unpacked archive is whole: all its files are there, with their sizes."""
    try:
        sizes = json.loads((folder / _LISTING).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _fetch_module(address: str) -> Path:
    """Return the module of an address from the cache; download it with ``tensorflow_hub`` if it is not there.

    Raises:
        HubModuleError: there is no network, or no module at this address.
    """
    cached = cached_folder(address)
    if (cached / "saved_model.pb").exists():
        return cached
    if reason := why_no_answer(address):
        raise HubModuleError(
            f"No answer from {address} ({reason}), and it is not in {cached.parent}. Wait and try again, or name a "
            "folder or an archive with the module, or one of the bundle's."
        )
    import tensorflow_hub

    os.environ["TFHUB_CACHE_DIR"] = str(writable_folder(cached.parent, "the variable TFHUB_CACHE_DIR"))
    if cached.is_dir():  # somebody cleared its files away; tensorflow_hub would take what is left
        shutil.rmtree(cached)
    try:
        folder = Path(tensorflow_hub.resolve(address))
    except Exception as error:  # tensorflow_hub raises whatever its downloaders raise
        raise HubModuleError(f"There is no module to be had at {address}: {str(error)[:400]}") from error
    if not (folder / "saved_model.pb").exists():
        raise HubModuleError(f"What {address} gives is no TF2 module: there is no saved_model.pb in {folder}.")
    return folder
