"""Paths as people write them, with "~" for the home folder."""

from __future__ import annotations

import os
from pathlib import Path


def without_tilde(path: str | Path) -> Path:
    """Return a path with the home folder in the place of a leading "~".

    Where nobody has the name after the "~", it stays: the path leads nowhere, and who opens it says so. The method
    ``expanduser`` of ``Path`` raises ``RuntimeError`` there.
    """
    return Path(os.path.expanduser(path))
