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

from extract.backbones.base import Backbone, Batch
from extract.batching import Budget, budget_batches
from extract.prefetch import Prefetch
from extract.slices import Slice
from extract.transfer import Transfer
from extract.workers import decode_batches

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
        for slice_, rows, decoded in decode_batches(self._backbone, plans, self._workers, self._transfer):
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
