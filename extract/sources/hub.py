"""Data sets of the Hugging Face hub, through `datasets`."""

from collections.abc import Mapping, Sequence
from typing import Any

from extract.errors import SourceError
from extract.images import ImageCell
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns

SPLITS = ("train", "validation", "test")
"""The parts that are taken where there are any of them, and not, say, the `unsupervised` part of IMDB."""


def load_hub(name: str, columns: Columns, config: str | None = None, revision: str | None = None) -> Samples:
    """Load a data set by its name on the hub (or a local folder that `datasets` can read).

    Its own splits are used unless a split column is named; class labels become their names. Where no column is named for
    the sample and there is no `text`, the first column of images is taken. Images stay on disk until they are read.

    Raises
    ------
    SourceError
        If the hub cannot be reached, or has no such data set, or it has no such column.
    """
    import datasets
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # its retries would be told one by one
    try:
        splits = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # whatever the hub's client and the data set's builder raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SourceError(f"hub:{name}: cannot be loaded: {first}; check the name and the network, or use `path`") from error
    finally:
        logging.set_verbosity(verbosity)
    parts = {split: rows for split, rows in splits.items() if split in SPLITS} or dict(splits)
    return samples_from_parts(f"hub:{name}", parts, columns)


def samples_from_parts(name: str, parts: Mapping[str, Any], columns: Columns) -> Samples:
    """Take samples out of `datasets.Dataset`s, split's name -> part; standard names are the samples' splits."""
    features = {column: feature for rows in parts.values() for column, feature in rows.features.items()}
    columns = columns.among(features, [column for column, feature in features.items() if _is_image(feature)])
    wanted = columns.names
    table = {column: _together(parts, column, feature) if column in wanted else () for column, feature in features.items()}
    places = [f"{split}:{row}" for split, rows in parts.items() for row in range(len(rows))]
    told = None
    if len(parts) > 1 and set(parts) <= set(SPLITS):
        told = [split for split, rows in parts.items() for _ in range(len(rows))]
    return samples_from_columns(name, table, columns, places, {}, None if columns.split else told)


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
    values, feature = rows[name][:], rows.features[name]
    if not hasattr(feature, "int2str"):
        return list(values)
    return [None if value is None or value < 0 else feature.int2str(value) for value in values]
