"""What frozen blocks give, for a model's samples, through the store; and whether there is room for it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from cache import FeatureStore
from cache.budget import size_of
from extract.backbones.base import Prepared
from extract.boundary import BOUNDARY, Boundary, StoredBoundary, find_boundary
from pipelines.errors import NoRoomError
from pipelines.machine import free_memory
from pipelines.models.backbone_module import BackboneModule
from pipelines.models.labelled import Labelled
from pipelines.models.model import FeatureBasedModel
from pipelines.models.model_features import as_if_frozen, usable_rows
from pipelines.models.plain_adapter import PLAIN, PlainAdapter

SPARE = 2**28
"""Bytes that stay free on the disk."""

MEMORY = 4
"""Of the memory that is free, one part in so many is filled; what is more stays on disk."""

TRIED = 64
"""Samples among which those for the trial are looked for."""


@dataclass(frozen=True)
class Need:
    """What is to be computed of the states at a boundary.

    Attributes
    ----------
    samples, of
        So many of so many samples are not in the store.
    bytes
        What their states take.
    """

    samples: int
    of: int
    bytes: int

    def __str__(self) -> str:
        """`5,452 of 5,952 samples, 104.9 MB`."""
        return f"{self.samples:,} of {self.of:,} samples, {self.bytes / 1e6:,.1f} MB"


@dataclass(frozen=True)
class Kept:
    """The states of the samples that can be used.

    Attributes
    ----------
    values
        `Ragged` tokens, or `[m, d]`: an array, on disk where they are many, or a tensor.
    items
        `[m]`, the samples as the backbone's `prepare` gives them.
    lengths
        `[m]`, in tokens, of texts.
    rows
        `[m]`, their positions among all samples.
    skipped
        Row -> reason, of the others.
    """

    values: Any
    items: Sequence[Any]
    lengths: np.ndarray
    rows: np.ndarray
    skipped: dict[int, str]


class Shelf(Protocol):
    """Where the states at a boundary are kept.

    Attributes
    ----------
    place
        For people.
    """

    place: str

    def need(self, data: Sequence[Labelled]) -> Need:
        """Count what is to be computed and what it takes, before anything is."""
        ...

    def check_room(self, need: Need) -> None:
        """Raise `NoRoomError`, with both numbers, if what is needed does not fit."""
        ...

    def keep(self, data: Labelled) -> Kept:
        """Return the states of samples, of which those that are not there are computed."""
        ...


class StoreShelf:
    """The feature store of a model with a pretrained backbone; broken off, it goes on from there.

    Parameters
    ----------
    model, boundary
        Whose states, and where.
    progress
        Told how the computation goes.
    """

    def __init__(self, model: FeatureBasedModel, boundary: Boundary, progress: Any = None) -> None:
        self.model, self.boundary, self.progress = model, boundary, progress
        self.backbone = model.adapted("a boundary")
        self.store = model.store if isinstance(model.store, FeatureStore) else FeatureStore(model.store)
        self.stored = StoredBoundary(boundary, self.backbone.checkpoint, self.backbone.spec)
        self.place = f"into the store `{self.store.name}`"

    def need(self, data: Sequence[Labelled]) -> Need:
        """See `Shelf`."""
        missing: dict[bytes, Any] = {}
        recipe = self.stored.recipe
        for part in data:
            samples = self.backbone.taken(part.samples)
            admitted = samples.admit(self.backbone.kind)
            lacks = self.store.missing(recipe, admitted.keys, [BOUNDARY.name])
            for row in np.flatnonzero(lacks).tolist():
                missing[admitted.keys[row].tobytes()] = samples.inputs[admitted.rows[row]]
        size = np.dtype(recipe.dtype_of(BOUNDARY.name)).itemsize
        numbers = self.boundary.count(list(missing.values())) if missing else 0
        return Need(len(missing), sum(map(len, data)), numbers * size)

    def check_room(self, need: Need) -> None:
        """See `Shelf`: the disk may be too small, or the store's limit."""
        store = self.store
        place = next(folder for folder in (store.path, *store.path.parents) if folder.exists())
        free = shutil.disk_usage(place).free - SPARE
        if store.place.shared and need.bytes > free:  # a bucket has no end
            raise NoRoomError(f"it takes {need.bytes:,} bytes, and the disk of {store.name} has {max(free, 0):,} to spare")
        if store.budget is not None:
            held = 0 if store.budget.evict else sum(size_of(store.place, folder) for folder in store.recipe_folders())
            if held + need.bytes > store.budget.most:
                raise NoRoomError(f"it takes {need.bytes:,} bytes, which would pass the store's limit of {store.budget.most:,}")

    def keep(self, data: Labelled) -> Kept:
        """See `Shelf`; raises `StoreError` if the store cannot be read or written."""
        boundary, samples = self.boundary, self.backbone.taken(data.samples)
        with as_if_frozen(self.model):
            found = self.stored.extract(samples, self.store, str(self.backbone.device), self.progress)
        chosen = [samples.inputs[row] for row in found.rows.tolist()]
        size = boundary.count(chosen) * np.dtype(found.recipe.dtype).itemsize
        prepared = (
            boundary.adapter.prepare(chosen) if boundary.needs_inputs else Prepared(range(len(chosen)), [1] * len(chosen))
        )
        in_memory = size * MEMORY <= free_memory()
        values = found.array() if in_memory else self.store.rows(found.recipe, found.keys, BOUNDARY.name)
        lengths = np.asarray(prepared.costs)
        return Kept(values, prepared.samples, lengths, found.rows, {skipped.row: skipped.reason for skipped in found.skipped})


