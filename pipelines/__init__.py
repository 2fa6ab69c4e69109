"""Experiments: config, command line, extract, train, predict, report; and a model and a trainer as in PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.analysis import FeatureAnalyzer
    from pipelines.comparator import ModelComparator
    from pipelines.dataset_loader import DatasetLoader
    from pipelines.model import FeatureBasedModel
    from pipelines.trainer import FeatureBasedTrainer
    from pipelines.visualizer import FeatureVisualizer

__all__ = [
    "DatasetLoader",
    "FeatureAnalyzer",
    "FeatureBasedModel",
    "FeatureBasedTrainer",
    "FeatureVisualizer",
    "ModelComparator",
]

_PLACES = {
    "DatasetLoader": "dataset_loader",
    "FeatureAnalyzer": "analysis",
    "FeatureBasedModel": "model",
    "FeatureBasedTrainer": "trainer",
    "FeatureVisualizer": "visualizer",
    "ModelComparator": "comparator",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:  # on demand: torch takes seconds to import, and the command line goes through here
        return getattr(import_module(f"pipelines.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'pipelines' has no attribute {name!r}")
