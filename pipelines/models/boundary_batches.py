"""What frozen blocks gave, as the training loop takes it: the model runs from there on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cache import Ragged
from extract.boundary import Boundary
from pipelines.models.pieces import Pieces, by_length, in_pieces


@dataclass(frozen=True)
class HandedIn:
    """A batch that has come as far as a boundary.

    Attributes
    ----------
    boundary
        Where.
    states
        `[b, ...]`, what is handed in there.
    inputs
        What the backbone is called with.
    """

    boundary: Boundary
    states: torch.Tensor
    inputs: Any


@dataclass(frozen=True)
class BoundaryRows:
    """Some samples on their way into a model, from a boundary on.

    Attributes
    ----------
    boundary
        Where they are.
    values
        What was kept of them: `Ragged` tokens, or `[n, d]`; in memory or on disk.
    items
        The samples as the backbone's `prepare` gives them.
    rows
        Which of them, `[m]`.
    device
        Where the model is.
    lengths
        In tokens, where the texts of a batch run in pieces of similar lengths.
    """

    boundary: Boundary
    values: Any
    items: Sequence[Any]
    rows: np.ndarray
    device: torch.device
    lengths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: torch.Tensor | slice) -> "BoundaryRows":
        """Return some of them."""
        chosen = self.rows[rows if isinstance(rows, slice) else rows.numpy()]
        return replace(self, rows=chosen)

    def inputs(self) -> tuple[HandedIn | Pieces]:
        """Return what the model is called with."""
        if self.lengths is None:
            return (self._hand_in(self.rows),)
        return (in_pieces(by_length(self.lengths[self.rows]), lambda group: self._hand_in(self.rows[group])),)

    def _hand_in(self, rows: np.ndarray) -> HandedIn:
        kept = self.values[rows]
        values = torch.as_tensor(kept.values if isinstance(kept, Ragged) else kept, device=self.device)
        batch = self.boundary.batch([self.items[row] for row in rows.tolist()])
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        return HandedIn(self.boundary, self.boundary.padded(values, batch), batch)


@dataclass(frozen=True)
class BoundaryBatches:
    """All samples; batches are drawn as `SampleBatches` draws them, so that both train on the same ones.

    Attributes
    ----------
    everything
        The samples.
    batch
        How many go through the model at a time where nothing is learnt.
    """

    everything: BoundaryRows
    batch: int

    def __len__(self) -> int:
        return len(self.everything)

    def in_order(self) -> Iterator[BoundaryRows]:
        """Give every sample once, in order."""
        for start in range(0, len(self), self.batch):
            yield self.everything.take(slice(start, start + self.batch))

    def shuffled(self, batch: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, BoundaryRows]]:
        """Give every sample once, in batches, with their places `[b]`."""
        for places in torch.randperm(len(self), generator=generator).split(batch):
            yield places, self.everything.take(places)
