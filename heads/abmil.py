"""The ABMIL heads: gated attention weighs each token on its own, as in multiple-instance learning."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from heads.limits import BELOW_ONE, FROM_ONE, Limits
from heads.trained import TrainedClassifier, TrainedHead, TrainedRegressor


class GatedAttentionClassifier(nn.Module):
    """A weighted mean of the tokens and a linear layer; weights from gated attention (Ilse, Tomczak and Welling 2018).

    Parameters
    ----------
    input_dim
        Width of the tokens.
    num_classes
        Width of the logits.
    attention_dim
        Width of the hidden layer from which a token's weight comes.
    dropout
        Probability with which a unit of that layer is left out in training.
    """

    def __init__(self, input_dim: int, num_classes: int, attention_dim: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.content = nn.Linear(input_dim, attention_dim)
        self.gate = nn.Linear(input_dim, attention_dim)
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Linear(attention_dim, 1)
        self.classifier = nn.Linear(input_dim, num_classes)

    def weights(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return how much each token counts `[b, t]`; padding counts nothing and each sample's sum is one."""
        gated = self.dropout(self.content(features).tanh() * self.gate(features).sigmoid())
        scores = self.weight(gated)[:, :, 0]
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        counts: torch.Tensor = scores.softmax(dim=1)
        return counts

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits `[b, c]` of tokens `[b, t, d]`, of which those count where the mask `[b, t]` is true."""
        pooled = (self.weights(features, mask)[:, None] @ features)[:, 0]
        logits: torch.Tensor = self.classifier(pooled)
        return logits


@dataclass(eq=False, repr=False, kw_only=True)
class _Gated(TrainedHead):
    """The module's settings, which the classifier and the regressor share."""

    batch_size: int = 64
    attention_dim: int = 128
    dropout: float = 0.0

    _parameter_constraints: ClassVar[Limits] = {"attention_dim": [FROM_ONE], "dropout": [BELOW_ONE]}

    takes_tokens = True

    def _build(self) -> GatedAttentionClassifier:
        return GatedAttentionClassifier(self.n_features_in_, self._width(), self.attention_dim, self.dropout)


@dataclass(eq=False, repr=False, kw_only=True)
class ABMILHead(_Gated, TrainedClassifier):
    """Gated attention over tokens, patches or instances.

    Parameters
    ----------
    attention_dim, dropout
        See `GatedAttentionClassifier`.
    others
        X as in `AttentionHead`; see `TrainedHead` and `TrainedClassifier`.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class ABMILRegressor(_Gated, TrainedRegressor):
    """Gated attention over tokens, patches or instances, for values; parameters as in `ABMILHead`."""
