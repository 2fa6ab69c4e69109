"""A stream whose parts are read by the cluster: tasks read, actors extract, and what comes back is put in order.

A slice is known by its part and its number in it. When a run of Ray broke off, the next one reads those parts again of which
slices are lacking, and leaves out the slices that came.
"""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cache import FeatureStore, HeadstartError
from extract.backbones.imported import SCHEME
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec
from extract.clusters.actor import Whereabouts
from extract.clusters.blocks import cost_of, cut_blocks
from extract.clusters.pool import last_line
from extract.errors import BackboneError, EngineError
from extract.extractor import Features
from extract.options import LoopOptions
from extract.samples import Samples
from extract.stream import Part
from extract.stream_slice import Extracted, Request, SliceExtractor, without_inputs

if TYPE_CHECKING:
    from extract.clusters.cluster import Cluster


@dataclass(frozen=True)
class StreamWork:
    """What all tasks and actors of a stream's extraction are told; see `SliceExtractor`."""

    at: Whereabouts
    requests: Sequence[Request]
    device: str
    options: LoopOptions | None
    strict: bool


@dataclass(frozen=True)
class Found:
    """What became of a slice, and on which node."""

    extracted: Extracted | None
    error: HeadstartError | None
    node: str


def packed(parts: Sequence[Part]) -> list[bytes] | None:
    """Return a stream's parts as they go to other processes; None if one cannot."""
    from ray import cloudpickle

    try:
        return [cloudpickle.dumps(part) for part in parts]
    except Exception:  # of many types: what is in them is anybody's
        return None


def settled(request: Request, precision: Callable[[str], str]) -> Request:
    """Return a request that means the same arithmetic on every node."""
    spec = request.backbone if isinstance(request.backbone, BackboneSpec) else BackboneSpec(request.backbone)
    if find_backbone(spec.backbone).scheme not in ("onnx", SCHEME):
        spec = replace(spec, precision=precision(spec.precision))
    return replace(request, backbone=spec)


def read(batch: dict[str, Any], work: StreamWork) -> Iterator[dict[str, list[Any]]]:
    """Read a part; yield its slices that are lacking, and in the end a row without content that tells how many there were."""
    from ray import cloudpickle

    work.at.go()
    part, number = int(batch["part"][0]), 0
    came = set(pickle.loads(batch["came"][0]))  # noqa: S301  (what `RayStream` pickled)
    try:
        for samples in cloudpickle.loads(batch["read"][0])():
            for piece in cut_slices(samples):
                if number not in came:
                    yield _row(part, number, pickle.dumps(piece))
                number += 1
    except HeadstartError as error:
        yield _row(part, number, pickle.dumps(Found(None, error, os.uname().nodename)))
    else:
        yield _row(part, number, b"")


def _row(part: int, number: int, content: bytes) -> dict[str, list[Any]]:
    return {"part": [part], "number": [number], "content": [content]}


def cut_slices(samples: Samples) -> Iterator[Samples]:
    """Cut what is read at once into slices of similar cost, small enough to keep several actors at work."""
    for rows in cut_blocks(np.array([cost_of(sample) for sample in samples.inputs], np.int64), 1):
        yield samples.part(int(rows[0]), int(rows[-1]) + 1)


