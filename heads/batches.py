"""Features as a training loop takes them: standardised, on a device, whole or block by block, in shuffled batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from heads.devices import free_memory
from heads.inputs import StoredTokens, Tokens, is_on_disk
from heads.scaling import Scaling, read_rows

BLOCKS_AT_ONCE = 8
BYTES_AT_ONCE = 32 << 20
SAMPLES_TO_MEASURE = 64
DEVICE_SHARE = 0.4
"""Of a GPU's free memory: what features may take that stay there; they are copied once on their way."""

Inputs = tuple[torch.Tensor, ...]


class Part(Protocol):
    """Some samples on their way into a model."""

    def __len__(self) -> int:
        """Count them."""
        ...

    def take(self, rows: torch.Tensor | slice) -> "Part":
        """Return some of them."""
        ...

    def inputs(self) -> tuple[Any, ...]:
        """Return what a model is called with."""
        ...


class Batches(Protocol):
    """What the training loop asks of the samples: `FeatureBlocks`, or anything else that gives them in such ways."""

    def __len__(self) -> int:
        """Count them."""
        ...

    def in_order(self) -> Iterator[Part]:
        """Give every sample once, in order, a part at a time."""
        ...

    def shuffled(self, batch: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, Part]]:
        """Give every sample once in drawn batches, with their places `[b]` among the samples."""
        ...


@dataclass(frozen=True)
class Rows:
    """Features `[n, d]`, or `[n, v, d]` for views, on a device. A model gets `[b, d]`, or `[b, v, d]`."""

    X: torch.Tensor

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: torch.Tensor | slice) -> "Rows":
        """Return some of them."""
        return Rows(self.X[rows.to(self.X.device) if isinstance(rows, torch.Tensor) else rows])

    def join(self, others: Sequence["Rows"]) -> "Rows":
        """Return these and then others."""
        return Rows(torch.cat([self.X, *(other.X for other in others)])) if others else self

    def inputs(self) -> Inputs:
        """Return what a model is called with."""
        return (self.X,)


@dataclass(frozen=True)
class TokenRows:
    """Tokens `[sum, d]` with offsets `[n + 1]`, on a device. A model gets them padded, `[b, t, d]`, and a mask `[b, t]`."""

    values: torch.Tensor
    offsets: torch.Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: torch.Tensor | slice) -> "TokenRows":
        """Return some samples."""
        starts, lengths = self.offsets[:-1][rows], self.offsets.diff()[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        places = torch.repeat_interleave(starts - offsets[:-1], lengths) + torch.arange(int(offsets[-1]))
        return TokenRows(self.values[places.to(self.values.device)], offsets)

    def join(self, others: Sequence["TokenRows"]) -> "TokenRows":
        """Return these and then others."""
        if not others:
            return self
        lengths = torch.cat([part.offsets.diff() for part in (self, *others)])
        values = torch.cat([self.values, *(other.values for other in others)])
        return TokenRows(values, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))

    def inputs(self) -> Inputs:
        """Return what a model is called with: tokens filled up with zeros, and where they are real."""
        lengths = self.offsets.diff()
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        mask = mask.to(self.values.device)
        padded = self.values.new_zeros((*mask.shape, self.values.shape[1]))
        padded[mask] = self.values
        return padded, mask


@dataclass(frozen=True)
class FeatureBlocks:
    """Samples of X as blocks on a device; only the blocks at work are there where X stays on disk.

    Attributes
    ----------
    source
        An array or array-like, or `Tokens` over one.
    rows
        Which samples of it, ascending `[n]`.
    scaling
        How to standardise.
    block
        Samples a block; all of them where X is in memory and nothing else is asked for.
    """

    source: Any
    rows: np.ndarray
    scaling: Scaling
    device: torch.device
    block: int

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, number: int) -> Rows | TokenRows:
        """Return block `number`; the only one is kept."""
        return self._only if self.count() == 1 else self._load(number)

    @cached_property
    def _only(self) -> Rows | TokenRows:
        return self._load(0)

    def _load(self, number: int) -> Rows | TokenRows:
        found = read_rows(self.source, self.rows[number * self.block : (number + 1) * self.block])
        if isinstance(found, Tokens):
            return TokenRows(self._tensor(found.values), torch.as_tensor(found.offsets))
        return Rows(self._tensor(found))

    def count(self) -> int:
        """Count the blocks."""
        return -(-len(self) // self.block)

    def in_order(self) -> Iterator[Rows | TokenRows]:
        """Give every block, in order."""
        for number in range(self.count()):
            yield self.load(number)

    def shuffled(self, batch: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, Rows | TokenRows]]:
        """Give every sample once, in batches: their places `[b]` among the samples, and their features.

        Several blocks, drawn at random, are on the device at a time and shuffled together; what does not fill a batch goes
        over to the next ones. With one block this is a plain shuffle.
        """
        single = self.count() == 1
        order = torch.zeros(1, dtype=torch.int64) if single else torch.randperm(self.count(), generator=generator)
        left_places, left = torch.zeros(0, dtype=torch.int64), None
        for numbers in order.split(BLOCKS_AT_ONCE):
            parts = [self.load(number) for number in numbers.tolist()]
            starts = (numbers * self.block).tolist()
            places = torch.cat([torch.arange(start, start + len(part)) for start, part in zip(starts, parts, strict=True)])
            shuffled = torch.randperm(len(places), generator=generator) + len(left_places)
            places = torch.cat([left_places, places])
            first, *others = parts if left is None else [left, *parts]
            pool = first.join(others)  # type: ignore[arg-type]
            turn = torch.cat([torch.arange(len(left_places)), shuffled])
            last = bool((numbers == order[-1]).any())
            full = len(turn) if last else len(turn) // batch * batch
            for start in range(0, full, batch):
                chosen = turn[start : min(start + batch, full)]
                yield places[chosen], pool.take(chosen)
            left_places, left = places[turn[full:]], pool.take(turn[full:])
            if not len(left_places):
                left = None

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(self.scaling.apply(values), device=self.device)


def block_size(source: Any, device: torch.device) -> int:
    """Return samples a block: all of them where X is in memory and the device has room, or as many as keep what is loaded
    at a time within bounds.
    """
    if not is_on_disk(source) and _has_room(source, device):
        return max(len(source), 1)
    if isinstance(source, StoredTokens):
        source = source[:SAMPLES_TO_MEASURE]
    if isinstance(source, Tokens):
        numbers_each = source.values.shape[1] * max(int(source.lengths.mean()), 1)
    else:
        numbers_each = int(np.prod(source.shape[1:]))
    return max(BYTES_AT_ONCE // BLOCKS_AT_ONCE // (4 * numbers_each), 1)


def _has_room(source: Any, device: torch.device) -> bool:
    """Whether features in memory fit on a device as a whole."""
    if device.type != "cuda":
        return True
    needed = (source.values if isinstance(source, Tokens) else source).nbytes
    return bool(needed <= DEVICE_SHARE * free_memory(device))
