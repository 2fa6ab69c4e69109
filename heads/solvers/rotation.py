"""Features in their principal axes, where the curvature of a linear head's loss is nearly diagonal."""

from dataclasses import dataclass

import numpy as np
import torch

from heads.solvers.products import product


@dataclass(frozen=True)
class RotatedFeatures:
    """Centred features in their principal axes, with a last column of ones for the intercept.

    An L2 penalty does not notice a rotation, and an intercept without penalty takes up the centring, so a linear head
    fitted here is the head fitted on the features as they came.

    Attributes
    ----------
    values
        `[n, r + 1]`; `r` is the smaller of `n` and `d`, since with an L2 penalty no weight leaves the span of the samples.
    mean
        `[d]`, float64.
    axes
        `[d, r]`, orthonormal columns.
    """

    values: torch.Tensor
    mean: torch.Tensor
    axes: torch.Tensor

    def to_weights(self, solution: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return weights `[..., d]` and intercepts `[...]` for features as they came, of solutions `[..., r + 1]`."""
        weights = solution[..., :-1] @ self.axes.T
        intercept = solution[..., -1].double() - weights.double() @ self.mean
        return weights.cpu().numpy(), intercept.to(weights.dtype).cpu().numpy()

    def from_weights(self, weights: np.ndarray, intercept: np.ndarray) -> torch.Tensor:
        """Return what `to_weights` would turn into these weights `[..., d]` and intercepts `[...]`."""
        given = torch.as_tensor(weights, dtype=self.axes.dtype, device=self.axes.device)
        shift = torch.as_tensor(intercept, device=self.axes.device).double() + given.double() @ self.mean
        return torch.cat([given @ self.axes, shift.to(given.dtype)[..., None]], dim=-1)


def rotate(X: np.ndarray, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> RotatedFeatures:
    """Centre features `[n, d]` and turn them into their principal axes by one eigendecomposition of the smaller Gram matrix."""
    features = torch.as_tensor(np.ascontiguousarray(X), device=device)
    mean = features.double().mean(dim=0)
    centred = (features - mean.to(features.dtype)).to(dtype)
    count, width = centred.shape
    if width <= count:
        axes = torch.linalg.eigh(product(centred.T, centred)).eigenvectors
    else:
        values, vectors = torch.linalg.eigh(product(centred, centred.T))
        kept = values > values[-1].clamp(min=0) * count * torch.finfo(dtype).eps
        axes = torch.linalg.qr(centred.T @ vectors[:, kept]).Q
    ones = torch.ones(count, 1, dtype=dtype, device=centred.device)
    return RotatedFeatures(torch.cat([product(centred, axes), ones], dim=1), mean, axes)
