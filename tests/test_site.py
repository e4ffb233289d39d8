"""The site, built from lessons that were not run, with made-up figures: its files have no faults."""

import base64
import importlib
import io
import json
import re
import runpy
import shutil
from types import SimpleNamespace

import nbformat
import pytest
from matplotlib.figure import Figure

from course import ROOT, CourseError
from course.run.gains import description_in
from course.run.lessons import find_lessons, run_of
from course.run.report import summarise
from course.run.results import (
    COSTS,
    INSTRUCTORS,
    TABLE_ENDS,
    cost_table,
    keep_results,
    read_results,
    write_cost_table,
)
from helpers.execution.key import key_of
from helpers.notebook import records

pytest.importorskip("myst_nb", reason="pip install .[site]")
from bs4 import BeautifulSoup

from course.site.build import build_site, write_sources
from course.site.checks import find_faults, pages_of
from course.site.extension import describe, glossary_terms
from course.site.pages import API, measured_tables

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # Sphinx's extensions, of one another
]
RECORDS = [value for name, value in vars(records).items() if name.endswith("_TYPE")]
ALT = "A made-up chart: with few labels, take a frozen network."


def result(lesson, status="passed"):
    claims = [{"claim": "It helps", "held": True, "evidence": {"figure": 1}}]
    measured = {"seconds": 12.3, "cpu_seconds": 20.1, "peak_memory_mb": 1024, "claims": claims}
    return {"lesson": lesson.stem, "status": status, "profile": "mini", "device": "CPU", "seed": 0, **measured}


