"""The small module that the lessons import. Every file holds one idea; all of it may be read."""

__version__ = "0.1.0"
