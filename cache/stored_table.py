"""A table that stays on disk: its columns are read when they are asked for, a row group at a time."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cache.keys import KEY_BYTES
from cache.table import check_schema, opened_table


@dataclass(frozen=True, eq=False)
class Names(Sequence[str | None]):
    """A column of names of which there are few: 4 bytes a row.

    Attributes
    ----------
    codes
        `[n]` int32, a row's place among the names; -1 where it has none.
    names
        `[k]` of str, each once.
    """

    codes: np.ndarray
    names: np.ndarray

    @classmethod
    def of(cls, column: Sequence[str | None]) -> "Names":
        """Put a column in this form."""
        return column if isinstance(column, Names) else cls.joined([column])

    @classmethod
    def joined(cls, pieces: "Iterator[Sequence[str | None]] | Sequence[Sequence[str | None]]") -> "Names":
        """Put together a column that comes in pieces."""
        places: dict[str | None, int] = {None: -1}
        codes = [np.zeros(0, np.int32)]
        for piece in pieces:
            distinct, which = _encoded(piece)
            own = np.array([places.setdefault(name, len(places) - 1) for name in distinct], np.int32)
            codes.append(own if which is None else own[which])
        names = [name for name in places if name is not None]
        return cls(np.concatenate(codes), np.array(names, str) if names else np.zeros(0, "U1"))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: Any) -> Any:
        """Return a row's name, or None; for a slice the names of its rows."""
        if isinstance(row, slice):
            return Names(self.codes[row], self.names)
        code = self.codes[row]
        return None if code < 0 else str(self.names[code])

    def __iter__(self) -> Iterator[str | None]:
        names = [*self.names.tolist(), None]  # of no code, -1, is the last one
        return (names[code] for code in self.codes)

    @property
    def known(self) -> np.ndarray:
        """Mask `[n]` of the rows that have a name."""
        return self.codes >= 0

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Return the names `[m]` of rows that have one."""
        taken: np.ndarray = self.names[self.codes[rows]] if len(self.names) else np.zeros(len(rows), "U1")
        return taken


def _encoded(piece: Any) -> tuple[Sequence[str | None], np.ndarray | None]:
    """Return the distinct values of an Arrow column and which of them each row has; or a list as it is."""
    if isinstance(piece, Sequence):
        return piece, None
    coded = piece.combine_chunks().dictionary_encode(null_encoding="encode")
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)


class StoredText(Sequence[str]):
    """A column of texts on disk, of which one row group at a time is in memory; best read in order."""

    def __init__(self, table: "StoredTable", column: str) -> None:
        self._table = table  # whose file is closed when nobody has it any more
        self._column = column
        file = table.file
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._held: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, row: Any) -> Any:
        """Return a row's text; for a slice a list."""
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        number = int(np.searchsorted(self._ends, row, side="right"))
        start = int(self._ends[number - 1]) if number else 0
        return self._group(number)[row - start].as_py()

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self._ends)):
            yield from self._group(number).to_pylist()

    def _group(self, number: int) -> Any:
        held, values = self._held
        if held != number:
            values = self._table.file.read_row_group(number, columns=[self._column])[self._column].combine_chunks()
            self._held = number, values
        return values


class StoredTable:
    """A data set's rows, on disk.

    Parameters
    ----------
    path
        A table that `write_table` or a `TableWriter` wrote.

    Attributes
    ----------
    file
        The open Parquet file.

    Raises
    ------
    StoreError
        If it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = ExitStack()
        self.file = self._open.enter_context(opened_table(path))
        check_schema(path, self.file)

    def __len__(self) -> int:
        return int(self.file.metadata.num_rows)

    def close(self) -> None:
        """Let go of the file; no column can be read any more."""
        self._open.close()

    @property
    def ids(self) -> StoredText:
        """One per row."""
        return StoredText(self, "id")

    @cached_property
    def labels(self) -> Names | None:
        """One per row; None where the data set has none."""
        return self._names("label")

    @cached_property
    def splits(self) -> Names | None:
        """One per row; None where the data set has none."""
        return self._names("split")

    @cached_property
    def groups(self) -> Names | None:
        """One per row; None where the data set has none."""
        return self._names("group")

    def keys(self) -> np.ndarray:
        """Read the keys `[n, 16]` uint8."""
        keys = np.empty((len(self), KEY_BYTES), np.uint8)
        start = 0
        for values in self._pieces("key"):
            content = b"".join(values.to_pylist())
            keys[start : start + len(values)] = np.frombuffer(content, np.uint8).reshape(-1, KEY_BYTES)
            start += len(values)
        return keys

    def _names(self, column: str) -> Names | None:
        return Names.joined(self._pieces(column)) if column in self.file.schema_arrow.names else None

    def _pieces(self, column: str) -> Iterator[Any]:
        for number in range(self.file.num_row_groups):
            yield self.file.read_row_group(number, columns=[column])[column]
