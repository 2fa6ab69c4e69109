"""The k-NN heads as torch modules, for files that leave Python: all training samples are in them."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from heads.neighbours import UNDECIDED, KNNHead, KNNRegressor


class Neighbours(nn.Module):
    """What `KNNHead.predict_proba` or `KNNRegressor.predict` computes, in float32.

    Among equally near samples on the border of the `k`, others may be chosen than scikit-learn's search chooses.

    Parameters
    ----------
    head
        A fitted `KNNHead` or `KNNRegressor`.

    Raises
    ------
    ValueError
        If its training samples are weighted.
    """

    def __init__(self, head: KNNHead | KNNRegressor) -> None:
        super().__init__()
        if head.mass_ is not None:
            raise ValueError(f"{type(head).__name__} has no ONNX form where its training samples are weighted")
        self.cosine, self.votes, self.temperature = head.metric == "cosine", head.weights, float(head.temperature)
        self.count = min(int(head.k), len(head.samples_))
        self.classifies = isinstance(head, KNNHead)
        self.several = bool(getattr(head, "multilabel_", False))
        told: Any = head.votes_ if isinstance(head, KNNHead) else head.values_
        weight = head.vote_weight_ if isinstance(head, KNNHead) else np.ones(told.shape[1])
        for name, array in (("samples", head.samples_), ("told", told), ("weight", weight)):
            self.register_buffer(name, torch.as_tensor(np.asarray(array, np.float32)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return probabilities `[b, c]`, or values `[b, m]`, for features `[b, d]`."""
        features = functional.normalize(features, dim=1) if self.cosine else features
        closeness = features @ self.samples.T - self.samples.square().sum(dim=1) / 2
        rows = closeness.topk(self.count, dim=1).indices
        near = (features[:, None] - self.samples[rows]).square().sum(dim=2).sqrt()
        near = near.sort(dim=1).values if self.votes == "softmax" else near
        counts = self._counts(near)
        hits = (counts[..., None] * self.told[rows]).sum(dim=1)
        total = counts.sum(dim=1, keepdim=True)
        if not self.classifies:
            return hits / total
        votes = hits * self.weight
        total = votes + total - hits if self.several else votes.sum(dim=1, keepdim=True)
        even = 0.5 if self.several else 1 / votes.shape[1]
        shares = torch.where(total > 0, votes / total.clamp(min=1e-30), even)
        return (1 - UNDECIDED) * shares + UNDECIDED * even

    def _counts(self, near: torch.Tensor) -> torch.Tensor:
        if self.votes == "uniform":
            return torch.ones_like(near)
        if self.votes == "softmax":
            return torch.exp((near[:, :1] ** 2 - near**2) / (2 * self.temperature))
        exact = near == 0
        return torch.where(exact.any(dim=1, keepdim=True), exact.to(near.dtype), 1 / near.clamp(min=1e-30))
