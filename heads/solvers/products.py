"""Matrix products in float32 at the speed that the processor has.

torch's own product goes through MKL, which on the AMD processor that we measured is half as fast as oneDNN, which torch
holds as well.
"""

import torch


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return `a @ b` for `[m, k]` and `[k, n]`; by oneDNN in float32 on a CPU, where torch was built with it."""
    return _by_onednn(a, b) if ONEDNN and a.device.type == "cpu" and a.dtype == b.dtype == torch.float32 else a @ b


def _by_onednn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")
    return found


ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
