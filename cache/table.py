"""Tables: what a data set said of its samples (key, id, label, split, group), in its own order, without the samples.

A table says that its samples' features are still wanted. It remembers the file it was read from, so that a change of the
file is noticed.
"""

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from cache import files
from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.keys import KEY_BYTES, sortable
from cache.memo import remembered

COLUMNS = ("id", "label", "split", "group")
_NAME = re.compile(r"(.+)-([0-9a-f]{16})\.parquet")
_METADATA = b"headstart"
_MOST_METADATA = 2**26


@dataclass(frozen=True)
class Origin:
    """The file a table was read from: its path, size in bytes and XXH3-128."""

    path: str
    size: int
    digest: str

    @classmethod
    def of(cls, path: Path) -> "Origin | None":
        """Describe a file as it is now; None if it is no file."""
        try:
            if not path.is_file():
                return None
            path = path.resolve()
            return cls(str(path), path.stat().st_size, remembered(path, "xxh3_128", _digest))
        except (OSError, StoreError):
            return None

    def state(self) -> str:
        """Return `current` if the file is as it was, `changed` if its content is another, `gone` if it is not there."""
        now = Origin.of(Path(self.path))
        return "gone" if now is None else "current" if now == self else "changed"


@dataclass(frozen=True)
class Table:
    """One data set's rows.

    Attributes
    ----------
    name
        The data set's name, for people.
    keys
        `[n, 16]` uint8.
    ids
        One per row; says where the row is, such as `reviews.csv:17`.
    labels, splits, groups
        One per row, None where a row has none; or None where the data set has no such column.
    origin
        The file it was read from; None where it was not read from one.
    """

    name: str
    keys: np.ndarray
    ids: Sequence[str]
    labels: Sequence[str | None] | None = None
    splits: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None
    origin: Origin | None = None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over every column, so that an edited data set is another table."""
        columns = (self.ids, self.labels, self.splits, self.groups)
        return fingerprint([self.keys], [None if column is None else [column] for column in columns])

    def to_arrow(self) -> Any:
        """Return the table as an Arrow table, with what it says of itself."""
        import pyarrow as pa

        keys = pa.py_buffer(np.ascontiguousarray(self.keys).tobytes())
        columns = {"key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY_BYTES), len(self.keys), [None, keys])}
        for column in COLUMNS:
            values = getattr(self, f"{column}s")
            if values is not None:
                columns[column] = pa.array(values, pa.string())
        about = {"name": self.name, "origin": vars(self.origin) if self.origin else None}
        return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(about)})


def fingerprint(keys: Iterable[np.ndarray], columns: Iterable[Iterable[Sequence[str | None]] | None]) -> str:
    """Return a table's fingerprint.

    Parameters
    ----------
    keys
        Pieces `[n, 16]` of the keys, one after another.
    columns
        Pieces of ids, labels, splits and groups; None for a column that is not there.
    """
    digest = xxhash.xxh3_64()
    for piece in keys:
        digest.update(np.ascontiguousarray(piece).tobytes())
    for column in columns:
        between = ""
        if column is None:
            digest.update(b"\0absent")
        for values in column or ():
            if len(values):
                digest.update((between + "\0".join(map(repr, values))).encode(errors="surrogatepass"))
                between = "\0"
        digest.update(b"\1")
    return digest.hexdigest()


def path_of_table(store: Path, name: str, digits: str) -> Path:
    """Return where a store keeps a table with this name and fingerprint."""
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[-100:] or "table"
    return store / "tables" / f"{safe}-{digits}.parquet"


def table_path(store: Path, table: Table) -> Path:
    """Return where a store keeps a table."""
    return path_of_table(store, table.name, table.fingerprint)


def is_table_name(name: str) -> bool:
    """Tell whether a file's name is that of a table."""
    return _NAME.fullmatch(name) is not None


def is_kept(path: Path, table: Table) -> bool:
    """Tell whether a table's file is there, and as new as the file that the table was read from."""
    return path.is_file() and not _is_older(path, table.origin)


def write_table(store: Path, table: Table) -> Path:
    """Keep a table in a store's folder, if it is not there as it is already; return its path."""
    path = table_path(store, table)
    if not is_kept(path, table):
        import pyarrow.parquet as pq

        file = io.BytesIO()
        pq.write_table(table.to_arrow(), file, compression="zstd", write_page_checksum=True)
        write_atomically(path, file.getbuffer())
    return path


def _is_older(path: Path, origin: Origin | None) -> bool:
    """Tell whether a table was kept before its file was last written, so that what it says of the file may be out of date."""
    try:
        return origin is not None and path.stat().st_mtime < Path(origin.path).stat().st_mtime
    except OSError:
        return False


