"""What a backbone adapter is: a loaded, frozen model that turns prepared samples into pooled outputs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from extract.backbones.checkpoint import BackboneSpec, Checkpoint
from extract.outputs import Output


class Backbone(ABC):
    """A loaded, frozen model: samples in, pooled outputs out."""

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "Backbone":
        """Load the checkpoint onto the device, frozen. Raises `BackboneError` with one line if it cannot be."""

    @abstractmethod
    def prepare(self, samples: Sequence[Any]) -> tuple[Sequence[Any], Sequence[int]]:
        """Preprocess samples once; return them prepared, and the cost of each in tokens, for batching."""

    @abstractmethod
    def forward(self, batch: Sequence[Any], outputs: Sequence[Output]) -> dict[str, torch.Tensor]:
        """Run prepared samples through the model; return output name -> float32 `[b, d]` on the device."""


def freeze(model: torch.nn.Module) -> None:
    """Put a model in evaluation mode, without gradients, and see that both hold."""
    model.eval().requires_grad_(False)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
