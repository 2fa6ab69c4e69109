"""The engine `ray`: missing samples, cut into blocks of similar cost, through a pool of actors that Ray Data keeps at work.

Ray starts actors, hands out blocks, restarts what dies and retries its blocks. Actors commit shards to the shared store
themselves; what comes back is how it went. The store says in the end what is there: a run of Ray that broke off, or that waits
for a node which does not come back, is followed by another one over what is still missing, with the nodes that are left.
"""

import importlib.util
import logging
import os
import pickle
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from cache import FeatureStore, HeadstartError, Lease, Recipe
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import BackboneSpec
from extract.devices import choose_device, choose_precision
from extract.engine import Engine
from extract.errors import EngineError, NoSuchNameError
from extract.images import ImageText
from extract.options import LoopOptions
from extract.outcome import Outcome
from extract.outputs import Output
from extract.ranks import Rank
from extract.ray_actor import Block, Done, Extracting, Work

MOST_SAMPLES = 2**16
MOST_COST = 2**26
"""A block's samples, and their cost: characters, or bytes of images in memory."""

BLOCKS_PER_ACTOR = 8
LEAST_SAMPLES = 1024
"""Every actor gets so many blocks, so that none is left alone with a long one; but no smaller ones than these."""

PATIENCE = 60.0
"""Seconds without news after which the nodes are counted."""

_TICK = 5.0


class Cluster:
    """A Ray cluster, which is connected to as soon as there is something to ask of it.

    Parameters
    ----------
    engine
        Which, and how many actors.

    Raises
    ------
    NoSuchNameError
        If Ray is not installed.
    """

    def __init__(self, engine: Engine) -> None:
        if importlib.util.find_spec("ray") is None:
            raise NoSuchNameError("engine ray needs Ray: pip install 'headstart[ray]'")
        self.engine = engine
        self.rank = Rank()
        self._connected = False

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Be connected, and let go afterwards of a connection that was made here.

        Ray tells of nodes and processes that die on standard output, which belongs to the command's result.
        """
        self.connect()
        with redirect_stdout(sys.stderr) if self._connected else nullcontext():
            try:
                yield
            finally:
                self.disconnect()

    def disconnect(self) -> None:
        """Let go of the connection if it was made here."""
        import ray

        if self._connected:
            ray.shutdown()
            self._connected = False

    def connect(self) -> None:
        """Connect to the cluster, or start one on this machine, unless that has been done; raises `EngineError` if it fails."""
        for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_BACKEND_LOG_LEVEL", "fatal")):
            os.environ.setdefault(name, value)
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise EngineError(f"ray: {error}; pip install 'headstart[ray]'") from error
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        if ray.is_initialized():
            return
        self._connected = True
        try:
            ray.init(address=self.engine.address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # of many types, and some of many lines
            place = self.engine.address or os.environ.get("RAY_ADDRESS") or "this machine"
            raise EngineError(f"ray: no cluster at {place}: {_line(error)}; `ray start --head` starts one") from error

    def device(self, device: str) -> str:
        """Return the kind of device that the actors compute on: for `auto` a GPU where this machine or the cluster has one."""
        here = choose_device(device).partition(":")[0]  # which one is for Ray to say
        if device != "auto" or here == "cuda" or not self._is_elsewhere():
            return here
        import ray

        self.connect()
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"

    def precision(self, asked: str, device: str) -> str:
        """Return the arithmetic of the forward pass there; what a GPU has is asked of a node that has one."""
        import ray

        if asked != "auto" or device != "cuda" or choose_device("auto") == "cuda":
            return choose_precision(asked, device)
        self.connect()
        return str(ray.get(ray.remote(num_gpus=1)(choose_precision).remote(asked, device)))

    def job(
        self,
        store: FeatureStore,
        recipe: Recipe,
        lease: Lease,
        checkpoint: Checkpoint,
        spec: BackboneSpec,
        device: str,
        options: LoopOptions,
        outputs: Sequence[Output],
        progress: Any,
        loaded: dict[str, Any] | None,
    ) -> "RayJob":
        """Return the job that extracts there; the parameters are those of `Job`, and actors load backbones of their own."""
        kind = checkpoint.offer.takes
        work = Work(
            os.getcwd(), store.address, store.storage_options, store.budget, recipe, spec, kind, device, options, tuple(outputs)
        )
        return RayJob(self, work, store, lease, progress)

    def _is_elsewhere(self) -> bool:
        """Tell whether there is a cluster already, which may have other devices than this machine."""
        import ray

        place = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
        return ray.is_initialized() or bool(self.engine.address or os.environ.get("RAY_ADDRESS")) or place.exists()

    def pool(self, device: str) -> tuple[int, float, float]:
        """Return how many actors there can be now, and the CPUs and GPUs of each."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise EngineError("ray: no node of the cluster has a free CPU")
        if device == "cuda":
            gpus = int(sum(node.get("GPU", 0) for node in nodes))
            if not gpus:
                raise EngineError("ray: no node of the cluster has a GPU; `--set device=cpu` computes without")
            return min(self.engine.processes or gpus, gpus), 1.0, 1.0
        cpus = int(sum(node["CPU"] for node in nodes))
        if self.engine.processes is None:
            return len(nodes), max(1.0, min(node["CPU"] for node in nodes) - 1), 0.0
        return min(self.engine.processes, cpus), 1.0, 0.0


