"""Figures that everybody can read: alt text for each, colours that the colour-blind can tell apart."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.rcsetup import cycler

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLOURS",
    "MARKERS",
    "bars",
    "curves",
    "heat_maps",
    "image_grid",
    "layer_states",
    "maps",
    "new_figure",
    "show",
]

# Okabe and Ito, Color Universal Design, 2008 (https://jfly.uni-koeln.de/color/), and two of Tol's muted colours.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
    "#882255",
    "#999999",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DOTS_PER_INCH, SHOWN_PER_INCH = 150, 120  # finer than it is shown: sharp on a dense screen and when it is enlarged


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7, 3.5), **options):
    """Make a figure and its axes, in the style of the course.

    Args:
        rows, columns, options: as for ``Figure.subplots``.
        size: width and height in inches.

    Returns:
        The figure, and its axes as ``Figure.subplots`` returns them.
    """
    style: dict = {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "font.size": 10,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def show(figure: Figure, alt: str) -> None:
    """Show a figure, with a text for those who cannot see it.

    Args:
        figure: what ``new_figure`` made.
        alt: what the figure shows, in one or two sentences. Put measured figures in it.

    Raises:
        ValueError: the text is missing.
    """
    if not alt.strip():
        raise ValueError("Every figure needs an alt text: one sentence that says what it shows.")
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white", bbox_inches="tight")
    image = base64.b64encode(buffer.getvalue()).decode()
    dots = int.from_bytes(buffer.getvalue()[16:20], "big")  # the width in the header of a PNG
    shown = {"alt": alt, "width": dots * SHOWN_PER_INCH // DOTS_PER_INCH}
    display({"image/png": image, "text/plain": alt}, metadata={"image/png": shown}, raw=True)


def image_grid(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 10, scale: float = 0.9) -> Figure:
    """Draw images in rows.

    Args:
        images: ``(height, width, 3)`` uint8 in [0, 255], or ``(height, width)`` in [0, 1] for maps of one number.
        titles: one for each image; may be empty texts.
        columns: images in a row.
        scale: side of an image in inches.
    """
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(columns * scale, rows * (scale + 0.2)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="viridis", vmin=0, vmax=1)  # for images in colour all three are ignored
        axis.set_title(title, fontsize=8)
    return figure


def bars(
    values: Mapping[str, float],
    label: str,
    digits: int = 2,
    reference: tuple[str, float] | None = None,
    errors: Mapping[str, float] | None = None,
) -> Figure:
    """Draw one horizontal bar for each value, with the figure at its end.

    Args:
        values: name -> value, drawn from top to bottom.
        label: what the values are, with their unit.
        digits: after the decimal point.
        reference: name and place of a dashed line, such as ("chance", 0.1).
        errors: the standard error of each value, drawn as a line to both sides; of two values it shows only roughly
            whether they differ, as it leaves out what they share (``helpers.notebook.paired_difference``).
    """
    figure, axis = new_figure(size=(7, 0.7 + 0.45 * len(values)))
    positions = range(len(values))
    lengths = None if errors is None else [errors.get(name, 0.0) for name in values]
    drawn = axis.barh(positions, list(values.values()), xerr=lengths, color=COLOURS[0], ecolor="black", capsize=3)
    axis.bar_label(drawn, fmt=f"%.{digits}f", padding=3)
    axis.set_yticks(positions, list(values))
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(label)
    axis.margins(x=0.12)
    if reference:
        axis.axvline(reference[1], color="black", linestyle="--", linewidth=1, label=reference[0])
        figure.legend(loc="outside upper right", fontsize=8)
    return figure


def curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]],
    metric: str = "accuracy",
    training: bool = True,
    phase_change: int | None = None,
    best: bool = False,
) -> Figure:
    """Draw training (dashed) and validation (solid) curves of several runs.

    Args:
        histories: name -> what ``model.fit(...).history`` holds.
        metric: which entry of the histories, such as "accuracy" or "loss".
        training: draw the training curves, too.
        phase_change: number of epochs after which a dotted line marks the next phase.
        best: mark with a ring the epoch of the lowest validation loss, whose weights early stopping brings back.
    """
    figure, axis = new_figure()
    for number, (name, history) in enumerate(histories.items()):
        epochs = range(1, len(history[f"val_{metric}"]) + 1)
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4}
        if training:
            axis.plot(epochs, history[metric], linestyle="--", label=f"{name}, training", **style)
        axis.plot(epochs, history[f"val_{metric}"], label=f"{name}, validation", **style)
        if best:
            epoch = int(np.argmin(history["val_loss"]))
            axis.scatter(epoch + 1, history[f"val_{metric}"][epoch], s=130, facecolors="none", edgecolors="black")
    if phase_change is not None:
        axis.axvline(phase_change + 0.5, color="black", linestyle=":", linewidth=1)
    axis.set_xlabel("epoch")
    axis.set_ylabel(metric)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(fontsize=8)
    return figure


# What moves in a layer, as ``helpers.models.freezing.trainable_report`` says it -> its colour.
_MOVES = {
    "nothing": "#D9D9D9",
    "weights": "#0072B2",
    "weights and statistics": "#D55E00",
    "statistics": "#E69F00",
    "random output": "#F0E442",
    "weights and random output": "#CC79A7",
}


def layer_states(reports: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the layers of a model in several states: a row for each state, a column for each layer.

    Args:
        reports: name of the state -> what ``helpers.models.freezing.trainable_report`` returned, for the same model.
    """
    count = max(len(report) for report in reports.values())
    figure, axis = new_figure(size=(9, 1.3 + 0.5 * len(reports)))
    batch_norm = {"s": 8, "color": "black", "zorder": 3}
    for row, report in enumerate(reports.values()):
        axis.bar(
            range(len(report)),
            0.8,
            bottom=row - 0.4,
            width=0.85,
            color=[_MOVES[moves] for moves in report["moves"]],
            edgecolor="#666666",
            linewidth=0.3,
        )
        places = [place for place, kind in enumerate(report["kind"]) if kind == "BatchNormalization"]
        axis.scatter(places, [row] * len(places), **batch_norm)
    axis.set_yticks(range(len(reports)), list(reports))
    axis.set_xlim(-1, count)
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.set_xlabel("layer, from input to output")
    seen = {moves for report in reports.values() for moves in report["moves"]}
    keys = [Patch(facecolor=colour, edgecolor="#666666", label=name) for name, colour in _MOVES.items() if name in seen]
    keys.append(axis.scatter([], [], label="BatchNorm layer", **batch_norm))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8, title="what moves in fit")
    return figure


