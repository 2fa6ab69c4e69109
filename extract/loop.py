"""The extraction loop: missing samples, slice by slice, through a backbone and into the store.

A slice is a run of consecutive samples. Inside it samples are sorted by cost and batched to a budget; when it is done it
is handed to a background thread that commits it as one shard, in the data set's order. The slice's size follows the
measured speed, so that a shard is committed about every `SECONDS_PER_SHARD`; a slice that takes twice as long, or twice
the room, is committed in parts. How batches are made ready is in `feed`, how they travel in `transfer`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch

from extract.acceleration import accelerate, arithmetic, arrange
from extract.backbones.base import Backbone
from extract.batching import Budget
from extract.devices import count_workers, default_budget, is_out_of_memory, use_processors
from extract.feed import Feed, Ready
from extract.options import LoopOptions
from extract.outcome import Outcome
from extract.outputs import Output
from extract.slices import Slice
from extract.transfer import Transfer
from extract.tuning import tuned_budget

SECONDS_PER_SHARD = 15.0
BYTES_PER_SHARD = 128 * 2**20
FIRST_SLICE = 2048  # of 2,000 short texts, 5% of a batch is padding, and 13% where they come in slices of 512
DEFAULT = LoopOptions()

Commit = Callable[[np.ndarray, Mapping[str, Any]], Any]


class Progress(Protocol):
    """Who is told how an extraction goes."""

    def start(self, title: str, cached: int, missing: int, copies: int = 0) -> None:
        """So many samples were found in the store, so many are about to be extracted, and so many more are copies of those."""

    def advance(self, samples: int, share: float) -> None:
        """So many more have been extracted; that makes this share of the work, as the backbone counts it."""

    def wait(self, samples: int) -> None:
        """There is nothing to do but wait for another process, which is at work on so many of the samples."""

    def finish(self) -> None:
        """Extraction is over, in whichever way."""


def run_loop(
    backbone: Backbone,
    samples: Sequence[Any],
    keys: np.ndarray,
    outputs: Sequence[Output],
    dtype: str,
    commit: Commit,
    progress: Progress,
    *,
    device: str,
    options: LoopOptions = DEFAULT,
    identity: str = "",
    first_slice: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Extract every sample and commit it. On an interruption, what has been computed is committed first.

    Parameters
    ----------
    backbone
        Loaded and frozen.
    samples, keys
        What to extract, in the data set's order, and their keys `[n, 16]`.
    outputs
        What to keep of each.
    dtype
        Type to store, `float32` or `float16`, where an output does not say its own.
    commit
        Called in a background thread with keys `[m, 16]` and output name -> `[m, d]` or `Ragged`.
    progress
        Told after every batch.
    device
        Where the backbone runs.
    options
        How to run it there.
    identity
        The backbone and its settings, for what is remembered of how it runs.
    first_slice
        Samples of the first slices, before the speed is known: what an extraction before found, or None.
    clock
        Seconds, for tests.
    """
    run = _Run(backbone, samples, keys, outputs, dtype, commit, progress, device, options, identity, first_slice, clock)
    try:
        run.compute()
    finally:  # an interrupted slice is committed as far as it came
        run.finish()
    return run.outcome


