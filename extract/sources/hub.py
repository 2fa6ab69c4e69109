"""Data sets of the Hugging Face hub, through `datasets`."""

from typing import Any

from extract.errors import SourceError
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns


def load_hub(name: str, columns: Columns, config: str | None = None, revision: str | None = None) -> Samples:
    """Load a data set by its name on the hub (or a local folder that `datasets` can read).

    Its own splits are used unless a split column is named; class labels become their names.

    Raises
    ------
    SourceError
        If the hub cannot be reached, or has no such data set, or it has no such column.
    """
    import datasets

    try:
        splits = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # whatever the hub's client and the data set's builder raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SourceError(f"hub:{name}: cannot be loaded: {first}; check the name and the network, or use `path`") from error
    table: dict[str, list[Any]] = {}
    places: list[str] = []
    own_splits: list[str] = []
    for split, rows in splits.items():
        if len(rows) and _is_split(split):
            for column, feature in rows.features.items():
                values = rows[column][:]
                if isinstance(feature, datasets.ClassLabel):
                    values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
                table.setdefault(column, []).extend(values)
            places += [f"{split}:{row}" for row in range(len(rows))]
            own_splits += [split] * len(rows)
    names = {"train": "train", "validation": "validation", "test": "test"}
    told = [names[split] for split in own_splits] if len(set(own_splits)) > 1 else None
    return samples_from_columns(f"hub:{name}", table, columns, places, {}, None if columns.split else told)


def _is_split(name: str) -> bool:
    return name in ("train", "validation", "test")  # and not, say, the `unsupervised` part of IMDB