class MemoryShelf:
    """Memory of this process, for a backbone that is a plain module: a store would not know it again.

    Parameters
    ----------
    model, boundary
        Whose states, and where.
    batch_size
        Samples at a time.
    """

    place = "and kept in memory"

    def __init__(self, model: FeatureBasedModel, boundary: Boundary, batch_size: int) -> None:
        self.model, self.boundary, self.batch_size = model, boundary, batch_size

    def need(self, data: Sequence[Labelled]) -> Need:
        """See `Shelf`."""
        samples = sum(map(len, data))
        return Need(samples, samples, samples * self.boundary.width * self.boundary.split.dtype.itemsize)

    def check_room(self, need: Need) -> None:
        """See `Shelf`."""
        most = free_memory() // MEMORY
        if need.bytes > most:
            raise NoRoomError(f"it takes {need.bytes:,} bytes, and {most:,} of memory may be filled with it")

    def keep(self, data: Labelled) -> Kept:
        """See `Shelf`."""
        boundary, inputs = self.boundary, data.samples.inputs
        parts = []
        with as_if_frozen(self.model), torch.no_grad():
            for start in range(0, len(inputs), self.batch_size):
                batch = boundary.adapter.collate(inputs[start : start + self.batch_size])
                parts.append(boundary.reach(batch).flatten(1).cpu())
        items: Sequence[Any] = inputs if boundary.needs_inputs else range(len(inputs))
        return Kept(torch.cat(parts), items, np.ones(len(inputs), int), np.arange(len(inputs)), {})


def shelf_of(model: FeatureBasedModel, boundary: Boundary, batch_size: int, progress: Any = None) -> Shelf:
    """Return where a model's states at a boundary are kept."""
    if isinstance(model.backbone, BackboneModule):
        return StoreShelf(model, boundary, progress)
    return MemoryShelf(model, boundary, batch_size)


def boundary_of(model: FeatureBasedModel, data: Labelled) -> Boundary:
    """Find the boundary below what learns in a model, tried on some of its samples.

    Raises
    ------
    CannotSplitError
        If there is none, with the reason.
    """
    backbone = model.backbone
    usable = usable_rows(model, data.take(np.arange(min(TRIED, len(data)))))
    was_training = model.training
    model.eval()
    try:
        if isinstance(backbone, BackboneModule):
            return find_boundary(backbone, backbone.adapter, backbone.output, backbone.read(usable.samples).inputs)
        return find_boundary(backbone, PlainAdapter(backbone), PLAIN, usable.samples)
    finally:
        model.train(was_training)
