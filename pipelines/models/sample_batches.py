"""Raw samples as the training loop takes them, for training with the whole model in the loop."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from extract.decoding import decode
from extract.images import ImageText
from extract.views import POLICIES, augment
from pipelines.errors import UsageError
from pipelines.models.backbone_module import BackboneModule
from pipelines.names import nearest

Augment = Callable[[Any], Any]

POOL = 32
"""Batches whose samples are sorted together by cost: drawn at random they stay random, and hardly any padding is left."""


@dataclass(frozen=True)
class SampleRows:
    """Some samples on their way into a model.

    Attributes
    ----------
    collate
        Raw samples to what the model is called with.
    samples
        Texts, images, or tensors for a backbone of the user's own.
    """

    collate: Callable[[Sequence[Any]], Any]
    samples: Sequence[Any]

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: torch.Tensor | slice) -> "SampleRows":
        """Return some of them."""
        if isinstance(rows, slice):
            return SampleRows(self.collate, self.samples[rows])
        return SampleRows(self.collate, [self.samples[row] for row in rows.tolist()])

    def inputs(self) -> tuple[Any]:
        """Return what the model is called with."""
        return (self.collate(self.samples),)


@dataclass(frozen=True)
class SampleBatches:
    """All samples; batches are drawn as `FeatureBlocks` of one block draws them, so that both train on the same ones, or else
    hold samples of similar cost.

    Attributes
    ----------
    collate
        As in `SampleRows`.
    samples
        All of them.
    batch
        How many go through the model at a time where nothing is learnt.
    augment
        Changes a sample every time it is drawn; None for as it is.
    costs
        `[n]`, what each costs, such as its tokens, where batches are to hold similar ones.
    """

    collate: Callable[[Sequence[Any]], Any]
    samples: Sequence[Any]
    batch: int
    augment: Augment | None = None
    costs: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def in_order(self) -> Iterator[SampleRows]:
        """Give every sample once, in order and without augmentation."""
        for start in range(0, len(self), self.batch):
            yield SampleRows(self.collate, self.samples[start : start + self.batch])

    def shuffled(self, batch: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, SampleRows]]:
        """Give every sample once, in batches, with their places `[b]`."""
        for places in self._draw(batch, generator):
            drawn = [self.samples[place] for place in places.tolist()]
            yield places, SampleRows(self.collate, drawn if self.augment is None else [self.augment(one) for one in drawn])

    def _draw(self, batch: int, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """Return the batches' places; where samples have costs, those of random pools, each sorted by cost and cut."""
        everything = torch.randperm(len(self), generator=generator)
        if self.costs is None:
            return everything.split(batch)
        batches: list[torch.Tensor] = []
        for pool in everything.split(batch * POOL):
            by_cost = torch.as_tensor(self.costs)[pool].argsort(stable=True)
            batches += pool[by_cost].split(batch)
        return [batches[number] for number in torch.randperm(len(batches), generator=generator).tolist()]


def collate_for(backbone: torch.nn.Module) -> Callable[[Sequence[Any]], Any]:
    """Return what turns raw samples into a backbone's input: its own preprocessing, or for a plain module stacking."""
    if isinstance(backbone, BackboneModule):
        return backbone.preprocess
    device = next((parameter.device for parameter in backbone.parameters()), torch.device("cpu"))

    def stack(samples: Sequence[Any]) -> Any:
        batch = torch.utils.data.default_collate(list(samples))
        return batch.to(device) if isinstance(batch, torch.Tensor) else {name: part.to(device) for name, part in batch.items()}

    return stack


def make_augment(asked: str | Augment | None, seed: int) -> Augment | None:
    """Return what changes a sample when it is drawn.

    Parameters
    ----------
    asked
        A policy of `extract.Views` for images, or a function of the user's from a sample (a text, or a PIL picture) to another.
    seed
        Fixes what a policy draws.

    Raises
    ------
    UsageError
        If there is no such policy.
    """
    if not isinstance(asked, str):
        return asked if asked is None else lambda sample: asked(sample if isinstance(sample, str | tuple) else decode(sample))
    if asked not in POLICIES:
        raise UsageError(f"augment {asked!r} is no policy; {nearest(asked, POLICIES)}, or a function from a sample to another")
    seeds = torch.Generator().manual_seed(seed)

    def change(sample: Any) -> Any:
        drawn = int(torch.randint(2**31 - 1, (1,), generator=seeds))
        if isinstance(sample, ImageText):
            return ImageText(augment(decode(sample.image), asked, drawn), sample.text)
        return augment(decode(sample), asked, drawn)

    return change
