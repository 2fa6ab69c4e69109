"""A first look at a file: its first rows, and the encoding that it seems to have."""

import codecs
from pathlib import Path
from typing import Any

from extract.sources.tabular import CSV, JSONL, read_csv, read_jsonl
from pipelines.errors import UsageError

ROWS = 20_000
"""So many rows at the beginning of a table are looked at."""

TEXTS = (*CSV, *JSONL)
"""Endings of tables that have an encoding."""


def read_head(data: Path, encoding: str) -> dict[str, list[Any]]:
    """Return the first rows of a table, column by column, without those that cannot be read."""
    import pyarrow.parquet as pq

    try:
        if data.suffix in TEXTS:
            rows = (read_csv if data.suffix in CSV else read_jsonl)(data, encoding, ROWS)
            return {
                name: [value for row, value in enumerate(values) if row not in rows.faults]
                for name, values in rows.table.items()
            }
        if data.suffix != ".parquet":
            raise UsageError(f"{data}: give a .csv, .tsv, .jsonl or .parquet file, or a folder of images or texts by class")
        batch = next(pq.ParquetFile(data).iter_batches(ROWS), None)
    except FileNotFoundError as error:
        raise UsageError(f"{data}: there is no such file or folder") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{data}: cannot be read: {' '.join(str(error).split())}") from error
    return {} if batch is None else {str(name): batch[name].to_pylist() for name in batch.schema.names}


def encoding_of(data: Path) -> str | None:
    """Return the encoding that a file seems to have, or None if it is UTF-8, but for a bad line here and there."""
    others = proper = 0
    try:
        with open(data, "rb") as file:
            if file.peek(2).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return "utf-16"
            for line in file:
                if not line.isascii():
                    proper += (valid := _is_utf_8(line))
                    others += not valid
    except OSError:
        return None  # which reading it will tell
    return "cp1252" if others > proper else None


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
