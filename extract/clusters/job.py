"""Samples in memory through a backbone on a Ray cluster: blocks of similar cost, which the store says are done."""

import pickle
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cache import FeatureStore, HeadstartError, Lease
from extract.clusters.actor import Block, Done, Extracting, Work
from extract.clusters.blocks import cost_of, cut_blocks
from extract.clusters.pool import last_line, look_again, not_shared
from extract.errors import EngineError
from extract.outcome import Outcome

if TYPE_CHECKING:
    from extract.clusters.cluster import Cluster


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

    def __init__(self, cluster: "Cluster", work: Work, store: FeatureStore, lease: Lease, progress: Any) -> None:
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
        costs = np.array([cost_of(sample) for sample in samples], np.int64)
        left, total, done_samples = np.arange(len(keys)), max(1, len(keys)), 0
        while len(left):
            failure: Exception | None = None
            headway = 0
            pool = self.cluster.pool(self.work.device)
            blocks = [left[part] for part in cut_blocks(costs[left], pool.size)]
            rows = [{"block": pickle.dumps(Block([samples[row] for row in part], keys[part].tobytes()))} for part in blocks]
            try:
                for row in pool.at_most(len(blocks)).results(rows, Extracting, self.work, self.lease.renew):
                    done: Done = pickle.loads(row["done"])  # noqa: S301  (what an actor of ours pickled)
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
            look = partial(self._missing, keys[left])
            still = look() if failure is not None else look_again(look, self.lease.renew)
            self._check(int(still.sum()), headway, len(left), failure)
            left = left[still]

    def _missing(self, keys: np.ndarray) -> np.ndarray:
        """Tell which samples the store lacks `[n]` that no backbone has refused."""
        asked = np.array([key.tobytes() not in self.outcome.refused for key in keys], bool)
        return asked & self.store.missing(self.work.recipe, keys, [output.name for output in self.work.outputs])

    def _check(self, missing: int, headway: int, of: int, failure: Exception | None) -> None:
        """Raise where it would be no use to go on with what is missing."""
        if missing and failure is None:
            raise not_shared(missing, self.store)
        if missing == of and not headway:
            assert failure is not None
            raise EngineError(f"ray: {last_line(failure)}") from failure