def maps(points: Mapping[str, np.ndarray], labels: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw two-dimensional maps side by side, one colour and marker for each class.

    Args:
        points: title -> ``(n, 2)`` places.
        labels: ``(n,)`` integers, indices into ``class_names``.
    """
    figure, axes = new_figure(1, len(points), size=(4.6 * len(points) + 1, 4.2), squeeze=False)
    for axis, (title, places) in zip(axes.flat, points.items(), strict=True):
        for label, name in enumerate(class_names):
            chosen = places[labels == label]
            style = {
                "color": COLOURS[label % len(COLOURS)],
                "marker": MARKERS[label % len(MARKERS)],
                "s": 14,
                "alpha": 0.8,
            }
            axis.scatter(chosen[:, 0], chosen[:, 1], label=name, **style)
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def heat_maps(
    tables: Mapping[str, pd.DataFrame], label: str, low: float | None = None, pattern: str = "{:.2f}"
) -> Figure:
    """Draw tables side by side as fields of colour, with the figure in each field.

    Args:
        tables: title -> a table of numbers; the names of its index and of its columns become the axes' labels.
        label: what the numbers are, with their unit.
        low: where the colours begin; all fields below it look alike, so that a few bad ones do not use up the colours.
        pattern: how a figure is written.
    """
    figure, axes = new_figure(1, len(tables), size=(4.2 * len(tables) + 1, 3.6), squeeze=False)
    lowest = min(table.min().min() for table in tables.values())
    low = lowest if low is None else max(low, lowest)
    high = max(table.max().max() for table in tables.values())
    for axis, (title, table) in zip(axes.flat, tables.items(), strict=True):
        image = axis.imshow(table, cmap="cividis", vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            colour = "white" if value < (low + high) / 2 else "black"
            axis.text(column, row, pattern.format(value), ha="center", va="center", color=colour)
        axis.set_xticks(range(table.shape[1]), [f"{name:g}" for name in table.columns])
        axis.set_yticks(range(table.shape[0]), [f"{name:g}" for name in table.index])
        axis.set_xlabel(table.columns.name)
        axis.set_ylabel(table.index.name)
        axis.set_title(title)
        axis.grid(visible=False)
    figure.colorbar(image, ax=axes, label=label, extend="min" if low > lowest else "neither")
    return figure
