"""Batching: sorted by length, filled up to a budget of tokens, so that little is spent on padding."""

from collections.abc import Sequence

import numpy as np


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[np.ndarray]:
    """Split samples into batches of similar length whose padded size stays within a budget.

    Parameters
    ----------
    lengths
        Tokens per sample.
    budget
        Most tokens in a batch, padding included; a longer sample is a batch of its own.

    Returns
    -------
    list of np.ndarray
        Positions into `lengths`, every one once, longest samples first (so that memory runs out at once or never).
    """
    tokens = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-tokens, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        stop = start + max(1, budget // max(1, int(tokens[order[start]])))
        batches.append(order[start:stop])
        start = stop
    return batches
