"""What frozen blocks give, for a model's samples, through the store; and whether there is room for it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache import FeatureStore
from cache.budget import size_of
from extract.backbones.base import Prepared
from extract.boundary import BOUNDARY, Boundary, find_boundary
from extract.errors import CannotSplitError
from pipelines.backbone_module import BackboneModule
from pipelines.errors import NoRoomError
from pipelines.labelled import Labelled
from pipelines.machine import free_memory
from pipelines.model import FeatureBasedModel
from pipelines.model_features import as_if_frozen, usable_rows

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
        `Ragged` tokens, or `[m, d]`; an array on disk where they are many.
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


def boundary_of(model: FeatureBasedModel, data: Labelled) -> Boundary:
    """Find the boundary below what learns in a model, tried on some of its samples.

    Raises
    ------
    CannotSplitError
        If there is none, with the reason.
    """
    backbone = model.backbone
    if not isinstance(backbone, BackboneModule):
        raise CannotSplitError("it does not read samples itself")
    usable = usable_rows(model, data.take(np.arange(min(TRIED, len(data)))))
    was_training = model.training
    model.eval()
    try:
        samples = backbone.read(usable.samples).inputs
        return find_boundary(backbone, backbone.adapter, backbone.checkpoint, backbone.spec, backbone.output, samples)
    finally:
        model.train(was_training)


def need_of(boundary: Boundary, store: FeatureStore, data: Sequence[Labelled]) -> Need:
    """Count what is to be computed and what it takes, before anything is."""
    takes = boundary.checkpoint.offer.takes
    missing: dict[bytes, Any] = {}
    recipe = boundary.recipe
    for part in data:
        samples = part.samples.as_files() if takes == "image" else part.samples
        admitted = samples.admit(takes)
        lacks = store.missing(recipe, admitted.keys, [BOUNDARY.name])
        for row in np.flatnonzero(lacks).tolist():
            missing[admitted.keys[row].tobytes()] = samples.inputs[admitted.rows[row]]
    size = np.dtype(recipe.dtype_of(BOUNDARY.name)).itemsize
    numbers = boundary.count(list(missing.values())) if missing else 0
    return Need(len(missing), sum(map(len, data)), numbers * size)


def check_room(need: Need, store: FeatureStore) -> None:
    """See that a store can take what is needed.

    Raises
    ------
    NoRoomError
        If the disk, or the store's limit, is too small, with both numbers.
    """
    place = next(folder for folder in (store.path, *store.path.parents) if folder.exists())
    free = shutil.disk_usage(place).free - SPARE
    if store.place.shared and need.bytes > free:  # a bucket has no end
        raise NoRoomError(f"it takes {need.bytes:,} bytes, and the disk of {store.name} has {max(free, 0):,} to spare")
    if store.budget is not None:
        held = 0 if store.budget.evict else sum(size_of(store.place, folder) for folder in store.recipe_folders())
        if held + need.bytes > store.budget.most:
            raise NoRoomError(f"it takes {need.bytes:,} bytes, which would pass the store's limit of {store.budget.most:,}")


def keep(model: FeatureBasedModel, boundary: Boundary, data: Labelled, store: FeatureStore, progress: Any = None) -> Kept:
    """Return the states of samples, of which those that the store lacks are computed; broken off, it goes on from there.

    Raises
    ------
    StoreError
        If the store cannot be read or written.
    """
    backbone = model.adapted("a boundary")
    samples = data.samples.as_files() if backbone.kind == "image" else data.samples
    with as_if_frozen(model):
        found = boundary.extract(samples, store, str(backbone.device), progress)
    size = boundary.count([samples.inputs[row] for row in found.rows.tolist()]) * np.dtype(found.recipe.dtype).itemsize
    chosen = [samples.inputs[row] for row in found.rows.tolist()]
    prepared = boundary.adapter.prepare(chosen) if boundary.needs_inputs else Prepared(range(len(chosen)), [1] * len(chosen))
    in_memory = size * MEMORY <= free_memory()
    values = found.array() if in_memory else store.rows(found.recipe, found.keys, BOUNDARY.name)
    lengths = np.asarray(prepared.costs)
    return Kept(values, prepared.samples, lengths, found.rows, {skipped.row: skipped.reason for skipped in found.skipped})


def store_of(model: FeatureBasedModel) -> FeatureStore:
    """Open a model's store."""
    return model.store if isinstance(model.store, FeatureStore) else FeatureStore(model.store)
