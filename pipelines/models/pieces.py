"""A batch of texts in pieces of similar lengths, so that a CPU computes less padding; to all else it is one batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.models.backbone_module import BackboneModule

PIECE = 64
"""What one more piece costs, in tokens."""


@dataclass(frozen=True)
class Pieces:
    """A batch in pieces.

    Attributes
    ----------
    parts
        What the backbone is called with, one after another.
    places
        `[b]`, where the samples of the parts, one after another, stand in the batch.
    """

    parts: Sequence[Any]
    places: torch.Tensor

    def join(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put the features `[p, d]` of the parts together, `[b, d]` in the batch's order."""
        joined = torch.cat(list(features))
        return joined[torch.argsort(self.places).to(joined.device)]


def by_length(lengths: np.ndarray) -> list[np.ndarray]:
    """Return the rows of a batch in groups, the shortest first, that take least with padding and pieces counted.

    Parameters
    ----------
    lengths
        `[b]`, in tokens.
    """
    order = np.argsort(lengths, kind="stable")
    tall = lengths[order]
    least, cut = np.full(len(tall) + 1, np.inf), np.zeros(len(tall) + 1, int)
    least[0] = 0
    for stop in range(1, len(tall) + 1):
        costs = least[:stop] + (stop - np.arange(stop)) * tall[stop - 1] + PIECE
        cut[stop] = int(costs.argmin())
        least[stop] = costs[cut[stop]]
    groups, stop = [], len(tall)
    while stop:
        groups.append(order[cut[stop] : stop])
        stop = cut[stop]
    return groups[::-1]


def in_pieces(groups: Sequence[np.ndarray], part: Callable[[np.ndarray], Any]) -> Pieces:
    """Return a batch in pieces, each made of the rows of a group."""
    return Pieces([part(group) for group in groups], torch.as_tensor(np.concatenate(groups)))


def may_be_cut(backbone: nn.Module) -> bool:
    """Tell whether batches for a backbone may be in pieces: padded texts for a vector each, on a CPU, where steps are cheap."""
    if not isinstance(backbone, BackboneModule) or backbone.adapter.token_mask is None:
        return False
    return backbone.device.type == "cpu" and backbone.output.pooling != "tokens" and backbone.spec.window_overlap is None


def collate_in_pieces(backbone: BackboneModule) -> Callable[[Sequence[Any]], Any]:
    """Return what turns raw texts into pieces of a batch."""
    mask = backbone.adapter.token_mask or ""

    def collate(samples: Sequence[Any]) -> Pieces:
        batch = backbone.preprocess(samples)
        lengths = batch[mask].sum(dim=1).numpy()

        def cut(rows: np.ndarray) -> dict[str, torch.Tensor]:
            length = int(lengths[rows].max())  # padding is on the right
            return {name: tensor[torch.as_tensor(rows), :length] for name, tensor in batch.items()}

        return in_pieces(by_length(lengths), cut)

    return collate
