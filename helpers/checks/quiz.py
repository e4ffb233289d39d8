"""``quiz("03")``: the questions at the end of a lesson, from a file beside it, as a form that answers back.

The form is HTML and CSS: it works in a notebook, on the site and from a file. A few lines of script, where a page runs
them, keep the choices in the browser.
"""

from __future__ import annotations

import html
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from helpers import ASSETS
from helpers.checks.progress import mark_done

QUIZZES = ASSETS.parent.parent / "notebooks" / "quizzes"
LETTERS = "abcd"
_STYLE = """
.quiz fieldset { border: 1px solid; border-radius: 4px; margin: 0 0 1em; padding: 0.5em 1em; min-width: 0; }
.quiz legend { float: left; width: 100%; font-weight: bold; font-size: inherit; border: 0; padding: 0 0 0.3em; }
.quiz .choice { clear: both; padding: 0.15em 0; }
.quiz .why { display: none; margin: 0.2em 0 0.4em 1.7em; }
.quiz input:checked ~ .why { display: block; }
"""
_SCRIPT = """
(() => {
  const quiz = document.getElementById(NAME), inputs = [...quiz.querySelectorAll("input")];
  const chosen = () => inputs.filter((each) => each.checked).map((each) => each.id);
  const keep = () => localStorage.setItem(NAME, JSON.stringify(chosen()));
  try {  // where a page may not keep anything, the choices are lost with it, and that is all
    const kept = JSON.parse(localStorage.getItem(NAME)) ?? [];
    inputs.forEach((each) => { each.checked = kept.includes(each.id); });
    quiz.addEventListener("change", () => { try { keep(); } catch { } });
  } catch { }
})();
"""


class QuizError(ValueError):
    """There is no such quiz, its file has a mistake, or an answer is none of its letters."""


@dataclass(frozen=True)
class Choice:
    """An answer that a reader can choose, and why it is right or not."""

    text: str
    feedback: str
    right: bool


@dataclass(frozen=True)
class Question:
    """A question with its choices; ``claim``: the sentence of the lesson on which the right answer rests, or None."""

    text: str
    choices: tuple[Choice, ...]
    claim: str | None


def read_quiz(path: Path) -> tuple[Question, ...]:
    """Return the questions of a file.

    Raises:
        QuizError: it is no TOML, or a question has not three or four choices with feedback, exactly one of them right.
    """
    try:
        questions = tomllib.loads(path.read_text(encoding="utf-8"))["question"]
        return tuple(_question(table) for table in questions)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, QuizError) as error:
        reason = f"the key {error} is missing" if isinstance(error, KeyError) else error
        raise QuizError(f"{path.name}: {reason}. See CONTRIBUTING.md for the form of a quiz.") from error


def _question(table: dict) -> Question:
    choices = tuple(Choice(each["text"], each["feedback"], each.get("right", False)) for each in table["choice"])
    if len(choices) not in (3, 4) or sum(choice.right for choice in choices) != 1:
        raise QuizError(f"the question {table['text']!r} needs three or four choices, exactly one with right = true")
    return Question(table["text"], choices, table.get("claim"))


def quizzes() -> dict[str, Path]:
    """Return the files of all quizzes, by the number of their lesson."""
    return {path.stem.split("_")[0]: path for path in sorted(QUIZZES.glob("*.toml"))}


def find_quiz(number: str) -> Path:
    """Return the file of a lesson's quiz; number: such as "03".

    Raises:
        QuizError: there is none.
    """
    found = quizzes()
    if str(number) not in found:
        raise QuizError(
            f"There is no quiz {number!r}. Write the number of its lesson as text; known: {', '.join(found)}."
        )
    return found[str(number)]


def quiz(number: str, *letters: str) -> None:
    """Show the quiz of a lesson; with letters, judge them, one for each question from the first on.

    A right letter is kept with the progress of the exercises.

    Args:
        number: of the lesson, such as "03".
        letters: of the choices, such as "b", "a", "d".

    Raises:
        QuizError: there is no such quiz, there are more letters than questions, or a letter is none of the choices.
    """
    questions = read_quiz(find_quiz(number))
    if letters:
        print("\n".join(judge(number, questions, letters)))
        return
    from IPython.display import display

    display({"text/plain": as_text(questions), "text/html": as_form(number, questions)}, raw=True)


def judge(number: str, questions: tuple[Question, ...], letters: tuple[str, ...]) -> list[str]:
    """Return a line for each letter, and note the right ones as done. Nothing is noted if a letter cannot be judged."""
    if len(letters) > len(questions):
        raise QuizError(f"Quiz {number} has {len(questions)} questions, and you gave {len(letters)} letters.")
    chosen = []
    for place, (question, letter) in enumerate(zip(questions, letters, strict=False), start=1):
        known = LETTERS[: len(question.choices)]
        if not isinstance(letter, str) or len(letter.strip()) != 1 or letter.strip().lower() not in known:
            raise QuizError(f"Question {place} of quiz {number} has the choices {', '.join(known)}, and no {letter!r}.")
        chosen.append(question.choices[known.index(letter.strip().lower())])
    for place, choice in enumerate(chosen, start=1):
        if choice.right:
            mark_done(task_of(number, place))
    return [f"{'✔' if choice.right else '✘'} {place} {choice.feedback}" for place, choice in enumerate(chosen, start=1)]


def task_of(number: str, place: int) -> str:
    """Return the name under which a question is kept as done, such as "quiz 03.1"."""
    return f"quiz {number}.{place}"


def as_text(questions: tuple[Question, ...]) -> str:
    """Return the questions with their choices, without feedback."""
    lines = []
    for place, question in enumerate(questions, start=1):
        lines += ["", f"{place}. {question.text}"]
        lines += [f"   {letter}) {choice.text}" for letter, choice in zip(LETTERS, question.choices, strict=False)]
    return "\n".join(lines[1:])


def as_form(number: str, questions: tuple[Question, ...]) -> str:
    """Return the questions as HTML: a group of radio buttons for each; the chosen one shows its feedback."""
    name = f"quiz-{number}"
    groups = "".join(_group(f"{name}-{place}", place, question) for place, question in enumerate(questions, start=1))
    script = _SCRIPT.replace("NAME", json.dumps(name))
    return f'<div class="quiz" id="{name}"><style>{_STYLE}</style>{groups}<script>{script}</script></div>'


def _group(name: str, place: int, question: Question) -> str:
    choices = ""
    for letter, choice in zip(LETTERS, question.choices, strict=False):
        verdict = "✔ Right." if choice.right else "✘ No."
        choices += (
            f'<div class="choice"><input type="radio" name="{name}" id="{name}-{letter}"> '
            f'<label for="{name}-{letter}">{letter}) {_marked(choice.text)}</label>'
            f'<p class="why" role="status"><b>{verdict}</b> {_marked(choice.feedback)}</p></div>'
        )
    return f"<fieldset><legend>{place}. {_marked(question.text)}</legend>{choices}</fieldset>"


def _marked(text: str) -> str:
    """Return text as HTML; between backticks is code, between single asterisks is emphasis."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"(?<![\w*])\*([^*<]+)\*(?![\w*])", r"<em>\1</em>", text)
