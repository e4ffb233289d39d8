"""The offline bundle: one folder with data, weights and hub modules, for a room without internet.

The variable ``COURSE_BUNDLE`` names it; ``~`` in it is the user's folder. It holds ``datasets/``, ``models/``, ``hub/``
and ``MANIFEST.json`` (the size and the sha256 of each file), and is only ever read. A damaged file stops what needs it,
and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path, PurePosixPath

from helpers.files.home import without_tilde

_checked: set[tuple] = set()  # files whose sha256 was right: with its size and its time of change


class SourceError(RuntimeError):
    """Something that the lesson needs is missing or damaged."""


class MissingSourceError(SourceError):
    """Something that the lesson needs is not on this machine, and cannot be downloaded now."""


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file as hexadecimal text; ``algorithm`` is a name that ``hashlib`` knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def bundle_file(name: str) -> Path | None:
    """Return a file of the bundle, or None if COURSE_BUNDLE is not set or its manifest does not list the file.

    Args:
        name: path inside the bundle, such as "datasets/cifar10.npz".

    Raises:
        SourceError: the folder is not a bundle, or the file is missing, cut or changed.
    """
    folder, files = _open_bundle()
    if name not in files:
        return None
    check_file(folder, name, files[name])
    return folder / name


def bundle_folder(name: str) -> Path | None:
    """Return a folder of the bundle, or None if COURSE_BUNDLE is not set or its manifest lists no file in it.

    Args:
        name: path inside the bundle, such as "hub/mobilenet_v2_035_224_feature_vector".

    Raises:
        SourceError: the bundle's folder is not a bundle, or a file of this folder is missing, cut or changed.
    """
    folder, files = _open_bundle()
    inside = {file: entry for file, entry in files.items() if file.startswith(f"{name}/")}
    for file, entry in inside.items():
        check_file(folder, file, entry)
    return folder / name if inside else None


def bundle_place() -> Path | None:
    """Return the folder that COURSE_BUNDLE names, which may not exist; None if it is not set."""
    place = os.environ.get("COURSE_BUNDLE")
    return without_tilde(place).absolute() if place else None


def _open_bundle() -> tuple[Path, dict[str, dict]]:
    """Return the folder that COURSE_BUNDLE names, and its files as ``read_manifest`` does; none if it is not set."""
    folder = bundle_place()
    return (folder, read_manifest(folder)) if folder else (Path(), {})


def read_manifest(folder: Path) -> dict[str, dict]:
    """Return the manifest's ``files``: path inside the bundle -> {"bytes", "sha256"}.

    A path has ``/`` between its parts and does not lead out of the bundle; "bytes" is a whole number; "sha256" is 64
    hexadecimal digits, small or capital ones. The manifest is UTF-8, with or without a byte-order mark.

    Raises:
        SourceError: there is no manifest, or it is not like this.
    """
    manifest = folder / "MANIFEST.json"
    try:
        files = json.loads(manifest.read_text(encoding="utf-8-sig"))["files"]
        return {name: _check_entry(name, entry["bytes"], entry["sha256"]) for name, entry in files.items()}
    except OSError as error:
        raise SourceError(
            f"{folder} is no bundle: its MANIFEST.json cannot be read ({error.strerror}). Name the folder that holds "
            "datasets/, models/, hub/ and MANIFEST.json, or unset COURSE_BUNDLE."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)[:200] if isinstance(error, ValueError) else type(error).__name__
        raise SourceError(f"{manifest} is not a bundle's manifest ({reason}). Copy the bundle again.") from None


def _check_entry(name: str, size: int, digest: str) -> dict:
    """Return one entry of a manifest; a ValueError says what is wrong with it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\x00\\:]", name) or str(path) != name or name == ".":
        raise ValueError(f"{name[:80]!r} is no path inside the bundle")
    if type(size) is not int or size < 0:
        raise ValueError(f"the size of {name} is {str(size)[:20]}, which is no number of bytes")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise ValueError(f"the sha256 of {name} is not 64 hexadecimal digits")
    return {"bytes": size, "sha256": digest.lower()}


def check_file(folder: Path, file: str, entry: dict) -> None:
    """Check a file of the bundle against its entry in the manifest: its size, and once in each process its sha256.

    Raises:
        SourceError: it is missing, cut or changed.
    """
    path = folder / file
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is no file, but the manifest of the bundle says so. Copy the bundle again.")
        stamp = (path, entry["sha256"], status.st_size, status.st_mtime_ns)
        right = status.st_size == entry["bytes"] and (stamp in _checked or digest_of(path) == entry["sha256"])
    except FileNotFoundError:
        raise SourceError(
            f"The bundle {folder} lacks {file}, which its manifest names. "
            "Copy the bundle again, or unset COURSE_BUNDLE to download instead."
        ) from None
    except OSError as error:
        raise SourceError(
            f"The bundle file {path} cannot be read ({error.strerror or error}). Give yourself the right to read it, "
            "or copy the bundle again."
        ) from None
    if status.st_size != entry["bytes"]:
        raise SourceError(
            f"The bundle file {path} has {status.st_size} bytes, the manifest says {entry['bytes']}: "
            "it was cut while copying. Copy it again."
        )
    if not right:
        raise SourceError(
            f"The bundle file {path} has the right size but not the sha256 that the manifest "
            "names: it was changed or damaged. Copy it again from the source of the bundle."
        )
    _checked.add(stamp)
