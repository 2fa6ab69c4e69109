"""Where samples come from: files, folders, the hub, memory."""

from extract.sources.columns import Columns
from extract.sources.load import load_samples
from extract.sources.streams import stream_samples

__all__ = ["Columns", "load_samples", "stream_samples"]
