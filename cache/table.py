"""Tables: what a data set said of its samples (key, id, label, split, group), in its own order, without the samples.

A table says that its samples' features are still wanted. It remembers the file it was read from, so that a change of the
file is noticed.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
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
        digest = xxhash.xxh3_64(np.ascontiguousarray(self.keys).tobytes())
        for column in (self.ids, self.labels, self.splits, self.groups):
            digest.update(b"\0absent" if column is None else "\0".join(map(repr, column)).encode(errors="surrogatepass"))
            digest.update(b"\1")
        return digest.hexdigest()


def table_path(store: Path, table: Table) -> Path:
    """Return where a table is kept: `tables/<name>-<fingerprint>.parquet`."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", table.name).strip("-.")[-100:] or "table"
    return store / "tables" / f"{name}-{table.fingerprint}.parquet"


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
        import pyarrow as pa
        import pyarrow.parquet as pq

        keys = pa.py_buffer(np.ascontiguousarray(table.keys).tobytes())
        columns = {"key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY_BYTES), len(table.keys), [None, keys])}
        for column in COLUMNS:
            values = getattr(table, f"{column}s")
            if values is not None:
                columns[column] = pa.array(values, pa.string())
        about = {"name": table.name, "origin": vars(table.origin) if table.origin else None}
        file = io.BytesIO()
        content = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(about)})
        pq.write_table(content, file, compression="zstd", write_page_checksum=True)
        write_atomically(path, file.getbuffer())
    return path


def _is_older(path: Path, origin: Origin | None) -> bool:
    """Tell whether a table was kept before its file was last written, so that what it says of the file may be out of date."""
    try:
        return origin is not None and path.stat().st_mtime < Path(origin.path).stat().st_mtime
    except OSError:
        return False


def list_tables(store: Path) -> list[Path]:
    """Return the tables of a store, sorted by name."""
    folder = store / "tables"
    try:
        return sorted(path for path in folder.iterdir() if is_table_name(path.name)) if folder.is_dir() else []
    except OSError as error:
        raise files.told(folder, error) from error


def read_table(path: Path) -> Table:
    """Read a table that `write_table` wrote.

    Raises
    ------
    StoreError
        If the file cannot be read, is no table, or is not the one that its name says.
    """
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise StoreError(f"{path}: is no table's name; <name>-<16 hexadecimal digits>.parquet is expected")
    with _opened(path) as file:
        columns, about = _read_columns(path, file)
        origin = Origin(**about["origin"]) if about.get("origin") else None
        table = Table(str(about.get("name", name[1])), origin=origin, **columns)
        fingerprint = table.fingerprint
    if fingerprint != name[2]:
        raise StoreError(f"{path}: was changed since it was written; remove it, and the next extraction writes it again")
    return table


@dataclass(frozen=True)
class TableSummary:
    """A table's name, number of rows, and the file it was read from."""

    name: str
    rows: int
    origin: Origin | None


def describe_table(path: Path) -> TableSummary:
    """Read what a table says of itself, without its rows; raises `StoreError` if it cannot be read."""
    with _opened(path) as file:
        about = json.loads((file.schema_arrow.metadata or {}).get(_METADATA, b"{}"))
        origin = Origin(**about["origin"]) if about.get("origin") else None
        return TableSummary(str(about.get("name", path.stem[:-17])), file.metadata.num_rows, origin)


def count_references(path: Path, keys: np.ndarray) -> int | None:
    """Return how many of a table's rows have one of the keys `[n, 16]`; None if the table is damaged."""
    try:
        return int(np.isin(sortable(read_table(path).keys), sortable(keys)).sum())
    except StoreError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{path}: is damaged: {reason}; remove it, and the next extraction writes it again") from error


def _read_columns(path: Path, file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    import pyarrow as pa

    schema = file.schema_arrow
    expected = {"key": pa.binary(KEY_BYTES), **dict.fromkeys(COLUMNS, pa.string())}
    if any(expected.get(field.name) != field.type for field in schema) or "key" not in schema.names:
        raise StoreError(f"{path}: holds other columns than a table")
    content = file.read()
    keys = np.frombuffer(b"".join(content["key"].to_pylist()), np.uint8).reshape(-1, KEY_BYTES)
    columns: dict[str, Any] = {f"{name}s": content[name].to_pylist() if name in schema.names else None for name in COLUMNS}
    about = json.loads((schema.metadata or {}).get(_METADATA, b"{}"))
    return {"keys": keys, **columns}, about


def _digest(path: Path) -> str:
    with files.opened(path) as descriptor:
        return files.digest(descriptor, 0, path.stat().st_size).hex()
