"""What a task of an exercise is: a check that answers, and three hints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

NOTHING = "Your function returns nothing. Does it end with return?"


class Wrong(Exception):
    """An answer is wrong; the message says what is wrong in it and where to look, never the solution."""


@dataclass(frozen=True)
class Task:
    """A task of an exercise.

    Attributes:
        title: what is to be done, as half a sentence: "cut off the top".
        check: takes what the learner gives to ``check`` after the number. Returns one sentence on what the answer
            has shown; raises ``Wrong`` if it is wrong. It tests behaviour, on values that the learner has not seen.
        hints: a nudge; the call to read about; nearly the code.
    """

    title: str
    check: Callable[..., str]
    hints: tuple[str, str, str]


def expect(held: object, message: str) -> None:
    """Raise ``Wrong`` with ``message`` unless ``held``."""
    if not held:
        raise Wrong(message)


def things(answer: object, count: int, wanted: str) -> list:
    """Return the things that an answer is made of, such as a model and its class names.

    Args:
        answer: what a learner's function returned.
        count: how many things are wanted.
        wanted: what they are, such as "two things: the model and the class names".

    Raises:
        Wrong: it is nothing, or no tuple, list or array of so many.
    """
    expect(answer is not None, NOTHING)
    found, returned = [], type(answer).__name__
    if isinstance(answer, tuple | list) or (isinstance(answer, np.ndarray) and answer.ndim):
        found = list(answer)
        returned += f" of length {len(found)}"
    expect(len(found) == count, f"Your function returns {returned}; wanted are {wanted}.")
    return found


def ended(text: str) -> str:
    """Return a sentence with the full stop that it lacks; a question keeps its mark."""
    return text if text.endswith(("?", ".")) else f"{text}."


def same_arrays(some: Iterable, others: Iterable) -> bool:
    """Tell whether two rows of arrays, such as weights before and after, are equal to the last bit, one by one.

    Raises:
        ValueError: one row is longer than the other.
    """
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))