def image():
    buffer = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def write_executed(folder, chart):
    """Copy all lessons to ``folder``; the last one gets a progress bar, and a figure that may be the chart."""
    for path in find_lessons():
        notebook = nbformat.read(path, as_version=4)
        if path == find_lessons()[-1]:
            outputs = [
                nbformat.v4.new_output("stream", text="10%\r100% done"),
                nbformat.v4.new_output(
                    "display_data",
                    {"image/png": image()} | {kind: {} for kind in RECORDS},
                    metadata={"image/png": {"alt": ALT, "width": 321}},
                ),
            ]
            tags = {"tags": ["decision-chart"] if chart else []}
            notebook.cells.append(nbformat.v4.new_code_cell("chart", outputs=outputs, metadata=tags))
        nbformat.write(notebook, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return write_executed(tmp_path_factory.mktemp("executed"), chart=True)


@pytest.fixture(scope="module")
def summary():
    return summarise([result(lesson) for lesson in find_lessons()], "mini")


@pytest.fixture(scope="module")
def site(executed, summary, tmp_path_factory):
    target = tmp_path_factory.mktemp("built") / "site"
    build_site(summary, executed, target)
    return target


def test_it_has_no_faults(site):
    assert find_faults(site) == []


def test_it_has_all_lessons_and_exercises_but_no_solutions(site):
    pages = {str(path.relative_to(site)) for path in pages_of(site)}
    for folder in ("notebooks", "exercises"):
        assert {f"{folder}/{path.stem}.html" for path in (ROOT / folder).glob("*.ipynb")} <= pages
    assert not any(page.startswith("solutions") for page in pages)
    assert "### BEGIN SOLUTION" not in "".join(path.read_text() for path in site.rglob("*.html"))
    assert {
        "index.html",
        "syllabus.html",
        "answering.html",
        "results.html",
        "sessions.html",
        "api.html",
        "docs/glossary.html",
        "docs/errors.html",
        "404.html",
    } <= pages


def test_a_reader_sees_an_exercise_answer_back(site):
    page = BeautifulSoup((site / "answering.html").read_text(encoding="utf-8"), "html.parser")
    said = [block.get_text().strip()[:1] for block in page.select("main .highlight-text")]
    assert said == ["✘", "H", "✔"]


def test_solutions_on_demand(executed, summary, tmp_path):
    write_sources(summary, executed, tmp_path, solutions=True)
    assert {path.name for path in (tmp_path / "solutions").iterdir()} == {
        path.name for path in (ROOT / "solutions").glob("*.ipynb")
    }
    assert "solutions/[0-9]*" in (tmp_path / "index.md").read_text()


def test_figures_keep_their_alt_text_and_progress_its_last_line(site):
    page = (site / "notebooks" / f"{find_lessons()[-1].stem}.html").read_text()
    assert re.search(rf'<img alt="{ALT}"[^>]*width: 321px', page)
    assert "100% done" in page and "10%\r" not in page
    assert len(RECORDS) > 3 and not [kind for kind in RECORDS if kind in page]


def test_the_decision_chart_has_a_page(site):
    page = (site / "which_method.html").read_text()
    assert page.count(ALT) >= 2 and f"{find_lessons()[-1].stem}.html" in page


def test_without_a_chart_there_is_no_page_for_it(summary, tmp_path):
    (tmp_path / "executed").mkdir()
    write_sources(summary, write_executed(tmp_path / "executed", chart=False), tmp_path / "source", solutions=False)
    assert not (tmp_path / "source" / "which_method.md").exists()
    assert "which_method" not in (tmp_path / "source" / "index.md").read_text()


def test_the_api_pages_show_what_each_room_hands_on_and_nothing_else(site):
    for module in API:
        page = BeautifulSoup((site / "api" / f"{module}.html").read_text(encoding="utf-8"), "html.parser")
        shown = [entry["id"].rpartition(".")[2] for entry in page.select("main dl.py:not(dl dl) > dt[id]")]
        assert shown == importlib.import_module(module).__all__
    overview = (site / "api.html").read_text(encoding="utf-8")
    assert all(f"api/{module}.html" in overview for module in API)


def test_the_landing_page_says_what_was_measured(site):
    page = (site / "index.html").read_text()
    assert f'alt="Two bar charts. {description_in()}"' in page


def test_the_results_page_says_how_often_each_claim_held(site):
    page = BeautifulSoup((site / "results.html").read_text(), "html.parser")
    for table in measured_tables():
        for lesson in table["lessons"]:
            title = f"{lesson['name']} ({table['profile']})"
            (summary,) = [each for each in page("summary") if each.text.startswith(title)]
            rows = [[cell.text.strip() for cell in row("td")] for row in summary.parent("tr")[1:]]
            assert len(rows) == len(lesson["claims"])
            assert rows[0][1] == f"{lesson['claims'][0]['held']} of {lesson['seeds']}" and any(row[2] for row in rows)


def test_each_lesson_has_a_plan_with_its_predictions(site):
    page = BeautifulSoup((site / "sessions.html").read_text(), "html.parser")
    plans = page.select("section > section")
    assert len(plans) == len(find_lessons())
    for plan in plans:
        assert len(plan.select("li")) >= 3 and "guess first" in plan.text


def test_words_of_the_lessons_lead_to_the_glossary(site):
    page = (site / "notebooks" / "05_freezing.html").read_text()
    assert page.count('href="../docs/glossary.html#term-BatchNorm"') == 1
    assert len(glossary_terms((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))) > 30


def test_the_search_knows_batchnorm(site):
    index = json.loads((site / "searchindex.js").read_text().removeprefix("Search.setIndex(").removesuffix(")"))
    places = {*index["terms"]["batchnorm"], *index["titleterms"]["batchnorm"]}
    assert index["docnames"].index("notebooks/05_freezing") in places


@pytest.mark.parametrize("repository", ["", "ada/her-course"])
def test_pages_can_be_launched_only_where_there_is_an_address(tmp_path, repository):
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path / "docs")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = re.sub('(?m)^repository = "[^"]*"', f'repository = "{repository}"', text)
    (tmp_path / "pyproject.toml").write_text(text)
    options = runpy.run_path(str(tmp_path / "docs" / "conf.py"))["html_theme_options"]
    assert ("launch_buttons" in options) is bool(repository)
    assert options.get("repository_url", "").endswith(repository)


def test_the_page_for_lost_readers_finds_its_styles_from_any_address():
    config = SimpleNamespace(html_baseurl="https://ada.github.io/course/", html_title="")
    contexts = {page: {} for page in ("404", "index")}
    for page, context in contexts.items():
        describe(SimpleNamespace(config=config), page, "page.html", context, None)
    base = '<base href="https://ada.github.io/course/">'
    assert [context["metatags"].lstrip().startswith(base) for context in contexts.values()] == [True, False]


def test_pages_offer_the_notebooks_of_the_repository(site):
    offered = site / "_sources" / "notebooks" / find_lessons()[-1].name
    assert offered.read_bytes() == find_lessons()[-1].read_bytes()


