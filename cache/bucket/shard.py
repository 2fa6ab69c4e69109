"""A shard in a bucket: read from the mirror where it is whole, in checked blocks if few rows are wanted, else fetched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import xxhash

from cache.bucket.head import Head
from cache.directory import BLOCK
from cache.files import ChangedFileError
from cache.recipe import Recipe
from cache.shard import Shard

WORTH_FETCHING = 0.25
"""Share of a shard's bytes, counted over all reads of parts, from which it is fetched whole."""

SMALL = 2**20
"""Bytes of a shard that is always fetched whole."""

_GAP = 4
_T = TypeVar("_T")


class Source(Protocol):
    """Where a shard's bytes come from."""

    def held(self, shard: "BucketShard") -> Shard | None:
        """Return the shard as it is in the mirror, if it is there whole."""

    def fetch(self, shard: "BucketShard") -> Shard | None:
        """Bring the shard into the mirror whole; None where there is no room for one so large."""

    def read_ranges(self, shard: "BucketShard", ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read parts of the object."""

    def damaged(self, shard: "BucketShard", reason: str) -> ChangedFileError:
        """Note that the object is not what its head says, and return the error that tells so."""


@dataclass(frozen=True, eq=False)
class BucketShard(Shard):
    """A shard of which the head is here, and the rest where it is needed.

    Attributes
    ----------
    recipe
        What it belongs to.
    head
        Its keys, and where its arrays lie.
    source
        Where its bytes come from.
    """

    recipe: Recipe
    head: Head
    source: Source
    _read: list[int] = field(default_factory=lambda: [0])
    _offsets: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def keys(self) -> np.ndarray:
        """`[n, 16]` uint8."""
        return self.head.keys

    def offsets(self, output: str) -> np.ndarray:
        """`[n + 1]` int64 of a ragged output: sample `i` has the vectors `offsets[i]` to `offsets[i + 1]`."""
        if output not in self._offsets:
            name = f"outputs/{output}/offsets"
            extent = self.extents[name]

            def from_bucket() -> np.ndarray:
                (content,) = self.source.read_ranges(self, [(extent.offset, extent.offset + extent.size)])
                if xxhash.xxh3_128_hexdigest(content) != self.head.directory.sums[name]:
                    raise self.source.damaged(self, f"checksum of {name} does not hold")
                return np.frombuffer(content, np.int64)

            offsets = self._either(extent.size, lambda shard: np.array(shard.offsets(output)), from_bucket)
            _, vectors = self.extents[name], self._features(output).shape[0]
            if len(offsets) != self.rows + 1 or offsets[0] != 0 or offsets[-1] != vectors or (np.diff(offsets) < 0).any():
                raise self.source.damaged(self, f"{name} do not rise from 0 to {vectors}")
            self._offsets[output] = offsets
        return self._offsets[output]

    def read_rows(self, output: str, start: int, into: np.ndarray) -> None:
        """Fill `[m, d]` with consecutive vectors from number `start` on."""

        def from_bucket() -> None:
            into[:] = self._take(output, np.arange(start, start + len(into)))

        self._either(into.nbytes, lambda shard: shard.read_rows(output, start, into), from_bucket)

    def take_rows(self, output: str, rows: np.ndarray) -> np.ndarray:
        """Return vectors by their numbers `[m]` in any order, `[m, d]`."""
        extent = self._features(output)
        width = extent.shape[1] * np.dtype(extent.dtype).itemsize
        wanted = BLOCK * len(np.unique((extent.offset + rows.astype(np.int64) * width) // BLOCK))
        return self._either(wanted, lambda shard: shard.take_rows(output, rows), lambda: self._take(output, rows))

    def map_rows(self, output: str) -> np.ndarray:
        """Return an output's vectors as an array over the file in the mirror, which is fetched."""
        return self._either(self.size, lambda shard: shard.map_rows(output), None)

    def _either(self, wanted: int, here: Callable[[Shard], _T], from_bucket: Callable[[], _T] | None) -> _T:
        """Do something with the whole shard, if it is here or worth fetching for so many bytes, or with parts of it."""
        for _ in range(3):
            shard = self.source.held(self)
            if shard is None:
                self._read[0] += wanted
                whole = self.size <= SMALL or self._read[0] >= WORTH_FETCHING * self.size or not self.head.has_blocks
                shard = self.source.fetch(self) if whole or from_bucket is None else None
            try:
                if shard is not None:
                    self._read[0] = 0
                    return here(shard)
                if from_bucket is None or not self.head.has_blocks:
                    break
                return from_bucket()
            except ChangedFileError:
                if shard is None:
                    raise  # the bucket's
                continue  # it made room for another one meanwhile
        raise ChangedFileError(f"{self.path}: is too large to be held here or keeps being removed; raise HEADSTART_MIRROR_SIZE")

    def _take(self, output: str, rows: np.ndarray) -> np.ndarray:
        """Read the blocks that hold some vectors, check each, and put the vectors together."""
        extent = self._features(output)
        width = extent.shape[1] * np.dtype(extent.dtype).itemsize
        if not len(rows) or not width:
            return np.empty((len(rows), extent.shape[1]), extent.dtype)
        starts = extent.offset + rows.astype(np.int64) * width
        if starts.min() < extent.offset or starts.max() + width > extent.offset + extent.size:
            raise IndexError(f"{self.path}: there is no such row of {output}")
        runs = _runs_of_blocks(starts // BLOCK, (starts + width - 1) // BLOCK)
        length = self.head.directory.length
        ranges = [(first * BLOCK, min(last * BLOCK, length)) for first, last in runs]
        parts = self._read_blocks(runs, ranges)
        begins = np.array([begin for begin, _ in ranges])
        which = np.searchsorted(begins, starts, side="right") - 1
        into = np.empty((len(rows), width), np.uint8)
        for number, part in enumerate(parts):
            here = np.flatnonzero(which == number)
            content = np.frombuffer(part, np.uint8)
            for at in here.tolist():
                begin = int(starts[at] - begins[number])
                into[at] = content[begin : begin + width]
        return into.view(extent.dtype)

    def _read_blocks(self, runs: Sequence[tuple[int, int]], ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        for _ in range(2):  # what went wrong on the way comes right the second time
            parts = self.source.read_ranges(self, ranges)
            checks = (self.head.directory.damaged_block(first, part) for (first, _), part in zip(runs, parts, strict=True))
            damaged = next((number for number in checks if number is not None), None)
            if damaged is None:
                return parts
        raise self.source.damaged(self, f"the checksum of block {damaged} does not hold")


def _runs_of_blocks(first: np.ndarray, last: np.ndarray) -> list[tuple[int, int]]:
    """Return runs of blocks (from, to) that hold all of some ranges of blocks; small gaps are read over."""
    order = np.argsort(first)
    begins, ends = first[order], np.maximum.accumulate(last[order]) + 1
    breaks = np.flatnonzero(begins[1:] > ends[:-1] + _GAP) + 1
    starts, stops = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(begins)]])
    return [(int(begins[start]), int(ends[stop - 1])) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
