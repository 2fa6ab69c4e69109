"""Sharing work with other processes on the same store: first what nobody is at work on, then what they left undone."""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from cache import FeatureStore, Lease, Recipe

SECONDS_BETWEEN_LOOKS = 0.5


def take_turns(
    store: FeatureStore,
    recipe: Recipe,
    lease: Lease,
    keys: np.ndarray,
    outputs: Iterable[str],
    positions: np.ndarray,
    on_wait: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[np.ndarray]:
    """Yield what this process is to extract now, until nothing is left that is missing.

    Parameters
    ----------
    store, recipe, lease
        Where, what, and this process's claims.
    keys
        `[n, 16]` of all samples.
    outputs
        Names of the outputs that are to be there in the end.
    positions
        `[m]`, the samples to extract.
    on_wait
        Told how many samples another process is at work on, each time this one has nothing else to do.
    sleep
        For tests.
    """
    outputs = list(outputs)
    while len(positions):
        granted = lease.claim(keys[positions])
        mine = positions[granted]
        if len(mine) and len(now := mine[store.missing(recipe, keys[mine], outputs)]):
            yield now
        positions = positions[~granted]
        if len(positions) and not len(mine):
            on_wait(len(positions))
            sleep(SECONDS_BETWEEN_LOOKS)
        positions = positions[store.missing(recipe, keys[positions], outputs)] if len(positions) else positions
