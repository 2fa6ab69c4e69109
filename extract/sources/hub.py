"""Data sets of the Hugging Face hub, through `datasets`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from cache import HeadstartError
from extract.errors import SourceError
from extract.images import ImageCell
from extract.remote import first_line
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns, split_named
from extract.sources.urls import stream_of_parts
from extract.stream import SLICE_BYTES, SLICE_SAMPLES, Part, SampleStream

ROWS_AT_ONCE = 256


def load_hub(name: str, columns: Columns, config: str | None = None, revision: str | None = None) -> Samples:
    """Load a data set by its name on the hub (or a local folder that `datasets` can read).

    Its own splits are used unless a split column is named; class labels become their names. Where no column is named for
    the sample and there is no `text`, the first column of images is taken. Images stay on disk until they are read.

    Raises
    ------
    SourceError
        If the hub cannot be reached, or has no such data set, or it has no such column.
    """
    return samples_from_parts(f"hub:{name}", _load(name, config, revision, streaming=False), columns)


def stream_hub(name: str, columns: Columns, config: str | None = None, revision: str | None = None) -> SampleStream:
    """Read a data set of the hub a slice at a time, as `load_hub` does all at once; nothing of it stays on this machine."""
    return stream_parts(f"hub:{name}", _load(name, config, revision, streaming=True), columns)


def _load(name: str, config: str | None, revision: str | None, streaming: bool) -> dict[str, Any]:
    import datasets
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # its retries would be told one by one
    try:
        splits = datasets.load_dataset(name, config, revision=revision, streaming=streaming)
    except Exception as error:  # whatever the hub's client and the data set's builder raise
        raise SourceError(
            f"hub:{name}: cannot be loaded: {first_line(error)}; check the name and the network, or use `path`"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    known = {split: rows for split, rows in splits.items() if split_named(split) is not None}
    return known or dict(splits)  # and not, say, the `unsupervised` part of IMDB


def stream_parts(name: str, parts: Mapping[str, Any], columns: Columns) -> SampleStream:
    """Read `datasets.IterableDataset`s a slice at a time, one after another; see `samples_from_parts`.

    Raises
    ------
    SourceError
        While reading, if there is no such column, or what the data set reads from fails.
    """
    told = columns.split is None and _are_splits(parts)

    def cut() -> list[Part]:
        return [
            partial(_read, name, split, rows, columns, split_named(split) if told else None) for split, rows in parts.items()
        ]

    return stream_of_parts(name, cut)


def _read(name: str, split: str, rows: Any, columns: Columns, told: str | None) -> Iterator[Samples]:
    try:
        yield from _read_part(name, split, rows, columns, told)
    except HeadstartError:
        raise
    except Exception as error:  # whatever a builder and its file system raise
        raise SourceError(f"{name}: cannot be read: {first_line(error)}; start again to go on") from error


def _read_part(name: str, split: str, rows: Any, columns: Columns, told: str | None) -> Iterator[Samples]:
    # some kinds of files do not say beforehand what they hold
    features: Mapping[str, Any] = rows.features or dict.fromkeys(next(iter(rows.take(1)), {}))
    columns = columns.among(features, [column for column, feature in features.items() if _is_image(feature)])
    wanted = [column for column in features if column in columns.names]
    for column in wanted:
        if _is_image(features[column]):
            rows = rows.cast_column(column, type(features[column])(decode=False))
    start = 0
    for batch in _batches(rows.select_columns(wanted), wanted) if wanted else iter([{}]):
        count = len(batch[wanted[0]]) if wanted else 0
        table = {c: _named(batch[c], features[c]) if c in batch else () for c in features}
        places = [f"{split}:{row}" for row in range(start, start + count)]
        yield samples_from_columns(name, table, columns, places, {}, None if told is None else [told] * count)
        start += count


def _batches(rows: Any, wanted: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    """Join small batches to slices."""
    held: dict[str, list[Any]] = {column: [] for column in wanted}
    size = 0
    for batch in rows.iter(batch_size=ROWS_AT_ONCE):
        for column in wanted:
            held[column] += batch[column]
            size += sum(map(_size_of, batch[column]))
        if size >= SLICE_BYTES or len(held[wanted[0]]) >= SLICE_SAMPLES:
            yield held
            held, size = {column: [] for column in wanted}, 0
    if held[wanted[0]]:
        yield held


def _size_of(value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("bytes")
    return len(value) if isinstance(value, str | bytes) else 8


def samples_from_parts(name: str, parts: Mapping[str, Any], columns: Columns) -> Samples:
    """Take samples out of `datasets.Dataset`s, split's name -> part; standard names are the samples' splits."""
    features = {column: feature for rows in parts.values() for column, feature in rows.features.items()}
    columns = columns.among(features, [column for column, feature in features.items() if _is_image(feature)])
    wanted = columns.names
    table = {column: _together(parts, column, feature) if column in wanted else () for column, feature in features.items()}
    places = [f"{split}:{row}" for split, rows in parts.items() for row in range(len(rows))]
    told = None
    if _are_splits(parts):
        told = [split_named(split) for split, rows in parts.items() for _ in range(len(rows))]
    return samples_from_columns(name, table, columns, places, {}, None if columns.split else told)


def _are_splits(parts: Mapping[str, Any]) -> bool:
    return len(parts) > 1 and all(split_named(part) is not None for part in parts)


def _is_image(feature: Any) -> bool:
    return type(feature).__name__ == "Image"


def _together(parts: Mapping[str, Any], column: str, feature: Any) -> Sequence[Any]:
    if not _is_image(feature):
        return [value for rows in parts.values() for value in _column(rows, column)]
    cells: list[Any] = []
    for rows in parts.values():
        if column in rows.features:
            encoded = rows.cast_column(column, type(feature)(decode=False))[column]
            cells += [ImageCell(encoded, row) for row in range(len(rows))]
        else:
            cells += [None] * len(rows)
    return cells


def _column(rows: Any, name: str) -> list[Any]:
    """Return a column's values, class labels by their names; None for every row where the part has no such column."""
    if name not in rows.features:
        return [None] * len(rows)
    return _named(list(rows[name][:]), rows.features[name])


def _named(values: list[Any], feature: Any) -> list[Any]:
    """Return values, class labels by their names."""
    if not hasattr(feature, "int2str"):
        return values
    return [None if value is None or value < 0 else feature.int2str(value) for value in values]
