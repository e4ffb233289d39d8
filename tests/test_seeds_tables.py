"""The tables of many seeds: made as described, not out of date, and each claim held often enough."""

import json
from dataclasses import replace

import nbformat
import pytest

from benchmarks import precision
from course import ROOT, CourseError
from course.run import recipes
from course.run.gains import METHODS, PANELS, describe, description_in, gains
from course.run.lessons import NOTEBOOKS, find_lessons
from course.run.seeds import NEEDED, count_table, keep_measured, lesson_key
from helpers.files.seeds_tables import SEEDS_TABLES, recorded_claim, seeds_table
from helpers.profiles import PROFILES
from tests.support.stored_notebooks import far_from, faults_of, is_finished

TABLES = {path.stem.removeprefix("seeds-"): path for path in SEEDS_TABLES.glob("seeds-*.json")}
ENTRIES = [(profile, name) for profile in sorted(TABLES) for name in seeds_table(profile)["lessons"]]


def entry(key="k", held=(True, True), lead=(0.01, 0.03)):
    evidence = {"lead": [{"difference": mean, "error": 0.01} for mean in lead], "text": ["[a], {b}"] * len(held)}
    claims = [{"claim": 'the "first" [wins]', "held": list(held), "evidence": evidence}]
    return {"key": key, "versions": {}, "seeds": list(range(len(held))), "claims": claims, "stopped": []}


def test_a_table_holds_what_was_measured(tmp_path):
    assert seeds_table("mini", tmp_path)["lessons"] == {}
    assert keep_measured({"01_a": entry()}, "mini", tmp_path) == ["01_a"]
    assert keep_measured({"00_b": entry(held=(True, False))}, "mini", tmp_path) == ["00_b"]
    table = seeds_table("mini", tmp_path)
    assert list(table["lessons"]) == ["00_b", "01_a"] and table["lessons"]["01_a"] | {"stopped": []} == entry()
    counts = count_table(table["lessons"])
    assert list(counts["held"]) == [1, 2] and list(counts["failing seeds"]) == ["1", ""]


@pytest.mark.parametrize(
    ("key", "seeds", "written"), [("k", 1, False), ("k", 2, True), ("k", 3, True), ("new", 1, True)]
)
def test_fewer_seeds_replace_only_what_is_out_of_date(tmp_path, key, seeds, written):
    keep_measured({"01_a": entry()}, "mini", tmp_path)
    measured = {"01_a": entry(key, held=(True,) * seeds, lead=(0.02,) * seeds)}
    assert keep_measured(measured, "mini", tmp_path) == (["01_a"] if written else [])


def test_what_stopped_replaces_nothing(tmp_path):
    keep_measured({"01_a": entry()}, "mini", tmp_path)
    stopped = {"01_a": entry("new", (False,) * 3) | {"stopped": [1]}, "02_c": entry()}
    assert keep_measured(stopped, "mini", tmp_path) == ["02_c"]
    assert seeds_table("mini", tmp_path)["lessons"]["01_a"]["key"] == "k"


