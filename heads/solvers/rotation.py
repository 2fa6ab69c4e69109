"""Features in their principal axes, where the curvature of a linear head's loss is nearly diagonal."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from heads.scaling import Scaling
from heads.solvers.products import product

COLUMNS_AT_ONCE = 4096
"""Features that are scaled, centred and multiplied at a time where they outnumber samples: no second copy of them is made."""
FEW = 400
"""Below so many samples, where a prediction hangs on more digits than float32 has, and float64 costs next to nothing."""
NOISE = 8
"""Eigenvalues of a Gram matrix below so many roundings of its largest, times the root of its size, are taken for zero."""


@dataclass(frozen=True)
class CentredRows:
    """Some rows of features, scaled and centred part by part when they are needed.

    Attributes
    ----------
    features
        `[n, d]`, as they came.
    chosen
        `[m]`, positions of the rows.
    shift, factor
        `[d]`: a row is `(features - shift) * factor`.
    """

    features: torch.Tensor
    chosen: torch.Tensor
    shift: torch.Tensor
    factor: torch.Tensor

    def gram(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the inner products of all rows with the chosen ones `[n, m]`, in float64."""
        total = torch.zeros(len(self.features), len(self.chosen), dtype=torch.float64, device=self.features.device)
        for columns in self._parts():
            part = self._columns(columns, dtype)
            total += product(part, part[self.chosen].T)
        return total

    def mixed(self, shares: torch.Tensor) -> torch.Tensor:
        """Return `[..., d]`, the chosen rows in these shares `[..., m]`."""
        return torch.cat([shares @ self._columns(columns, shares.dtype)[self.chosen] for columns in self._parts()], dim=-1)

    def products(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the chosen rows' products `[..., m]` with weights `[..., d]`."""
        found = [weights[..., columns] @ self._columns(columns, weights.dtype)[self.chosen].T for columns in self._parts()]
        return torch.stack(found).sum(dim=0)

    def _parts(self) -> list[slice]:
        return [slice(start, start + COLUMNS_AT_ONCE) for start in range(0, self.features.shape[1], COLUMNS_AT_ONCE)]

    def _columns(self, columns: slice, dtype: torch.dtype) -> torch.Tensor:
        return ((self.features[:, columns] - self.shift[columns]) * self.factor[columns]).to(dtype)


@dataclass(frozen=True)
class Rotation:
    """The way into principal axes and back.

    Attributes
    ----------
    mean
        `[d]`, float64, of the features.
    turn
        The axes `[d, r]`, orthonormal; or, for more features than samples, their shares `[m, r]` of rows that span them:
        then the axes themselves are never there.
    rows
        Those rows, or None.
    stretch
        What the features in their axes are multiplied by `[r]`.
    """

    mean: torch.Tensor
    turn: torch.Tensor
    rows: CentredRows | None
    stretch: torch.Tensor

    def to_weights(self, solution: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return weights `[..., d]` and intercepts `[...]` for features as they came, of solutions `[..., r + 1]`."""
        shares = (solution[..., :-1] * self.stretch) @ self.turn.T
        weights = shares if self.rows is None else self.rows.mixed(shares)
        intercept = solution[..., -1].double() - weights.double() @ self.mean
        return weights.cpu().numpy(), intercept.to(weights.dtype).cpu().numpy()

    def from_weights(self, weights: np.ndarray, intercept: np.ndarray) -> torch.Tensor:
        """Return what `to_weights` would turn into these weights `[..., d]` and intercepts `[...]`."""
        given = torch.as_tensor(weights, dtype=self.turn.dtype, device=self.turn.device)
        shift = torch.as_tensor(intercept, device=self.turn.device).double() + given.double() @ self.mean
        along = (given if self.rows is None else self.rows.products(given)) @ self.turn / self.stretch
        return torch.cat([along, shift.to(given.dtype)[..., None]], dim=-1)


@dataclass(frozen=True)
class RotatedFeatures:
    """Centred features in their principal axes, with a last column of ones for the intercept.

    An L2 penalty does not notice a rotation, and an intercept without penalty takes up the centring, so a linear head
    fitted here is the head fitted on the features as they came.

    Attributes
    ----------
    values
        `[n, r + 1]`; `r` is at most the smaller of `n` and `d`, since with an L2 penalty no weight leaves the span of the
        samples.
    rotation
        The way back.
    """

    values: torch.Tensor
    rotation: Rotation

    def to_weights(self, solution: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """See `Rotation.to_weights`."""
        return self.rotation.to_weights(solution)

    def from_weights(self, weights: np.ndarray, intercept: np.ndarray) -> torch.Tensor:
        """See `Rotation.from_weights`."""
        return self.rotation.from_weights(weights, intercept)

    def padded(self, width: int, dtype: torch.dtype) -> "RotatedFeatures":
        """Return values of a certain width and type, by axes along which there is nothing; without a way back."""
        axes, ones = self.values[:, :-1].to(dtype), self.values[:, -1:].to(dtype)
        return replace(self, values=torch.cat([torch.nn.functional.pad(axes, (0, width - self.values.shape[1])), ones], dim=1))

    def without_padding(self, solution: torch.Tensor) -> torch.Tensor:
        """Return solutions `[..., width]` on padded features for these ones."""
        return torch.cat([solution[..., : self.values.shape[1] - 1], solution[..., -1:]], dim=-1).to(self.values.dtype)

    def stretched(self, factors: torch.Tensor) -> "RotatedFeatures":
        """Return the features with each axis times its factor `[r]`."""
        values = torch.cat([self.values[:, :-1] * factors, self.values[:, -1:]], dim=1)
        return RotatedFeatures(values, replace(self.rotation, stretch=self.rotation.stretch * factors))


def rotate(
    X: np.ndarray,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    scaling: Scaling | None = None,
    trained: np.ndarray | None = None,
) -> RotatedFeatures:
    """Centre features and turn them into their principal axes by one eigendecomposition of the smaller Gram matrix.

    Where features outnumber samples, time and memory beside X grow with `n * n`, whatever their number, but for one
    pass over X.

    Parameters
    ----------
    X
        `[n, d]`.
    dtype, device
        Of the values; by default float32, or float64 of fewer than `FEW` samples.
    scaling
        What features are standardised by before; they come out as weights on standardised features.
    trained
        Positions of the rows `[m]` that mean and axes are those of; all by default. The others are turned along.
    """
    features = torch.as_tensor(np.ascontiguousarray(X), device=device)
    chosen = torch.arange(len(X), device=device) if trained is None else torch.as_tensor(trained, device=device)
    dtype = dtype or (torch.float64 if len(chosen) < FEW else torch.float32)
    ones = torch.ones(len(X), 1, dtype=dtype, device=device)
    if X.shape[1] <= len(chosen):
        if scaling is not None:
            features = torch.as_tensor(scaling.apply(X), device=device)
        mean = features[chosen].double().mean(dim=0)
        centred = (features - mean.to(features.dtype)).to(dtype)
        known = centred if trained is None else centred[chosen]
        turn = torch.linalg.eigh(product(known.T, known)).eigenvectors
        rotation = Rotation(mean, turn, None, torch.ones_like(turn[0]))
        return RotatedFeatures(torch.cat([product(centred, turn), ones], dim=1), rotation)
    shift, factor = _shift(features, chosen, scaling)
    rows = CentredRows(features, chosen, shift.to(features.dtype), factor.to(features.dtype))
    gram = rows.gram(dtype).to(dtype)
    variances, vectors = torch.linalg.eigh(gram[chosen])
    kept = variances > variances[-1].clamp(min=0) * NOISE * len(chosen) ** 0.5 * torch.finfo(dtype).eps
    kept[-1] = True  # one axis stays where all samples are the same, and says nothing
    turn = vectors[:, kept] / variances[kept].clamp(min=torch.finfo(dtype).tiny).sqrt()
    mean = shift if scaling is None else (shift - torch.as_tensor(scaling.mean, device=device).double()) * factor
    rotation = Rotation(mean, turn, rows, torch.ones_like(turn[0]))
    return RotatedFeatures(torch.cat([product(gram, turn), ones], dim=1), rotation)


def _shift(features: torch.Tensor, chosen: torch.Tensor, scaling: Scaling | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the chosen rows' mean `[d]` and what their distances from it are multiplied by `[d]`, in float64."""
    share = torch.zeros(len(features), dtype=torch.float64, device=features.device)
    share.index_add_(0, chosen, torch.full((len(chosen),), 1 / len(chosen), dtype=torch.float64, device=features.device))
    parts = range(0, features.shape[1], COLUMNS_AT_ONCE)
    mean = torch.cat([share @ features[:, start : start + COLUMNS_AT_ONCE].double() for start in parts])
    if scaling is None:
        return mean, torch.ones_like(mean)
    return mean, 1 / torch.as_tensor(scaling.scale, device=features.device).double()
