"""Raw samples to features: sources, backbones, pooling, batching, the extraction loop."""

from typing import TYPE_CHECKING, Any

from extract.backbones.custom import CustomBackbone, custom_backbone
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec
from extract.encoder import Encoded, Encoder
from extract.engine import Engine
from extract.errors import BackboneError, BadSampleError, NoSuchNameError, SourceError, UnusableSampleError
from extract.extractor import Features, extract
from extract.images import ImageFile, ImageText
from extract.importing import import_features
from extract.options import LoopOptions
from extract.outputs import Offer, Output
from extract.samples import LABEL_SEPARATOR, Samples, Skipped
from extract.sources import Columns, load_samples, stream_samples
from extract.stream import SampleStream
from extract.stream_slice import Request
from extract.streaming import Streamed, extract_stream
from extract.views import Views
from extract.zero_shot import zero_shot_weights

if TYPE_CHECKING:
    from extract.transformer import FeatureExtractor

__all__ = [
    "LABEL_SEPARATOR",
    "BackboneError",
    "BackboneSpec",
    "BadSampleError",
    "Columns",
    "CustomBackbone",
    "Encoded",
    "Encoder",
    "Engine",
    "FeatureExtractor",
    "Features",
    "ImageFile",
    "ImageText",
    "LoopOptions",
    "NoSuchNameError",
    "Offer",
    "Output",
    "Request",
    "SampleStream",
    "Samples",
    "Skipped",
    "SourceError",
    "Streamed",
    "UnusableSampleError",
    "Views",
    "custom_backbone",
    "extract",
    "extract_stream",
    "find_backbone",
    "import_features",
    "load_samples",
    "stream_samples",
    "zero_shot_weights",
]


def __getattr__(name: str) -> Any:
    if name == "FeatureExtractor":  # on demand: scikit-learn takes seconds to import
        from extract.transformer import FeatureExtractor

        return FeatureExtractor
    raise AttributeError(f"module 'extract' has no attribute {name!r}")
