"""The nearest neighbours of every sample by cosine similarity, in blocks of bounded memory."""

from dataclasses import dataclass

import numpy as np

WIDEST = 64
_SPARE = 10
_AT_ONCE = 4096


@dataclass(frozen=True)
class Neighbours:
    """Of every sample its nearest others: positions `[n, k]` and cosine similarities `[n, k]`, the most similar first."""

    positions: np.ndarray
    similarity: np.ndarray


def find_neighbours(X: np.ndarray, k: int = 10) -> Neighbours:
    """Find every sample's nearest others.

    Features are centred first: many backbones' vectors all point much the same way, and then everything is similar to
    everything. Wide ones are searched on their 64 first principal components, and the nearest of those are ranked by all of
    the features, so that a similarity is always the exact one. Memory is `O(n (d + k))`; scikit-learn goes through the pairs
    in blocks.

    Parameters
    ----------
    X
        `[n, d]`.
    k
        How many; fewer where there are no more samples.
    """
    from sklearn.neighbors import NearestNeighbors

    unit = centred_directions(X)
    k = min(k, len(unit) - 1)
    if k < 1:
        return Neighbours(np.empty((len(unit), 0), int), np.empty((len(unit), 0)))
    seen, spare = unit, 0
    if min(unit.shape) > WIDEST:
        from sklearn.decomposition import PCA

        seen, spare = PCA(WIDEST, random_state=0, svd_solver="randomized").fit_transform(unit).astype(np.float32), _SPARE
    asked = min(k + 1 + spare, len(unit))
    found = NearestNeighbors(n_neighbors=asked, algorithm="brute").fit(seen).kneighbors(return_distance=True, X=seen)[1]
    positions, similarity = np.empty((len(unit), k), int), np.empty((len(unit), k))
    for start in range(0, len(unit), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        near = found[rows]
        values = np.einsum("nd,nkd->nk", unit[rows], unit[near])
        values[near == np.arange(start, start + len(near))[:, None]] = -2  # itself
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        positions[rows] = np.take_along_axis(near, order, axis=1)
        similarity[rows] = np.clip(np.take_along_axis(values, order, axis=1), -1, 1)
    return Neighbours(positions, similarity)


def centred_directions(X: np.ndarray) -> np.ndarray:
    """Return features `[n, d]` less their mean, each of length 1 (one that is the mean stays 0), in float32."""
    centred = np.asarray(X, np.float32) - np.asarray(X, np.float64).mean(axis=0).astype(np.float32)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)


def outlying(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Tell which samples lie far from all others (Ramaswamy et al. 2000).

    Parameters
    ----------
    similarity
        To the nearest others, `[n, k]`.

    Returns
    -------
    positions, distance, limit
        The samples beyond the limit, the farthest first; every sample's mean cosine distance to its neighbours `[n]`; and the
        limit: three quartile ranges above the upper quartile (Tukey 1977).
    """
    if not similarity.shape[1]:
        return np.empty(0, int), np.zeros(len(similarity)), np.inf
    distance = 1 - similarity.mean(axis=1)
    lower, upper = np.quantile(distance, [0.25, 0.75])
    limit = float(upper + 3 * (upper - lower))
    beyond = np.flatnonzero(distance > limit + 1e-9)
    return beyond[np.argsort(-distance[beyond], kind="stable")], distance, limit
