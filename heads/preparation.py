"""Preparation of features for a linear head: standardising, whitening, and the rows' own coordinates.

All of it can be undone in the coefficients, so that a fitted head takes features as they come.
"""

from dataclasses import dataclass

import numpy as np
import torch

from heads.scaling import Scaling, fit_scaling
from heads.solvers.rotation import RotatedFeatures, Rotation, rotate

WORTHWHILE = 2
"""From this many features a sample, turning the features into the samples' span costs less than it saves."""


@dataclass(frozen=True)
class Prepared:
    """Features to fit on, `values [n, r]`, and the way back."""

    values: np.ndarray
    scaling: Scaling | None
    rotation: Rotation | None

    def restore(self, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights `[c, d]` and intercepts `[c]` on the features as they came, of those on `values`."""
        if self.rotation is not None:
            solution = torch.from_numpy(np.column_stack([coef, intercept]).astype(self.values.dtype))
            coef, intercept = self.rotation.to_weights(solution)
        return unscale(coef, intercept, self.scaling)


def prepare(X: np.ndarray, weight: np.ndarray, standardize: bool, whiten: float | None) -> Prepared:
    """Prepare features `[n, d]` of samples with weights `[n]`.

    Where features far outnumber samples, or are whitened, they are turned into the principal axes of the samples' span: an
    L2 penalty leaves no weight outside it (the representer theorem; Kimeldorf and Wahba 1971), so that the minimum in the
    fewer dimensions is the same one.

    Parameters
    ----------
    X, weight
        Features, and the weights that count in mean and deviation.
    standardize
        Whether every feature is brought to mean zero and deviation one.
    whiten
        See `whitened`; None leaves the features' correlations as they are.
    """
    scaling = fit_scaling(X, weight) if standardize else None
    if whiten is None and X.shape[1] <= WORTHWHILE * len(X):
        return Prepared(X if scaling is None else scaling.apply(X), scaling, None)
    rotated = rotate(X, torch.from_numpy(X[:1]).dtype, scaling=scaling)
    if whiten is not None:
        rotated = whitened(rotated, whiten)
    return Prepared(np.ascontiguousarray(rotated.values[:, :-1].numpy()), scaling, rotated.rotation)


def whitened(rotated: RotatedFeatures, share: float, trained: np.ndarray | None = None) -> RotatedFeatures:
    """Shrink the axes along which features vary together, so that a penalty on the weights meets all directions alike.

    An axis with variance `e` is divided by `sqrt(1 + e / (share * v))`, where `v` is the features' mean variance: the
    penalty on weights `w` becomes `w' (S + share * v * I) w / (share * v)` with the features' covariance `S`, instead of
    `w' w`. Layers of one backbone say much the same, and what tells classes apart often lies in how they differ, which a
    plain penalty would shrink away. A large share is the plain penalty.

    Parameters
    ----------
    rotated
        Features in their principal axes.
    share
        Above 0; 1 to 10 as a rule.
    trained
        Positions of the rows `[m]` that the variances are those of; all by default.

    Raises
    ------
    ValueError
        If the share is not above 0.
    """
    if not share > 0:
        raise ValueError(f"`whiten` is {share!r}; it may be None or a number above 0")
    values = rotated.values[:, :-1]
    variances = (values if trained is None else values[trained]).square().mean(dim=0)
    mean = (variances.sum() / len(rotated.rotation.mean)).clamp(min=torch.finfo(values.dtype).tiny)
    return rotated.stretched((1 + variances / (share * mean)).rsqrt())


def unscale(coef: np.ndarray, intercept: np.ndarray, scaling: Scaling | None) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and intercepts on features as they came, of those on standardised features."""
    if scaling is None:
        return coef, intercept
    coef = coef / scaling.scale
    return coef, intercept - coef @ scaling.mean
