"""The pages of the site that are made from what a run measured, and the facts that they show."""

from __future__ import annotations

import base64
import importlib
import inspect
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import jinja2
import nbformat
import numpy as np

from course import TEMPLATES, CourseError
from course.run import recipes
from course.run.gains import PANELS, PICTURE, description_in
from course.run.report import tagged_figure
from course.run.results import INSTRUCTORS
from helpers.files.seeds_tables import seeds_table
from helpers.notebook.claims import over_seeds

DECISION_CHART = "decision-chart"  # the tag of the cell whose figure says which method fits when
LESSON_NUMBERS = re.compile(r"[Ll]essons? (\d\d(?:(?:, | and | to )\d\d)*)")
CAPSTONE, TESTED = "11_capstone", "test accuracy, "  # the lesson on VGG16; so begin the accuracies in its claims
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


def write_pages(summary: dict, folder: Path) -> None:
    """Write all pages that are made from measurements.

    Args:
        summary: what ``course.run.report.summarise`` returned.
        folder: the source folder of the site, with its notebooks; gets the pages and their pictures.

    Raises:
        CourseError: the summary lacks a figure that a page needs.
    """
    from course.site.answering import conversation  # it loads TensorFlow

    notebooks = sorted((folder / "notebooks").glob("*.ipynb"))
    lessons = [lesson_facts(path, summary, folder) for path in notebooks]
    chart = decision_chart(notebooks)
    if chart:
        (folder / "which_method.png").write_bytes(base64.b64decode(chart["png"]))
    for picture in (PICTURE, recipes.PICTURE):
        shutil.copyfile(picture, folder / picture.name)
    facts = {
        "summary": summary,
        "lessons": lessons,
        "chart": chart,
        "gain": description_in(PICTURE),
        "gain_lessons": [lesson["stem"] for lesson in lessons if lesson["stem"].startswith(GAIN_LESSONS)],
        "folders": {name: (folder / name).is_dir() for name in ("exercises", "solutions")},
        "mistakes": mistakes(),
        "conversation": conversation(),
        "tables": measured_tables(),
        "recipes": recipes.recipe_table(recipes.read_rows()).reset_index().to_dict("records"),
        "accuracies": accuracies_of(CAPSTONE, "cifar10-cpu"),
        "recipes_picture": description_in(recipes.PICTURE),
        "rooms": write_api_pages(folder / "api"),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "site"), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"cell": table_cell}
    for template in environment.list_templates():
        page = template.removesuffix(".j2")
        if chart or page != "which_method.md":
            (folder / page).write_text(environment.get_template(template).render(facts), encoding="utf-8")


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
        "predictions": predictions(texts),
    }


def predictions(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return each prediction that a lesson asks for, with the heading of its section."""
    found, heading = [], ""
    for text in texts:
        for title, question in re.findall(r"^## (.+)$|\*\*Predict\.\*\* ?(.+)", text, re.MULTILINE):
            heading = title or heading
            if question:
                found.append((heading, question))
    return found


def mistakes() -> list[tuple[str, str, str]]:
    """Return the number of a lesson, what students get wrong in it, and the question that shows it, of all lessons.

    They are the rows of a table on the instructors' page.
    """
    rows = r"^\| (\d\d) \| (.+?) \| (.+?) \|$"
    return re.findall(rows, INSTRUCTORS.read_text(encoding="utf-8"), re.MULTILINE)


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


def measured_tables() -> list[dict]:
    """Return what many seeds showed: for each profile its "profile", "hardware", and "lessons" with their claims.

    Each lesson has its "name", "seeds" (how many), "versions", and "claims": the "sentence", in how many runs it
    "held", and its "figures" in words.
    """
    tables = []
    for profile in PANELS:
        table = seeds_table(profile)
        lessons = [
            {
                "name": name.replace("_", " "),
                "seeds": len(entry["seeds"]),
                "versions": entry["versions"],
                "claims": [
                    {"sentence": claim["claim"], "held": sum(claim["held"]), "figures": figures_of(claim)}
                    for claim in entry["claims"]
                ],
            }
            for name, entry in table["lessons"].items()
        ]
        tables.append({"profile": profile, "hardware": table.get("hardware"), "lessons": lessons})
    return tables


def accuracies_of(lesson: str, profile: str) -> list[dict]:
    """Return the test accuracies that the claims of a lesson name, the highest first.

    Returns:
        For each the "way" to train, the "mean", the "spread" (standard deviation) over the seeds, and how many "seeds".
    """
    found = {
        name.removeprefix(TESTED): np.array(values)
        for claim in seeds_table(profile)["lessons"][lesson]["claims"]
        for name, values in claim["evidence"].items()
        if name.startswith(TESTED)
    }
    rows = [
        {"way": way, "mean": values.mean(), "spread": values.std(ddof=1), "seeds": len(values)}
        for way, values in found.items()
    ]
    return sorted(rows, key=lambda row: -row["mean"])


def figures_of(claim: dict) -> str:
    """Return the figures behind a claim: the mean over the seeds, of a difference with its standard error.

    A text or a truth value is shown if it was the same with all seeds.
    """
    parts = []
    for name, values in claim["evidence"].items():
        if all(isinstance(value, dict) for value in values):
            parts.append(f"{name}: {over_seeds(values)}")
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            parts.append(f"{name}: {float(np.mean(values)):.3g}")
        elif all(value == values[0] for value in values):
            parts.append(f"{name}: {values[0]}")
    return "; ".join(parts)


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
    if inspect.isclass(value) and not value.__module__.startswith("helpers."):
        return f".. py:class:: {name}\n\n   That of {value.__module__.split('.')[0].capitalize()}: see there.\n"
    if inspect.isclass(value):
        return f".. autoclass:: {value.__module__}.{name}\n   :members:\n"
    if callable(value):
        return f".. autofunction:: {value.__module__}.{name}\n"
    held = ", ".join(f"``{item}``" for item in value)
    return f".. py:data:: {name}\n\n   {held}\n"
