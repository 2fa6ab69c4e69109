"""Poolings: token states `[b, t, d]` and their mask `[b, t]` to one vector a sample `[b, d]`."""

import torch


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool token states over real tokens only.

    Parameters
    ----------
    states
        `[b, t, d]`, padded on the right.
    mask
        `[b, t]`, 1 at real tokens.
    pooling
        `cls` (the first token), `mean` or `max`.

    Returns
    -------
    torch.Tensor
        `[b, d]`, in float32 whatever the type of `states`.
    """
    states = states.float()
    if pooling == "cls":
        return states[:, 0]
    real = mask.unsqueeze(-1).to(states.dtype)
    if pooling == "mean":
        return (states * real).sum(1) / real.sum(1).clamp(min=1)
    if pooling == "max":
        return states.masked_fill(real == 0, -torch.inf).amax(1)
    raise ValueError(f"{pooling!r} is not a pooling")
