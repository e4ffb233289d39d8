"""What transfer learning gains: one picture of what lessons 02 and 06 measured with many seeds, for README and site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from course import CourseError
from course.run.results import RESULTS
from helpers.files.seeds_tables import seeds_table
from helpers.notebook import plots

PICTURE = RESULTS / "gain.png"
METHODS = {  # what the picture calls it -> the lesson, and the name of its figure there
    "another, small network from scratch": ("02", "scratch"),
    "frozen features, logistic regression": ("06", "logistic regression"),
    "frozen features, SVM": ("06", "SVM"),
    "fine-tuned": ("06", "fine-tuned"),
}
PANELS = {
    "mini": "Emoji-10, network pretrained on other emoji",
    "cifar10-cpu": "CIFAR-10, MobileNet pretrained on ImageNet",
}


def gains(profile: str) -> dict[str, list[float]]:
    """Return, by method, the test accuracies of a profile, one for each seed.

    Raises:
        CourseError: no claim of the lesson has the figure any more.
    """
    return {method: _figures(profile, lesson, name) for method, (lesson, name) in METHODS.items()}


def _figures(profile: str, number: str, name: str) -> list[float]:
    for lesson, entry in seeds_table(profile)["lessons"].items():
        for claim in entry["claims"]:
            if lesson.startswith(number) and name in claim["evidence"]:
                return claim["evidence"][name]
    raise CourseError(f"No claim of lesson {number} has a figure {name!r} for {profile} any more: change METHODS.")


def describe(measured: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Return the picture in words, for those who cannot see it: the means by profile and method."""
    parts = []
    for profile, methods in measured.items():
        means = ", ".join(f"{method} {np.mean(values):.3f}" for method, values in methods.items())
        parts.append(f"{PANELS[profile]}: {means}")
    return "Test accuracy. " + "; ".join(parts) + "."


def write_gains(path: Path = PICTURE) -> None:
    """Draw the picture; it carries its own description, by which a test sees whether it is old."""
    measured = {profile: gains(profile) for profile in PANELS}
    figure, axes = plots.new_figure(columns=2, size=(10, 3), sharey=True)
    for axis, (profile, methods) in zip(axes, measured.items(), strict=True):
        means = [float(np.mean(values)) for values in methods.values()]
        spread = [float(np.std(values, ddof=1)) for values in methods.values()]
        colours = [plots.COLOURS[9], *plots.COLOURS[:3]]
        axis.barh(range(len(means)), means, xerr=spread, color=colours, capsize=3)
        for place, mean in enumerate(means):
            axis.text(mean + spread[place] + 0.02, place, f"{mean:.2f}", va="center", weight="bold")
        axis.axvline(0.1, color="white", linestyle=":")
        axis.text(0.12, len(means) - 1, "← guessing", va="center", color="white", fontsize=8)
        seeds = len(next(iter(methods.values())))
        axis.set(title=PANELS[profile].replace(", ", "\n"), xlabel=f"test accuracy, {seeds} seeds", xlim=(0, 1.06))
    axes[0].set_yticks(range(len(METHODS)), METHODS)
    axes[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight", metadata={"Description": describe(measured)})


def description_in(path: Path = PICTURE) -> str:
    """Return the description that a picture carries."""
    from PIL import Image

    with Image.open(path) as image:
        return str(image.info["Description"])
