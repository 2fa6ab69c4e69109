"""Raw samples as the training loop takes them, in batches of similar length, prepared once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.backbone_module import BackboneModule
from pipelines.sample_batches import Augment, SampleRows

POOL = 32
"""Batches whose samples are sorted together: drawn at random they stay random, and hardly any padding is left."""


@dataclass(frozen=True)
class LengthBatches:
    """Samples on their way into a model, shortest first.

    Attributes
    ----------
    collate
        Prepared samples to what the model is called with.
    items
        Prepared samples, sorted by cost.
    costs
        `[n]`, what each costs, such as its tokens.
    batch
        How many go through the model at a time where nothing is learnt.
    augment
        Changes a sample every time it is drawn; None for as it is.
    """

    collate: Callable[[Sequence[Any]], Any]
    items: Sequence[Any]
    costs: np.ndarray
    batch: int
    augment: Augment | None = None

    def __len__(self) -> int:
        return len(self.items)

    def in_order(self) -> Iterator[SampleRows]:
        """Give every sample once, in order and without augmentation."""
        for start in range(0, len(self), self.batch):
            yield SampleRows(self.collate, self.items[start : start + self.batch])

    def shuffled(self, batch: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, SampleRows]]:
        """Give every sample once, with their places `[b]`: in random pools, each sorted by cost and cut into batches."""
        batches = []
        for pool in torch.randperm(len(self), generator=generator).split(batch * POOL):
            by_cost = torch.as_tensor(self.costs)[pool].argsort(stable=True)
            batches += pool[by_cost].split(batch)
        for number in torch.randperm(len(batches), generator=generator).tolist():
            places = batches[number]
            drawn = [self.items[place] for place in places.tolist()]
            yield places, SampleRows(self.collate, drawn if self.augment is None else [self.augment(one) for one in drawn])


def prepare_batches(
    backbone: BackboneModule, inputs: Sequence[Any], batch: int, augment: Augment | None = None
) -> tuple[LengthBatches, np.ndarray]:
    """Prepare samples once: texts become tokens; images stay files, and are decoded whenever they are drawn.

    Returns
    -------
    batches, order
        The samples sorted by cost, and which of `inputs` each is `[n]`.
    """
    adapter = backbone.adapter
    if adapter.decode is not None:
        costs = np.ones(len(inputs), dtype=np.int64)
        return LengthBatches(backbone.preprocess, list(inputs), costs, batch, augment), np.arange(len(inputs))
    prepared = adapter.prepare(inputs)
    costs = np.asarray(prepared.costs, dtype=np.int64)
    order = np.argsort(costs, kind="stable")
    items = [prepared.samples[place] for place in order.tolist()]
    return LengthBatches(adapter.collate, items, costs[order], batch), order
