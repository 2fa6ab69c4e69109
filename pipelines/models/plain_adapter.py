"""A torch module of the user's, whose samples are tensors already, as a backbone's adapter."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from extract.backbones.base import Backbone, Batch
from extract.backbones.checkpoint import Checkpoint
from extract.backbones.spec import BackboneSpec
from extract.errors import CannotSplitError
from extract.outputs import Output
from pipelines.models.sample_batches import collate_for

PLAIN = Output(None, "features")
"""The only output."""

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class PlainAdapter(Backbone):
    """Stacks samples of one shape and calls the module with them, by the name of its first argument or by their own names.

    Parameters
    ----------
    module
        Takes a tensor `[b, ...]`, or tensors by name; returns features `[b, d]`.

    Raises
    ------
    CannotSplitError
        If the argument has no name.
    """

    unit = "samples"

    def __init__(self, module: nn.Module) -> None:
        first = next(iter(inspect.signature(module.forward).parameters.values()), None)
        if first is None or first.kind not in _BY_NAME:
            raise CannotSplitError("its `forward` does not name what it takes")
        self.model = module
        self._argument = first.name
        self._stack = collate_for(module)

    @classmethod
    def load(cls, checkpoint: Checkpoint, spec: BackboneSpec, device: str, precision: str) -> "PlainAdapter":
        raise CannotSplitError("a module of one's own is loaded by its owner")

    def collate(self, items: Sequence[Any]) -> Batch:
        batch = self._stack(items)
        return {self._argument: batch} if isinstance(batch, torch.Tensor) else dict(batch)

    def forward(self, batch: Batch, outputs: Sequence[Output]) -> Mapping[str, torch.Tensor]:
        return {output.name: self.model(**batch) for output in outputs}
