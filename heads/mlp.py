"""The MLP heads: fully connected layers over standardised features."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from heads.limits import BELOW_ONE, FROM_ONE, WIDTHS, Limits, one_of
from heads.trained import TrainedClassifier, TrainedHead, TrainedRegressor

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
NORMS: dict[str, type[nn.Module]] = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}


class Residual(nn.Module):
    """Layers whose output is added to their input, where both are of one width."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `[b, d]` of `[b, d]`."""
        added: torch.Tensor = features + self.layers(features)
        return added


class MLPClassifier(nn.Module):
    """Fully connected layers with an activation and dropout.

    Parameters
    ----------
    input_dim
        Width of the features.
    hidden_dim
        Width of each hidden layer, or of the only one.
    num_classes
        Width of the logits.
    dropout
        Probability with which a hidden unit is left out in training.
    activation
        `relu`, `gelu`, `silu` or `tanh`.
    norm
        None, `layer` or `batch` normalisation, before the activation.
    residual
        Whether a hidden layer as wide as the one before is added to it.

    Raises
    ------
    ValueError
        If there is no such activation or normalisation.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int | Sequence[int],
        num_classes: int,
        dropout: float = 0.1,
        activation: str = "relu",
        norm: str | None = None,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"`activation` is {activation!r}; it may be {', '.join(ACTIVATIONS)}")
        if norm is not None and norm not in NORMS:
            raise ValueError(f"`norm` is {norm!r}; it may be None, {', '.join(NORMS)}")
        widths = [input_dim, *((hidden_dim,) if isinstance(hidden_dim, int | np.integer) else hidden_dim)]
        layers: list[nn.Module] = []
        for width, next_width in pairwise(widths):
            block: list[nn.Module] = [nn.Linear(width, next_width)]
            if norm is not None:
                block.append(NORMS[norm](next_width))
            block += [ACTIVATIONS[activation](), nn.Dropout(dropout)]
            layers += [Residual(nn.Sequential(*block))] if residual and width == next_width else block
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits `[b, c]` of features `[b, d]`."""
        logits: torch.Tensor = self.layers(features)
        return logits


@dataclass(eq=False, repr=False, kw_only=True)
class _Layers(TrainedHead):
    """The module's settings, which the classifier and the regressor share."""

    hidden: int | Sequence[int] = (256,)
    dropout: float = 0.0
    activation: str = "relu"
    norm: str | None = None
    residual: bool = False

    _parameter_constraints: ClassVar[Limits] = {
        "hidden": [FROM_ONE, WIDTHS],
        "dropout": [BELOW_ONE],
        "activation": [one_of(*ACTIVATIONS)],
        "norm": [None, one_of(*NORMS)],
        "residual": ["boolean"],
    }

    def _build(self) -> MLPClassifier:
        shape = (self.n_features_in_, self.hidden, self._width())
        return MLPClassifier(*shape, self.dropout, self.activation, self.norm, self.residual)


@dataclass(eq=False, repr=False, kw_only=True)
class MLPHead(_Layers, TrainedClassifier):
    """A multi-layer perceptron, by default trained with AdamW, a cosine schedule and early stopping on a part held out.

    The arithmetic is in the features' own type (float32 or float64).

    Parameters
    ----------
    hidden, dropout, activation, norm, residual
        See `MLPClassifier`.
    others
        See `TrainedHead` and `TrainedClassifier`.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class MLPRegressor(_Layers, TrainedRegressor):
    """A multi-layer perceptron for values; parameters as in `MLPHead`, and `loss` as in `TrainedRegressor`."""
