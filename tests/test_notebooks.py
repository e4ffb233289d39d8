"""Every notebook has the anatomy of a lesson, and is kept as CONTRIBUTING.md says."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from course.authoring.strip_outputs import strip_outputs

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
RUNS = sorted(FOLDER.glob("runs/*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem[:2])
def cells(request):
    return json.loads(request.param.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def by_id(cells):
    return {cell["id"]: cell for cell in cells}


def test_set_up_parameters_and_beginning_are_the_same_everywhere():
    first = by_id(json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))["cells"])
    for path in (*NOTEBOOKS, *RUNS):
        cells = by_id(json.loads(path.read_text(encoding="utf-8"))["cells"])
        for name in ("setup", "begin"):
            assert source(cells[name]) == source(first[name]), (path.name, name)
        assert source(cells["parameters"]).startswith(source(first["parameters"])), path.name  # some lessons add one
        assert cells["parameters"]["metadata"]["tags"] == ["parameters"]


def test_anatomy(cells):
    text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    for part in ("**You will**", "**Time and memory**", "**Predict.**", "**Explain.**", "## Claims", "## Recap"):
        assert part in text, part
    assert "## Questions" in text and by_id(cells)["quiz"]["metadata"]["tags"] == ["quiz"]
    assert [cell["metadata"].get("tags") for cell in cells].count(["main-figure"]) == 1


def test_the_readme_lists_each_lesson_with_its_minutes():
    readme, total = (FOLDER.parent / "README.md").read_text(encoding="utf-8"), 0
    for path in NOTEBOOKS:
        title = source(json.loads(path.read_text(encoding="utf-8"))["cells"][0])
        name, minutes = re.search(r"^# (.+)$", title, re.M)[1], re.search(r"about (\d+) minutes to read", title)[1]
        number, name = name.split(" · ")
        assert f"| [{number}](notebooks/{path.name}) | {name} | {minutes} |" in readme, path.name
        total += int(minutes)
    exercises = len(list((FOLDER.parent / "exercises").glob("*.ipynb")))
    size = f"{len(NOTEBOOKS)} notebooks, about {total / 60:.0f} hours of reading, and {exercises} exercises"
    assert size in " ".join(readme.split())


def test_prose_before_code(cells):
    code = [cell["cell_type"] == "code" for cell in cells]
    runs = "".join("c" if is_code else "m" for is_code in code)
    assert "cccc" not in runs


def test_cells_are_short(cells):
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = [line for line in source(cell).splitlines() if line.strip()]
            assert len(lines) <= 20, (cell["id"], len(lines))


@pytest.mark.parametrize("folder", ["notebooks", "notebooks/runs", "exercises", "solutions"])
def test_code_fits_the_page(folder):
    for path in sorted((FOLDER.parent / folder).glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert max(map(len, source(cell).split("\n"))) <= 88, (path.name, cell["id"])


def test_outputs_are_kept_only_where_they_are_compared(cells):
    for cell in cells:
        if cell["cell_type"] == "code":
            compared = "NBVAL_CHECK_OUTPUT" in source(cell)
            assert bool(cell["outputs"]) == compared, cell["id"]
            assert (cell["execution_count"] is not None) == compared, cell["id"]


def test_stripping_changes_nothing_that_is_committed():
    assert strip_outputs([*NOTEBOOKS, *RUNS]) == []


def test_stripping_takes_away_what_is_not_compared(tmp_path):
    path = tmp_path / "a.ipynb"
    output = nbformat.v4.new_output("stream", text="1")
    sources = ("print(1)", "# NBVAL_CHECK_OUTPUT\nprint(1)")
    cells = [nbformat.v4.new_code_cell(text, outputs=[output], execution_count=7) for text in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert strip_outputs([path]) == [path]
    first, second = nbformat.read(path, as_version=4).cells
    assert first.outputs == [] and first.execution_count is None
    assert second.outputs == [output] and second.execution_count == 2


def test_keras_3_idioms_only(cells):
    code = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")
    assert not re.search(r"tf\.keras|tf_keras|tensorflow\.keras", code)


def test_figures_have_alt_text(cells):
    for cell in cells:
        if cell["cell_type"] == "markdown":
            assert not re.search(r"!\[\]\(|<img(?![^>]*alt=)", source(cell))


def test_links_lead_somewhere(cells):
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", source(cell)):
                assert (FOLDER / target).exists(), target
