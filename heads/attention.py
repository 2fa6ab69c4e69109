"""The attention heads: tokens or patches look at each other, and their mean is classified."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from heads.limits import BELOW_ONE, FROM_ONE, Limits
from heads.trained import TrainedClassifier, TrainedHead, TrainedRegressor


def heads_that_divide(width: int, most: int) -> int:
    """Return the largest number of attention heads, up to `most`, into which a width can be divided."""
    return next(number for number in range(min(most, width), 0, -1) if width % number == 0)


def mean_of_real(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean `[b, d]` of tokens `[b, t, d]`, of those where the mask `[b, t]` is true."""
    if mask is None:
        return tokens.mean(dim=1)
    real = mask[:, :, None].to(tokens.dtype)
    return (tokens * real).sum(dim=1) / real.sum(dim=1)


class AttentionClassifier(nn.Module):
    """Self-attention, the mean over tokens, and a linear layer.

    Parameters
    ----------
    input_dim
        Width of the tokens; any: as many attention heads are taken, up to `num_heads`, as divide it.
    num_classes
        Width of the logits.
    num_heads
        Most attention heads.
    dropout
        Probability with which an attention weight is left out in training.
    """

    def __init__(self, input_dim: int, num_classes: int, num_heads: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            input_dim, heads_that_divide(input_dim, num_heads), dropout=dropout, batch_first=True
        )
        self.classifier = nn.Linear(input_dim, num_classes)

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits `[b, c]` of tokens `[b, t, d]`; padding, where the mask `[b, t]` is false, is looked at by nobody."""
        hidden = None if mask is None else ~mask
        attended, _ = self.attention(features, features, features, key_padding_mask=hidden, need_weights=False)
        logits: torch.Tensor = self.classifier(mean_of_real(attended, mask))
        return logits


@dataclass(eq=False, repr=False, kw_only=True)
class _SelfAttention(TrainedHead):
    """The module's settings, which the classifier and the regressor share."""

    batch_size: int = 64
    num_heads: int = 8
    dropout: float = 0.0

    _parameter_constraints: ClassVar[Limits] = {"num_heads": [FROM_ONE], "dropout": [BELOW_ONE]}

    takes_tokens = True

    def _build(self) -> AttentionClassifier:
        return AttentionClassifier(self.n_features_in_, self._width(), self.num_heads, self.dropout)


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionHead(_SelfAttention, TrainedClassifier):
    """Self-attention over tokens or patches, then their mean.

    X is ragged (anything with `values` `[sum, d]` and `offsets` `[n + 1]`), a list of `[t, d]` arrays, or padded `[n, t, d]`.

    Parameters
    ----------
    num_heads, dropout
        See `AttentionClassifier`.
    others
        See `TrainedHead` and `TrainedClassifier`.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionRegressor(_SelfAttention, TrainedRegressor):
    """Self-attention over tokens or patches, for values; parameters as in `AttentionHead`."""
