"""Projections of features onto a plane: PCA, t-SNE and UMAP."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.quality.neighbours import centred_directions

METHODS = ("pca", "tsne", "umap")
_COMPONENTS = 50


@dataclass(frozen=True)
class Projection:
    """Where samples are on a plane.

    Attributes
    ----------
    key, title
        The method's.
    points
        `[n, 2]`, each axis from 0 to 1 with equal scale.
    note
        How it was made.
    """

    key: str
    title: str
    points: np.ndarray
    note: str


def principal_components(X: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features `[n, d]` along their principal axes `[n, 2 to 50]`, and the share of the variance that each holds."""
    from sklearn.decomposition import PCA

    pca = PCA(min(_COMPONENTS, *X.shape), svd_solver="randomized", random_state=seed)
    with np.errstate(invalid="ignore"):  # where all samples are the same, the shares are of nothing
        reduced = pca.fit_transform(X)
    lacking = max(0, 2 - reduced.shape[1])
    return np.pad(reduced, ((0, 0), (0, lacking))), np.pad(np.nan_to_num(pca.explained_variance_ratio_), (0, lacking))


def arrange(X: np.ndarray, method: str, seed: int = 0) -> np.ndarray:
    """Return places `[n, 2]` of at least three samples, given along their principal axes `[n, c]`.

    Parameters
    ----------
    X
        As `principal_components` returns them.
    method
        `tsne` (van der Maaten and Hinton 2008) or `umap` (McInnes et al. 2018).
    seed
        Of everything that is random.
    """
    return _tsne(X, seed) if method == "tsne" else _umap(X, seed)


def project(X: np.ndarray, methods: Sequence[str] = METHODS, most: int = 2500, seed: int = 0) -> list[Projection]:
    """Project features.

    Parameters
    ----------
    X
        `[n, d]`.
    methods
        Some of `METHODS`; UMAP is left out where umap-learn is not installed.
    most
        How many samples t-SNE and UMAP arrange themselves; every other is put between the three of these that are most like it.
    seed
        Of everything that is random.
    """
    unit = centred_directions(X)
    if min(unit.shape) < 2 or len(unit) < 3 or not (unit != unit[0]).any():
        flat = np.zeros((len(unit), 2))
        flat[:, 0] = np.linspace(0, 1, len(unit)) if len(unit) else 0
        return [Projection("pca", "PCA", flat, "There is nothing to project.")]
    reduced, shares = principal_components(unit, seed)
    results = []
    if "pca" in methods:
        note = f"PCA: these two components hold {shares[:2].sum():.0%} of the features' variance."
        results.append(Projection("pca", "PCA", _fit(reduced[:, :2]), note))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(unit))[:most])
    rest = f", and {len(unit) - most:,} more put beside those that are most like them" if len(unit) > most else ""
    if "tsne" in methods and len(unit) > 5:
        results.append(Projection("tsne", "t-SNE", _spread(reduced, chosen, arrange(reduced[chosen], "tsne", seed)),
                                  f"t-SNE of {len(chosen):,} samples{rest}."))  # fmt: skip
    if "umap" in methods and len(unit) > 15 and importlib.util.find_spec("umap") is not None:
        results.append(Projection("umap", "UMAP", _spread(reduced, chosen, arrange(reduced[chosen], "umap", seed)),
                                  f"UMAP of {len(chosen):,} samples{rest}."))  # fmt: skip
    return results


def _tsne(X: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max(2.0, (len(X) - 1) / 3))
    # of samples that are all the same, scikit-learn's own start is no number, with which its tree crashes
    start = np.asarray(X[:, :2] / max(float(X[:, 0].std()), 1e-12) * 1e-4, np.float32)
    start += np.random.default_rng(seed).normal(scale=1e-7, size=start.shape).astype(np.float32)
    return TSNE(2, perplexity=perplexity, init=start, max_iter=500, random_state=seed).fit_transform(X)


def _umap(X: np.ndarray, seed: int) -> np.ndarray:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap

        return umap.UMAP(n_neighbors=min(15, len(X) - 1), random_state=seed, n_jobs=1).fit_transform(X)


def _spread(X: np.ndarray, arranged: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Put the samples that were not arranged between the three most like them, weighted by nearness."""
    points = np.empty((len(X), 2))
    points[arranged] = places
    others = np.setdiff1d(np.arange(len(X)), arranged)
    if len(others):
        from sklearn.neighbors import NearestNeighbors

        distance, near = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(X[arranged]).kneighbors(X[others])
        weight = 1 / np.maximum(distance, 1e-9) ** 2
        points[others] = (places[near] * weight[..., None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    return _fit(points)


def _fit(points: np.ndarray) -> np.ndarray:
    """Bring points into the unit square, in the middle and with equal scale."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float((high - low).max()), 1e-12)
    fitted: np.ndarray = (points - (low + high) / 2) / side + 0.5
    return fitted
