"""Slices: how good answers are within groups of samples, so that a good mean cannot hide a bad part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from heads.estimates import Estimate


@dataclass(frozen=True)
class GroupScore:
    """A group's name, how many samples it has, and metric -> value and interval on them."""

    name: str
    samples: int
    metrics: dict[str, Estimate]


def score_groups(
    groups: Sequence[str | None],
    score: Callable[[np.ndarray], dict[str, Estimate]],
    fewest: int = 20,
    most: int = 30,
) -> list[GroupScore]:
    """Score groups of samples apart, the largest first.

    Parameters
    ----------
    groups
        Every sample's group `[n]`; None for none.
    score
        Gives the metrics of samples by their positions `[m]`.
    fewest
        A smaller group is left out: its interval would say nothing.
    most
        So many groups at most.
    """
    names = np.array(["" if name is None else str(name) for name in groups])
    unique, codes = np.unique(names, return_inverse=True)
    counts = np.bincount(codes, minlength=len(unique))
    chosen = [code for code in np.argsort(-counts, kind="stable") if counts[code] >= fewest and unique[code]][:most]
    return [GroupScore(str(unique[code]), int(counts[code]), score(np.flatnonzero(codes == code))) for code in chosen]
