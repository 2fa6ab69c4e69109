"""A stream whose parts are read by the cluster: tasks read, actors extract, and what comes back is put in order.

A slice is known by its part and its rows there, since it may be cut elsewhere when the part is read again: it is cut by how
large images are, which is not known of one that could not be fetched. When a run of Ray broke off, or a task was begun again,
parts of which rows are lacking are read again for these alone.
"""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cache import FeatureStore, HeadstartError, Lease
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec
from extract.clusters.actor import Whereabouts
from extract.clusters.blocks import cost_of, cut_blocks
from extract.clusters.pool import last_line, look_again, not_shared, not_the_same
from extract.errors import EngineError
from extract.extractor import Features, make_recipe, settle_precision
from extract.options import LoopOptions
from extract.place import Here
from extract.ranks import Rank
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
    check: Callable[[Samples], None] | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a slice, and on which node."""

    extracted: Extracted | None
    error: HeadstartError | None
    node: str

    @classmethod
    def failed(cls, error: Exception) -> "Answer":
        """Tell what went wrong here, whatever it was: what Ray raises itself is then of Ray's own."""
        told = error if isinstance(error, HeadstartError) else EngineError(f"ray: {last_line(error)}")
        return cls(None, told, os.uname().nodename)


def packed(parts: Sequence[Part]) -> list[bytes] | None:
    """Return a stream's parts as they go to other processes; None if one cannot."""
    from ray import cloudpickle

    try:
        return [cloudpickle.dumps(part) for part in parts]
    except Exception:  # of many types: what is in them is anybody's
        return None


def settle(request: Request, device: str, precision: Callable[[str], str]) -> tuple[Request, set[str]]:
    """Return a request that means the same arithmetic on every node, and the ids of the recipes it may have there."""
    spec = BackboneSpec.of(request.backbone)
    checkpoint = find_backbone(spec.backbone)
    found = settle_precision(checkpoint, spec, device, lambda asked, _: precision(asked))
    spec = replace(spec, precision=found)
    kinds = [offer.takes for offer in (checkpoint.offer, *checkpoint.offer.others)]
    return replace(request, backbone=spec), {make_recipe(checkpoint.for_samples(kind), spec, found).id for kind in kinds}


def read(batch: dict[str, Any], work: StreamWork) -> Iterator[dict[str, list[Any]]]:
    """Read a part; yield its slices of rows that are lacking, and in the end, without content, how many rows it has."""
    from ray import cloudpickle

    work.at.go()
    part, row = int(batch["part"][0]), 0
    came = pickle.loads(batch["came"][0])  # noqa: S301  (what `RayStream` pickled)
    try:
        for samples in cloudpickle.loads(batch["read"][0])():
            for first, stop in lacking(row, row + len(samples), came):
                start = first
                for piece in cut_slices(samples.part(first - row, stop - row)):
                    yield _row(part, start, pickle.dumps(piece))
                    start += len(piece)
            row += len(samples)
    except Exception as error:
        yield _row(part, row, pickle.dumps(Answer.failed(error)))
    else:
        yield _row(part, row, b"")


def _row(part: int, start: int, content: bytes) -> dict[str, list[Any]]:
    return {"part": [part], "start": [start], "content": [content]}


