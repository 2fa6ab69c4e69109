"""What runs on a Ray cluster: an actor that keeps a backbone loaded and commits the features of block after block of samples.

A block that is retried, since its actor or node died, finds what was committed of it and does the rest.
"""

import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache import FeatureStore, HeadstartError, Recipe
from cache.budget import Budget
from cache.keys import KEY_BYTES
from extract.backbones.registry import find_backbone
from extract.backbones.spec import BackboneSpec
from extract.clusters.pool import not_the_same
from extract.job import Job
from extract.options import LoopOptions
from extract.outcome import Outcome
from extract.outputs import Output
from extract.quiet import Quiet


@dataclass(frozen=True)
class Whereabouts:
    """Where whoever asked for an extraction is, and its features go.

    Attributes
    ----------
    folder
        The working directory, which relative paths start from and modules are found in; taken where it exists.
    store, storage_options, budget
        The feature store's folder or URL, what its bucket is opened with, and how large it may become.
    """

    folder: str
    store: str
    storage_options: Mapping[str, Any]
    budget: Budget | None

    @classmethod
    def of(cls, store: FeatureStore) -> "Whereabouts":
        """Return where this process is, and a store."""
        return cls(os.getcwd(), store.address, store.storage_options, store.budget)

    def go(self) -> None:
        """Be there, as far as there is such a place on this node."""
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        if self.folder not in sys.path:
            sys.path.append(self.folder)

    def open(self) -> FeatureStore:
        """Open the store."""
        return FeatureStore(self.store, self.budget, self.storage_options)


@dataclass(frozen=True)
class Work:
    """What all actors of an extraction are told.

    Attributes
    ----------
    at
        Where it belongs.
    recipe
        What the features are to be.
    spec, kind
        The backbone, and which kind of samples it takes.
    device, options, outputs
        How it runs, and what is to be kept.
    """

    at: Whereabouts
    recipe: Recipe
    spec: BackboneSpec
    kind: str
    device: str
    options: LoopOptions
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Block:
    """Samples that are extracted together, and their keys `[n, 16]` as bytes."""

    samples: list[Any]
    keys: bytes


@dataclass(frozen=True)
class Done:
    """What became of a block: how many samples it had, what happened to them, and the error that ended it."""

    samples: int
    outcome: Outcome
    error: HeadstartError | None = None


class Extracting:
    """Keeps a backbone and extracts blocks; Ray makes one in every process of its pool.

    Parameters
    ----------
    work
        What is to be done.
    """

    def __init__(self, work: Work) -> None:
        work.at.go()
        self.work = work
        self.store: FeatureStore | None = None
        self.loaded: dict[str, Any] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Extract the blocks of a batch: column `block` in, column `done` out, both pickled."""
        return {"done": [pickle.dumps(self._extract(pickle.loads(content))) for content in batch["block"]]}  # noqa: S301

    def _extract(self, block: Block) -> Done:
        keys = np.frombuffer(block.keys, np.uint8).reshape(-1, KEY_BYTES)
        try:
            if self.store is None:
                self.store = self.work.at.open()
            return Done(len(keys), self._run(self.store, block.samples, keys))
        except HeadstartError as error:
            return Done(len(keys), Outcome(), error)

    def _run(self, store: FeatureStore, samples: list[Any], keys: np.ndarray) -> Outcome:
        from extract.extractor import make_recipe

        work = self.work
        checkpoint = find_backbone(work.spec.backbone).for_samples(work.kind)
        here = make_recipe(checkpoint, work.spec, work.recipe.precision)
        if here.id != work.recipe.id:
            raise not_the_same(checkpoint.uri, os.uname().nodename)
        names = [output.name for output in work.outputs]
        left = np.flatnonzero(store.missing(work.recipe, keys, names))
        job = Job(
            store, work.recipe, None, checkpoint, work.spec, work.device, work.options, work.outputs, Quiet(), self.loaded
        )  # fmt: skip
        job.run([samples[row] for row in left], keys[left])
        return replace(job.outcome, samples=len(keys))
