"""Claims: sentences of a lesson that its own run must bear out.

``claim`` shows a sentence with ✔ or ✘ and the figures behind it. The same output carries the claim as data,
so that the runner and the tests can read it from the executed notebook.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from helpers.notebook.records import CLAIM_TYPE, show_record


def claim(sentence: str, held: bool, evidence: Mapping[str, object]) -> None:
    """Show whether this run bears out a sentence.

    Args:
        sentence: what is claimed.
        held: whether the run shows it.
        evidence: the figures behind it, by name: numbers, truth values or short texts.

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

    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if getattr(value, "ndim", None) == 0:
        return float(value)
    return str(value)


def show(value: object) -> str:
    """Write a figure with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
