"""WebDataset: tar shards in which the files of a sample have its name and follow one another (`000123.jpg`, `000123.cls`).

What a sample's files are called after the first dot of their names is what its columns are called: `jpg`, `cls`, `txt`,
`json.caption` for a value inside JSON, and `jpg;png` for the first of several that is there.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from extract.errors import NoSuchSourceError
from extract.images import ENDINGS, LARGEST_FILE
from extract.remote import expand, first_line, opened, telling_of
from extract.samples import Samples
from extract.sources.columns import Columns, samples_from_columns
from extract.sources.parquet import short_names
from extract.sources.tar import ENDINGS as TAR_ENDINGS
from extract.sources.tar import DamagedArchiveError, Member, printable, read_members
from extract.sources.urls import with_contents
from extract.stream import SLICE_BYTES, SLICE_SAMPLES, Part, SampleStream, lost

_IMAGES = tuple(ending.lstrip(".") for ending in ENDINGS)
LARGEST_RECORD = 2**24
"""Bytes of a JSON or text file after which it is not read."""


def stream_webdataset(source: str, columns: Columns) -> SampleStream:
    """Read tar shards a slice at a time.

    Parameters
    ----------
    source
        A shard, a folder or a pattern of them (see `extract.remote.expand`), also compressed by gzip; a path or a URL.
    columns
        Which column is what; where neither text nor image is named, the sample is its image, or else its `txt`.

    Raises
    ------
    SourceError
        If there is no such file; while reading, if no sample of the first slice has a column that is named, or a disk or
        network fails.
    """
    shards = expand(source, TAR_ENDINGS)
    named = list(zip(shards, short_names(shards), strict=True))

    def cut() -> list[Part]:
        settled = _settle(shards, columns)
        return [partial(_read, source, [shard], settled, True) for shard in named]

    return SampleStream(source, partial(_read, source, named, columns), cut)


@dataclass
class _Sample:
    """The files of a sample: ending -> bytes, empty where nobody wants them."""

    key: str
    files: dict[str, bytes] = field(default_factory=dict)
    fault: str | None = None
    record: Any = None

    def add(self, ending: str, member: Member) -> None:
        if member.fault is not None:
            self.fault = self.fault or member.fault
        elif ending in self.files:
            self.fault = self.fault or f"has two files `.{ending}`"
        else:
            self.files[ending] = member.content or b""


def _read(source: str, shards: Sequence[tuple[str, str]], columns: Columns, settled: bool = False) -> Iterator[Samples]:
    """Read shards, each given with its name for people; what the samples are is settled by the first slice, unless it is."""

    def read() -> Iterator[Samples]:
        known = columns if settled else None
        for path, name in shards:
            for part in _slices(path, name, columns):
                if isinstance(part, str):
                    yield lost(source, name, f"the archive cannot be read {part}")
                    continue
                if known is None:
                    known = _settle_by(path, part, columns)
                yield _as_samples(source, name, part, known)

    return with_contents(read())


def _slices(path: str, name: str, columns: Columns) -> Iterator[list[_Sample] | str]:
    """Yield a shard's samples, a slice at a time; where it is damaged, why."""
    part: list[_Sample] = []
    size = 0
    with telling_of(path):
        try:
            with opened(path) as raw:
                file = raw if path.lower().endswith(".tar") else gzip.GzipFile(fileobj=raw)
                for sample in _grouped(read_members(file, _wanted(columns), LARGEST_FILE)):
                    part.append(sample)
                    size += sum(map(len, sample.files.values()))
                    if len(part) >= SLICE_SAMPLES or size >= SLICE_BYTES:
                        yield part
                        part, size = [], 0
        except _CutOffError as error:
            if error.sample is not None:
                part.append(error.sample)
            if part:
                yield part
            place = f"after {printable(error.sample.key)}" if error.sample is not None else "at all"
            yield f"{place}: {error}"
            return
    if part:
        yield part


class _CutOffError(Exception):
    """A shard ends, or makes no sense, after a sample."""

    def __init__(self, reason: str, sample: _Sample | None) -> None:
        super().__init__(reason)
        self.sample = sample


