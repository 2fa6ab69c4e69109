"""What a backbone adapter is: a loaded, frozen model that turns samples into pooled outputs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import BackboneSpec
from extract.errors import BackboneError
from extract.outputs import Output
from extract.pooling import Tokens

Batch = dict[str, torch.Tensor]
"""What `collate` makes and `forward` takes: named tensors, on the CPU at first and then on the device."""


@dataclass(frozen=True)
class Prepared:
    """A slice's samples after the cheap part of preprocessing.

    Attributes
    ----------
    samples
        One per sample, as `decode` or else `collate` takes them.
    costs
        What each costs to compute, in the backbone's unit; batches are filled to a budget of it.
    whole
        What each would cost had nothing been cut off; None where nothing ever is.
    """

    samples: Sequence[Any]
    costs: Sequence[int]
    whole: Sequence[int] | None = None


class Backbone(ABC):
    """A loaded, frozen model: samples in, pooled outputs out.

    A sample goes through `prepare` (a slice at a time), `decode` where there is one (in worker processes), `collate` and
    `forward`.

    Attributes
    ----------
    unit
        What a sample's cost is counted in.
    decode
        Real work on one prepared sample, such as reading and transforming a picture; None where there is none. It is
        called in worker processes, so it has to be picklable without the model, and so has `collate` then (a static
        method). For a sample that cannot be used it raises `UnusableSampleError` with the reason.
    parallel
        Whether `decode` may run in worker processes.
    joins
        Whether decoded samples are tensors of one shape, so that batches can be joined along their first axis.
    model
        What runs; what `freeze` has frozen.
    token_mask
        The tensor of a batch that says which tokens are real, where samples differ in length; None where every position
        counts.
    block_names
        Names of the model's blocks from the input upwards, where they are not those that its graph suggests.
    """

    unit: str = "tokens"
    decode: Callable[[Any], Any] | None = None
    parallel: bool = True
    joins: bool = False
    token_mask: str | None = None
    block_names: Sequence[str] | None = None
    model: torch.nn.Module

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "Backbone":
        """Load the checkpoint onto the device, frozen. Raises `BackboneError` with one line if it cannot be."""

    def weigh(self, samples: Sequence[Any]) -> np.ndarray:
        """Guess from raw samples what each will cost, up to a factor: `[n]`. It serves the time that is left, no more."""
        return np.ones(len(samples))

    def prepare(self, samples: Sequence[Any]) -> Prepared:
        """Do the cheap part of preprocessing for a slice of samples at once; by default nothing, at a cost of 1 each."""
        return Prepared(samples, [1] * len(samples))

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> Batch:
        """Put prepared (and decoded) samples together into tensors on the CPU."""

    def save(self, folder: Path, checkpoint: Checkpoint, spec: BackboneSpec) -> None:
        """Write the model as it is now into a folder, in its library's own format, with all it needs to be loaded from there.

        Parameters
        ----------
        folder
            It is made.
        checkpoint, spec
            What it was loaded from, and how.

        Raises
        ------
        BackboneError
            If this kind of backbone has no such format here.
        """
        raise BackboneError(f"{checkpoint.uri}: a backbone of this kind cannot be saved; keep its `state_dict()`")

    @classmethod
    def can_be_saved(cls) -> bool:
        """Tell whether `save` can do it."""
        return cls.save is not Backbone.save

    @abstractmethod
    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor | Tokens]:
        """Run a batch that is on the device; return output name -> float32 `[b, d]`, or `Tokens`, on the device."""


def freeze(model: torch.nn.Module) -> None:
    """Put a model in evaluation mode, without gradients, and see that both hold."""
    model.eval().requires_grad_(False)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
