"""Blocks: runs of samples of similar cost, which are handed out one by one."""

from typing import Any

import numpy as np

from extract.images import ImageText

MOST_SAMPLES = 2**16
MOST_COST = 2**26
"""A block's samples, and their cost: characters, or bytes of images in memory."""

BLOCKS_PER_ACTOR = 8
LEAST_SAMPLES = 1024
"""Every actor gets so many blocks, so that none is left alone with a long one; but no smaller ones than these."""


def cut_blocks(costs: np.ndarray, actors: int) -> list[np.ndarray]:
    """Cut samples into runs of similar cost.

    Parameters
    ----------
    costs
        `[n]`, a guess for each sample.
    actors
        How many are to be kept at work.

    Returns
    -------
    list of np.ndarray
        Positions, in order, every one once.
    """
    weights = np.maximum(np.asarray(costs, np.int64), 1)
    least = int(weights.mean() * LEAST_SAMPLES) if len(weights) else 1
    wanted = max(1, min(MOST_COST, max(least, int(weights.sum()) // (BLOCKS_PER_ACTOR * actors))))
    ends = np.cumsum(weights)
    blocks, start = [], 0
    while start < len(weights):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + wanted, "left")) + 1
        stop = min(max(stop, start + 1), start + MOST_SAMPLES, len(weights))
        blocks.append(np.arange(start, stop))
        start = stop
    return blocks


def cost_of(sample: Any) -> int:
    """Guess what a sample costs, by what is at hand."""
    if isinstance(sample, str | bytes):
        return len(sample)
    if isinstance(sample, tuple | list):
        return sum(len(part) for part in sample if isinstance(part, str))
    if isinstance(sample, ImageText):
        return 1000 + len(sample.text)
    return 1000