def read_table(path: Path) -> Table:
    """Read a table that `write_table` wrote.

    Raises
    ------
    StoreError
        If the file cannot be read, is no table, or is not the one that its name says.
    """
    digits = _digits_of(path)
    with opened_table(path) as file:
        columns, about = _read_columns(path, file)
        origin = Origin(**about["origin"]) if about.get("origin") else None
        table = Table(str(about.get("name", path.stem[:-17])), origin=origin, **columns)
        found = table.fingerprint
    if found != digits:
        raise _changed(path)
    return table


def read_keys(path: Path) -> np.ndarray:
    """Read a table's keys `[n, 16]` alone, and check all of it a part at a time; raises as `read_table` does."""
    digits = _digits_of(path)
    with opened_table(path) as file:
        check_schema(path, file)
        keys = np.empty((file.metadata.num_rows, KEY_BYTES), np.uint8)

        def pieces(column: str) -> Iterator[Any]:
            start = 0
            for number in range(file.num_row_groups):
                values = file.read_row_group(number, columns=[column])[column].to_pylist()
                if column == "key":
                    keys[start : start + len(values)] = np.frombuffer(b"".join(values), np.uint8).reshape(-1, KEY_BYTES)
                    yield keys[start : start + len(values)]
                else:
                    yield values
                start += len(values)

        names = file.schema_arrow.names
        found = fingerprint(pieces("key"), (pieces(column) if column in names else None for column in COLUMNS))
    if found != digits:
        raise _changed(path)
    return keys


def _digits_of(path: Path) -> str:
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise StoreError(f"{path}: is no table's name; <name>-<16 hexadecimal digits>.parquet is expected")
    return name[2]


def _changed(path: Path) -> StoreError:
    return StoreError(f"{path}: was changed since it was written; remove it, and the next extraction writes it again")


@dataclass(frozen=True)
class TableSummary:
    """A table's name, number of rows, and the file it was read from."""

    name: str
    rows: int
    origin: Origin | None


def describe_table(path: Path) -> TableSummary:
    """Read what a table says of itself, without its rows; raises `StoreError` if it cannot be read."""
    with opened_table(path) as file:
        about = json.loads((file.schema_arrow.metadata or {}).get(_METADATA, b"{}"))
        origin = Origin(**about["origin"]) if about.get("origin") else None
        return TableSummary(str(about.get("name", path.stem[:-17])), file.metadata.num_rows, origin)


def count_references(path: Path, keys: np.ndarray) -> int | None:
    """Return how many of a table's rows have one of the keys `[n, 16]`; None if the table is damaged."""
    try:
        return int(np.isin(sortable(read_keys(path)), sortable(keys)).sum())
    except StoreError:
        return None


@contextmanager
def opened_table(path: Path) -> Iterator[Any]:
    """Open a table's file; whatever goes wrong with it is told in one line."""
    import pyarrow.parquet as pq

    try:
        with files.opened(path) as descriptor, open(descriptor, "rb", closefd=False) as handle:
            yield pq.ParquetFile(
                handle,
                thrift_string_size_limit=_MOST_METADATA,
                thrift_container_size_limit=_MOST_METADATA,
                page_checksum_verification=True,
                arrow_extensions_enabled=False,
            )
    except StoreError:
        raise
    except Exception as error:  # whatever the Parquet reader makes of damaged bytes
        if sys.is_finalizing():  # a table that is open when Python ends, and what would close it is gone
            return
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{path}: is damaged: {reason}; remove it, and the next extraction writes it again") from error


def _read_columns(path: Path, file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    check_schema(path, file)
    schema = file.schema_arrow
    content = file.read()
    keys = np.frombuffer(b"".join(content["key"].to_pylist()), np.uint8).reshape(-1, KEY_BYTES)
    columns: dict[str, Any] = {f"{name}s": content[name].to_pylist() if name in schema.names else None for name in COLUMNS}
    about = json.loads((schema.metadata or {}).get(_METADATA, b"{}"))
    return {"keys": keys, **columns}, about


def check_schema(path: Path, file: Any) -> None:
    """Raise `StoreError` if an opened Parquet file has other columns than a table."""
    import pyarrow as pa

    schema = file.schema_arrow
    expected = {"key": pa.binary(KEY_BYTES), **dict.fromkeys(COLUMNS, pa.string())}
    if any(expected.get(field.name) != field.type for field in schema) or "key" not in schema.names:
        raise StoreError(f"{path}: holds other columns than a table")


def _digest(path: Path) -> str:
    with files.opened(path) as descriptor:
        return files.digest(descriptor, 0, path.stat().st_size).hex()
