"""The pages of the site that are made from what a run measured, and the facts that they show."""

from __future__ import annotations

import base64
import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import jinja2
import nbformat

from course import TEMPLATES, CourseError
from course.run.report import tagged_figure
from helpers.files.seeds_tables import recorded_claim
from helpers.notebook import plots
from helpers.notebook.claims import show, with_many_seeds

DECISION_CHART = "decision-chart"  # the tag of the cell whose figure says which method fits when
LESSON_NUMBERS = re.compile(r"[Ll]essons? (\d\d(?:(?:, | and | to )\d\d)*)")
GAIN_LESSONS = ("02", "06")  # those that measure what the landing page shows
API = (  # what the notebooks import, in the order of the site
    "helpers.data",
    "helpers.models",
    "helpers.hub",
    "helpers.notebook",
    "helpers.notebook.plots",
    "helpers.sweeps",
    "helpers.checks",
    "helpers.files",
    "helpers.profiles",
)


def write_pages(summary: dict, results: Sequence[dict], folder: Path) -> None:
    """Write all pages that are made from measurements.

    Args:
        summary: what ``course.run.report.summarise`` returned.
        results: what ``course.run.results.read_results`` returned.
        folder: the source folder of the site, with its notebooks; gets the pages and their pictures.

    Raises:
        CourseError: the summary lacks a figure that a page needs.
    """
    notebooks = sorted((folder / "notebooks").glob("*.ipynb"))
    lessons = [lesson_facts(path, summary, folder) for path in notebooks]
    chart = decision_chart(notebooks)
    if chart:
        (folder / "which_method.png").write_bytes(base64.b64decode(chart["png"]))
    gain = gains(summary)
    draw_gains(gain, folder / "gain.png")
    facts = {
        "summary": summary,
        "lessons": lessons,
        "chart": chart,
        "gain": gain,
        "gain_lessons": [lesson["stem"] for lesson in lessons if lesson["stem"].startswith(GAIN_LESSONS)],
        "folders": {name: (folder / name).is_dir() for name in ("exercises", "solutions")},
        "results": results,
        "rooms": write_api_pages(folder / "api"),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "site"), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"figure": show, "cell": table_cell, "recorded": recorded}
    for template in environment.list_templates():
        page = template.removesuffix(".j2")
        if chart or page != "which_method.md":
            (folder / page).write_text(environment.get_template(template).render(facts), encoding="utf-8")


def recorded(sentence: str, profile: str) -> str:
    """Return what many seeds showed of a claim, or a dash if it was not measured."""
    found = recorded_claim(sentence, profile)
    return with_many_seeds(found) if found else "–"


def lesson_facts(path: Path, summary: dict, folder: Path) -> dict:
    """Return what the syllabus says about a lesson, from its own text and from the run."""
    exercise = folder / "exercises" / path.name
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    title, promise, *_ = texts[0].split("\n\n")
    number = path.stem[:2]
    named = {name for text in texts for match in LESSON_NUMBERS.findall(text) for name in numbers(match)}
    measured = next(lesson for lesson in summary["lessons"] if lesson["lesson"] == path.stem)
    return {
        "stem": path.stem,
        "title": title.removeprefix("# "),
        "promise": promise,
        "goals": re.findall(r"^- (.*)[;.]$", texts[0], re.MULTILINE),
        "minutes": minutes(texts[0]),
        "refers_to": sorted(name for name in named if name < number),
        "seconds": measured["seconds"],
        "gigabytes": measured["peak_memory_mb"] / 1024,
        "exercise_minutes": minutes(first_text(exercise)) if exercise.exists() else None,
    }


def first_text(path: Path) -> str:
    """Return the text of the first cell of a notebook."""
    return nbformat.read(path, as_version=4).cells[0].source


def minutes(text: str) -> int:
    """Return how long a lesson or an exercise takes, as its first cell says.

    Raises:
        CourseError: it does not say it.
    """
    found = re.search(r"\*\*Time.*?\*\*: about (\d+) minutes", text)
    if not found:
        raise CourseError(f"A first cell must say such as **Time**: about 40 minutes. This one does not:\n{text}")
    return int(found[1])


def numbers(text: str) -> Iterator[str]:
    """Yield the lessons that words such as "02, 03 and 05" or "02 to 05" name."""
    for part in re.split(r", | and ", text):
        first, _, last = part.partition(" to ")
        yield from (f"{number:02}" for number in range(int(first), int(last or first) + 1))


def decision_chart(notebooks: Sequence[Path]) -> dict | None:
    """Return the picture, the alt text and the lesson of the chart, or None as long as no lesson has one."""
    for path in notebooks:
        figure = tagged_figure(nbformat.read(path, as_version=4), DECISION_CHART)
        if figure:
            return {**figure, "lesson": path.stem}
    return None


def gains(summary: dict) -> dict[str, float]:
    """Return the test accuracies that lessons 02 and 06 measured.

    Raises:
        CourseError: a lesson no longer measures them.
    """
    return {
        "guessing": 0.1,
        "trained from scratch": evidence(summary, GAIN_LESSONS[0], "from scratch"),
        "pretrained, frozen, linear model": evidence(summary, GAIN_LESSONS[0], "pretrained features"),
        "pretrained, frozen, SVM": evidence(summary, GAIN_LESSONS[1], "frozen, SVM"),
        "pretrained, fine-tuned": evidence(summary, GAIN_LESSONS[1], "fine-tuned, "),
    }


def evidence(summary: dict, number: str, name: str) -> float:
    """Return the first figure behind a claim of a lesson whose name is ``name``, or begins so.

    Raises:
        CourseError: there is none.
    """
    for lesson in summary["lessons"]:
        if lesson["lesson"].startswith(number):
            for claim in lesson["claims"]:
                for key, value in claim["evidence"].items():
                    if key.startswith(name) and "seconds" not in key:
                        return value
    raise CourseError(f"No claim of lesson {number} has a figure {name!r} any more: change gains() in {__file__}.")


def draw_gains(values: dict[str, float], path: Path) -> None:
    """Draw the picture of the landing page."""
    figure = plots.bars(values, "accuracy on test pictures")
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight")


def table_cell(value: object) -> str:
    """Return a text that Markdown shows as it is, inside a table."""
    return re.sub(r"([\\`*_\[\]<>|$~])", r"\\\1", str(value))


def write_api_pages(folder: Path) -> list[dict]:
    """Write a page for each room of the helpers, with the docstrings of what it hands on.

    Returns:
        For each room its "module", the first line of its docstring ("about"), and its public "names".
    """
    folder.mkdir()
    rooms = []
    for module in API:
        room = importlib.import_module(module)
        about, _, rest = (inspect.getdoc(room) or "").replace("``", "`").partition("\n")
        entries = "\n".join(api_entry(name, getattr(room, name)) for name in room.__all__)
        start = f"```{{eval-rst}}\n.. py:currentmodule:: {module}\n\n"
        text = f"# {module}\n\n{about}\n{rest}\n\n{start}{entries}```\n"
        (folder / f"{module}.md").write_text(text, encoding="utf-8")
        rooms.append({"module": module, "about": about, "names": room.__all__})
    return rooms


def api_entry(name: str, value) -> str:
    """Return what Sphinx turns into the description of a public name; of a constant, it is what it holds."""
    if inspect.isclass(value):
        return f".. autoclass:: {value.__module__}.{name}\n   :members:\n"
    if callable(value):
        return f".. autofunction:: {value.__module__}.{name}\n"
    held = ", ".join(f"``{item}``" for item in value)
    return f".. py:data:: {name}\n\n   {held}\n"
