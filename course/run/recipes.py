"""Recipes of tutorials and of the course, as ``benchmarks/recipes.py`` measured them: one table and one picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from course.run.results import RESULTS
from helpers.notebook.differences import standard_error

ROWS = RESULTS / "benchmarks" / "recipes.json"  # the files beside the folder are those of runs
PICTURE = ROWS.with_suffix(".png")
TUTORIALS = ("TensorFlow tutorial", "Keras guide", "GAP + Dense(1024)", "Flatten + 2 × Dense(4096)")
TEST_PICTURES = 10_000
LONGER = ", trained on"  # ends the name of a tutorial's recipe that was given as much time as the course's best


def read_rows() -> list[dict]:
    """Return what was measured so far: a row for each recipe and seed."""
    return json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []


def recipe_table(rows: Sequence[dict]):
    """Return a pandas table with a row for each recipe, the most accurate first.

    A seed that was not measured to its end, with all recipes, is left out.

    Args:
        rows: "recipe", "seed", "test" (accuracy), "seconds" (of CPU), "memory" (bytes).

    Returns:
        Columns "seeds", "test", "error" (its standard error over the seeds, or what other test pictures might change,
        whichever is larger: few seeds may agree by chance); "seconds" and "megabytes" of the last seed alone, which
        one machine measured: seconds of different processors have no mean.
    """
    import pandas as pd

    frame = pd.DataFrame(rows)
    measured = frame.groupby("seed")["recipe"].transform("count")
    groups = frame[measured == measured.max()].sort_values("seed").groupby("recipe", sort=False)
    table = groups.agg({"test": "mean", "seconds": "last", "memory": "last"})
    by_pictures = table["test"].map(lambda accuracy: standard_error(accuracy, TEST_PICTURES))
    table.insert(1, "error", groups["test"].sem(ddof=1).fillna(0).clip(lower=by_pictures))
    table.insert(0, "seeds", groups["seed"].nunique())
    table["memory"] /= 1e6
    return table.rename(columns={"memory": "megabytes"}).sort_values("test", ascending=False)


def describe(table) -> str:
    """Return the picture in words, for those who cannot see it."""
    each = ", ".join(f"{name} {row['test']:.3f} in {row['seconds']:.0f} s" for name, row in table.iterrows())
    return f"Test accuracy and CPU seconds. {each}."


def draw(table, path: Path = PICTURE) -> None:
    """Draw accuracy against CPU seconds; a recipe that was trained for several times is a line.

    The course's are dots, tutorials' are squares: white as printed, filled if trained on. The picture carries its own
    description.
    """
    from helpers.notebook import plots

    figure, axis = plots.new_figure(size=(9, 4))
    families = dict.fromkeys(name.partition(",")[0] for name in table.index)
    colours = [*plots.COLOURS[:6], *plots.COLOURS[7:]]  # yellow is too faint for a small mark
    for name, colour in zip(families, colours, strict=False):
        part = table[table.index.str.partition(",").get_level_values(0) == name].sort_values("seconds")
        tutorial = name in TUTORIALS
        same_recipe = not part.index.str.contains("views").any()  # only then does a line say what more time brings
        line = (":" if tutorial else "-") if same_recipe else "none"
        style = {"color": colour, "marker": "s" if tutorial else "o", "linestyle": line}
        axis.errorbar(part["seconds"], part["test"], part["error"], capsize=3, label=name, **style)
        if tutorial:
            printed = part.loc[[name]]
            axis.plot(printed["seconds"], printed["test"], "s", color=colour, markerfacecolor="white", zorder=3)
    axis.set(xscale="log", xlim=(10, 500), xlabel="CPU seconds to train (logarithmic)")
    axis.set(ylabel="test accuracy")
    axis.set_xticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
    axis.minorticks_off()
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    description = {"Description": describe(table)}
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight", metadata=description)
