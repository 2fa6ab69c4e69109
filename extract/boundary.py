"""What a backbone's frozen blocks give, as a backbone of its own: extracted once, kept in the store, handed in for training.

Texts are kept token by token, without padding; images, and whatever else is of one shape, position by position. The recipe
holds the digest of the state below the boundary and no other, so that training what is above leaves it as it is.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from cache import FeatureStore, Recipe
from extract.backbones.base import Backbone, Batch, Prepared
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.code_identity import digest_state
from extract.backbones.custom import CustomBackbone
from extract.backbones.spec import BackboneSpec
from extract.backbones.tokens import PLACES
from extract.errors import CannotSplitError
from extract.extractor import Features, extract, make_recipe
from extract.outputs import Output
from extract.pooling import Tokens
from extract.samples import Samples
from extract.split import Split, find_split

BOUNDARY = Output(None, "boundary")
"""The only output."""

TOLERANCE = 1e-4
"""How far a feature may be from the whole backbone's, as a share of the largest."""

TRIED = 3
"""Samples in the trial runs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Boundary:
    """A place in a backbone below which everything is frozen.

    Attributes
    ----------
    adapter, output
        The whole backbone, and what it is asked for.
    split
        Where it is split.
    shared
        2 where states are `[b, t, d]` of texts, whose padding is not kept; 1 where all samples are of one shape.
    needs_inputs
        Whether what is above the boundary still looks at the samples: at texts for their masks, at images not.
    inputs
        Name -> shape and type of a sample's tensors in a batch, where they are not needed.
    """

    adapter: Backbone
    output: Output
    split: Split
    shared: int
    needs_inputs: bool
    inputs: Mapping[str, torch.Tensor]

    @property
    def width(self) -> int:
        """Numbers a token, or a sample where all are of one shape."""
        return math.prod(self.split.shape[self.shared - 1 :])

    def count(self, samples: Sequence[Any]) -> int:
        """Count the numbers that the states of samples are, before they are computed."""
        many = sum(self.adapter.prepare(samples).costs) if self.shared == 2 else len(samples)
        return many * self.width

    def batch(self, items: Sequence[Any]) -> Batch:
        """Return what goes into the backbone beside the states, on the CPU, for samples as `prepare` gives them."""
        if not self.needs_inputs:
            return {name: one.expand(len(items), *one.shape[1:]) for name, one in self.inputs.items()}
        decode = self.adapter.decode
        return self.adapter.collate(items if decode is None else [decode(item) for item in items])

    def padded(self, values: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the states `[b, ...]` of a batch as its blocks take them, from what was kept: `[sum of t, d]`, or `[b, d]`."""
        if self.shared == 1:
            return values.reshape(-1, *self.split.shape).to(self.split.dtype)
        mask = self.mask(batch).bool()
        states = torch.zeros((*mask.shape, values.shape[-1]), dtype=self.split.dtype, device=values.device)
        states[mask] = values.to(self.split.dtype)
        return states

    def mask(self, batch: Batch) -> torch.Tensor:
        """Return which tokens of a batch are real, `[b, t]`."""
        return batch[self.adapter.token_mask or ""]

    def reach(self, batch: Batch) -> torch.Tensor:
        """Run a batch that is on the device as far as the boundary; return its states."""
        return self.split.reach(lambda: self.adapter.forward(batch, [self.output]))

    @contextmanager
    def handing_in(self, states: torch.Tensor) -> Iterator[None]:
        """Have the backbone run from states on."""
        with self.split.handing_in(states, self.shared, without_stem=not self.needs_inputs):
            yield


@dataclasses.dataclass(frozen=True, eq=False)
class StoredBoundary:
    """A boundary whose states a store keeps.

    Attributes
    ----------
    boundary
        Where.
    checkpoint, spec
        The whole backbone's, and how it is used.
    """

    boundary: Boundary
    checkpoint: Checkpoint
    spec: BackboneSpec

    @property
    def recipe(self) -> Recipe:
        """All that determines the states."""
        return make_recipe(self._as_checkpoint(), self.spec, self.spec.precision)

    def extract(self, samples: Samples, store: FeatureStore | str, device: str, progress: Any = None) -> Features:
        """Make sure that the store holds the states of every sample, as `extract` does; the backbone has to be as if frozen."""
        checkpoint = self._as_checkpoint()
        spec = dataclasses.replace(self.spec, backbone=CustomBackbone(self.boundary.adapter, None, checkpoint))
        below = {make_recipe(checkpoint, spec, spec.precision).id: BoundaryBackbone(self.boundary)}
        return extract(samples, spec, store, [BOUNDARY], device=device, progress=progress, loaded=below)

    def _as_checkpoint(self) -> Checkpoint:
        split = self.boundary.split
        gives = {"layers": 0, "first": 0, "default": BOUNDARY.name, "own": (BOUNDARY.name,), "poolings": ()}
        offer = dataclasses.replace(self.checkpoint.offer, **gives)  # type: ignore[arg-type]
        weights = digest_state(split.root, set(split.state))
        return dataclasses.replace(self.checkpoint, weights=weights, offer=offer, boundary=split.at)


