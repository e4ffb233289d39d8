"""Images: the data sets of the profiles, other domains, spoilt images, folders of your own, pipelines."""

from helpers.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from helpers.data.datasets import ImageData, load_data, stratified_indices
from helpers.data.domains import Domain, make_domains
from helpers.data.folder import ImageFolder, ImageFolderError, load_image_folder, read_image
from helpers.data.pipelines import make_dataset, make_map_dataset

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "Domain",
    "ImageData",
    "ImageFolder",
    "ImageFolderError",
    "corrupt",
    "load_data",
    "load_image_folder",
    "make_dataset",
    "make_domains",
    "make_map_dataset",
    "read_image",
    "stratified_indices",
]
