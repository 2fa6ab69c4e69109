"""Classes as Gaussians of one covariance: their means, their shares, and the shrunk covariance, of weighted samples."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gaussians:
    """Estimated classes.

    Attributes
    ----------
    means, priors, covariance
        `[c, d]`, `[c]` and `[d, d]`, float64.
    dtype
        Of the features.
    """

    means: np.ndarray
    priors: np.ndarray
    covariance: np.ndarray
    dtype: np.dtype


def estimate_gaussians(
    X: np.ndarray, codes: np.ndarray, weight: np.ndarray, priors: np.ndarray, shrinkage: float | str
) -> Gaussians:
    """Estimate the classes, as `LinearDiscriminantAnalysis` does where all weights are one.

    Parameters
    ----------
    X, codes, weight
        Features `[n, d]`, class codes `[n]`, and weights `[n]`, positive for some sample of every class.
    priors
        `[c]`; the classes' covariances are averaged by them.
    shrinkage
        Towards a multiple of the identity; `auto`: each class's by `shrink_by_rule`, of features at unit variance.
    """
    classes = len(priors)
    means = np.zeros((classes, X.shape[1]))
    covariance = np.zeros((X.shape[1], X.shape[1]))
    for code in range(classes):
        rows = codes == code
        own, share = X[rows].astype(np.float64), weight[rows] / weight[rows].sum()
        means[code] = share @ own
        own -= means[code]
        if shrinkage == "auto":
            scale = np.sqrt(share @ own**2)
            scale[scale <= 10 * np.finfo(X.dtype).eps * np.abs(means[code])] = 1
            covariance += priors[code] * scale[:, None] * shrink_by_rule(own / scale, weight[rows]) * scale
        else:
            covariance += priors[code] * (share[:, None] * own).T @ own
    if shrinkage != "auto":
        covariance = _shrunk(covariance, float(shrinkage))
    return Gaussians(means, priors, covariance, X.dtype)


def shrink_by_rule(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the covariance `[d, d]` of centred samples, shrunk as Ledoit and Wolf (2004) do; a weight of 2 is two samples."""
    count, width = weight.sum(), X.shape[1]
    plain = (weight[:, None] * X).T @ X / count
    spread, mean = (plain**2).sum(), np.trace(plain) / width
    noise = (weight * (X**2).sum(axis=1) ** 2).sum() / count
    distance = spread - width * mean**2
    share = min((noise - spread) / count, distance)
    return _shrunk(plain, share / distance if share > 0 else 0.0)


def _shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    found = (1 - shrinkage) * covariance
    found.flat[:: len(found) + 1] += shrinkage * np.trace(covariance) / len(found)
    return found
