"""What the lessons showed with many seeds: one table for each profile, written by ``python -m course seeds``."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from helpers import ASSETS

SEEDS_TABLES = ASSETS.parent.parent / "docs" / "results"


def seeds_table(profile: str, folder: Path | None = None) -> dict:
    """Return the table of a profile.

    Returns:
        "profile", "hardware", and "lessons": a lesson's name -> "key" (of the notebook that was measured), "versions",
        "seeds", and "claims": for each its "claim", "held" (a truth value for each seed) and "evidence" (name -> a
        value for each seed). Without lessons where there is no table, as in a copy of ``helpers`` alone.
    """
    path = (folder or SEEDS_TABLES) / f"seeds-{profile}.json"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        return {"profile": profile, "lessons": {}}


@functools.cache
def _read(path: Path, changed: int) -> dict:
    """Read a table once for each state of it; ``changed`` is the file's time of change."""
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_claim(sentence: str, profile: str) -> dict | None:
    """Return what many seeds showed of a sentence, as in ``seeds_table``, or None if it was not measured."""
    for lesson in seeds_table(profile)["lessons"].values():
        for claim in lesson["claims"]:
            if claim["claim"] == sentence:
                return claim
    return None
