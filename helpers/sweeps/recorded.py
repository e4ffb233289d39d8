"""Tables of sweeps that take too long for a lesson: recorded once, and read by the lesson."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.execution.key import code_of
from helpers.files.cache import cache_folder, write_beside
from helpers.sweeps.sweep import run_sweep

if TYPE_CHECKING:
    import pandas as pd


def recorded_sweep(
    notebook: Path | str, points: Sequence[Mapping[str, object]], profile: str, *, run: bool = False, instead: str = ""
) -> pd.DataFrame:
    """Return the table of a sweep: read what was recorded, or run it now and record it.

    The table lies beside the notebook, one for each profile: ``NAME_PROFILE.csv``. Its column "code" tells the tests
    whether the notebook has changed since.

    Args:
        notebook, points: as for ``run_sweep``.
        profile: the name of the profile.
        run: run the sweep, and write the table.
        instead: a profile whose table is read where ``profile`` has none. If it is empty, the first point is run. A
            line says so.

    Returns:
        As ``run_sweep``; a recorded table has "code" as first column.

    Raises:
        SweepError, CacheFolderError: see ``run_sweep``.
    """
    import pandas as pd

    notebook = Path(notebook)
    path = notebook.with_name(f"{notebook.stem}_{profile}.csv")
    if run:
        table = run_sweep(notebook, points, cache_folder("sweeps"))
        table.insert(0, "code", code_key(notebook))
        with write_beside(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.5g")
        return table
    if not path.exists() and instead:
        print(f"NOT measured for {profile}. What follows was measured for {instead}: another network.")
        path = notebook.with_name(f"{notebook.stem}_{instead}.csv")
    if not path.exists():
        print(f"Nothing is recorded for {profile}: the first of {len(points)} runs is made now, which takes minutes.")
        return run_sweep(notebook, points[:1], cache_folder("sweeps"))
    print(f"Read from {path.name}: recorded before, not measured in this run.")
    return pd.read_csv(path).fillna({"error": ""})


def code_key(notebook: Path) -> str:
    """Return a key that changes with the code of a notebook, but not with its set-up cell."""
    return hashlib.sha256("\0".join(code_of(notebook)).encode()).hexdigest()[:16]
