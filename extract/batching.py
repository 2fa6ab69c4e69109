"""Batching: sorted by cost, filled up to a budget, so that little is spent on padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Budget:
    """The most that a batch may cost, padding included. It changes while an extraction runs."""

    cost: int

    def halve(self, tried: int | None = None) -> None:
        """Make it half of what has been tried, or of itself."""
        self.cost = max(1, min(self.cost, tried or self.cost) // 2)


def budget_batches(costs: Sequence[int] | np.ndarray, budget: int) -> list[np.ndarray]:
    """Split samples into batches of similar cost whose padded size stays within a budget.

    Parameters
    ----------
    costs
        Cost of each sample: tokens of a text, 1 for an image.
    budget
        The most a batch may cost, padding included; a sample that costs more is a batch of its own.

    Returns
    -------
    list of np.ndarray
        Positions into `costs`, every one once, the most expensive first (so that memory runs out at once or never).
    """
    each = np.asarray(costs, dtype=np.int64)
    order = np.argsort(-each, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        stop = start + max(1, budget // max(1, int(each[order[start]])))
        batches.append(order[start:stop])
        start = stop
    return batches
