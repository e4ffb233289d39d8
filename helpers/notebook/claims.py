"""Claims: sentences of a lesson that its own run must bear out.

``claim`` shows a sentence with ✔ or ✘ and the figures behind it, and beside them what many seeds showed. The same
output carries the claim as data, so that the runner and the tests can read it from the executed notebook.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from helpers.files.seeds_tables import recorded_claim
from helpers.notebook import session
from helpers.notebook.differences import Difference, paired_difference
from helpers.notebook.records import CLAIM_TYPE, show_record


def claim(sentence: str, held: bool, evidence: Mapping[str, object]) -> None:
    """Show whether this run bears out a sentence.

    Args:
        sentence: what is claimed.
        held: whether the run shows it; where the sentence compares, ``difference.beats()``, ``.loses()``, ``.ties()``.
        evidence: the figures behind it, by name: differences (of ``paired_difference``), numbers, truth values or short
            texts.

    Raises:
        TypeError: ``held`` is not a truth value, or ``evidence`` is empty or no mapping.
    """
    import numpy as np  # here, as this room is also used where no package is installed, by the doctor

    if not isinstance(held, (bool, np.bool_)):
        raise TypeError(f"held must be True or False, not {held!r}: write a comparison such as accuracy > 0.5.")
    if not isinstance(evidence, Mapping) or not evidence:
        raise TypeError("evidence must be a dict with at least one figure, such as {'accuracy': 0.81}.")
    figures = {str(name): _plain(value) for name, value in evidence.items()}
    shown = ", ".join(f"{name} {show(value)}" for name, value in figures.items())
    mark = "✔" if held else "✘"
    text = f"{mark} {sentence} ({shown})"
    recorded = recorded_claim(sentence, session.chosen_profile.name) if session.chosen_profile else None
    if recorded:
        text += f"\n  Recorded, with {len(recorded['held'])} seeds: {with_many_seeds(recorded)}."
    if not held:
        text += "\n  This run does not show it: do not believe the sentence here, and look at the figures."

    record = {"claim": sentence, "held": bool(held), "evidence": figures}
    colour = "#0072B2" if held else "#D55E00"  # blue and vermilion: told apart by the colour-blind
    page = (
        f'<div style="border-left: 4px solid {colour}; padding: 0.2em 0.8em; white-space: pre-line">'
        f"<b>{mark}</b> {html.escape(text[2:])}</div>"
    )
    show_record(CLAIM_TYPE, record, text, page)


def _plain(value) -> object:
    """Turn a NumPy or Keras scalar into a Python one that JSON can hold."""
    import numpy as np

    if isinstance(value, Difference):
        return {"difference": round(value.mean, 5), "error": round(value.error, 5)}
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if getattr(value, "ndim", None) == 0:
        return float(value)
    return str(value)


def show(value: object) -> str:
    """Write a figure with three digits, and a difference in points."""
    if isinstance(value, dict):
        return f"{100 * value['difference']:+.1f} ± {100 * value['error']:.1f} points"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def over_seeds(values: Sequence[object]) -> Difference:
    """Return the mean of the differences that a claim had with each seed, and its standard error over the seeds.

    Args:
        values: what a table of many seeds holds for one figure; what is no difference is left out.
    """
    means = [value["difference"] for value in values if isinstance(value, dict)]
    return paired_difference(means, [0.0] * len(means))


def with_many_seeds(recorded: dict) -> str:
    """Return what many seeds showed of a claim, such as "held in 20 of 20; lead +2.6 ± 0.2 points, from …".

    Args:
        recorded: what ``helpers.files.seeds_tables.recorded_claim`` returned.
    """
    count = len(recorded["held"])
    parts = [f"held in {sum(recorded['held'])} of {count}"]
    for name, values in recorded["evidence"].items():
        means = [100 * value["difference"] for value in values if isinstance(value, dict)]
        if len(means) > 1:
            parts.append(f"{name} {over_seeds(values)}, from {min(means):+.1f} to {max(means):+.1f}")
    return "; ".join(parts)
