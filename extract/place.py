"""The place where an extraction's backbone runs: this process, perhaps as one of several ranks, or a Ray cluster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cache import FeatureStore, Lease, Recipe
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import BackboneSpec
from extract.devices import choose_device, choose_precision
from extract.engine import Engine
from extract.job import Job
from extract.options import LoopOptions
from extract.outcome import Outcome
from extract.outputs import Output
from extract.prefetch import Prefetch
from extract.ranks import Rank
from extract.stream import SampleStream

if TYPE_CHECKING:  # these know of `extract`, which finds its place here
    from extract.stream_slice import ExtractedSlices, SliceExtractor


class Worker(Protocol):
    """Extracts samples: `Job` does it here, `RayJob` on a cluster."""

    outcome: Outcome

    @property
    def backbone_loaded(self) -> bool:
        """Whether a backbone had to be loaded."""

    def run(self, samples: Sequence[Any], keys: np.ndarray) -> None:
        """Extract samples with their keys `[n, 16]`."""


class Place(Protocol):
    """Where a backbone runs.

    Attributes
    ----------
    rank
        Which of several processes with the same work this one is.
    claims
        Whether samples are claimed before they are extracted, so that no other process does them at the same time.
    """

    rank: Rank
    claims: bool

    def device(self, device: str) -> str:
        """Return the device that is meant there."""

    def precision(self, asked: str, device: str) -> str:
        """Return the arithmetic that is meant there."""

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
    ) -> Worker:
        """Return what extracts there; the parameters are those of `Job`."""

    def slices(self, stream: SampleStream, extracting: "SliceExtractor") -> "ExtractedSlices":
        """Read a stream there and take it through backbones; yield its slices in order."""


class Here:
    """The process that extracts itself, perhaps as one of several ranks.

    Parameters
    ----------
    rank
        By default what the environment says.
    claims
        False where somebody else sees to it that no two processes are given the same samples.
    """

    def __init__(self, rank: Rank | None = None, claims: bool = True) -> None:
        self.rank = Rank.of_process() if rank is None else rank
        self.claims = claims

    def device(self, device: str) -> str:
        """Return the device that is meant: for `auto` the one this machine has, and of several GPUs this rank's."""
        return self.rank.device(choose_device(device))

    def precision(self, asked: str, device: str) -> str:
        """Return the arithmetic of the forward pass."""
        return choose_precision(asked, device)

    def job(self, *how: Any) -> Job:
        """Return a `Job`, whose parameters these are."""
        return Job(*how)

    def slices(self, stream: SampleStream, extracting: "SliceExtractor") -> "ExtractedSlices":
        """Read a stream, up to two slices ahead of the backbones."""
        return one_by_one(stream, extracting)


def one_by_one(stream: SampleStream, extracting: "SliceExtractor") -> "ExtractedSlices":
    """Read a stream in this process, up to two slices ahead, and give each slice to the backbones, wherever they are."""
    slices = Prefetch(iter(stream), 1)
    try:
        yield from map(extracting, slices)
    finally:
        slices.close()


def find_place(engine: Engine | str | Here) -> Place:
    """Return the place that an engine, or its name, means; raises as `Cluster` does."""
    if isinstance(engine, Here):
        return engine
    engine = Engine.of(engine)
    if engine.kind == "ray":
        from extract.clusters.cluster import Cluster

        return Cluster(engine)
    return Here()