def test_a_lesson_that_stopped_leaves_the_site_as_it_is(executed, tmp_path):
    (tmp_path / "site").mkdir()
    stopped = summarise([result(find_lessons()[0], "failed")], "mini")
    with pytest.raises(CourseError, match="00_start_here"):
        build_site(stopped, executed, tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


GOOD = '<html><head><meta name="description" content="x"></head><body><main><h1>A</h1>{}</main></body></html>'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD.replace("description", "other"), "no description"),
        (GOOD.format("<img src='a.png'>"), "no alt text"),
        (GOOD.format("<img src='a.png' alt=' '>"), "no alt text"),
        (GOOD.format("<h3>B</h3>"), "h3 comes after h1"),
        (GOOD.format("<h1>B</h1>"), "only h1"),
        (GOOD.format("<script src='https://cdn.example.org/a.js'></script>"), "another host"),
        (GOOD.format("<script src='//cdn.example.org/a.js'></script>"), "another host"),
        (GOOD.format("<link rel='stylesheet' href='https://fonts.example.org/a.css'>"), "another host"),
        (GOOD.format("<style>@import url(https://example.org/a.css)</style>"), "another host"),
        (GOOD.format("<p style='background: url(//example.org/a.png)'>a</p>"), "another host"),
        (GOOD.format("<a href='lost.html'>a</a>"), "leads nowhere"),
        (GOOD.format("<a href='#lost'>a</a>"), "no place"),
    ],
)
def test_each_fault_is_found(text, fault, tmp_path):
    (tmp_path / "good.html").write_text(GOOD)
    assert find_faults(tmp_path) == []
    (tmp_path / "bad.html").write_text(text)
    assert len(find_faults(tmp_path)) == 1 and fault in find_faults(tmp_path)[0]


def test_a_style_that_loads_from_elsewhere_is_found(tmp_path):
    (tmp_path / "good.html").write_text(GOOD)
    (tmp_path / "a.css").write_text('@import "https://example.org/b.css";')
    assert "a.css" in find_faults(tmp_path)[0]


def test_an_empty_site_is_a_fault(tmp_path):
    assert "make site" in find_faults(tmp_path)[0]


def test_a_run_on_mini_is_used_and_no_other(tmp_path, monkeypatch):
    def key(profile):
        notebook, parameters, _ = run_of(find_lessons()[0], profile, tmp_path)
        return key_of(notebook, parameters)

    monkeypatch.setattr("shutil.which", lambda name: None)  # no GPU
    monkeypatch.delenv("COURSE_PROFILE")
    assert key("auto") == key("mini") != key("cifar10-cpu")
    monkeypatch.setenv("COURSE_PROFILE", "cifar10-cpu")
    assert key("auto") == key("cifar10-cpu")


def test_results_are_kept_with_hardware_and_only_when_finished(summary, tmp_path):
    with pytest.raises(CourseError, match="Run the lessons first"):
        keep_results(tmp_path, tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    kept = json.loads(keep_results(tmp_path, tmp_path / "results").read_text())
    assert "GB of memory" in kept["hardware"]
    expected = [{name: lesson[name] for name in COSTS} for lesson in summary["lessons"]]
    assert kept["lessons"] == expected
    one = summarise([result(find_lessons()[1]) | {"seconds": 99.0}], "mini")
    (tmp_path / "summary.json").write_text(json.dumps(one))
    again = json.loads(keep_results(tmp_path, tmp_path / "results").read_text())["lessons"]
    assert again[1]["seconds"] == 99.0 and again[:1] + again[2:] == expected[:1] + expected[2:]
    (tmp_path / "summary.json").write_text(json.dumps(summarise([result(find_lessons()[0], "failed")], "mini")))
    with pytest.raises(CourseError, match="did not come to their end"):
        keep_results(tmp_path, tmp_path)


def test_the_instructors_page_shows_the_costs_of_the_kept_results():
    runs = read_results()
    assert cost_table(runs) in INSTRUCTORS.read_text()
    for run in runs:
        assert [lesson["lesson"] for lesson in run["lessons"]] == [path.stem for path in find_lessons()]


def test_a_cost_table_has_a_dash_where_nothing_was_measured(tmp_path):
    lessons = [{"lesson": f"0{number}_x", "seconds": 10.4 * number, "peak_memory_mb": 1024} for number in (1, 2)]
    lessons[1]["cpu_seconds"] = 30.2
    for run in (
        {"profile": "mini", "hardware": "A", "lessons": lessons},
        {"profile": "p", "hardware": "B", "lessons": lessons[:1]},
    ):
        (tmp_path / f"{run['profile']}.json").write_text(json.dumps(run))
    page = tmp_path / "page.md"
    page.write_text(INSTRUCTORS.read_text())
    assert write_cost_table(page, tmp_path) and not write_cost_table(page, tmp_path)
    rows = "| 01 x | 10 s, 1.0 GB | 10 s, 1.0 GB |\n| 02 x | 21 s (30 CPU s), 1.0 GB | – |\n\n- mini: A\n- p: B\n"
    assert rows in page.read_text()
    page.write_text(INSTRUCTORS.read_text().replace(TABLE_ENDS, ""))
    with pytest.raises(CourseError, match="needs two lines"):
        write_cost_table(page, tmp_path)
