"""Where files come from and where they go: the cache folder, the offline bundle, downloads, hub modules."""

from helpers.files.bundle import MissingSourceError, SourceError
from helpers.files.cache import CacheFolderError, cache_folder

__all__ = ["CacheFolderError", "MissingSourceError", "SourceError", "cache_folder"]