class _Run:
    def __init__(
        self,
        backbone: Backbone,
        samples: Sequence[Any],
        keys: np.ndarray,
        outputs: Sequence[Output],
        dtype: str,
        commit: Commit,
        progress: Progress,
        device: str,
        options: LoopOptions,
        identity: str,
        first_slice: int | None,
        clock: Callable[[], float],
    ) -> None:
        self.outcome = Outcome(samples=len(samples))
        self._backbone = backbone
        self._options = options
        accelerate(backbone, options)
        self._arithmetic = arithmetic(device, options)
        use_processors(device)
        self._keys = keys
        self._outputs = outputs
        self._commit = commit
        self._progress = progress
        self._clock = clock
        self._work = _Work(backbone.weigh(samples))
        budget = options.budget
        if budget == "auto":
            budget = tuned_budget(backbone, samples, outputs, device, identity)
        self._budget = Budget(budget or default_budget(backbone.unit, device))
        self._transfer = Transfer(device)
        self._size, self._began, self._committed = first_slice or FIRST_SLICE, clock(), clock()
        dtypes = {output.name: output.dtype or dtype for output in outputs}
        workers = 0
        if backbone.decode is not None and backbone.parallel:
            workers = count_workers(device) if options.workers is None else options.workers
        self._feed = Feed(backbone, samples, dtypes, lambda: self._size, self._budget, self._transfer, workers)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: Future[Any] | None = None

    def compute(self) -> None:
        """Run batch after batch."""
        while True:
            ready = None
            try:
                ready = self._feed.take()
                if ready is None:
                    break
                self._forward(ready)
            except Exception as error:
                if not is_out_of_memory(error) or self._is_single(ready):
                    raise
                self._shrink(ready)
            self._commit_what_is_due()
        self._transfer.finish()
        self._commit_what_is_due()

    def finish(self) -> None:
        """Commit what has been computed, and let go of threads and workers."""
        try:
            self._feed.close()
            self._transfer.finish()
            for slice_ in list(self._feed.open):
                self._hand_over(slice_)
                self._note_refusals(slice_)
            if self._pending is not None:
                self._pending.result()
        finally:
            self._background.shutdown()
            self.outcome.budget, self.outcome.slice = self._budget.cost, self._size

    def _forward(self, ready: Ready) -> None:
        self._tell(ready.slice, ready.refused)
        if ready.sent is None:
            return
        with self._arithmetic:
            features = self._backbone.forward(arrange(self._transfer.receive(ready.sent), self._options), self._outputs)

        def land(arrays: dict[str, Any]) -> None:
            ready.slice.put(ready.rows, arrays)
            self._tell(ready.slice, ready.rows)

        self._transfer.fetch(features, land)

    def _tell(self, slice_: Slice, rows: np.ndarray) -> None:
        if len(rows):
            self._progress.advance(len(rows), self._work.advance(slice_, rows))

    def _is_single(self, ready: Ready | None) -> bool:
        return self._budget.cost <= 1 if ready is None else len(ready.rows) <= 1

    def _shrink(self, ready: Ready | None) -> None:
        """Halve the budget and have what was made ahead made again."""
        self._transfer.finish()
        self._feed.drop()
        self._budget.halve(None if ready is None else int(ready.slice.costs[ready.rows].max()) * len(ready.rows))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _commit_what_is_due(self) -> None:
        while self._feed.open and self._feed.open[0].done.all():
            slice_ = self._feed.open.popleft()
            self._hand_over(slice_)
            self._note_refusals(slice_)
            self._measure(slice_)
        if self._feed.open:
            first = self._feed.open[0]
            if self._clock() - self._committed > 2 * SECONDS_PER_SHARD or first.bytes > 2 * BYTES_PER_SHARD:
                self._hand_over(first)

    def _hand_over(self, slice_: Slice) -> None:
        """Give what a slice holds to the thread that commits."""
        if self._pending is not None:
            self._pending.result()
        rows, features = slice_.take()
        if len(rows):
            self._pending = self._background.submit(self._commit, self._keys[slice_.start + rows], features)
        self._committed = self._clock()

    def _note_refusals(self, slice_: Slice) -> None:
        for row, reason in slice_.refused.items():
            self.outcome.refused[self._keys[slice_.start + row].tobytes()] = reason

    def _measure(self, slice_: Slice) -> None:
        """Count what a finished slice was, and size the next ones by its speed."""
        if slice_.prepared.whole is not None:
            self.outcome.truncation = self.outcome.truncation.count(slice_.costs, np.asarray(slice_.prepared.whole))
        now = self._clock()
        speed = len(slice_.done) / max(now - self._began, 1e-6)
        room = max(1, BYTES_PER_SHARD * len(slice_.done) // max(1, slice_.taken))
        self._size = int(np.clip(speed * SECONDS_PER_SHARD, 1, room))
        self._began = now


class _Work:
    """How much of the work is done: costs where they are known, elsewhere guesses that are scaled by what is known."""

    def __init__(self, guesses: np.ndarray) -> None:
        self._unknown = float(guesses.sum())
        self._guesses = guesses
        self._seen: set[int] = set()
        self._known = self._known_guesses = self._done = 0.0

    def advance(self, slice_: Slice, rows: np.ndarray) -> float:
        """Return the share that is done, these rows included."""
        if slice_.start not in self._seen:
            self._seen.add(slice_.start)
            guess = float(self._guesses[slice_.start : slice_.start + len(slice_.costs)].sum())
            self._known += float(slice_.costs.sum())
            self._known_guesses += guess
            self._unknown -= guess
        self._done += float(slice_.costs[rows].sum())
        scale = self._known / self._known_guesses if self._known_guesses else 1.0
        return min(1.0, self._done / max(1e-9, self._known + max(0.0, self._unknown) * scale))