def lacking(start: int, stop: int, came: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of rows from one up to another that did not come, given the runs that did: start -> stop."""
    for first in sorted(came):
        if came[first] <= start:
            continue
        if first >= stop:
            break
        if first > start:
            yield start, first
        start = came[first]
    if start < stop:
        yield start, stop


def join(came: dict[int, int], start: int, stop: int) -> None:
    """Add a run of rows to those that came, start -> stop, of which few are kept: runs that meet are one."""
    before = next((first for first, end in came.items() if end == start), start)
    came[before] = came.pop(stop, stop)


def cut_slices(samples: Samples) -> Iterator[Samples]:
    """Cut what is read at once into slices of similar cost, small enough to keep several actors at work."""
    for rows in cut_blocks(np.array([cost_of(sample) for sample in samples.inputs], np.int64), 1):
        yield samples.part(int(rows[0]), int(rows[-1]) + 1)


class ExtractingSlices:
    """Keeps backbones and takes slices through them; Ray makes one in every process of its pool.

    It claims nothing: a claim of an actor that died with its machine would be waited for, and no other actor is given its rows.

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
        answers = [pickle.dumps(self._extract(content)) if content else b"" for content in batch["content"]]
        return {"part": list(batch["part"]), "start": list(batch["start"]), "answer": answers}

    def _extract(self, content: bytes) -> Answer:
        work = self.work
        samples = pickle.loads(content)  # noqa: S301  (what a task of ours pickled)
        if isinstance(samples, Answer):
            return samples
        try:
            if self.extracting is None:
                here = Here(Rank(), claims=False)  # whatever started Ray may have been a rank
                self.extracting = SliceExtractor(
                    work.requests, work.at.open(), work.device, work.options, here, work.strict, check=work.check
                )
            extracted = self.extracting(samples)
        except Exception as error:
            return Answer.failed(error)
        features = [None if found is None else replace(found, store=None) for found in extracted.features]  # type: ignore[arg-type]
        return Answer(replace(extracted, samples=without_inputs(samples), features=[*features]), None, os.uname().nodename)


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
    recipes
        One set per request: ids that its features may have.
    parts
        The stream's parts, packed.
    """

    def __init__(
        self,
        cluster: "Cluster",
        work: StreamWork,
        extracting: SliceExtractor,
        recipes: Sequence[set[str]],
        parts: Sequence[bytes],
    ) -> None:
        self.cluster = cluster
        self.work = work
        self.store: FeatureStore = extracting.store
        self.progress = extracting.progress
        self.recipes = recipes
        self.parts = parts
        self._waiting: dict[tuple[int, int], Extracted] = {}
        self._came: list[dict[int, int]] = [{} for _ in parts]
        self._ends: dict[int, int] = {}
        self._next = (0, 0)
        self._nodes: set[str] = set()
        self._made: dict[tuple[int, str], tuple[Features, list[np.ndarray]]] = {}
        self._leases: dict[str, Lease] = {}

    def slices(self) -> Iterator[Extracted]:
        """Yield the slices in order, as soon as those before them have come.

        Raises
        ------
        EngineError
            If the cluster makes no headway, or its nodes do not share the store.
        HeadstartError
            What a task or an actor says is wrong.
        """
        with ExitStack() as stack:
            while left := [part for part in range(len(self.parts)) if not self._is_whole(part)]:
                failure: Exception | None = None
                headway = False
                pool = self.cluster.pool(self.work.device)
                rows = [{"part": part, "came": pickle.dumps(self._came[part]), "read": self.parts[part]} for part in left]
                try:
                    for row in pool.results(rows, ExtractingSlices, self.work, self._renew, read):
                        headway |= self._take(int(row["part"]), int(row["start"]), row["answer"], stack)
                        yield from self._in_order()
                except HeadstartError:
                    raise
                except Exception as error:  # Ray's own, of many types
                    failure = error
                if not headway:
                    told = f"{len(left):,} parts lack rows that do not come" if failure is None else last_line(failure)
                    raise EngineError(f"ray: {told}") from failure
            yield from self._in_order()
            self._check_store()

    def _is_whole(self, part: int) -> bool:
        """Tell whether all rows of a part came."""
        end = self._ends.get(part)
        return end is not None and next(lacking(0, end, self._came[part]), None) is None

    def _take(self, part: int, start: int, content: bytes, stack: ExitStack) -> bool:
        """Take a slice, or the end of a part; tell whether it is new."""
        if not content:
            new = part not in self._ends
            self._ends[part] = start
            return new
        answer: Answer = pickle.loads(content)  # noqa: S301  (what an actor of ours pickled)
        if answer.error is not None:
            if answer.node != os.uname().nodename:
                answer.error.args = (f"on {answer.node}: {answer.error}",)
            raise answer.error
        assert answer.extracted is not None
        stop = start + len(answer.extracted.samples)
        if next(lacking(start, stop, self._came[part]), None) != (start, stop):
            return False  # read again after a death, and cut elsewhere: what is lacking of it is read another time
        features = [self._arrived(n, found, answer.node, stack) for n, found in enumerate(answer.extracted.features)]
        join(self._came[part], start, stop)
        self._waiting[part, start] = replace(answer.extracted, features=features)
        return True

    def _arrived(self, number: int, found: Features | None, node: str, stack: ExitStack) -> Features | None:
        """Return a request's features with their store; see that the node shares it, and has the same weights."""
        if found is None:
            return None
        if found.recipe.id not in self.recipes[number]:
            raise not_the_same(found.recipe.backbone, node)
        if found.recipe.id not in self._leases:
            self._leases[found.recipe.id] = stack.enter_context(self.store.lease(found.recipe))
        if found.extracted and node not in self._nodes:
            self._refuse_missing(found, [found.keys])
            self._nodes.add(node)
        self._made.setdefault((number, found.recipe.id), (found, []))[1].append(found.keys)
        self.progress.start(found.recipe.backbone, found.cached, found.extracted)
        self.progress.advance(found.extracted, 1.0)
        return replace(found, store=self.store)

    def _check_store(self) -> None:
        """See that the store has all that was extracted."""
        for found, keys in self._made.values():
            self._refuse_missing(found, keys)

    def _refuse_missing(self, found: Features, keys: Sequence[np.ndarray]) -> None:
        every = np.concatenate(keys)
        missing = look_again(lambda: self.store.missing(found.recipe, every, found.outputs), self._renew)
        if missing.any():
            raise not_shared(int(missing.sum()), self.store)

    def _renew(self) -> None:
        for lease in self._leases.values():
            lease.renew()

    def _in_order(self) -> Iterator[Extracted]:
        while self._next[0] < len(self.parts):
            part, row = self._next
            if self._next in self._waiting:
                extracted = self._waiting.pop(self._next)
                self._next = part, row + len(extracted.samples)
                yield extracted
            elif self._is_whole(part) and row >= self._ends[part]:
                self._next = part + 1, 0
            else:
                return