class ExtractingSlices:
    """Keeps backbones and takes slices through them; Ray makes one in every process of its pool.

    Parameters
    ----------
    work
        What is to be done.
    """

    def __init__(self, work: StreamWork) -> None:
        work.at.go()
        self.work = work
        self.extracting: SliceExtractor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Extract a column of slices."""
        found = [pickle.dumps(self._extract(content)) if content else b"" for content in batch["content"]]
        return {"part": list(batch["part"]), "number": list(batch["number"]), "found": found}

    def _extract(self, content: bytes) -> Found:
        samples = pickle.loads(content)  # noqa: S301  (what a task of ours pickled)
        if isinstance(samples, Found):
            return samples
        work, node = self.work, os.uname().nodename
        try:
            if self.extracting is None:
                self.extracting = SliceExtractor(work.requests, work.at.open(), work.device, work.options, "local", work.strict)
            extracted = self.extracting(samples)
        except HeadstartError as error:
            return Found(None, error, node)
        features = [None if found is None else replace(found, store=None) for found in extracted.features]  # type: ignore[arg-type]
        return Found(replace(extracted, samples=without_inputs(samples), features=[*features]), None, node)


class RayStream:
    """A stream's way through a Ray cluster.

    Parameters
    ----------
    cluster
        Where.
    work
        What everybody there is told.
    extracting
        The store as this process sees it, and who is told how it goes.
    parts
        The stream's parts, packed.
    renew
        Called every few seconds.
    """

    def __init__(
        self,
        cluster: "Cluster",
        work: StreamWork,
        extracting: SliceExtractor,
        parts: Sequence[bytes],
        renew: Callable[[], None],
    ) -> None:
        self.cluster = cluster
        self.work = work
        self.store: FeatureStore = extracting.store
        self.progress = extracting.progress
        self.parts = parts
        self.renew = renew
        self._waiting: dict[tuple[int, int], Extracted] = {}
        self._came: list[set[int]] = [set() for _ in parts]
        self._ends: dict[int, int] = {}
        self._next = (0, 0)
        self._recipes: dict[int, tuple[str, str]] = {}
        self._nodes: set[str] = set()

    def slices(self) -> Iterator[Extracted]:
        """Yield the slices in order, as soon as those before them have come.

        Raises
        ------
        EngineError
            If the cluster makes no headway, or its nodes do not share the store.
        HeadstartError
            What a task or an actor says is wrong.
        """
        while lacking := [part for part in range(len(self.parts)) if self._ends.get(part) != len(self._came[part])]:
            failure: Exception | None = None
            headway = False
            pool = self.cluster.pool(self.work.device)
            rows = [
                {"part": part, "came": pickle.dumps(sorted(self._came[part])), "read": self.parts[part]} for part in lacking
            ]
            try:
                for row in pool.results(rows, ExtractingSlices, self.work, self.renew, read):
                    headway |= self._take(int(row["part"]), int(row["number"]), row["found"])
                    yield from self._in_order()
            except HeadstartError as error:
                if not isinstance(error, EngineError) or not headway:
                    raise
                failure = error
            except Exception as error:  # Ray's own, of many types
                failure = error
            if failure is not None and not headway:
                raise EngineError(f"ray: {last_line(failure)}") from failure
        yield from self._in_order()

    def _take(self, part: int, number: int, content: bytes) -> bool:
        """Take a slice, or the end of a part; tell whether it is new."""
        if not content:
            new = part not in self._ends
            self._ends[part] = number
            return new
        found: Found = pickle.loads(content)  # noqa: S301  (what an actor of ours pickled)
        if found.error is not None:
            if found.node != os.uname().nodename:
                found.error.args = (f"on {found.node}: {found.error}",)
            raise found.error
        if found.extracted is None or number in self._came[part]:
            return False
        features = [self._arrived(n, taken, found.node) for n, taken in enumerate(found.extracted.features)]
        self._came[part].add(number)
        self._waiting[part, number] = replace(found.extracted, features=features)
        return True

    def _arrived(self, number: int, found: Features | None, node: str) -> Features | None:
        """Return a request's features with the store that they are in; see that it has them, and that all nodes agree."""
        if found is None:
            return None
        recipe, first = self._recipes.setdefault(number, (found.recipe.id, node))
        if recipe != found.recipe.id:
            raise BackboneError(
                f"{found.recipe.backbone}: is not the same on {node} as on {first}; "
                "give all nodes the same weights, files and versions"
            )
        if node not in self._nodes and len(found.keys):
            if self.store.missing(found.recipe, found.keys, found.outputs).any():
                raise EngineError(
                    f"ray: samples were extracted on {node}, and {self.store.name} does not have them: "
                    "the store has to be in a bucket, or on a disk that all nodes share"
                )
            self._nodes.add(node)
        self.progress.start(found.recipe.backbone, found.cached, found.extracted)
        self.progress.advance(found.extracted, 1.0)
        return replace(found, store=self.store)

    def _in_order(self) -> Iterator[Extracted]:
        while self._next[0] < len(self.parts):
            part, number = self._next
            if self._next in self._waiting:
                self._next = part, number + 1
                yield self._waiting.pop((part, number))
            elif self._ends.get(part) == number:
                self._next = part + 1, 0
            else:
                return
