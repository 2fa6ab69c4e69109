"""One way in for every kind of source that is read a slice at a time."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extract.errors import NoSuchSourceError
from extract.remote import expand, is_url
from extract.sources.columns import Columns
from extract.sources.tar import ENDINGS as TAR_ENDINGS
from extract.stream import SampleStream

PARQUET = (".parquet",)


def always_streams(source: str) -> bool:
    """Tell whether a source is read a slice at a time without being asked to: tar shards, patterns, files at URLs."""
    if is_url(source) or source.lower().endswith(TAR_ENDINGS):
        return True
    return re.search(r"[*?\[{]", source) is not None and not Path(source).exists()


def reads_in_slices(source: str) -> bool:
    """Tell whether a source is a file that can be read a slice at a time, or what always is."""
    return always_streams(source) or source.lower().endswith(PARQUET)


def stream_samples(
    source: Any, columns: Columns | None = None, *, hub_config: str | None = None, hub_revision: str | None = None
) -> SampleStream:
    """Open a source that is read a slice at a time, in its order.

    Parameters
    ----------
    source
        Parquet files or WebDataset's tar shards: a file, a folder, or a pattern with braces, `{000..099}`, or wildcards; a path
        or a URL. `hub:NAME`. `urls:FILE`, a text file with an image's URL or path a line. A `datasets.IterableDataset`, or a
        mapping of splits to them.
    columns
        Which column is what; by default the sample is in `text`, or else in `image`, and there is nothing else.
    hub_config, hub_revision
        Configuration and revision of a data set on the hub.

    Raises
    ------
    SourceError
        If there is no such source, or it is of a kind that cannot be read in slices.
    """
    columns = columns or Columns()
    if not isinstance(source, str):
        from extract.sources.hub import stream_parts

        return stream_parts("data set", source if isinstance(source, Mapping) else {"row": source}, columns)
    if source.startswith("hub:"):
        from extract.sources.hub import stream_hub

        return stream_hub(source.removeprefix("hub:"), columns, hub_config, hub_revision)
    if source.startswith("urls:"):
        from extract.sources.urls import stream_urls

        return stream_urls(source.removeprefix("urls:"))
    first = expand(source, (*PARQUET, *TAR_ENDINGS))[0].lower()
    if first.endswith(PARQUET):
        from extract.sources.parquet import stream_parquet

        return stream_parquet(source, columns)
    if first.endswith(TAR_ENDINGS):
        from extract.sources.webdataset import stream_webdataset

        return stream_webdataset(source, columns)
    raise NoSuchSourceError(f"{source}: not a kind of file that is read a slice at a time; those are Parquet and tar")
