"""Build the course's site with Sphinx, from the executed notebooks of a run; nothing is fetched."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from sphinx.cmd.build import build_main

from course import ROOT, CourseError
from course.run.report import unfinished
from course.site.extension import GLOSSARY, as_directive
from course.site.pages import write_pages
from helpers.execution.store import INJECTED
from helpers.notebook.records import RECORDS

DOCS = ROOT / "docs"
FOLDED_CELLS = ("setup",)  # the same in each notebook, and of no interest to readers


def build_site(summary: dict, executed: Path, target: Path, solutions: bool = False) -> None:
    """Build the site.

    Args:
        summary: what ``course.run.report.summarise`` returned for the lessons that are to be shown.
        executed: the folder with their executed notebooks.
        target: the folder of the site. It is replaced when the new site is complete. Beside it, the folder
            ``<target>-source`` keeps what Sphinx was given.
        solutions: show the solutions, too.

    Raises:
        CourseError: a lesson did not come to its end, a page lacks a figure, or Sphinx found a fault.
    """
    stopped = unfinished(summary)
    if stopped:
        raise CourseError(f"These lessons did not come to their end, so there is no site: {', '.join(stopped)}.")
    source, new = target.with_name(f"{target.name}-source"), target.with_name(f"{target.name}-new")
    for folder in (source, new):
        shutil.rmtree(folder, ignore_errors=True)
    write_sources(summary, executed, source, solutions)
    options = ["-q", "-n", "-W", "--keep-going", "-c", str(DOCS), "-d", str(source / ".doctrees"), "-b", "html"]
    if build_main([*options, str(source), str(new)]):
        raise CourseError("Sphinx found faults; its messages are above. The site was not changed.")
    offer_committed_notebooks(new)
    from course.site.teach import write_teach_page  # it loads TensorFlow

    write_teach_page(new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


def write_sources(summary: dict, executed: Path, source: Path, solutions: bool) -> None:
    """Put together what Sphinx shall read, in the folders of the repository, so that links between them hold."""
    for lesson in summary["lessons"]:
        copy_notebook(executed / f"{lesson['lesson']}.ipynb", source / "notebooks" / f"{lesson['lesson']}.ipynb")
    folders = ["notebooks/runs", "exercises", *(["solutions"] if solutions else [])]
    for notebook in (path for folder in folders for path in sorted((ROOT / folder).glob("*.ipynb"))):
        copy_notebook(notebook, source / notebook.relative_to(ROOT))
    for page in (*DOCS.glob("*.md"), *(ROOT / "helpers" / "assets").rglob("*.md")):
        copy = source / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, copy)
    glossary = source / GLOSSARY.relative_to(ROOT)
    glossary.write_text(as_directive(glossary.read_text(encoding="utf-8")), encoding="utf-8")
    write_pages(summary, source)


def copy_notebook(path: Path, copy: Path) -> None:
    """Copy a notebook as the site shows it: progress bars in their last state, the set-up folded."""
    notebook = nbformat.read(path, as_version=4)
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    for cell in notebook.cells:
        if cell.id in FOLDED_CELLS:
            cell.metadata.tags = [*cell.metadata.get("tags", []), "hide-input"]
        for output in cell.get("outputs", []):
            for kind in [kind for kind in output.get("data", {}) if kind.startswith(RECORDS)]:  # not for readers
                del output["data"][kind]
    shown = [cell for cell in notebook.cells if INJECTED not in cell.metadata.get("tags", [])]
    notebook.cells = [cell for cell in shown if cell.source.strip()]
    copy.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, copy)


def offer_committed_notebooks(site: Path) -> None:
    """Let the download buttons give the notebooks of the repository, not those with the outputs of this run."""
    for shown in (site / "_sources").rglob("*.ipynb"):
        shutil.copyfile(ROOT / shown.relative_to(site / "_sources"), shown)
