"""The offline bundle: one folder with data, weights and hub modules, for a room without internet.

The variable ``COURSE_BUNDLE`` names it. It holds ``datasets/``, ``models/``, ``hub/`` and ``MANIFEST.json``
(the size and the sha256 of each file), and is only ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

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


def _open_bundle() -> tuple[Path, dict[str, dict]]:
    """Return the folder that COURSE_BUNDLE names, and its files as ``read_manifest`` does; none if it is not set."""
    if not os.environ.get("COURSE_BUNDLE"):
        return Path(), {}
    folder = Path(os.environ["COURSE_BUNDLE"]).absolute()
    return folder, read_manifest(folder)


def read_manifest(folder: Path) -> dict[str, dict]:
    """Return the manifest's ``files``: path inside the bundle -> {"bytes", "sha256"}."""
    manifest = folder / "MANIFEST.json"
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        return {file: {"bytes": int(entry["bytes"]), "sha256": entry["sha256"]} for file, entry in files.items()}
    except OSError as error:
        raise SourceError(
            f"{folder} is no bundle: its MANIFEST.json cannot be read ({error.strerror}). Name the folder that holds "
            "datasets/, models/, hub/ and MANIFEST.json, or unset COURSE_BUNDLE."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{manifest} is not a bundle's manifest ({error!r}). Copy the bundle again.") from None


def check_file(folder: Path, file: str, entry: dict) -> None:
    """Check a file of the bundle against its entry in the manifest: its size, and once in each process its sha256.

    Raises:
        SourceError: it is missing, cut or changed.
    """
    try:
        status = (folder / file).stat()
    except OSError:
        raise SourceError(
            f"The bundle {folder} lacks {file}, which its manifest names. "
            "Copy the bundle again, or unset COURSE_BUNDLE to download instead."
        ) from None
    if status.st_size != entry["bytes"]:
        raise SourceError(
            f"The bundle file {folder / file} has {status.st_size} bytes, the manifest says {entry['bytes']}: "
            "it was cut while copying. Copy it again."
        )
    stamp = (folder / file, entry["sha256"], status.st_size, status.st_mtime_ns)
    if stamp not in _checked and digest_of(folder / file) != entry["sha256"]:
        raise SourceError(
            f"The bundle file {folder / file} has the right size but not the sha256 that the manifest "
            "names: it was changed or damaged. Copy it again from the source of the bundle."
        )
    _checked.add(stamp)