def _grouped(members: Iterator[Member]) -> Iterator[_Sample]:
    """Put together what follows one another under one name."""
    sample: _Sample | None = None
    try:
        for member in members:
            key, ending = _parted(member.name)
            if not ending:
                continue
            if sample is not None and key != sample.key:
                yield sample
                sample = None
            if sample is None:
                sample = _Sample(key, fault=_hostile(member.name))
            sample.add(ending, member)
    except (DamagedArchiveError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _CutOffError(first_line(error), sample) from error
    if sample is not None:
        yield sample


def _parted(name: str) -> tuple[str, str]:
    """Cut a name at the first dot after its folders: `train/000123.seg.png` is the `seg.png` of `train/000123`."""
    folder, slash, own = name.rpartition("/")
    stem, _, ending = own.partition(".")
    return folder + slash + stem, ending.lower() if stem else ""  # hidden files are nobody's


def _hostile(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name:
        return f"the name {printable(name)} leads out of the archive"
    return None


def _options(column: str) -> list[str]:
    return [option.strip().lstrip(".") for option in column.split(";")]


def _wanted(columns: Columns) -> Any:
    """Return a function that tells by a member's name whether its bytes matter."""
    names = [option for column in columns.names for option in _options(column)]
    wanted = {*names, *(name.partition(".")[0] for name in names if name.startswith("json."))}
    if columns.text is None and columns.image is None:
        wanted |= {*_IMAGES, "txt"}
    return lambda name: _parted(name)[1] in wanted


def _settle(shards: Sequence[str], columns: Columns) -> Columns:
    """Say what the samples are, by those of the first slice that can be read, and see that every column is in one of them."""
    for path in shards:
        for part in _slices(path, path, columns):
            if not isinstance(part, str):
                return _settle_by(path, part, columns)
    return columns


def _settle_by(path: str, part: Sequence[_Sample], columns: Columns) -> Columns:
    found = dict.fromkeys(ending for sample in part for ending in sample.files)
    told = ", ".join(f"`{ending}`" for ending in found) or "none"
    if columns.text is None and columns.image is None:
        if any(image in found for image in _IMAGES):
            columns = replace(columns, image=";".join(_IMAGES))
        elif "txt" in found:
            columns = replace(columns, text="txt")
        else:
            raise NoSuchSourceError(f"{path}: no sample has an image or a `txt`; name what it has: {told}")
    for column in columns.names:
        if all(_value(sample, column, as_is=True) is None for sample in part):
            raise NoSuchSourceError(f"{path}: no sample has `{column}`; their files are {told}")
    return columns


def _as_samples(source: str, name: str, part: Sequence[_Sample], columns: Columns) -> Samples:
    table = {column: [_value(sample, column, as_is=column == columns.image) for sample in part] for column in columns.names}
    faults: dict[int, str] = {}
    for row, sample in enumerate(part):
        if sample.fault is not None:
            faults[row] = sample.fault
            continue
        for what, column in (("image", columns.image), ("text", columns.text)):
            if column is not None and table[column][row] is None:
                faults.setdefault(row, f"has no {what}: its files are {', '.join(f'`{ending}`' for ending in sample.files)}")
    places = [f"{name}:{printable(sample.key)}" for sample in part]
    return samples_from_columns(source, table, columns, places, faults)


def _value(sample: _Sample, column: str, as_is: bool) -> Any:
    """Return what a sample has for a column: bytes as they are, or else as a text; None where it has nothing."""
    for option in _options(column):
        if option in sample.files:
            content = sample.files[option]
            if as_is:
                return content
            if len(content) <= LARGEST_RECORD:
                return content.decode("utf-8", "surrogateescape").strip()
            sample.fault = (
                sample.fault or f"`{option}` has {len(content):,} bytes, and {LARGEST_RECORD:,} are the most for a text"
            )
        elif option.startswith("json.") and "json" in sample.files:
            value = _record_of(sample)
            for step in option.split(".")[1:]:
                value = value.get(step) if isinstance(value, dict) else None
            if value is not None:
                return value
    return None


def _record_of(sample: _Sample) -> Any:
    if sample.record is None:
        content = sample.files["json"]
        try:
            if len(content) > LARGEST_RECORD:
                raise ValueError(f"{len(content):,} bytes, and {LARGEST_RECORD:,} are the most")
            sample.record = json.loads(content)
        except (ValueError, RecursionError) as error:
            sample.fault = sample.fault or f"`json` is not JSON: {first_line(error)}"
            sample.record = {}
    return sample.record
