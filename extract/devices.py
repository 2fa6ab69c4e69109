"""Devices and precision: what `auto` means on this machine."""

import os
import sys

from extract.errors import NoSuchBackboneError

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, WSL


def choose_device(device: str = "auto") -> str:
    """Return `cuda`, `mps` or `cpu` for `auto`; anything else as it is."""
    if device != "auto":
        return device
    if sys.platform == "linux" and not any(map(os.path.exists, _GPU_NODES)):
        return "cpu"  # known without the seconds that importing torch takes
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_precision(precision: str, device: str) -> str:
    """Return the arithmetic of the forward pass: for `auto`, bfloat16 on GPUs that have it and float32 elsewhere."""
    if precision not in PRECISIONS:
        raise NoSuchBackboneError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "float32"
