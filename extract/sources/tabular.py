"""CSV, TSV, JSONL and Parquet files, read so that one bad row costs that row and not the file.

Read directly and not through `datasets`, whose CSV reader gives up the whole file at one bad byte, takes the text
"NA" for a missing value, and keeps a second copy of the data in its own cache.
"""

import csv
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract.errors import NoSuchSourceError, SourceError
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns
from extract.sources.parquet import columns_in_memory

CSV = (".csv", ".tsv")
JSONL = (".jsonl", ".ndjson")
"""Endings of the files of either kind."""

_MARKS_OF_UTF16 = ("\udcff\udcfe", "\udcfe\udcff")
"""A byte-order mark, as it is read where another encoding is expected."""

_WHOLE = re.compile(r"[+-]?\d+\.0+")
"""A whole number with a fraction of zero."""

_END = "end of the file"
"""A line put behind the last one: where a quote is still open, it becomes part of a row."""


@dataclass(frozen=True)
class Rows:
    """A file's rows, column by column, with each row's place and, of those that could not be read, why."""

    table: dict[str, Sequence[Any]]
    places: list[str]
    faults: dict[int, str]


def load_csv(path: Path, columns: Columns, encoding: str = "utf-8") -> Samples:
    """Read a CSV file with a header (or TSV, by its ending); quoted fields may hold line breaks.

    A row with bytes that are not in the encoding, or with too many fields, is a fault of that row.
    """
    rows = read_csv(path, encoding)
    labels = columns.label if isinstance(columns.label, tuple) else (columns.label,)
    table = {name: list(map(as_whole, column)) if name in labels else column for name, column in rows.table.items()}
    return samples_from_columns(str(path), table, columns, rows.places, rows.faults, folder=str(path.parent))


def read_csv(path: Path, encoding: str = "utf-8", most: int | None = None) -> Rows:
    """Read a CSV file, or its first rows, `most` of them.

    Raises
    ------
    SourceError
        If it is empty, its header has a column twice, a quote is never closed, or it is no CSV.
    """
    csv.field_size_limit(sys.maxsize)  # the default refuses a text of 128 KiB
    with open(path, encoding=text_encoding(encoding), errors="surrogateescape", newline="") as file:
        first = file.readline()
        if first.startswith(_MARKS_OF_UTF16):
            raise SourceError(f"{path}: begins as UTF-16 does; name its encoding: `encoding: utf-16`")
        lines = itertools.chain([first], file, [_END])
        reader = csv.reader(lines, delimiter=delimiter_of(path, first))
        try:
            header = next(reader, None)
            if not header or header == [_END]:
                raise NoSuchSourceError(f"{path}: the file is empty; a header with the columns' names is expected")
            if twice := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
                raise SourceError(f"{path}: the header has the column `{twice[0]}` twice; rename one of them")
            rows, places, faults = _read_rows(path.name, reader, len(header), most)
        except csv.Error as error:
            raise SourceError(f"{path}:{reader.line_num}: not readable as CSV: {error}") from error
    columns = zip(*rows, strict=True) if rows else itertools.repeat(())
    return Rows(dict(zip(header, columns, strict=False)), places, faults)


def delimiter_of(path: Path, header: str) -> str:
    """Return what is between fields: a tab in a `.tsv`; else a comma, or `;` or a tab where the header has no comma."""
    if path.suffix == ".tsv":
        return "\t"
    return next((sign for sign in (",", ";", "\t") if sign in header), ",")


def _read_rows(
    name: str, reader: Any, width: int, most: int | None
) -> tuple[list[list[str | None]], list[str], dict[int, str]]:
    rows: list[list[str | None]] = []
    places: list[str] = []
    faults: dict[int, str] = {}
    line = reader.line_num + 1
    for row in reader:
        if row:  # a blank line is no row
            if len(rows) == most:
                return rows, places, faults
            if len(row) > width:
                faults[len(rows)] = f"{len(row)} fields where the header has {width}; is a comma or quote unescaped?"
            rows.append([*row[:width], *[None] * (width - len(row))])
            places.append(f"{name}:{line}")
        line = reader.line_num + 1
    if not rows or rows.pop()[0] != _END:
        raise SourceError(
            f"{places[-1]}: a quote is opened in this row and never closed; close it, or write it twice to mean itself"
        )
    return rows, places[:-1], faults


def as_whole(value: str | None) -> str | None:
    """Write a whole number that has a fraction of zero as one without: pandas gives whole numbers one beside an empty cell."""
    return value.strip().partition(".")[0] if value is not None and _WHOLE.fullmatch(value.strip()) else value


def load_jsonl(path: Path, columns: Columns, encoding: str = "utf-8") -> Samples:
    """Read a file with one JSON object a line; a line that is none is a fault of that row."""
    rows = read_jsonl(path, encoding)
    return samples_from_columns(str(path), rows.table, columns, rows.places, rows.faults, folder=str(path.parent))


def read_jsonl(path: Path, encoding: str = "utf-8", most: int | None = None) -> Rows:
    """Read a file with one JSON object a line, or its first rows, `most` of them."""
    records: list[dict[str, Any]] = []
    places: list[str] = []
    faults: dict[int, str] = {}
    with open(path, encoding=text_encoding(encoding), errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            if len(records) == most:
                break
            if line.isspace():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError(f"a {type(record).__name__}, not an object")
            except (ValueError, RecursionError) as error:
                faults[len(records)] = f"not a JSON object: {error}"
                record = {}
            records.append(record)
            places.append(f"{path.name}:{number}")
    names = dict.fromkeys(name for record in records for name in record)
    return Rows({name: [record.get(name) for record in records] for name in names}, places, faults)


def load_parquet(path: Path, columns: Columns) -> Samples:
    """Read a Parquet file; rows are numbered from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        columns = columns.among(file.schema_arrow.names)
        wanted = [name for name in file.schema_arrow.names if name in columns.names]
        table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not readable as Parquet: {error}") from error
    held = columns_in_memory(table, file.schema_arrow.names, columns)
    places = list(_row_places(path.name, table.num_rows))
    return samples_from_columns(str(path), held, columns, places, {}, folder=str(path.parent))


def _row_places(name: str, rows: int) -> Iterator[str]:
    return (f"{name}:{row}" for row in range(1, rows + 1))


def text_encoding(encoding: str) -> str:
    """Return what to read an encoding as: UTF-8 may begin with a byte-order mark, as spreadsheets write it.

    Raises
    ------
    SourceError
        If there is no such encoding.
    """
    try:
        "".encode(encoding)
    except LookupError as error:
        raise NoSuchSourceError(f"encoding `{encoding}` is not known") from error
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
