"""The offline bundle: one folder with data, weights and hub modules, for a room without internet.

The variable ``COURSE_BUNDLE`` names it. It holds ``datasets/``, ``models/``, ``hub/`` and ``MANIFEST.json``
(the size and the sha256 of each file), and is only ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from helpers.cache import cache_folder, write_beside


class SourceError(RuntimeError):
    """Something that the lesson needs is missing or damaged."""


class MissingSourceError(SourceError):
    """Something that the lesson needs is neither here nor to be downloaded now."""


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file as hexadecimal text; ``algorithm`` is a name that ``hashlib`` knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def bundle_file(name: str) -> Path | None:
    """Return a file of the bundle, or None if COURSE_BUNDLE is not set or its manifest does not list the file.

    The whole bundle is checked first: existence and size of each file every time; the sha256 of each file
    once, which is remembered in the course's cache folder.

    Args:
        name: path inside the bundle, such as "datasets/cifar10.npz".

    Raises:
        SourceError: the folder is not a bundle, or a file is missing, cut or changed.
    """
    if not os.environ.get("COURSE_BUNDLE"):
        return None
    folder = Path(os.environ["COURSE_BUNDLE"]).absolute()
    files = read_manifest(folder)
    check_bundle(folder, files)
    return folder / name if name in files else None


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


def check_bundle(folder: Path, files: dict[str, dict]) -> None:
    """Check every file of the bundle against the manifest.

    Raises:
        SourceError: a file is missing, cut or changed.
    """
    stamps = [check_size(folder, file, entry) for file, entry in sorted(files.items())]
    key = hashlib.sha256(json.dumps([str(folder), files, stamps], sort_keys=True).encode()).hexdigest()
    record = cache_folder("bundles") / f"{key}.ok"
    if record.exists():
        return
    for file, entry in files.items():
        check_digest(folder, file, entry)
    with write_beside(record) as temporary:
        temporary.write_text(f"every sha256 of {folder} was right\n", encoding="utf-8")


def check_size(folder: Path, file: str, entry: dict) -> tuple[int, int]:
    """Check that a file of the bundle is there and whole; return its size and time of change."""
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
    return status.st_size, status.st_mtime_ns


def check_digest(folder: Path, file: str, entry: dict) -> None:
    """Check that a file of the bundle, which has the right size, has the right content."""
    if digest_of(folder / file) != entry["sha256"]:
        raise SourceError(
            f"The bundle file {folder / file} has the right size but not the sha256 that the manifest "
            "names: it was changed or damaged. Copy it again from the source of the bundle."
        )
