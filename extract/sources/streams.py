"""One way in for every kind of source that is read a slice at a time."""

import re
from pathlib import Path

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


def stream_samples(source: str, columns: Columns | None = None) -> SampleStream:
    """Open a source that is read a slice at a time, in its order.

    Parameters
    ----------
    source
        Parquet files or WebDataset's tar shards: a file, a folder, or a pattern with braces, `{000..099}`, or wildcards; a path
        or a URL.
    columns
        Which column is what; by default the sample is in `text`, or else in `image`, and there is nothing else.

    Raises
    ------
    SourceError
        If there is no such source, or it is of a kind that cannot be read in slices.
    """
    columns = columns or Columns()
    first = expand(source, (*PARQUET, *TAR_ENDINGS))[0].lower()
    if first.endswith(PARQUET):
        from extract.sources.parquet import stream_parquet

        return stream_parquet(source, columns)
    if first.endswith(TAR_ENDINGS):
        from extract.sources.webdataset import stream_webdataset

        return stream_webdataset(source, columns)
    raise NoSuchSourceError(f"{source}: not a kind of file that is read a slice at a time; those are Parquet and tar")
