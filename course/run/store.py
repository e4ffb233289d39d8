"""The store of executed notebooks that ``make run``, ``make site`` and ``make test`` share."""

from course import ROOT
from helpers.execution.store import Store

STORE = Store(ROOT / "build" / "store")
