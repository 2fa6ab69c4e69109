"""How good features are for a task, estimated before any head is trained: LogME, the H-score and a k-NN vote."""

from typing import Any

import numpy as np
from scipy import linalg
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from heads.targets import encode_targets

ROUNDS = 100
BLOCK = 2048


def logme(X: Any, y: Any) -> float:
    """Return the log evidence of a Bayesian linear model, a sample and a target; higher is better (You et al. 2021).

    Parameters
    ----------
    X
        Features `[n, d]`; centred here, since every head has an intercept.
    y
        Labels `[n]` or an indicator `[n, c]` (the mean over the classes is returned), or numbers of dtype float `[n]`.

    Notes
    -----
    LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021; the fixed point of its second version
    (arXiv 2110.10545). One eigendecomposition serves all classes.
    """
    features = np.asarray(X, dtype=np.float64)
    features = features - features.mean(axis=0)
    targets = _targets(y)
    samples, width = features.shape
    # the smaller of the two Gram matrices has the squared singular values; its axes give the projections of the targets
    if samples <= width:
        squares, axes = linalg.eigh(features @ features.T)
        projected = (axes.T @ targets) ** 2
    else:
        squares, axes = linalg.eigh(features.T @ features)
        projected = (axes.T @ (features.T @ targets)) ** 2 / np.maximum(squares, 1e-300)[:, None]
    held = squares > max(samples, width) * np.finfo(float).eps * max(squares[-1], 1e-300)
    squares, projected = squares[held], projected[held]
    outside = np.maximum((targets**2).sum(axis=0) - projected.sum(axis=0), 0)
    evidences = [_evidence(squares, projected[:, k], outside[k], samples, width) for k in range(targets.shape[1])]
    return float(np.mean(evidences))


def h_score(X: Any, y: Any) -> float:
    """Return `tr(shrunk covariance^-1 @ covariance of the class means)`, between 0 and the number of classes minus one.

    Parameters
    ----------
    X
        Features `[n, d]`.
    y
        Labels `[n]`; of an indicator `[n, c]` the mean over the labels is returned.

    Notes
    -----
    Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer Learning, ICIP 2019; with the shrinkage
    (Ledoit and Wolf) that Ibrahim et al., Newer is not always better, 2021, found to be needed when features are many.
    """
    targets = encode_targets(y)
    features = np.asarray(X, dtype=np.float64)
    features = features - features.mean(axis=0)
    if targets.multilabel:
        return float(np.mean([_h_score(features, column.astype(int)) for column in targets.values.T]))
    return _h_score(features, targets.values)


def knn_accuracy(X: Any, y: Any, k: int = 10) -> float:
    """Return how often the vote of the `k` most similar other samples is right (cosine, leave-one-out).

    Parameters
    ----------
    X
        Features `[n, d]`.
    y
        Labels `[n]`; of an indicator `[n, c]`, the share of single labels that are right; for numbers of dtype float the
        share of variance that the neighbours' mean explains.
    k
        How many neighbours, less where there are not as many.
    """
    features = normalize(np.asarray(X, dtype=np.float32))
    targets = _targets(y)
    # one neighbour more, since each sample finds itself: it is taken out by its number, which duplicates do not share
    count = min(k, len(features) - 1)
    search = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(features)
    votes = np.empty_like(targets)
    for start in range(0, len(features), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(features)))
        near = search.kneighbors(features[rows], return_distance=False)
        others = near != rows[:, None]
        others[others.all(axis=1), -1] = False
        votes[rows] = targets[near[others].reshape(len(rows), count)].mean(axis=1)
    if _is_numbers(y):
        spread = ((targets - targets.mean(axis=0)) ** 2).sum()
        return float(1 - ((targets - votes) ** 2).sum() / max(spread, 1e-300))
    if encode_targets(y).multilabel:
        return float(((votes >= 0.5) == (targets >= 0.5)).mean())
    return float((votes.argmax(axis=1) == targets.argmax(axis=1)).mean())


def _is_numbers(y: Any) -> bool:
    return isinstance(y, np.ndarray) and y.dtype.kind == "f" and y.ndim == 1


def _targets(y: Any) -> np.ndarray:
    """Return what a linear model would be fitted to: one column of 0 and 1 a class, or standardised numbers."""
    if _is_numbers(y):
        centred = y - y.mean()
        return (centred / max(float(centred.std()), 1e-300))[:, None].astype(np.float64)
    targets = encode_targets(y)
    return targets.values.astype(np.float64) if targets.multilabel else np.eye(len(targets.classes))[targets.values]


def _evidence(squares: np.ndarray, projected: np.ndarray, outside: float, samples: int, width: int) -> float:
    """Return the greatest log evidence over the precisions of weights (`alpha`) and noise (`beta`), a sample."""
    if not len(squares):  # all samples have the same features: nothing but noise
        return float(np.log(samples / (2 * np.pi * max(outside, 1e-300))) - 1) / 2
    alpha = beta = 1.0
    for _ in range(ROUNDS):
        ratio = alpha / beta
        effective = (squares / (squares + ratio)).sum()
        norm = (squares * projected / (squares + ratio) ** 2).sum()
        residual = (projected * (ratio / (squares + ratio)) ** 2).sum() + outside
        alpha, beta = effective / (norm + 1e-12), (samples - effective) / (residual + 1e-12)
        if abs(alpha / beta - ratio) <= 1e-4 * ratio:
            break
    determinant = np.log(alpha + beta * squares).sum() + (width - len(squares)) * np.log(alpha)
    evidence = width * np.log(alpha) + samples * np.log(beta / (2 * np.pi)) - determinant - beta * residual - alpha * norm
    return float(evidence / (2 * samples))


def _h_score(features: np.ndarray, codes: np.ndarray) -> float:
    samples, width = features.shape
    counts = np.bincount(codes)
    level = (features**2).sum() / (samples * width)
    if level == 0:
        return 0.0
    means = np.zeros((len(counts), width))
    np.add.at(means, codes, features)
    means = means[counts > 0] / counts[counts > 0, None] * np.sqrt(counts[counts > 0, None])
    shrinkage = ledoit_wolf_shrinkage(features, assume_centered=True)
    if shrinkage == 0 or width <= samples:
        covariance = (1 - shrinkage) * (features.T @ features) / samples
        covariance.flat[:: width + 1] += (shrinkage + 1e-12) * level
        return float((means @ linalg.solve(covariance, means.T, assume_a="pos")).trace() / samples)
    # more features than samples: the inverse of identity plus low rank, by way of the samples (Woodbury)
    scale = shrinkage * level
    inner = features @ features.T / samples * ((1 - shrinkage) / scale)
    inner.flat[:: samples + 1] += 1
    crossed = means @ features.T
    share = crossed @ linalg.solve(inner, crossed.T, assume_a="pos") * ((1 - shrinkage) / (samples * scale**2))
    return float(((means**2).sum() / scale - share.trace()) / samples)
