"""A pool of actors that Ray Data keeps at work, and how long it is waited for."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cache import FeatureStore
from extract.errors import BackboneError, EngineError

PATIENCE = 60.0
"""Seconds without news after which the nodes are counted."""

SEEN_WITHIN = 90.0
"""Seconds within which this machine sees what another one wrote: over NFS listings are up to a minute old."""

_TICK = 5.0


class NodesLostError(Exception):
    """Machines of a cluster are gone; those that are left may go on, as after any error of Ray's own."""


@dataclass(frozen=True)
class Pool:
    """How many actors there can be, and the CPUs and GPUs of each."""

    size: int
    cpus: float
    gpus: float

    def at_most(self, size: int) -> "Pool":
        """Return a pool of no more actors than are of use."""
        return replace(self, size=min(self.size, size))

    def results(
        self,
        rows: Sequence[Mapping[str, Any]],
        actor: type,
        work: Any,
        renew: Callable[[], None],
        read: Callable[..., Iterator[Any]] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows that actors make of some rows, as they come.

        Parameters
        ----------
        rows
            What to begin with; each a task of its own.
        actor
            Made with `work` in every process of the pool, and called with a column of rows at a time.
        work
            What all of them are told.
        renew
            Called at least every few seconds.
        read
            Makes several rows of each, a generator that is called with `work` too; by a few tasks beside the actors, for which
            no processors are kept free, so that actors may have them all.

        Raises
        ------
        NodesLostError
            If nodes are lost, and those that are left have no room for all actors.
        """
        import ray.data

        # rows are large: one of them is a block, and no other is waited for before it is handed out
        with _context(enable_progress_bars=False, target_max_block_size=1):
            dataset = ray.data.from_items(list(rows), override_num_blocks=len(rows))
            if read is not None:
                readers = ray.data.TaskPoolStrategy(size=self.size)
                dataset = dataset.map_batches(read, fn_args=(work,), batch_size=1, num_cpus=0, compute=readers)
            dataset = dataset.map_batches(
                actor,
                fn_constructor_args=(work,),
                batch_size=None,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=self.size),
                num_cpus=self.cpus,
                num_gpus=self.gpus or None,
            )
        yield from self._watched(dataset, renew)

    def _watched(self, dataset: Any, renew: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a Ray data set as they come; give up where they stay away and too few nodes are left."""
        found: queue.Queue[Any] = queue.Queue()
        left = threading.Event()

        def follow() -> None:
            try:
                for row in dataset.iter_rows():
                    if left.is_set():
                        return  # and Ray ends what it has begun
                    found.put(row)
                found.put(_Ended(None))
            except BaseException as error:  # told to whoever waits
                found.put(_Ended(error))

        threading.Thread(target=follow, name="ray", daemon=True).start()
        try:
            yield from self._heard(found, renew)
        finally:
            left.set()

    def _heard(self, found: "queue.Queue[Any]", renew: Callable[[], None]) -> Iterator[dict[str, Any]]:
        heard = time.monotonic()
        while True:
            try:
                entry = found.get(timeout=_TICK)
            except queue.Empty:
                if time.monotonic() - heard > PATIENCE and not self._has_room():
                    raise NodesLostError("nodes were lost, and those that are left have no room for all actors") from None
                renew()
                continue
            heard = time.monotonic()
            renew()
            if isinstance(entry, _Ended):
                if entry.error is not None:
                    raise entry.error
                return
            yield entry

    def _has_room(self) -> bool:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = 0
        for node in nodes:
            room += min(node.get("CPU", 0) // self.cpus, node.get("GPU", 0) // self.gpus if self.gpus else self.size)
        return room >= self.size


class _Ended:
    """Says that a run of Ray is over, and with which error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def _context(**settings: Any) -> Iterator[None]:
    """Have data sets that are made meanwhile run in a certain way."""
    import ray.data

    context = ray.data.DataContext.get_current()
    before = {name: getattr(context, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(context, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


def look_again(look: Callable[[], np.ndarray], renew: Callable[[], None]) -> np.ndarray:
    """Look until nothing is missing, or for as long as what was written elsewhere may stay unseen; return what is missing."""
    until = time.monotonic() + SEEN_WITHIN
    while (missing := look()).any() and time.monotonic() < until:
        renew()
        time.sleep(1.0)
    return missing


def not_shared(missing: int, store: FeatureStore) -> EngineError:
    """Return the error that says that what was extracted elsewhere is not here."""
    return EngineError(
        f"ray: {missing:,} samples were extracted, and {store.name} does not have them: "
        "the store has to be in a bucket, or on a disk that all nodes share"
    )


def not_the_same(backbone: str, node: str) -> BackboneError:
    """Return the error that says that a node has other weights, files or versions."""
    return BackboneError(
        f"{backbone}: is not the same on {node} as where the extraction was asked for; "
        "give all nodes the same weights, files and versions"
    )


def last_line(error: BaseException) -> str:
    """Return the kind of an error, and the last line of what it says, which with Ray is the one that matters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"[:300]
