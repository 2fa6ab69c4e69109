"""Ways to run a model faster that do not change what it computes beyond rounding.

On request `torch.compile` and channels-last memory; on a CPU always, where torch holds it, oneDNN for products with weights. On
an NVIDIA GPU convolutions in float32 are kept from TF32, which torch allows them and which has ten bits of precision: then
`float32` is what a CPU computes.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from extract.backbones.base import Backbone, Batch
from extract.options import LoopOptions

_IMAGE_AXES = 4


ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class _LinearByOneDNN(TorchFunctionMode):
    """Has every `linear` in float32 computed by oneDNN instead of MKL, whose products are slower on some processors."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> torch.Tensor:
        in_float32 = not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
        if func is torch.nn.functional.linear and in_float32:
            return _linear(*args, **(kwargs or {}))
        result: torch.Tensor = func(*args, **(kwargs or {}))
        return result


def _linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    plain = all(type(tensor) in (torch.Tensor, torch.nn.Parameter) for tensor in (input, weight))
    if plain and input.dtype == weight.dtype == torch.float32 and input.ndim > 1 and weight.ndim == 2 and input.numel():
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
        return found
    return torch.nn.functional.linear(input, weight, bias)


class _ConvolutionsInFloat32:
    """Has convolutions of float32 computed in float32."""

    def __enter__(self) -> None:
        where, name, exact = _TF32
        self._before = getattr(where, name)
        setattr(where, name, exact)

    def __exit__(self, *raised: object) -> None:
        where, name, _ = _TF32
        setattr(where, name, self._before)


def _tf32_of_convolutions() -> tuple[Any, str, Any]:
    """Return where torch is told of TF32 in convolutions, and what switches it off; since torch 2.9 in another place."""
    newer = getattr(torch.backends.cudnn, "conv", None)
    if hasattr(newer, "fp32_precision"):
        return newer, "fp32_precision", "ieee"
    return torch.backends.cudnn, "allow_tf32", False


_TF32 = _tf32_of_convolutions()


def arithmetic(device: str, options: LoopOptions) -> contextlib.AbstractContextManager[Any]:
    """Return what to run a forward pass in, again and again: on a CPU, products by oneDNN; on a GPU, no TF32."""
    if device.startswith("cuda"):
        return _ConvolutionsInFloat32()
    autocast = torch.is_autocast_enabled("cpu")
    return (
        _LinearByOneDNN() if ONEDNN and device == "cpu" and not options.compile and not autocast else contextlib.nullcontext()
    )


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
