"""TensorFlow Hub modules under Keras 3: use them, fine-tune them, make them."""

from helpers.files.hub_modules import HubModuleError, find_module, first_module
from helpers.hub.export import export_hub_module
from helpers.hub.layer import KerasLayer, load_model

__all__ = ["HubModuleError", "KerasLayer", "export_hub_module", "find_module", "first_module", "load_model"]
