"""Parquet in streams: one file or many, local or at a URL, row group by row group.

A row group that is damaged costs itself and not its file; a file that is no Parquet costs itself and not the others.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from extract.errors import SourceError
from extract.remote import expand, first_line, is_url, opened, telling_of
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns
from extract.sources.urls import stream_of_parts
from extract.stream import SLICE_BYTES, SLICE_SAMPLES, Part, SampleStream, lost


def stream_parquet(source: str, columns: Columns) -> SampleStream:
    """Read Parquet files a slice at a time; rows are numbered from 1 in each file.

    Parameters
    ----------
    source
        A file, a folder or a pattern (see `extract.remote.expand`); a path or a URL.
    columns
        Which column is what.

    Raises
    ------
    SourceError
        If there is no such file; when it is begun, if no file is Parquet; while reading, if one lacks a column, or a disk or
        network fails.
    """
    files = expand(source, (".parquet",))

    def cut() -> list[Part]:
        _check(source, files, columns)
        return [partial(_read, source, path, name, columns) for path, name in zip(files, short_names(files), strict=True)]

    return stream_of_parts(source, cut)


def short_names(files: Sequence[str]) -> list[str]:
    """Return the files' names, with as many of their folders as tell them apart."""
    parts = [PurePosixPath(file).parts for file in files]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(set(files)):
            break
    return names


def columns_in_memory(table: Any, names: Sequence[str], columns: Columns) -> dict[str, Any]:
    """Return the columns of an Arrow table or batch that are wanted as lists, and empty ones for the others.

    Contents of image files are not copied into Python.
    """
    import pyarrow as pa

    held: dict[str, Any] = dict.fromkeys(names, ())
    for name in table.schema.names:
        column = table[name]
        contents = name == columns.image and not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type))
        held[name] = column if contents else column.to_pylist()
    return held


def _check(source: str, files: Sequence[str], columns: Columns) -> None:
    """Raise `SourceError` where no file is Parquet, or the first that is lacks a column; one that is not costs itself alone."""
    reason = ""
    for path in files:
        with telling_of(path), opened(path) as handle:
            found = _open(path, handle)
            if not isinstance(found, str):
                samples_from_columns(path, dict.fromkeys(found.schema_arrow.names, ()), columns, [], {})
                return
        reason = found
    raise SourceError(f"{source}: not readable as Parquet: {reason}")


def _open(path: str, handle: Any) -> Any:
    """Return the Parquet file, or why it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(handle, pre_buffer=is_url(path), buffer_size=2**20, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        if not _is_damage(error):
            raise
        return first_line(error)


def _read(source: str, path: str, name: str, columns: Columns) -> Iterator[Samples]:
    with telling_of(path), opened(path) as handle:
        file = _open(path, handle)
        if isinstance(file, str):
            yield lost(source, name, f"not readable as Parquet: {file}")
        else:
            yield from _read_file(source, path, name, file, columns)


def _read_file(source: str, path: str, name: str, file: Any, columns: Columns) -> Iterator[Samples]:
    import pyarrow as pa

    names = file.schema_arrow.names
    columns = columns.among(names)
    wanted = [column for column in names if column in columns.names]
    folder, first = path.rpartition("/")[0], 1
    held: list[Any] = []  # batches of a slice, since row groups may be much smaller than one
    places: list[str] = []

    def take() -> Samples:
        table = columns_in_memory(pa.Table.from_batches(held), names, columns)
        part = samples_from_columns(path, table, columns, places.copy(), {}, folder=folder)
        held.clear()
        places.clear()
        return part

    for number in range(file.num_row_groups):
        rows, read = file.metadata.row_group(number).num_rows, 0
        try:
            for batch in file.iter_batches(_rows_at_once(file, number, wanted), row_groups=[number], columns=wanted):
                size = sum(part.nbytes for part in (*held, batch))
                if held and (size > SLICE_BYTES or len(places) + len(batch) > SLICE_SAMPLES):
                    yield take()
                held.append(batch)
                places += [f"{name}:{row}" for row in range(first + read, first + read + len(batch))]
                read += len(batch)
        except (pa.ArrowException, OSError) as error:
            if not _is_damage(error):
                raise
            if held:
                yield take()
            unread = f"{rows - read:,} rows from {first + read:,} on"
            yield lost(source, f"{name}:row group {number}", f"{unread} cannot be read: {first_line(error)}")
        first += rows
    if held:
        yield take()


def _rows_at_once(file: Any, number: int, wanted: Sequence[str]) -> int:
    """Return rows of a slice: as many as may have the bytes that a slice may have, by the row group's own account."""
    group = file.metadata.row_group(number)
    size = 0
    for column in range(group.num_columns):
        about = group.column(column)
        if about.path_in_schema.partition(".")[0] in wanted:
            size += about.total_uncompressed_size
    return int(min(SLICE_SAMPLES, max(1, SLICE_BYTES * group.num_rows // max(size, 1))))


def _is_damage(error: Exception) -> bool:
    """Tell bytes that make no sense from a disk or network that fails: for those pyarrow has an `OSError` without a number."""
    return not isinstance(error, OSError) or (type(error) is OSError and error.errno is None)
