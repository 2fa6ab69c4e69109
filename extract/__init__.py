"""Raw samples to features: sources, backbones, pooling, batching, the extraction loop."""

from typing import TYPE_CHECKING, Any

from extract.backbones.checkpoint import BackboneSpec
from extract.backbones.registry import find_backbone
from extract.errors import BackboneError, BadSampleError, NoSuchNameError, SourceError
from extract.extractor import Features, extract
from extract.outputs import Output
from extract.samples import Samples, Skipped
from extract.sources import LABEL_SEPARATOR, Columns, load_samples

if TYPE_CHECKING:
    from extract.transformer import FeatureExtractor

__all__ = [
    "LABEL_SEPARATOR",
    "BackboneError",
    "BackboneSpec",
    "BadSampleError",
    "Columns",
    "FeatureExtractor",
    "Features",
    "NoSuchNameError",
    "Output",
    "Samples",
    "Skipped",
    "SourceError",
    "extract",
    "find_backbone",
    "load_samples",
]


def __getattr__(name: str) -> Any:
    if name == "FeatureExtractor":  # on demand: scikit-learn takes seconds to import
        from extract.transformer import FeatureExtractor

        return FeatureExtractor
    raise AttributeError(f"module 'extract' has no attribute {name!r}")
