"""Ways to run a model faster that do not change what it computes beyond rounding: `torch.compile`, channels-last memory."""

import torch

from extract.backbones.base import Backbone, Batch
from extract.options import LoopOptions

_IMAGE_AXES = 4


def accelerate(backbone: Backbone, options: LoopOptions) -> None:
    """Prepare a backbone's model as the options say; callables without a model stay as they are."""
    if not isinstance(getattr(backbone, "model", None), torch.nn.Module):
        return
    if options.channels_last:
        backbone.model.to(memory_format=torch.channels_last)
    if options.compile and getattr(backbone.model, "_compiled_call_impl", None) is None:  # one model runs several turns
        backbone.model.compile(dynamic=True)


def arrange(batch: Batch, options: LoopOptions) -> Batch:
    """Lay images `[b, c, h, w]` out as the options say."""
    if not options.channels_last:
        return batch
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == _IMAGE_AXES else tensor
        for name, tensor in batch.items()
    }
