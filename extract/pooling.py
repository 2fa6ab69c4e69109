"""Poolings: token states `[b, t, d]` and their mask `[b, t]` to one vector a sample, or to its tokens."""

from dataclasses import dataclass

import torch

GEM_POWER = 3.0
"""The exponent of `gem`: where Radenovic et al. start, and what retrieval models mostly use fixed."""


@dataclass(frozen=True)
class Tokens:
    """Token states that are kept as they are: `states [b, t, d]` float32, of which `mask [b, t]` says which are real."""

    states: torch.Tensor
    mask: torch.Tensor


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor | Tokens:
    """Pool token states over real tokens only.

    Parameters
    ----------
    states
        `[b, t, d]`; padding may be anywhere.
    mask
        `[b, t]`, 1 at real tokens.
    pooling
        `cls` (the first real token), `last` (the last one), `mean`, `max`, `mean+max` (both, `2d` wide), `gem` or `tokens`.
        `gem` is the generalized mean `(mean x^p)^(1/p)` with p = 3 of Radenovic, Tolias and Chum, Fine-tuning CNN Image
        Retrieval with No Human Annotation, 2018. There it follows a ReLU; states here may be negative, whose cubes and
        cube roots keep the sign.

    Returns
    -------
    torch.Tensor or Tokens
        `[b, d]` (`[b, 2d]` for `mean+max`), in float32 whatever the type of `states`; `Tokens` for `tokens`.
    """
    states = states.float()
    if pooling == "tokens":
        return Tokens(states, mask)
    if pooling in ("cls", "last"):
        return _at(states, _first(mask) if pooling == "cls" else mask.shape[1] - 1 - _first(mask.flip(1)))
    if pooling == "mean+max":
        return torch.cat([_mean(states, mask), _max(states, mask)], dim=1)
    if pooling == "mean":
        return _mean(states, mask)
    if pooling == "max":
        return _max(states, mask)
    if pooling == "gem":
        mean = _mean(states.sign() * states.abs().pow(GEM_POWER), mask)
        return mean.sign() * mean.abs().pow(1 / GEM_POWER)
    raise ValueError(f"{pooling!r} is not a pooling")


def _first(mask: torch.Tensor) -> torch.Tensor:
    return mask.to(torch.int8).argmax(1)  # of several equal ones, the first


def _at(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return states[torch.arange(len(states), device=states.device), places]


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    real = mask.unsqueeze(-1).to(states.dtype)
    return (states * real).sum(1) / real.sum(1).clamp(min=1)


def _max(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(1)
