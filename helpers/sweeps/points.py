"""The points of a sweep: values for parameters of its notebook, checked before anything runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np


class SweepError(ValueError):
    """A sweep cannot begin."""


def default_values(notebook: Path) -> dict[str, object]:
    """Return the parameters of a notebook with their default values.

    Raises:
        SweepError: there is no such notebook, or it has no parameters.
    """
    import papermill

    if not notebook.is_file():
        raise SweepError(f"There is no notebook {notebook}.")
    try:
        found = papermill.inspect_notebook(notebook)
    except Exception as error:
        raise SweepError(f"{notebook} cannot be read as a notebook ({type(error).__name__}: {error}).") from error
    if not found:
        raise SweepError(f'{notebook} has no parameters: give one cell the tag "parameters", and assign them there.')
    try:
        return {name: ast.literal_eval(details["default"]) for name, details in found.items()}
    except (ValueError, SyntaxError) as error:
        raise SweepError(
            f"In the parameters cell of {notebook.name}, each value must be a plain number, text or truth value "
            f"without a # in it ({error})."
        ) from error


def check_points(points: Sequence[Mapping[str, object]], defaults: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the points with plain Python values.

    Raises:
        SweepError: there are none, a parameter is unknown, or a value has another type than its default.
    """
    if not isinstance(points, Iterable):
        raise SweepError(f"points must be a list of dicts, one for each run, not {points!r}.")
    checked = []
    for point in points:
        if not isinstance(point, Mapping):
            raise SweepError(f"A point must be a dict such as {{'SEED': 1}}, not {point!r}.")
        unknown = [name for name in point if name not in defaults]
        if unknown:
            raise SweepError(
                f"The notebook has no parameter {', '.join(map(repr, unknown))}. It has: {', '.join(defaults)}."
            )
        checked.append({name: _plain_value(name, value, defaults[name]) for name, value in point.items()})
    if not checked:
        raise SweepError("There are no points to run. Give a list of dicts, one for each run.")
    return checked


def _plain_value(name: str, value: object, default: object) -> object:
    """Return a value as what JSON and a parameters cell can hold.

    Raises:
        SweepError: its type is not that of the default. Whole numbers serve as floats.
    """
    if isinstance(value, np.generic):
        value = value.item()
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise SweepError(
            f"{name} must be {type(default).__name__}, as its default {default!r} is, not {value!r} "
            f"({type(value).__name__})."
        )
    return float(value) if isinstance(default, float) and isinstance(value, int | float) else value
