"""The quizzes of the lessons: their files, what they rest on, and how they answer."""

import ast
import json

import pytest

from helpers.checks import progress, quiz
from helpers.checks.progress import progress_file, read_done
from helpers.checks.quiz import QUIZZES, QuizError, as_form, as_text, find_quiz, read_quiz
from helpers.files.seeds_tables import seeds_table

LESSONS = sorted(QUIZZES.parent.glob("*.ipynb"))
NEEDED = 0.95  # of the seeds, in which a claim must have held
# Questions whose right answer is a definition, arithmetic, what is fair, or how Keras works: no run measures it.
WITHOUT_A_CLAIM = {
    "00": "345",
    "01": "123",
    "02": "125",
    "03": "25",
    "04": "13",
    "05": "5",
    "06": "25",
    "07": "35",
    "08": "145",
    "09": "34",
    "10": "45",
    "11": "5",
    "12": "34",
    "15": "2",
    "16": "5",
    "17": "35",
}  # by lesson, their numbers
CHOICES = """
choice = [
  { text = "a < b", feedback = "No, `<` is wrong." },
  { text = "b", feedback = "Yes & no.", right = true },
  { text = "c", feedback = "No." },
]
"""
ONE = '[[question]]\ntext = "What?"' + CHOICES


@pytest.fixture(autouse=True)
def own_progress(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


def unfounded(questions, lesson, tables):
    """Return the claims on which questions rest that the lesson does not make, or that did not hold with many seeds."""
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    parsed = [ast.parse(cell) for cell in code if not cell.startswith("%%")]  # not what goes into a file
    calls = [node for tree in parsed for node in ast.walk(tree) if isinstance(node, ast.Call)]
    said = [call.args[0] for call in calls if ast.unparse(call.func) == "claim"]
    said = {sentence.value for sentence in said if isinstance(sentence, ast.Constant)}
    faults = []
    for sentence in [question.claim for question in questions if question.claim]:
        held = [
            [claim["held"] for claim in table["lessons"][lesson.stem]["claims"] if claim["claim"] == sentence]
            for table in tables
        ]
        if sentence not in said or not all(each and sum(each[0]) >= NEEDED * len(each[0]) for each in held):
            faults.append(sentence)
    return faults


def tables():
    return [json.loads(json.dumps(seeds_table(profile))) for profile in ("mini", "cifar10-cpu")]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem[:2])
def test_each_lesson_has_a_quiz_that_rests_on_its_claims(lesson):
    questions = read_quiz(QUIZZES / f"{lesson.stem}.toml")
    assert 3 <= len(questions) <= 5
    assert all(choice.text and len(choice.feedback) > 20 for question in questions for choice in question.choices)
    without = "".join(str(place) for place, question in enumerate(questions, 1) if question.claim is None)
    assert without == WITHOUT_A_CLAIM.get(lesson.stem[:2], "")
    assert unfounded(questions, lesson, tables()) == []
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(lesson.read_text(encoding="utf-8"))["cells"]}
    assert f'quiz("{lesson.stem[:2]}")' in cells["quiz"]


def test_no_quiz_is_left_without_its_lesson():
    assert {path.stem for path in QUIZZES.glob("*")} == {path.stem for path in LESSONS}


@pytest.mark.parametrize("fault", ["removed from the lesson", "removed from a table", "refuted by some seeds"])
def test_a_quiz_may_not_rest_on_a_claim_that_is_gone_or_refuted(tmp_path, fault):
    lesson = next(path for path in LESSONS if path.stem.startswith("03"))
    questions, measured, copy = read_quiz(find_quiz("03")), tables(), tmp_path / lesson.name
    sentence = next(question.claim for question in questions if question.claim)
    text = lesson.read_text(encoding="utf-8")
    claims = measured[1]["lessons"][lesson.stem]["claims"]
    if fault == "removed from the lesson":
        assert sentence in text
        text = text.replace(sentence, "Another sentence")
    elif fault == "removed from a table":
        claims[:] = [claim for claim in claims if claim["claim"] != sentence]
    else:
        next(claim for claim in claims if claim["claim"] == sentence)["held"][0] = False
    copy.write_text(text, encoding="utf-8")
    assert unfounded(questions, copy, measured) == [sentence]


def test_letters_are_judged_and_right_ones_kept(capsys):
    right = [
        "abcd"[[choice.right for choice in question.choices].index(True)] for question in read_quiz(find_quiz("03"))
    ]
    wrong = "a" if right[1] != "a" else "b"
    quiz("03", right[0].upper(), wrong)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("✔ 1 ") and second.startswith("✘ 2 ")
    assert read_done() == {"quiz 03.1"}
    progress()
    assert "Quiz 03       ✔ 1  · 2" in capsys.readouterr().out


@pytest.mark.parametrize("letters", [("b", "e"), ("b", ""), ("b", 2), ("b", "bc"), ("a",) * 6])
def test_a_letter_that_is_none_of_the_choices_is_named_and_nothing_is_kept(letters):
    with pytest.raises(QuizError, match=r"Quiz 03 has 5|has the choices a, b"):
        quiz("03", *letters)
    assert not progress_file().exists()


@pytest.mark.parametrize("number", ["99", "3", "", 3])
def test_an_unknown_quiz_lists_the_known_ones(number):
    with pytest.raises(QuizError, match="known: 00, 01"):
        quiz(number)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[question", "Expected"),
        ("", "'question' is missing"),
        (ONE.replace("right = true", "right = false"), "exactly one"),
        (ONE.replace('"c",', '"c", right = true,'), "exactly one"),
        (ONE.replace('  { text = "c", feedback = "No." },\n', ""), "three or four"),
        (ONE.replace(', feedback = "No."', ""), "'feedback' is missing"),
    ],
)
def test_a_file_with_a_mistake_is_named_with_the_reason(tmp_path, text, reason):
    path = tmp_path / "03_a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(QuizError, match=rf"03_a\.toml: .*{reason}"):
        read_quiz(path)


def test_the_form_has_a_label_for_each_choice_and_no_markup_of_the_file(tmp_path):
    path = tmp_path / "03_a.toml"
    path.write_text(ONE, encoding="utf-8")
    questions = read_quiz(path)
    form = as_form("03", questions)
    assert form.count('type="radio"') == form.count("<label ") == 3 and form.count("✔") == 1
    assert "a &lt; b" in form and "No, <code>&lt;</code> is wrong." in form and "Yes &amp; no." in form
    assert as_text(questions) == "1. What?\n   a) a < b\n   b) b\n   c) c"


def test_quizzes_are_shown_as_html_and_as_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    quiz("03")
    assert shown[0].keys() == {"text/plain", "text/html"} and "✔" not in shown[0]["text/plain"]
