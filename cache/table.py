"""Tables: what a data set said of its samples (key, id, label, split, group), in its own order, without the samples."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from cache.atomic import write_atomically


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
    """

    name: str
    keys: np.ndarray
    ids: Sequence[str]
    labels: Sequence[str | None] | None = None
    splits: Sequence[str | None] | None = None
    groups: Sequence[str | None] | None = None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over every column, so that an edited data set is another table."""
        digest = xxhash.xxh3_64(np.ascontiguousarray(self.keys).tobytes())
        for column in (self.ids, self.labels, self.splits, self.groups):
            digest.update(b"\0absent" if column is None else "\0".join(map(repr, column)).encode(errors="surrogatepass"))
            digest.update(b"\1")
        return digest.hexdigest()


def write_table(store: Path, table: Table) -> Path:
    """Keep a table as `tables/<name>-<fingerprint>.parquet`, if it is not there already; return its path."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", table.name).strip("-.") or "table"
    path = store / "tables" / f"{name}-{table.fingerprint}.parquet"
    if not path.is_file():
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(table.keys), [None, _buffer(table.keys)])}
        for column in ("ids", "labels", "splits", "groups"):
            values = getattr(table, column)
            if values is not None:
                columns[column.removesuffix("s")] = pa.array(values, pa.string())
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression="zstd")
        write_atomically(path, file.getbuffer())
    return path


def read_table(path: Path) -> Table:
    """Read a table that `write_table` wrote."""
    import pyarrow.parquet as pq

    columns = pq.read_table(path)
    keys = np.frombuffer(b"".join(columns["key"].to_pylist()), np.uint8).reshape(-1, 16)
    rest = {c: columns[c].to_pylist() if c in columns.column_names else None for c in ("label", "split", "group")}
    name = path.stem.rpartition("-")[0]
    return Table(name, keys, columns["id"].to_pylist(), rest["label"], rest["split"], rest["group"])


def _buffer(keys: np.ndarray):  # type: ignore[no-untyped-def]  # pyarrow has no types
    import pyarrow as pa

    return pa.py_buffer(np.ascontiguousarray(keys).tobytes())
