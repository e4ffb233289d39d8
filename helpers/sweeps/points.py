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
    import nbformat
    import papermill

    if not notebook.is_file():
        raise SweepError(f"There is no notebook {notebook}.")
    cells = _cells_of(notebook)
    parameters = next((cell for cell in cells if "parameters" in cell.metadata.get("tags", [])), None)
    if parameters is None:
        raise SweepError(f'{notebook} has no parameters: give one cell the tag "parameters", and assign them there.')
    if "kernelspec" not in nbformat.read(notebook, as_version=4).metadata:
        raise SweepError(f"{notebook} names no kernel. Open it in Jupyter, choose a Python kernel, and save it.")
    try:
        found = papermill.inspect_notebook(notebook)
    except Exception as error:
        raise SweepError(f"{notebook} cannot be read as a notebook ({type(error).__name__}: {error}).") from error
    unread = _assigned(parameters.source) - found.keys()
    if unread:
        raise SweepError(
            f"In the parameters cell of {notebook.name}, papermill cannot read {', '.join(sorted(unread))}. Write "
            "each as a plain assignment such as EPOCHS = 3, without a type."
        )
    try:
        return {name: ast.literal_eval(details["default"]) for name, details in found.items()}
    except (ValueError, SyntaxError) as error:
        raise SweepError(
            f"In the parameters cell of {notebook.name}, each value must be a plain number, text or truth value "
            f"without a # in it ({error})."
        ) from error


def check_not_assigned_again(notebook: Path, points: Sequence[Mapping[str, object]]) -> None:
    """Raise SweepError if a cell behind the parameters cell gives a parameter of a point another value."""
    cells = _cells_of(notebook)
    behind = next(number for number, cell in enumerate(cells, 1) if "parameters" in cell.metadata.get("tags", []))
    names = {name for point in points for name in point}
    for cell in cells[behind:]:
        again = sorted(names & _assigned(cell.source))
        if again:
            raise SweepError(
                f"{again[0]} gets a value in the parameters cell of {notebook.name}, and another one in a later cell, "
                f"so all points would run with that one. Remove it from there."
            )


def _cells_of(notebook: Path) -> list:
    """Return the code cells of a notebook with Python code.

    Raises:
        SweepError: it is none.
    """
    import nbformat

    try:
        read = nbformat.read(notebook, as_version=4)
        kernel = read.metadata.get("kernelspec", {})
        language = read.metadata.get("language_info", {}).get("name") or kernel.get("language")
        cells = [cell for cell in read.cells if cell.cell_type == "code"]
    except Exception as error:  # whatever stands in it
        raise SweepError(f"{notebook} cannot be read as a notebook ({type(error).__name__}: {error}).") from error
    if language not in (None, "python") or kernel.get("name") in ("ir", "julia"):
        raise SweepError(f"{notebook} is a notebook for {language or kernel['name']}; a sweep needs one for Python.")
    return cells


def _assigned(source: str) -> set[str]:
    """Return the names to which a cell assigns, at its top, a value that does not come from them."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic, say
        return set()
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            used = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)} if node.value else set()
            names |= {target.id for target in targets if isinstance(target, ast.Name)} - used
    return names


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
    if default is None:
        raise SweepError(
            f"{name} has the default None, so it cannot be told which values fit. Give it a value of the right type, "
            "such as 0 or an empty text."
        )
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise SweepError(
            f"{name} must be {type(default).__name__}, as its default {default!r} is, not {value!r} "
            f"({type(value).__name__})."
        )
    return float(value) if isinstance(default, float) and isinstance(value, int | float) else value
