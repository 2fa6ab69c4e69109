"""`extract_stream`: a data set that need not fit into memory, slice by slice through any number of backbones, in one pass.

Every slice takes the way of a small data set (`extractor`); what is kept of it here is 16 bytes a sample at the end, and a
table on disk.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import FeatureStore, Lease, StoredTable, Table, TableWriter
from cache.keys import KEY_BYTES
from extract.engine import Engine
from extract.errors import SourceError
from extract.extractor import Features
from extract.options import LoopOptions
from extract.outcome import Truncation
from extract.place import find_place
from extract.quiet import Quiet
from extract.samples import Samples, Skipped
from extract.stream import SampleStream
from extract.stream_slice import Extracted, Request, SliceExtractor


@dataclass(frozen=True)
class Streamed:
    """A stream's features, in the store.

    Attributes
    ----------
    name
        The data set's name, for people.
    table
        Ids, labels, splits and groups of the samples that some backbone has features of, in order, on disk; None where there
        is no such sample.
    features
        One per request; `rows` are positions in the table.
    """

    name: str
    table: StoredTable | None
    features: list[Features]


def extract_stream(
    stream: SampleStream,
    requests: Sequence[Request],
    store: FeatureStore | str = "features",
    *,
    device: str = "auto",
    options: LoopOptions | None = None,
    engine: Engine | str = "local",
    strict: bool = False,
    progress: Any = None,
    check: Callable[[Samples], None] | None = None,
) -> Streamed:
    """Make sure that the store holds the features of every sample of a stream.

    The stream is read once, up to two slices ahead of the backbones, which all stay loaded; a Ray cluster reads several of its
    parts at a time itself. Stopped at any time and started again it reads from the start, and extracts what is missing.

    Parameters
    ----------
    stream
        What a source gives.
    requests
        Backbones, and what is to be kept of each.
    store, device, options, engine, strict, progress
        As for `extract`; `progress` is told of a stream by `start_stream`, `advance_stream` and `finish`.
    check
        Called with every slice before it is extracted; raises to end the extraction.

    Raises
    ------
    SourceError
        If the stream cannot be read on, or two backbones take its samples for different things.
    BackboneError, BadSampleError, StoreError
        As `extract` does.
    """
    began = time.monotonic()
    if not isinstance(stream, SampleStream):
        raise SourceError(f"a stream is what `stream_samples` makes of a source, and this is a {type(stream).__name__}")
    store = store if isinstance(store, FeatureStore) else FeatureStore(store)
    place = find_place(engine)
    leads = place.rank.number == 0
    progress = progress if progress is not None and leads else Quiet()
    progress.start_stream(", ".join(request.title for request in requests))
    extracting = SliceExtractor(requests, store, device, options, engine, strict, _SliceProgress(progress), check)
    try:
        with ExitStack() as stack:
            tallies = [_Tally(extracting, number, stream.name, leads, stack) for number in range(len(requests))]
            writer = stack.enter_context(TableWriter(store, stream.name)) if leads else None
            start = rows = 0
            slices = stack.enter_context(closing(place.slices(stream, extracting)))
            for extracted in slices:
                samples = extracted.samples
                found = [tally.take(extracted) for tally in tallies]
                usable, keys = _together(found, samples)
                for tally, part in zip(tallies, found, strict=True):
                    tally.count(part, len(samples), start, rows + np.searchsorted(usable, _lacking(usable, part)))
                if writer is not None:
                    writer.add(_piece(samples, usable, keys))
                start, rows = start + len(samples), rows + len(usable)
            path = None if writer is None else writer.finish()
            for tally in tallies:
                tally.finish()
            _share(time.monotonic() - began, tallies)
    finally:
        progress.finish()
    table = None if path is None else StoredTable(path)
    keys = np.empty((0, KEY_BYTES), np.uint8) if table is None else table.keys()
    return Streamed(stream.name, table, [tally.features(keys) for tally in tallies])


@dataclass(frozen=True)
class _Found:
    """A slice's usable samples for a backbone, their rows `[m]` and keys `[m, 16]`, and those it cannot use."""

    rows: np.ndarray
    keys: np.ndarray
    skipped: list[Skipped]


