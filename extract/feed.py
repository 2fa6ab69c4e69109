"""The feed: batches of samples, made ready while the ones before are computed.

Slices are prepared (tokenised) one ahead, in a thread. Another thread sorts each slice by cost, fills batches to the budget,
has their samples decoded by worker processes where the backbone asks for that, collates them and begins their copy to
the device.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from extract.backbones.base import Backbone, Batch
from extract.batching import Budget, budget_batches
from extract.errors import UnusableSampleError
from extract.prefetch import Prefetch
from extract.slices import Slice
from extract.transfer import Transfer

AHEAD = 3

Sent = tuple[Batch, "torch.cuda.Event | None"]


@dataclass(frozen=True)
class Ready:
    """A batch on its way to the device.

    Attributes
    ----------
    slice, rows
        Which samples.
    sent
        The batch; None where every sample was refused.
    refused
        Rows of the samples that could not be decoded.
    """

    slice: Slice
    rows: np.ndarray
    sent: Sent | None
    refused: np.ndarray


class Feed:
    """Makes batches out of samples.

    Parameters
    ----------
    backbone
        Says how.
    samples
        All samples.
    dtypes
        Output name -> stored type, for the slices.
    size
        Called for the number of samples of the next slice.
    budget
        Largest cost of a batch; it may change at any time.
    transfer
        Brings batches to the device.
    workers
        Processes that decode; 0 for none.
    """

    def __init__(
        self,
        backbone: Backbone,
        samples: Sequence[Any],
        dtypes: Mapping[str, str],
        size: Callable[[], int],
        budget: Budget,
        transfer: Transfer,
        workers: int,
    ) -> None:
        self.open: deque[Slice] = deque()
        self._backbone = backbone
        self._budget = budget
        self._transfer = transfer
        self._workers = workers
        self._slices = Prefetch(_prepare(backbone, samples, dtypes, size), 1)
        self._batches: Prefetch[Ready] | None = None

    def take(self) -> Ready | None:
        """Return the next batch; None when there is none left."""
        if self._batches is None:
            self._batches = Prefetch(self._ready(), AHEAD)
        return next(self._batches, None)

    def drop(self) -> None:
        """Forget the batches made ahead; what has not been computed of the open slices is batched anew, to the budget now."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def close(self) -> None:
        """Stop."""
        self.drop()
        self._slices.close()

    def _ready(self) -> Iterator[Ready]:
        plans = self._plans()
        if self._backbone.decode is None:
            for slice_, rows in plans:
                batch = self._backbone.collate([slice_.prepared.samples[row] for row in rows])
                yield Ready(slice_, rows, self._transfer.send(batch), rows[:0])
            return
        for slice_, rows, decoded in _decode(self._backbone, plans, self._workers):
            for position, reason in decoded.refused.items():
                slice_.refuse(int(rows[position]), reason)
            bad = np.array(list(decoded.refused), dtype=np.int64)
            sent = None if decoded.batch is None else self._transfer.send(decoded.batch)
            yield Ready(slice_, np.delete(rows, bad), sent, rows[bad])

    def _plans(self) -> Iterator[tuple[Slice, np.ndarray]]:
        """Yield the open slices' batches, then those of new slices, which are open from then on."""
        begun = list(self.open)
        while True:
            slice_ = begun.pop(0) if begun else next(self._slices, None)
            if slice_ is None:
                return
            if slice_ not in self.open:
                self.open.append(slice_)
            for rows in self._batches_of(slice_):
                yield slice_, rows

    def _batches_of(self, slice_: Slice) -> Iterator[np.ndarray]:
        left = slice_.left
        while len(left):
            planned = self._budget.cost
            batches = [left[batch] for batch in budget_batches(slice_.costs[left], planned)]
            left = left[:0]
            for number, rows in enumerate(batches):
                if self._budget.cost != planned:
                    left = np.concatenate(batches[number:])
                    break
                yield rows


def _prepare(backbone: Backbone, samples: Sequence[Any], dtypes: Mapping[str, str], size: Callable[[], int]) -> Iterator[Slice]:
    start = 0
    while start < len(samples):
        stop = min(start + size(), len(samples))
        yield Slice(start, backbone.prepare(samples[start:stop]), dtypes)
        start = stop


@dataclass(frozen=True)
class _Decoded:
    """A decoded batch, and position -> reason for the samples that are not in it."""

    batch: Batch | None
    refused: dict[int, str]


class _Decoding(Dataset):
    """What a worker does: its index is a prepared sample, and its item that sample decoded, or why it cannot be."""

    def __init__(self, decode: Callable[[Any], Any]) -> None:
        self.decode = decode

    def __getitem__(self, sample: Any) -> Any:
        try:
            return self.decode(sample)
        except UnusableSampleError as error:
            return error
        except Exception as error:  # a bad sample never kills a run, whatever a decoder makes of it
            return UnusableSampleError(f"{type(error).__name__}: {' '.join(str(error).split())}")


class _Collating:
    def __init__(self, collate: Callable[[Sequence[Any]], Batch]) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> _Decoded:
        refused = {n: str(item) for n, item in enumerate(items) if isinstance(item, UnusableSampleError)}
        good = [item for n, item in enumerate(items) if n not in refused]
        return _Decoded(self.collate(good) if good else None, refused)


class _Plans(Sampler):
    def __init__(self, plans: Iterator[tuple[Slice, np.ndarray]], given: "deque[tuple[Slice, np.ndarray]]") -> None:
        self.plans = plans
        self.given = given

    def __iter__(self) -> Iterator[list[Any]]:
        for slice_, rows in self.plans:
            self.given.append((slice_, rows))
            yield [slice_.prepared.samples[row] for row in rows]


def _decode(
    backbone: Backbone, plans: Iterator[tuple[Slice, np.ndarray]], workers: int
) -> Iterator[tuple[Slice, np.ndarray, _Decoded]]:
    """Have workers decode and collate the batches planned; they come back in order."""
    assert backbone.decode is not None
    given: deque[tuple[Slice, np.ndarray]] = deque()
    loader = DataLoader(
        _Decoding(backbone.decode),
        batch_sampler=_Plans(plans, given),
        num_workers=workers,
        collate_fn=_Collating(backbone.collate),
        prefetch_factor=2 if workers else None,
    )
    for decoded in loader:
        slice_, rows = given.popleft()
        yield slice_, rows, decoded
