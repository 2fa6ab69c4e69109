"""The attention-pooling heads: a learned query looks at all tokens and picks out what tells the classes apart."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from heads.attention import heads_that_divide
from heads.limits import BELOW_ONE, FROM_ONE, Limits
from heads.trained import TrainedClassifier, TrainedHead, TrainedRegressor


class AttentionPoolClassifier(nn.Module):
    """Multi-head attention of learned queries over the tokens, and a linear layer.

    The attention pooling of Lee et al. 2019 (Set Transformer) that CLIP, CoCa and SigLIP pool and probe with.

    Parameters
    ----------
    input_dim
        Width of the tokens; any: as many attention heads are taken, up to `num_heads`, as divide it.
    num_classes
        Width of the logits.
    num_heads
        Most attention heads.
    queries
        Learned queries; what they find is put side by side.
    dropout
        Probability with which an attention weight is left out in training.
    """

    def __init__(self, input_dim: int, num_classes: int, num_heads: int = 8, queries: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, input_dim) / input_dim**0.5)
        self.attention = nn.MultiheadAttention(
            input_dim, heads_that_divide(input_dim, num_heads), dropout=dropout, batch_first=True
        )
        self.classifier = nn.Linear(queries * input_dim, num_classes)

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits `[b, c]` of tokens `[b, t, d]`; padding, where the mask `[b, t]` is false, is not looked at."""
        queries = self.queries.expand(features.shape[0], -1, -1)
        hidden = None if mask is None else ~mask
        found, _ = self.attention(queries, features, features, key_padding_mask=hidden, need_weights=False)
        logits: torch.Tensor = self.classifier(found.flatten(1))
        return logits


@dataclass(eq=False, repr=False, kw_only=True)
class _Pooling(TrainedHead):
    """The module's settings, which the classifier and the regressor share."""

    batch_size: int = 64
    num_heads: int = 8
    queries: int = 1
    dropout: float = 0.0

    _parameter_constraints: ClassVar[Limits] = {"num_heads": [FROM_ONE], "queries": [FROM_ONE], "dropout": [BELOW_ONE]}

    takes_tokens = True

    def _build(self) -> AttentionPoolClassifier:
        return AttentionPoolClassifier(self.n_features_in_, self._width(), self.num_heads, self.queries, self.dropout)


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionPoolHead(_Pooling, TrainedClassifier):
    """Attention pooling with learned queries over tokens or patches.

    Parameters
    ----------
    num_heads, queries, dropout
        See `AttentionPoolClassifier`.
    others
        X as in `AttentionHead`; see `TrainedHead` and `TrainedClassifier`.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionPoolRegressor(_Pooling, TrainedRegressor):
    """Attention pooling with learned queries, for values; parameters as in `AttentionPoolHead`."""
