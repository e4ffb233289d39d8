"""A folder of your own images becomes a data set."""

from helpers.data.folder.image_folder import ImageFolder, load_image_folder
from helpers.data.folder.layout import ImageFolderError
from helpers.data.folder.reading import read_image

__all__ = ["ImageFolder", "ImageFolderError", "load_image_folder", "read_image"]