class BoundaryBackbone(Backbone):
    """The part of a backbone below a boundary.

    Parameters
    ----------
    boundary
        Of the whole one.
    """

    def __init__(self, boundary: Boundary) -> None:
        inner = boundary.adapter
        self.boundary = boundary
        self.model = inner.model
        self.unit, self.decode, self.parallel, self.joins = inner.unit, inner.decode, inner.parallel, inner.joins
        self.weigh, self.prepare, self.collate = inner.weigh, inner.prepare, inner.collate  # type: ignore[method-assign]

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "BoundaryBackbone":
        raise CannotSplitError("a boundary is found in a backbone that is loaded")

    def collate(self, items: Sequence[Any]) -> Batch:
        return self.boundary.adapter.collate(items)

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        with torch.inference_mode():
            states = self.boundary.reach(batch).float()
        if self.boundary.shared == 2:
            return {BOUNDARY.name: Tokens(states, self.boundary.mask(batch))}
        return {BOUNDARY.name: states.flatten(1)}


def find_boundary(root: nn.Module, adapter: Backbone, output: Output, samples: Sequence[Any]) -> Boundary:
    """Find the highest boundary below what learns in a backbone, and see that nothing changes when states are handed in there.

    Parameters
    ----------
    root
        The module that holds all of the backbone, in evaluation mode; what learns in it takes gradients.
    adapter, output
        As in `Boundary`.
    samples
        Some samples that can be used, to try it on; of different lengths, best.

    Raises
    ------
    CannotSplitError
        If there is none, with the reason.
    """
    device = next(root.parameters()).device
    items = _for_trial(adapter.prepare(samples))
    batch = adapter.collate(items if adapter.decode is None else [adapter.decode(item) for item in items])
    if PLACES in batch:
        raise CannotSplitError("its texts are read in windows")
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    split = find_split(root, lambda: adapter.forward(batch, [output]), len(items))
    shared = 1 if adapter.token_mask is None else 2
    if shared == 2 and (len(split.shape) < 2 or split.shape[0] != batch[adapter.token_mask or ""].shape[1]):
        raise CannotSplitError(f"what `{split.at}` gives are not states of tokens")
    blind = {name: torch.full_like(one[:1], torch.nan, device="cpu") for name, one in batch.items() if one.is_floating_point()}
    whole = Boundary(adapter, output, split, shared, True, {})
    without = dataclasses.replace(whole, needs_inputs=False, inputs=blind)
    able = [without] if shared == 1 and len(blind) == len(batch) else []
    for boundary in (*able, whole):
        if _holds(boundary, batch):
            return boundary
    raise CannotSplitError(f"it gives something else when what `{split.at}` gives is handed in")


def _for_trial(prepared: Prepared) -> list[Any]:
    """Pick a short, a long and a middling sample."""
    order = np.argsort(prepared.costs, kind="stable")
    return [prepared.samples[order[place]] for place in np.linspace(0, len(order) - 1, TRIED).round().astype(int)]


def _holds(boundary: Boundary, batch: Batch) -> bool:
    """Tell whether a backbone gives the same features from the boundary on as from its start."""
    adapter, output, count = boundary.adapter, boundary.output, len(next(iter(batch.values())))
    with torch.no_grad():
        expected = _flat(adapter.forward(batch, [output])[output.name])
        kept = boundary.reach(batch)
        kept = kept[boundary.mask(batch).bool()] if boundary.shared == 2 else kept.flatten(1)
        given = batch
        if not boundary.needs_inputs:
            given = {name: tensor.to(kept.device) for name, tensor in boundary.batch(range(count)).items()}
        try:
            with boundary.handing_in(boundary.padded(kept, batch)):
                found = _flat(adapter.forward(given, [output])[output.name])
        except Exception:  # whatever a module does with states that are none
            return False
    largest = float(expected.abs().max())
    return found.shape == expected.shape and bool(((found - expected).abs() <= TOLERANCE * largest).all())


def _flat(feature: torch.Tensor | Tokens) -> torch.Tensor:
    return feature.states[feature.mask.bool()] if isinstance(feature, Tokens) else feature