def test_a_key_is_that_of_code_and_profile(tmp_path, monkeypatch):
    def key(source, profile="mini", setup="import sys"):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.ipynb"
        cells = [nbformat.v4.new_code_cell(each) for each in (setup, source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return lesson_key(path, profile)

    assert key("a = 1") == key("a  =  1  # one") == key("a = 1", setup="import os") != key("a = 2")
    assert key("a = 1") != key("a = 1", "cifar10-cpu")
    printed = "a = 1\nif a == 1:\n    print('yes')\nelse:\n    print('no')"
    assert key(printed) == key("a = 1")  # what is only printed decides no figure
    assert key("a = 1\nif b := 2:\n    print(b)") != key("a = 1")
    assert key("a = 1\nprint(b := 2)") != key("a = 1") != key("a = 1\nif a:\n    b = 2")
    other = replace(PROFILES["mini"], head_epochs=99)
    before = key("a = 1"), key("a = profile.head_epochs")
    monkeypatch.setitem(PROFILES, "mini", other)
    assert (key("a = 1") == before[0], key("a = profile.head_epochs") == before[1]) == (True, False)


@pytest.mark.parametrize(("profile", "name"), ENTRIES)
def test_no_table_is_out_of_date(profile, name):
    """Else a lesson would quote an old figure: python -m course seeds --keep --profile … --lessons …"""
    lesson = seeds_table(profile)["lessons"][name]
    assert lesson["key"] == lesson_key(NOTEBOOKS / f"{name}.ipynb", profile)
    assert len(lesson["seeds"]) >= (20 if profile == "mini" else 5)
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert {f"{name}=={lesson['versions'][name]}" for name in ("keras", "tensorflow")} <= set(pinned)


@pytest.mark.parametrize(("profile", "name"), ENTRIES)
def test_each_claim_holds_with_nearly_all_seeds(profile, name):
    for claim in seeds_table(profile)["lessons"][name]["claims"]:
        assert sum(claim["held"]) >= NEEDED * len(claim["held"]), claim["claim"]
        assert recorded_claim(claim["claim"], profile) == claim, "another lesson has the same sentence"


def test_each_lesson_that_is_in_a_table_exists():
    names = {path.stem for path in find_lessons()}
    assert {name for _, name in ENTRIES} <= names


@pytest.mark.parametrize(
    ("rule", "losses", "finished"),
    [
        ("early stopping, patience 2", [3, 2, 1, 1.1, 1.2], True),
        ("early stopping, patience 3", [3, 2, 1, 1.1, 1.2], False),
        ("schedule: the rate falls to 0", [3, 2, 1.01, 1.0], True),
        ("schedule: the rate falls to 0", [1.08, 0.91, 0.85, 0.64, 0.61], True),
        ("schedule: the rate falls to 0", [1.08, 0.91, 0.85, 0.64, 0.58], False),
        ("schedule: the rate falls to 0", [3, 2, 1], False),
        ("demonstration: two epochs", [3, 2], True),
        ("because", [3, 2], False),
    ],
)
def test_a_training_that_was_stopped_too_early_is_found(rule, losses, finished):
    assert is_finished({"name": "a", "rule": rule, "val_loss": losses}) == finished


def test_figures_far_from_the_recorded_ones_are_found():
    (recorded,) = entry(held=[True] * 4, lead=(0.01, 0.02, 0.03, 0.02))["claims"]
    near, far = ({"evidence": {"lead": {"difference": mean, "error": 0.01}, "n": 3}} for mean in (0.05, 0.15))
    assert far_from(near, recorded) == [] and far_from(far, recorded) == ["lead"] and far_from(far, {}) == []


def test_what_must_not_be_there_fails_its_cell():
    kinds = {
        "claim": {"claim": "a", "held": False, "evidence": {}},
        "training": {"name": "a", "rule": "none", "val_loss": [1.0]},
    }
    outputs = [
        nbformat.v4.new_output("display_data", data={f"application/vnd.finetuning-course.{kind}+json": record})
        for kind, record in kinds.items()
    ]
    assert [fault.ename for fault in faults_of(outputs)] == [
        "ClaimNotBorneOut",
        "StoppedTooEarly",
    ]


def test_the_picture_of_what_is_gained_is_not_out_of_date():
    measured = {profile: gains(profile) for profile in PANELS}
    assert description_in() == describe(measured), (
        "run python -m course seeds --keep, or course.run.gains.write_gains()"
    )
    for methods in measured.values():
        means = [sum(values) / len(values) for values in methods.values()]
        assert means[-1] > means[0] > 0.1


def test_lesson_16_shows_the_measured_table_of_mixed_precision():
    table = json.loads(precision.TABLE.read_text(encoding="utf-8"))
    (lesson,) = find_lessons(["16"])
    text = next(cell.source for cell in nbformat.read(lesson, as_version=4).cells if cell.id == "precision-text")
    assert precision.rows(table) == [line for line in text.splitlines() if line.startswith(("| `float", "| `mixed"))]


def test_the_picture_of_the_recipes_shows_what_was_measured():
    table = recipes.recipe_table(recipes.read_rows())
    assert description_in(recipes.PICTURE) == recipes.describe(table), "run benchmarks/recipes.py"
    assert f"![{recipes.describe(table)}]" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(recipes.TUTORIALS) < set(table.index) and table["test"].between(0.5, 1).all()
    unfinished = [*recipes.read_rows(), {**recipes.read_rows()[0], "seed": 99}]
    assert recipes.recipe_table(unfinished).equals(table)


def test_a_figure_that_no_claim_has_any_more_is_named(monkeypatch):
    monkeypatch.setitem(METHODS, "fine-tuned", ("06", "no such figure"))
    with pytest.raises(CourseError, match="lesson 06 has a figure 'no such figure'"):
        gains("mini")
