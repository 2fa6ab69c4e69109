"""A table that is written while its rows come in, and that protects what there is of it from the first minutes on.

Rows go to a file under a temporary name, which gets its own at the end. Until then parts of the table are kept as tables of
their own, the first piece at once and then from time to time, so that a job that is killed leaves word of what its features
are for.
"""

import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cache.atomic import TEMPORARY_PREFIX, make_folder, sync_folder
from cache.errors import StoreError
from cache.keys import as_key_array
from cache.process import this_process
from cache.store import FeatureStore
from cache.table import COLUMNS, Table, describe_table, fingerprint, opened_table, path_of_table

ROWS_AT_ONCE = 2**16
"""Rows of a row group, at least."""

SECONDS_A_PART, ROWS_A_PART = 300.0, 2**17
"""After so long, or so many rows, what came since the last part is kept as another."""


class TableWriter:
    """Writes a table piece by piece; to be used as a context.

    Parameters
    ----------
    store
        Where it is kept.
    name
        The data set's name, for people.
    clock
        Seconds, for tests.
    """

    def __init__(self, store: FeatureStore, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.name = name
        self.rows = 0
        self._path = store.path / "tables" / f"{TEMPORARY_PREFIX}{this_process()}-{secrets.token_hex(4)}"
        self._clock = clock
        self._kept = -math.inf  # the first piece is kept at once
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._unkept: list[Any] = []
        self._kept_parts = 0
        self._columns: tuple[str, ...] = ()

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *reason: object) -> None:
        try:
            self._keep_part()
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._path.unlink(missing_ok=True)

    def add(self, piece: Table) -> None:
        """Add rows; all pieces have the columns of the first.

        Raises
        ------
        StoreError
            If the disk refuses them.
        """
        if not len(piece.keys):
            return
        rows = piece.to_arrow()
        self._unkept.append(rows)
        self._waiting.append(rows)
        self.rows += len(rows)
        if sum(map(len, self._waiting)) >= ROWS_AT_ONCE:
            self._write()
        if self._clock() - self._kept > SECONDS_A_PART or sum(map(len, self._unkept)) >= ROWS_A_PART:
            self._keep_part()

    def finish(self) -> Path | None:
        """Put the whole table in its place and its parts away; return its path, or None where there are no rows."""
        self._unkept = []
        self._write()
        if self._writer is None:
            return None
        self._writer.close()
        self._writer = None
        try:
            path = path_of_table(self.store.path, self.name, self._fingerprint())
            with open(self._path, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(self._path, path)
            sync_folder(path.parent)
        except OSError as error:
            raise self._refused(error) from error
        self.store.place.publish(path)
        self.store.place.remove(*self._parts())
        return path

    def _write(self) -> None:
        if not self._waiting:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = pa.concat_tables(self._waiting)
        self._waiting = []
        try:
            if self._writer is None:
                make_folder(self._path.parent)
                self._columns = tuple(rows.column_names)
                self._writer = pq.ParquetWriter(self._path, rows.schema, compression="zstd", write_page_checksum=True)
            self._writer.write_table(rows.select(self._columns))
        except OSError as error:
            raise self._refused(error) from error

    def _keep_part(self) -> None:
        """Keep the rows since the last part as a table of their own."""
        self._kept = self._clock()
        pieces, self._unkept = self._unkept, []
        if pieces:
            self._kept_parts += 1
            self.store.write_table(_joined(f"{self.name} part {self._kept_parts}", pieces))

    def _parts(self) -> list[Path]:
        """Return the tables that are parts of this one, also those that a job left that was killed."""
        told = re.compile(re.escape(self.name) + r" part \d+")
        found = []
        for path in self.store.tables():
            try:
                if "-part-" in path.name and told.fullmatch(describe_table(path).name):
                    found.append(path)
            except StoreError:
                continue
        return found

    def _fingerprint(self) -> str:
        with opened_table(self._path) as file:

            def pieces(column: str) -> Iterator[Any]:
                for number in range(file.num_row_groups):
                    values = file.read_row_group(number, columns=[column])[column].to_pylist()
                    yield as_key_array(values) if column == "key" else values

            return fingerprint(pieces("key"), (pieces(column) if column in self._columns else None for column in COLUMNS))

    def _refused(self, error: OSError) -> StoreError:
        reason = error.strerror or error
        return StoreError(f"{self.store.name}/tables: the table of {self.name} could not be written: {reason}")


def _joined(name: str, pieces: Sequence[Any]) -> Table:
    """Return Arrow tables, one after another, as a table."""
    import pyarrow as pa

    rows = pa.concat_tables(pieces)
    columns = {f"{column}s": rows[column].to_pylist() for column in COLUMNS if column in rows.column_names}
    return Table(name, as_key_array(rows["key"].to_pylist()), **columns)
