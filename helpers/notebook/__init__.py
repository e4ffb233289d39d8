"""What a lesson itself needs: its beginning, its claims, its figures (``from helpers.notebook import plots``)."""

from helpers.notebook.claims import claim
from helpers.notebook.differences import paired_difference, standard_error
from helpers.notebook.session import begin
from helpers.notebook.shapes import shape_of
from helpers.notebook.trainings import report_training

__all__ = ["begin", "claim", "paired_difference", "report_training", "shape_of", "standard_error"]
