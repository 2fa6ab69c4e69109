"""Experiments: config, command line, extract, train, predict, report; and a model and a trainer as in PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.models.analysis import FeatureAnalyzer
    from pipelines.models.comparator import ModelComparator
    from pipelines.models.dataset_loader import DatasetLoader
    from pipelines.models.model import FeatureBasedModel
    from pipelines.models.trainer import FeatureBasedTrainer
    from pipelines.models.visualizer import FeatureVisualizer

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
        return getattr(import_module(f"pipelines.models.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'pipelines' has no attribute {name!r}")
