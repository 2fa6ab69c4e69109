"""Rows' own coordinates: with fewer samples than features, a linear head is as well fitted in as many dimensions as samples.

A penalty on the squared norm of the weights leaves no part of them outside the span of the rows (the representer theorem;
Kimeldorf and Wahba 1971), so that the reduced problem has the same minimum, not an approximation of it.
"""

import numpy as np
import torch

WORTHWHILE = 2
"""The factorisation costs about as much as a few hundred passes over the features: it pays from this many features a sample."""


class RowSpan:
    """An orthonormal basis of the rows of `[n, d]`, where `n < d`, and the rows' coordinates in it.

    By a QR factorisation of the transposed features, which is exact for dependent rows as well.

    Parameters
    ----------
    X
        `[n, d]`, float32 or float64.

    Attributes
    ----------
    coordinates
        `[n, n]`, with the same inner products as the rows of `X`.
    """

    def __init__(self, X: np.ndarray) -> None:
        self._reflectors, self._scales = torch.geqrf(torch.as_tensor(X).T)
        self.coordinates: np.ndarray = self._reflectors[: len(X)].triu().T.contiguous().numpy()
        self._width = X.shape[1]

    def lift(self, coef: np.ndarray) -> np.ndarray:
        """Return the weights `[c, d]` on the features that weights `[c, n]` on the coordinates stand for; norms are kept."""
        padded = torch.zeros(self._width, len(coef), dtype=self._reflectors.dtype)
        padded[: coef.shape[1]] = torch.as_tensor(np.asarray(coef)).T.to(padded.dtype)
        lifted: np.ndarray = torch.ormqr(self._reflectors, self._scales, padded).T.contiguous().numpy()
        return lifted