class _Tally:
    """One backbone's way through a stream: what it has been given, and what became of it."""

    def __init__(self, extracting: SliceExtractor, number: int, name: str, leads: bool, stack: ExitStack) -> None:
        self.extracting = extracting
        self.number = number
        self.name = name
        self.leads = leads
        self.stack = stack
        self.last: Features | None = None
        self.lease: Lease | None = None
        self.samples = self.cached = self.extracted = 0
        self.seconds = 0.0
        self.truncation = Truncation()
        self.ever_loaded = False
        self.skipped: list[Skipped] = []
        self.refused: list[np.ndarray] = []
        self.viewed: list[np.ndarray] = []
        self.views: TableWriter | None = None

    def take(self, extracted: Extracted) -> _Found:
        """Take what became of a slice."""
        found, skipped = extracted.features[self.number], extracted.skipped[self.number]
        if found is None:
            return _Found(np.zeros(0, np.int64), np.empty((0, KEY_BYTES), np.uint8), skipped)
        self._guard(found)
        self._keep_views(found, extracted.samples)
        self.last = found
        self.cached += found.cached
        self.extracted += found.extracted
        self.seconds += found.seconds
        self.truncation += found.truncation
        self.ever_loaded |= found.backbone_loaded
        if found.viewed is not None:
            self.viewed.append(found.viewed)
        return _Found(found.rows, found.keys, skipped)

    def count(self, found: _Found, samples: int, start: int, refused: np.ndarray) -> None:
        """Count a slice in.

        Parameters
        ----------
        found, samples
            What became of it, and how many samples it has.
        start
            Samples that came before it.
        refused
            Positions in the table of samples that another backbone takes and this one does not.
        """
        self.samples += samples
        self.skipped += [dataclasses.replace(entry, row=start + entry.row) for entry in found.skipped]
        if len(refused):
            self.refused.append(refused)

    def finish(self) -> None:
        """Put the table of views in its place."""
        if self.last is None:
            self.last = self.extracting.extract(Samples(self.name, [], []), self.number)
        if self.views is not None:
            self.views.finish()

    def features(self, keys: np.ndarray) -> Features:
        """Return the features of the whole stream, given the keys `[n, 16]` of its table."""
        assert self.last is not None
        kept = np.ones(len(keys), bool)
        if len(keys):  # of several ranks the first alone has a table
            kept[np.concatenate([np.zeros(0, np.int64), *self.refused])] = False
        return dataclasses.replace(
            self.last,
            keys=keys if kept.all() else keys[kept],
            rows=np.flatnonzero(kept),
            skipped=self.skipped,
            samples=self.samples,
            cached=self.cached,
            extracted=self.extracted,
            backbone_loaded=self.ever_loaded,
            seconds=self.seconds,
            truncation=self.truncation,
            viewed=np.concatenate(self.viewed) if self.viewed else None,
        )

    def _guard(self, found: Features) -> None:
        """Have whoever removes what no table names leave this recipe alone until the table is written."""
        if self.lease is None:
            self.lease = self.stack.enter_context(self.extracting.store.lease(found.recipe))
        self.lease.renew()

    def _keep_views(self, found: Features, samples: Samples) -> None:
        if found.views is None or not found.views.count or not self.leads:
            return
        if self.views is None:
            self.views = self.stack.enter_context(TableWriter(self.extracting.store, f"{self.name} views"))
        rows = found.rows if found.viewed is None else found.rows[found.viewed]
        keys = found.view_keys
        ids = [f"{samples.ids[row]} view {number}" for row in rows.tolist() for number in range(keys.shape[1])]
        self.views.add(Table(f"{self.name} views", keys.reshape(-1, KEY_BYTES), ids))


class _SliceProgress(Quiet):
    """Who is told how a slice goes, and tells it on as a part of the stream."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress

    def start(self, title: str, cached: int, missing: int, copies: int = 0) -> None:
        """Tell what was found of the slice."""
        self._progress.advance_stream(cached + copies, 0)

    def advance(self, samples: int, share: float) -> None:
        """Tell what was extracted."""
        self._progress.advance_stream(0, samples)

    def wait(self, samples: int) -> None:
        """Tell that another process is at work on the rest."""
        self._progress.wait(samples)


def _share(seconds: float, tallies: Sequence[_Tally]) -> None:
    """Have backbones take no longer together than the clock says, as several actors at a time do."""
    together = sum(tally.seconds for tally in tallies)
    for tally in tallies:
        tally.seconds *= min(1.0, seconds / max(together, 1e-9))


def _together(found: Sequence[_Found], samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows `[m]` of a slice that some backbone takes, and their keys `[m, 16]`."""
    rows = np.unique(np.concatenate([part.rows for part in found]))
    keys = np.empty((len(rows), KEY_BYTES), np.uint8)
    known = np.zeros(len(rows), bool)
    for part in found:
        at = np.searchsorted(rows, part.rows)
        if not np.array_equal(keys[at[known[at]]], part.keys[known[at]]):
            place = samples.ids[int(part.rows[0])]
            raise SourceError(
                f"{place}: is a text to one backbone and an image's path to another; give each a config of its own"
            )
        keys[at], known[at] = part.keys, True
    return rows, keys


def _lacking(usable: np.ndarray, found: _Found) -> np.ndarray:
    """Return those of some rows that a backbone does not take."""
    return np.setdiff1d(usable, found.rows, assume_unique=True)


def _piece(samples: Samples, rows: np.ndarray, keys: np.ndarray) -> Table:
    def of(column: Sequence[Any] | None) -> list[Any] | None:
        return None if column is None else [column[row] for row in rows.tolist()]

    return Table(samples.name, keys, of(samples.ids) or [], of(samples.labels), of(samples.splits), of(samples.groups))
