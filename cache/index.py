"""Where each row is: sorted keys over a recipe's shards. Derived from the shards, never the truth.

Keys are compared as two 64-bit numbers. A large index is kept beside the shards, `index/<digest>.idx`, and mapped into
memory; it is left out where it cannot be written and rebuilt where it does not hold. Whoever reads a row compares the
shard's own key with the one that was asked for, so that not even a forged index can give another sample's features.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from cache import files
from cache.atomic import write_atomically
from cache.errors import StoreError
from cache.memo import stamp_of
from cache.shard import Shard

WORTH_KEEPING = 500_000
"""Rows from which an index is written to disk; a smaller one is built in less time than it takes to think about it."""

LEAST_HELD = 0.5
"""Share of a kept index's rows that must still be there for it to be used."""

_MAGIC = b"headstart index2"
_HEADER_BYTES = len(_MAGIC) + 8 + 16
_MOST_HEADER = 2**26


def as_numbers(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return keys `[n, 16]` uint8 as their two big-endian halves, `[n]` uint64 each."""
    halves = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    return halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64)


@dataclass(frozen=True)
class Runs:
    """Where samples are: runs of consecutive rows, one after another in the samples' order.

    Attributes
    ----------
    shard, row, length
        `[r]` int64 each: a run's shard by number, its first row there, and how many rows it has.
    """

    shard: np.ndarray
    row: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[tuple[int, int, int]]) -> "Runs":
        """Make runs of (shard, row, length)."""
        shard, row, length = np.array(runs, np.int64).reshape(-1, 3).T
        return cls(shard, row, length)

    def then(self, shard: np.ndarray, row: np.ndarray) -> "Runs":
        """Return these runs and behind them single rows."""
        ones = np.ones(len(row), np.int64)
        parts = ((self.shard, shard), (self.row, row), (self.length, ones))
        return Runs(*(np.concatenate(part) for part in parts))

    def each(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the shard and the row of every sample, `[n]` each."""
        ends = np.cumsum(self.length)
        inside = np.arange(int(self.length.sum())) - np.repeat(ends - self.length, self.length)
        return np.repeat(self.shard, self.length), np.repeat(self.row, self.length) + inside


@dataclass(frozen=True)
class Segment:
    """Sorted keys of some shards.

    Attributes
    ----------
    names
        The shards' file names, in the order of their numbers here.
    high, low
        `[n]` uint64, the keys' halves, sorted by the first.
    place
        `[n]` uint64: the shard's number times 2^32, plus the row in it.
    longest
        Most entries that share a first half; at least as often as a key is held.
    """

    names: tuple[str, ...]
    high: np.ndarray
    low: np.ndarray
    place: np.ndarray
    longest: int

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: np.ndarray, low: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find keys in the shards that are `usable`, a mask: which were found, their shards and their rows, `[n]` each."""
        found = np.zeros(len(high), bool)
        shard, row = np.zeros(len(high), np.int64), np.zeros(len(high), np.int64)
        order = np.argsort(high) if len(high) > 1 else np.zeros(len(high), np.int64)
        at = np.searchsorted(self.high, high[order])
        for _ in range(self.longest):
            inside = at < len(self)
            order, at = order[inside], at[inside]
            same = self.high[at] == high[order]
            order, at = order[same], at[same]
            place = self.place[at]
            holder = (place >> np.uint64(32)).astype(np.int64)
            hit = (self.low[at] == low[order]) & (holder < len(usable)) & usable[np.minimum(holder, len(usable) - 1)]
            found[order[hit]] = True
            shard[order[hit]] = holder[hit]
            row[order[hit]] = (place[hit] & np.uint64(0xFFFFFFFF)).astype(np.int64)
            order, at = order[~hit], at[~hit] + 1
            if not len(order):
                break
        return found, shard, row


def build_segment(shards: Sequence[Shard]) -> Segment:
    """Sort the keys of shards; where several hold the same key, the first one's row comes first."""
    rows = sum(shard.rows for shard in shards)
    high, low, place = (np.empty(rows, np.uint64) for _ in range(3))
    start = 0
    for number, shard in enumerate(shards):
        stop = start + shard.rows
        high[start:stop], low[start:stop] = as_numbers(shard.keys)
        place[start:stop] = (np.uint64(number) << np.uint64(32)) + np.arange(shard.rows, dtype=np.uint64)
        start = stop
    order = np.argsort(high, kind="stable")
    high = high[order]
    same = np.flatnonzero(np.concatenate([[True], high[1:] != high[:-1], [True]]))
    longest = int(np.diff(same).max()) if rows else 0
    return Segment(tuple(shard.path.name for shard in shards), high, low[order], place[order], longest)


def write_segment(folder: Path, segment: Segment) -> None:
    """Keep a segment on disk in place of those that were there; say nothing where that is not possible."""
    header = json.dumps({"rows": len(segment), "longest": segment.longest, "shards": segment.names}).encode()
    header += b" " * (-(_HEADER_BYTES + len(header)) % 64)
    arrays = [np.ascontiguousarray(array).view(np.uint8).data for array in (segment.high, segment.low, segment.place)]
    sum_ = xxhash.xxh3_128(header)
    for array in arrays:
        sum_.update(array)
    name = hashlib.blake2b("\n".join(segment.names).encode(), digest_size=16).hexdigest()
    path = folder / f"{name}.idx"
    try:
        write_atomically(path, _MAGIC, len(header).to_bytes(8, "little"), sum_.digest(), header, *arrays)
        for other in folder.glob("*.idx"):
            if other != path:
                other.unlink(missing_ok=True)
    except (StoreError, OSError):
        return


def read_segment(folder: Path) -> Segment | None:
    """Map the segment kept on disk; None where there is none that holds."""
    for path in sorted(folder.glob("*.idx")) if folder.is_dir() else ():
        try:
            return _map_segment(path)
        except (StoreError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return None


def _map_segment(path: Path) -> Segment:
    with files.opened(path) as descriptor:
        stamp = stamp_of(descriptor)
        size = int(stamp.partition(":")[0])
        with open(descriptor, "rb", closefd=False) as file:
            start = file.read(_HEADER_BYTES)
            length = int.from_bytes(start[len(_MAGIC) : len(_MAGIC) + 8], "little")
            if not start.startswith(_MAGIC) or length > min(_MOST_HEADER, size):
                raise ValueError("not an index")
            header = file.read(length)
        if files.digest(descriptor, _HEADER_BYTES, size) != start[len(_MAGIC) + 8 :]:
            raise ValueError("its checksum does not hold")
    content = json.loads(header)
    rows, offset = int(content["rows"]), _HEADER_BYTES + length
    if rows < 0 or offset + 24 * rows != size:
        raise ValueError("its size does not fit")
    high, low, place = (
        files.MAPS.view(path, stamp, offset + 8 * rows * number, (rows,), np.dtype(np.uint64)) for number in range(3)
    )
    return Segment(tuple(map(str, content["shards"])), high, low, place, int(content["longest"]))


class Index:
    """Finds keys in the shards of a recipe without per-row Python.

    Parameters
    ----------
    shards
        The recipe's shards.
    folder
        Where a large index is kept.
    before
        The index before shards came or went; what still holds of it is used again.
    """

    def __init__(self, shards: Sequence[Shard], folder: Path, before: "Index | None" = None) -> None:
        self.shards = list(shards)
        self._number = {shard.path.name: number for number, shard in enumerate(shards)}
        kept = before.segments if before is not None else [segment for segment in [read_segment(folder)] if segment]
        self.segments: list[Segment] = [segment for segment in kept if self._share_held(segment) >= LEAST_HELD]
        covered = {name for segment in self.segments for name in segment.names}
        if new := [shard for shard in shards if shard.path.name not in covered]:
            self.segments.append(build_segment(new))
            self._join_small()
            if sum(map(len, self.segments)) > 1.25 * max(map(len, self.segments)):
                self.rebuild()
            largest = max(self.segments, key=len)
            if len(largest) >= WORTH_KEEPING and not any(largest is segment for segment in kept):
                write_segment(folder, largest)
                mapped = read_segment(folder)  # which takes no memory of its own
                if mapped is not None and mapped.names == largest.names:
                    self.segments = [mapped if segment is largest else segment for segment in self.segments]
        self._usable: dict[tuple[int, str], np.ndarray] = {}
        self._locals: dict[int, np.ndarray] = {}

    def _join_small(self) -> None:
        """Join the last segments until each is at most half of the one before, so that a key is looked for in few of them."""
        while len(self.segments) > 1 and 2 * len(self.segments[-1]) > len(self.segments[-2]):
            names = {name for segment in self.segments[-2:] for name in segment.names}
            self.segments[-2:] = [build_segment([shard for shard in self.shards if shard.path.name in names])]

    def rebuild(self) -> None:
        """Sort all keys anew, from the shards."""
        self.segments = [build_segment(self.shards)]
        self._usable, self._locals = {}, {}

    def missing(self, keys: np.ndarray, output: str) -> np.ndarray:
        """Return a mask `[n]`, true where a key of `[n, 16]` has no row of an output."""
        return ~self._find(keys, output)[0]

    def locate(self, keys: np.ndarray, output: str) -> Runs | None:
        """Return where the keys of `[n, 16]` are; None if one has no row.

        Keys in the order of a data set lie in long runs in the shards, which are followed by comparing keys; only where a
        run ends the index is asked.
        """
        followed: list[tuple[int, int, int]] = []
        start = 0
        while start < len(keys):
            if len(followed) >= 16 and start < 64 * len(followed):  # hardly any order: ask for all the rest at once
                rest = self._locate_each(keys[start:], output)
                return None if rest is None else Runs.of(followed).then(*rest)
            place = self._locate_each(keys[start : start + 1], output)
            if place is None:
                return None
            number, row = int(place[0][0]), int(place[1][0])
            length = self._follow(keys[start:], self.shards[number], row)
            followed.append((number, row, length))
            start += length
        return Runs.of(followed)

    def _follow(self, keys: np.ndarray, shard: Shard, row: int) -> int:
        """Return how many keys are those of a shard from a row on; the first is."""
        held = shard.keys[row : row + len(keys)]
        length, step = 1, 64
        while length < len(held):
            piece = slice(length, length + step)
            same = _as_halves(held[piece]) == _as_halves(keys[: len(held)][piece])
            if not same.all():
                return length + int(same.all(axis=1).argmin())
            length, step = length + len(same), 4 * step
        return length

    def _locate_each(self, keys: np.ndarray, output: str) -> tuple[np.ndarray, np.ndarray] | None:
        for attempt in range(2):
            found, shard, row = self._find(keys, output)
            if not found.all():
                return None
            if self._holds(keys, shard, row):
                return shard, row
            if not attempt:  # what was kept on disk says something else than the shards
                self.rebuild()
        raise StoreError(f"{self.shards[0].path.parent}: shards changed while they were read; try again")

    def _holds(self, keys: np.ndarray, shard: np.ndarray, row: np.ndarray) -> bool:
        """Compare the keys in the shards with those that were asked for."""
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number) if len(keys) > 1 else slice(None)
            if (row[here] >= self.shards[number].rows).any():
                return False
            if not np.array_equal(self.shards[number].keys[row[here]], keys[here]):
                return False
        return True

    def _find(self, keys: np.ndarray, output: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = np.zeros(len(keys), bool)
        shard, row = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        high, low = as_numbers(keys)
        for number, segment in enumerate(self.segments):
            rest = np.flatnonzero(~found) if number else slice(None)
            hit, holder, place = segment.find(high[rest], low[rest], self._usable_in(number, output))
            found[rest] = hit
            shard[rest] = np.where(hit, self._local(number)[holder], shard[rest])
            row[rest] = np.where(hit, place, row[rest])
        return found, shard, row

    def _usable_in(self, number: int, output: str) -> np.ndarray:
        place = (number, output)
        if place not in self._usable:
            held = (self._number.get(name) for name in self.segments[number].names)
            self._usable[place] = np.array([n is not None and output in self.shards[n].outputs for n in held], bool)
        return self._usable[place]

    def _local(self, number: int) -> np.ndarray:
        """Return a segment's shards by their numbers here; -1 where one is gone."""
        if number not in self._locals:
            self._locals[number] = np.array([self._number.get(name, -1) for name in self.segments[number].names])
        return self._locals[number]

    def _share_held(self, segment: Segment) -> float:
        """Return the share of a segment's rows whose shards are still there."""
        rows = sum(self.shards[self._number[name]].rows for name in segment.names if name in self._number)
        return rows / max(len(segment), 1)


def _as_halves(keys: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(keys).view(np.uint64)
