"""Pretrained networks: build them, compare them, cut them, see what is frozen, take their features, train them."""

from helpers.models.backbones import Backbone, build_backbone
from helpers.models.classifiers import PretrainedClassifier, load_classifier
from helpers.models.comparison import compare_networks
from helpers.models.features import extract_features
from helpers.models.freezing import leaf_layers, trainable_report
from helpers.models.multi_optimizer import MultiOptimizer, OptimizerMap
from helpers.models.restarting import restart
from helpers.models.splitting import extract_maps, split_at
from helpers.models.training import History, progress_bar

__all__ = [
    "Backbone",
    "History",
    "MultiOptimizer",
    "OptimizerMap",
    "PretrainedClassifier",
    "build_backbone",
    "compare_networks",
    "extract_features",
    "extract_maps",
    "leaf_layers",
    "load_classifier",
    "progress_bar",
    "restart",
    "split_at",
    "trainable_report",
]