class RayJob:
    """A data set's missing samples through a backbone on a Ray cluster; what `Job` is for this process.

    Parameters
    ----------
    cluster
        Where.
    work
        What every actor is told.
    store, lease
        The store as this process sees it, and its claims.
    progress
        Told how it goes.
    """

    def __init__(self, cluster: Cluster, work: Work, store: FeatureStore, lease: Lease, progress: Any) -> None:
        self.cluster = cluster
        self.work = work
        self.store = store
        self.lease = lease
        self.progress = progress
        self.outcome = Outcome()
        self.backbone_loaded = False

    def run(self, samples: Sequence[Any], keys: np.ndarray) -> None:
        """Extract samples with their keys `[n, 16]`.

        Raises
        ------
        EngineError
            If the cluster makes no headway, or its nodes do not share the store.
        HeadstartError
            What an actor says is wrong.
        """
        self.backbone_loaded = True
        with self.cluster.connection():
            self._run(samples, keys)

    def _run(self, samples: Sequence[Any], keys: np.ndarray) -> None:
        costs = np.array([_cost(sample) for sample in samples], np.int64)
        left, total, done_samples = np.arange(len(keys)), max(1, len(keys)), 0
        names = [output.name for output in self.work.outputs]
        while len(left):
            failure: Exception | None = None
            headway = 0
            size, cpus, gpus = self.cluster.pool(self.work.device)
            blocks = [left[part] for part in cut_blocks(costs[left], size)]
            rows = ({"block": pickle.dumps(Block([samples[row] for row in part], keys[part].tobytes()))} for part in blocks)
            try:
                for done in self._results(rows, min(size, len(blocks)), cpus, gpus):
                    if done.error is not None:
                        raise done.error
                    headway += done.samples
                    done_samples += done.samples
                    self.outcome = Outcome.together([self.outcome, done.outcome])
                    self.progress.advance(done.samples, min(1.0, done_samples / total))
            except HeadstartError:
                raise
            except Exception as error:  # Ray's own, of many types
                failure = error
            still = self.store.missing(self.work.recipe, keys[left], names)
            still &= np.array([key.tobytes() not in self.outcome.refused for key in keys[left]], bool)
            self._check(int(still.sum()), headway, len(left), failure)
            left = left[still]

    def _check(self, missing: int, headway: int, of: int, failure: Exception | None) -> None:
        """Raise where it would be no use to go on with what is missing."""
        if missing and failure is None:
            raise EngineError(
                f"ray: {missing:,} samples were extracted, and {self.store.name} does not have them: "
                "the store has to be in a bucket, or on a disk that all nodes share"
            )
        if missing == of and not headway:
            assert failure is not None
            raise EngineError(f"ray: {_line(failure)}") from failure

    def _results(self, rows: Iterator[dict[str, bytes]], size: int, cpus: float, gpus: float) -> Iterator[Done]:
        """Yield how it went with every block, in any order."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        items = list(rows)
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            Extracting,
            fn_constructor_args=(self.work,),
            batch_size=None,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=size),
            num_cpus=cpus,
            num_gpus=gpus or None,
        )
        for row in _watched(dataset, size, cpus, gpus, self.lease):
            yield pickle.loads(row["done"])  # noqa: S301  (what an actor of ours pickled)


class _Ended:
    """Says that a run of Ray is over, and with which error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _watched(dataset: Any, size: int, cpus: float, gpus: float, lease: Lease) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Ray data set as they come; give up where they stay away and too few nodes are left for the actors."""
    found: queue.Queue[Any] = queue.Queue()

    def follow() -> None:
        try:
            for row in dataset.iter_rows():
                found.put(row)
            found.put(_Ended(None))
        except BaseException as error:  # told to whoever waits
            found.put(_Ended(error))

    threading.Thread(target=follow, name="ray", daemon=True).start()
    heard = time.monotonic()
    while True:
        try:
            entry = found.get(timeout=_TICK)
        except queue.Empty:
            if time.monotonic() - heard > PATIENCE and not _has_room(size, cpus, gpus):
                raise EngineError("nodes were lost, and those that are left have no room for all actors") from None
            lease.renew()
            continue
        heard = time.monotonic()
        lease.renew()
        if isinstance(entry, _Ended):
            if entry.error is not None:
                raise entry.error
            return
        yield entry


def _has_room(size: int, cpus: float, gpus: float) -> bool:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(node.get("CPU", 0) // cpus, node.get("GPU", 0) // gpus if gpus else size) for node in nodes) >= size


def cut_blocks(costs: np.ndarray, actors: int) -> list[np.ndarray]:
    """Cut samples into runs of similar cost.

    Parameters
    ----------
    costs
        `[n]`, a guess for each sample.
    actors
        How many are to be kept at work.

    Returns
    -------
    list of np.ndarray
        Positions, in order, every one once.
    """
    weights = np.maximum(np.asarray(costs, np.int64), 1)
    least = int(weights.mean() * LEAST_SAMPLES) if len(weights) else 1
    wanted = max(1, min(MOST_COST, max(least, int(weights.sum()) // (BLOCKS_PER_ACTOR * actors))))
    ends = np.cumsum(weights)
    blocks, start = [], 0
    while start < len(weights):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + wanted, "left")) + 1
        stop = min(max(stop, start + 1), start + MOST_SAMPLES, len(weights))
        blocks.append(np.arange(start, stop))
        start = stop
    return blocks


def _cost(sample: Any) -> int:
    """Guess what a sample costs, by what is at hand."""
    if isinstance(sample, str | bytes):
        return len(sample)
    if isinstance(sample, tuple | list):
        return sum(len(part) for part in sample if isinstance(part, str))
    if isinstance(sample, ImageText):
        return 1000 + len(sample.text)
    return 1000


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"[:300]
