"""Standardising: the training features' weighted mean and deviation, read part by part."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from heads.inputs import Tokens, float_type

ROWS_AT_ONCE, VALUES_AT_ONCE = 4096, 2**23


@dataclass(frozen=True)
class Scaling:
    """What is taken off features and what they are divided by, `[d]` each, in the type to compute in."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Return standardised features."""
        standardised: np.ndarray = (X.astype(self.mean.dtype, copy=False) - self.mean) / self.scale
        return standardised


def no_scaling(source: Any, width: int) -> Scaling:
    """Return the scaling that changes nothing but the type."""
    dtype = float_type(source)
    return Scaling(np.zeros(width, dtype), np.ones(width, dtype))


def fit_scaling(source: Any, weight: np.ndarray) -> Scaling:
    """Return the weighted mean and deviation of features `[n, d]`, of views `[n, v, d]`, or of all tokens.

    The sums of parts are merged as by Chan, Golub and LeVeque (1983), in float64, so that features on disk and in memory give
    the same bits. A deviation of zero, or within the rounding of the mean, becomes one.

    Raises
    ------
    ValueError
        If a feature is not finite.
    """
    total, mean, squares = 0.0, np.zeros(1), np.zeros(1)
    size = max(1, min(ROWS_AT_ONCE, VALUES_AT_ONCE // source.shape[-1]))
    for start in range(0, len(weight), size):
        part, counts = _part(source, weight, slice(start, start + size))
        if not np.isfinite(part).all():
            raise ValueError(f"the features of samples {start} to {start + size} are not all finite (NaN or infinity)")
        here = counts.sum()
        if here > 0:
            part_mean = counts @ part / here
            part -= part_mean
            step = part_mean - mean
            squares = squares + counts @ part**2 + step**2 * (total * here / (total + here))
            mean = mean + step * (here / (total + here))
            total += here
    deviation = np.sqrt(squares / total)
    dtype = float_type(source)
    varies = deviation > np.finfo(dtype).eps * np.abs(mean)
    return Scaling(mean.astype(dtype), np.where(varies, deviation, 1).astype(dtype))


def _part(source: Any, weight: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors `[m, d]` and their weights `[m]`."""
    found, counts = source[rows], weight[rows].astype(np.float64)
    if isinstance(found, Tokens):
        return np.array(found.values, np.float64), np.repeat(counts, found.lengths)
    part = np.array(found, np.float64)
    if part.ndim == 3:
        counts = np.repeat(counts, part.shape[1])
    return part.reshape(-1, part.shape[-1]), counts


def read_rows(source: Any, rows: np.ndarray) -> Any:
    """Return ascending rows of an array-like as an array (or of `Tokens` as such), in few reads.

    Rows that lie close together are read as one slice and then picked; rows far apart are asked for by position.
    """
    first, last = int(rows[0]), int(rows[-1]) + 1
    if last - first == len(rows):
        found = source[first:last]
    elif last - first <= 4 * len(rows):
        found = source[first:last][rows - first]
    else:
        found = source[rows]
    return found if isinstance(found, Tokens) else np.asarray(found)
