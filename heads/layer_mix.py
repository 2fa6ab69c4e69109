"""The layer-mixing heads: one learned weighted mean of several layers, and layers of its own on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from heads.blocks import read_blocks
from heads.limits import BELOW_ONE, LISTED, WIDTHS, Limits
from heads.mlp import MLPClassifier
from heads.trained import TrainedClassifier, TrainedHead, TrainedRegressor


class LayerMixClassifier(nn.Module):
    """A scaled mean of equally wide blocks of features, with softmax weights, and fully connected layers.

    The scalar mix of Peters et al. 2018 (ELMo): `scale * sum(softmax(weights)[k] * block[k])`, trained with what stands on it.

    Parameters
    ----------
    blocks
        How many blocks stand side by side.
    block_dim
        Width of each.
    num_classes
        Width of the logits.
    hidden_dim
        Widths of hidden layers; none for a linear layer alone.
    dropout
        Probability with which a hidden unit is left out in training.
    """

    def __init__(
        self, blocks: int, block_dim: int, num_classes: int, hidden_dim: Sequence[int] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(blocks))
        self.scale = nn.Parameter(torch.ones(()))
        self.classifier = MLPClassifier(block_dim, hidden_dim, num_classes, dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits `[b, c]` of features `[b, blocks * block_dim]`."""
        layers = features.unflatten(1, (len(self.weights), -1))
        mixed = self.scale * torch.einsum("k,bkd->bd", self.weights.softmax(dim=0), layers)
        logits: torch.Tensor = self.classifier(mixed)
        return logits


@dataclass(eq=False, repr=False, kw_only=True)
class _Mix(TrainedHead):
    """The module's settings, which the classifier and the regressor share."""

    blocks: Sequence[int] | None = None
    hidden: Sequence[int] = ()
    dropout: float = 0.0
    lr: float = 1e-2

    _parameter_constraints: ClassVar[Limits] = {"blocks": LISTED, "hidden": [WIDTHS], "dropout": [BELOW_ONE]}

    @property
    def layer_weights_(self) -> np.ndarray:
        """Each block's share in the mean."""
        module: Any = self.module_
        found: np.ndarray = module.weights.detach().softmax(dim=0).cpu().numpy()
        return found

    def _build(self) -> LayerMixClassifier:
        widths = read_blocks(self.blocks, self.n_features_in_)
        if len(set(widths)) > 1:
            raise ValueError(f"layers of different widths ({', '.join(map(str, sorted(set(widths))))}) have no mean to mix")
        return LayerMixClassifier(len(widths), widths[0], self._width(), tuple(self.hidden), self.dropout)


@dataclass(eq=False, repr=False, kw_only=True)
class LayerMixHead(_Mix, TrainedClassifier):
    """Learned mixing of layers (Peters et al. 2018), each of them standardised.

    Parameters
    ----------
    blocks
        Width of every layer's features, which stand side by side in X and are equally wide; None for a single layer.
    hidden, dropout
        See `LayerMixClassifier`.
    others
        See `TrainedHead` and `TrainedClassifier`.

    Attributes
    ----------
    layer_weights_
        `[k]`, each layer's share.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class LayerMixRegressor(_Mix, TrainedRegressor):
    """Learned mixing of layers, for values; parameters as in `LayerMixHead`, and `loss` as in `TrainedRegressor`."""
