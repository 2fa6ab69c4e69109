"""One way in for every kind of source."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extract.errors import NoSuchSourceError, SourceError
from extract.images import ENDINGS, ImageFile
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns


def load_samples(
    source: Any,
    columns: Columns | None = None,
    *,
    encoding: str = "utf-8",
    hub_config: str | None = None,
    hub_revision: str | None = None,
) -> Samples:
    """Load samples from wherever they are.

    Parameters
    ----------
    source
        A path (CSV, TSV, JSONL, Parquet, an image, or a folder of images or text files by class), `hub:NAME`, a pandas data
        frame, a mapping of columns, a `datasets.Dataset` or `DatasetDict`, a torch map-style data set, or a sequence of
        texts or images.
    columns
        Which column is what; by default the sample is in `text`, or else in `image`, and there is nothing else.
    encoding
        Of CSV, JSONL and text files.
    hub_config, hub_revision
        Configuration and revision of a data set on the hub.

    Raises
    ------
    SourceError
        If the source cannot be read as asked, with the place.
    """
    columns = columns or Columns()
    if isinstance(source, str) and source.startswith("hub:"):
        from extract.sources.hub import load_hub

        return load_hub(source.removeprefix("hub:"), columns, hub_config, hub_revision)
    if isinstance(source, str | Path):
        return _load_path(Path(source), columns, encoding)
    if type(source).__module__.startswith("datasets."):
        from extract.sources.hub import samples_from_parts

        return samples_from_parts("data set", source if isinstance(source, Mapping) else {"row": source}, columns)
    if isinstance(source, Mapping):
        return _load_columns({name: list(values) for name, values in source.items()}, columns)
    if hasattr(source, "columns") and hasattr(source, "to_dict"):  # a pandas data frame, without importing pandas
        return _load_columns({str(name): source[name].tolist() for name in source.columns}, columns)
    if isinstance(source, Sequence):
        return Samples.of(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        from extract.sources.torch_datasets import samples_of_dataset

        return samples_of_dataset(source)
    raise SourceError(
        f"samples cannot come from {type(source).__name__}; give a path, `hub:NAME`, a data frame, a data set or a list"
    )


def _load_path(path: Path, columns: Columns, encoding: str) -> Samples:
    from extract.sources.folders import load_folder
    from extract.sources.tabular import CSV, JSONL, load_csv, load_jsonl, load_parquet

    try:
        if path.is_dir():
            return load_folder(path, columns, encoding)
        if path.suffix.lower() in ENDINGS:
            path.stat()
            return Samples(path.name, [ImageFile(str(path))], [path.name])
        if path.suffix in CSV:
            return load_csv(path, columns, encoding)
        if path.suffix in JSONL:
            return load_jsonl(path, columns, encoding)
        if path.suffix == ".parquet":
            return load_parquet(path, columns)
    except FileNotFoundError as error:
        raise NoSuchSourceError(f"{path}: there is no such file or folder") from error
    except UnicodeError as error:
        raise SourceError(f"{path}: not readable as {encoding}: {error}; name its encoding as `encoding`") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not path.exists():
        raise NoSuchSourceError(f"{path}: there is no such file or folder")
    known = ", ".join((*CSV, *JSONL, ".parquet"))
    raise NoSuchSourceError(
        f"{path}: not a kind of file known here; give {known}, an image, or a folder of images or text files"
    )


def _load_columns(table: dict[str, list[Any]], columns: Columns) -> Samples:
    rows = max(map(len, table.values()), default=0)
    if any(len(values) != rows for values in table.values()):
        raise SourceError("the columns have different lengths")
    return samples_from_columns("memory", table, columns, [str(row) for row in range(rows)], {})
