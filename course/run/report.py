"""Write what a run showed: a summary as data, the executed lessons as pages, and one page about all."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from course import TEMPLATES
from course.run.lessons import versions
from helpers.files.cache import write_beside

if TYPE_CHECKING:
    from nbconvert import HTMLExporter

LESSON_KEYS = ("lesson", "status", "seconds", "cpu_seconds", "peak_memory_mb", "claims")
MAIN_FIGURE = "main-figure"  # the tag of the cell whose figure stands for the lesson


def summarise(results: Sequence[dict], profile: str) -> dict:
    """Return the run as data; ``profile`` serves where no lesson came far enough to say its own."""
    known = [result for result in results if result["profile"]]
    return {
        "profile": known[0]["profile"] if known else profile,
        "versions": versions(),
        "device": known[0]["device"] if known else None,
        "seed": known[0]["seed"] if known else None,
        "lessons": [{key: result[key] for key in LESSON_KEYS} for result in results],
    }


def unfinished(summary: dict) -> list[str]:
    """Return the names of the lessons that did not come to their end."""
    return [lesson["lesson"] for lesson in summary["lessons"] if lesson["status"] != "passed"]


def write_report(results: Sequence[dict], profile: str, folder: Path) -> Path:
    """Write ``summary.json`` and ``index.html``; return the latter.

    Args:
        results: what ``run_lessons`` returned, for lessons whose executed notebooks and pages are in ``folder``.
        profile: the profile that was asked for.
        folder: where everything is written.
    """
    import jinja2
    import nbformat

    summary = summarise(results, profile)
    folder.mkdir(parents=True, exist_ok=True)  # no lesson may have come far enough to make it
    with write_beside(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    pages = []
    for result in results:
        notebook, page, figure = folder / f"{result['lesson']}.ipynb", None, None
        if notebook.exists():
            page = f"{result['lesson']}.html"
            figure = tagged_figure(nbformat.read(notebook, as_version=4), MAIN_FIGURE)
        pages.append({**result, "page": page, "figure": figure})
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    text = environment.get_template("report.html.j2").render(summary=summary, lessons=pages)
    with write_beside(folder / "index.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / "index.html"


def write_page(notebook: Path) -> None:
    """Turn an executed notebook into a page beside it that needs no network; without a notebook, do nothing."""
    if not notebook.exists():
        return
    import nbformat

    text, _ = page_maker().from_notebook_node(nbformat.read(notebook, as_version=4))
    with write_beside(notebook.with_suffix(".html")) as temporary:
        temporary.write_text(text, encoding="utf-8")


@functools.cache
def page_maker() -> HTMLExporter:
    """Return what makes pages of notebooks; it compiles its templates once."""
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        template_name="lesson",
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        embed_images=True,
    )
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(), enabled=True)
    # To clean what the course itself has written took a third of the time.
    exporter.register_filter("clean_html", lambda html: html)
    return exporter


def tagged_figure(executed, tag: str) -> dict | None:
    """Return "png" (base64) and "alt" of the figure of the cell with this tag, or None if it was not reached."""
    for cell in executed.cells:
        if tag in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return {
                        "png": output.data["image/png"].strip(),
                        "alt": output.metadata.get("image/png", {}).get("alt", ""),
                    }
    return None
