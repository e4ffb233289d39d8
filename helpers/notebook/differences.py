"""The course's one rule for "is this a difference?": paired, with its standard error, at least two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this room is also used where no package is installed, by the doctor
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Difference:
    """How far two models, or two ways to train, lie apart.

    Attributes:
        mean: the first minus the second, as a share: 0.02 is 2 points of accuracy.
        error: the standard error of ``mean``.
        first_only: pairs in which the first is better: for pictures, those that only the first names rightly.
        second_only: pairs in which the second is better.
        pairs: number of pictures, or of seeds.
    """

    mean: float
    error: float
    first_only: int
    second_only: int
    pairs: int

    @property
    def limit(self) -> float:
        """The standard errors that count as clear: two; with few pairs more, after Student's t (95 %)."""
        from scipy.stats import t

        return max(2.0, float(t.ppf(0.975, self.pairs - 1)))

    def beats(self, by: float = 0.0) -> bool:
        """Tell whether the first is clearly better than the second by more than ``by`` (a share, such as 0.05)."""
        return self.mean - by > self.limit * self.error

    def loses(self, by: float = 0.0) -> bool:
        """Tell whether the first is clearly worse than the second by more than ``by``."""
        return -self.mean - by > self.limit * self.error

    def ties(self) -> bool:
        """Tell whether neither is clearly better. That is no proof that they are equal: see how large the error is."""
        return not (self.beats() or self.loses())

    def verdict(self, first: str, second: str) -> str:
        """Return a sentence such as "fine-tuned beats SVM: +2.3 ± 0.9 points"."""
        verb = "beats" if self.beats() else "loses to" if self.loses() else "ties with"
        return f"{first} {verb} {second}: {self}"

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} ± {100 * self.error:.1f} points"


def paired_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """Compare two models on the same pictures, or two ways to train with the same seeds.

    The difference is taken pair by pair. What both share, such as hard pictures or a lucky draw, drops out, so that the
    standard error is smaller than that of two separate accuracies. For right and wrong answers, (mean / error)² is
    nearly the statistic of McNemar's test (McNemar 1947, doi:10.1007/BF02295996): only the pictures on which
    exactly one model is right decide. With one training of each, the error says what other pictures might change
    (*picture luck*); with one value for each seed, what other trainings might change (*training luck*).

    Args:
        first, second: ``(n,)``: for each picture True where the model is right, or for each seed an accuracy in [0, 1].

    Raises:
        ValueError: the two have not the same length, or fewer than two pairs.
    """
    import numpy as np

    ours, theirs = np.asarray(first, float), np.asarray(second, float)
    if ours.ndim != 1 or ours.shape != theirs.shape or len(ours) < 2:
        raise ValueError(
            f"Pairs are needed: two arrays of the same length, of one value for each picture or seed, at least two. "
            f"These have the shapes {ours.shape} and {theirs.shape}. Do not pass two accuracies: pass right or wrong "
            "for each picture, such as model.predict(images).argmax(axis=1) == labels."
        )
    differences = ours - theirs
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return Difference(
        float(differences.mean()), float(error), int((ours > theirs).sum()), int((ours < theirs).sum()), len(ours)
    )


def standard_error(accuracy: float, pictures: int) -> float:
    """Return the standard error of one accuracy: what other pictures of the same kind might change.

    Args:
        accuracy: a share in [0, 1].
        pictures: how many were judged.
    """
    return float((accuracy * (1 - accuracy) / pictures) ** 0.5)
