"""What a lesson itself needs: its beginning, its claims, its figures (``from helpers.notebook import plots``)."""

from helpers.notebook.claims import claim
from helpers.notebook.session import begin

__all__ = ["begin", "claim"]
